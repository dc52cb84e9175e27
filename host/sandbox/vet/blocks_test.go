package vet

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/berth-host/berth/host/sandbox/meter"
)

// TestCacheIsReadInBlocks: the engine of this version lets its cache be replaced, and finds
// what it has stored. If a new version does not, modules with debug information load slowly.
func TestCacheIsReadInBlocks(t *testing.T) {
	cache, err := wazero.NewCompilationCacheWithDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if !readInBlocks(cache) {
		t.Error("the cache of this version of the engine is read in pieces")
	}
	if readInBlocks(nil) || readInBlocks(wazero.NewCompilationCache()) {
		t.Error("a cache without a directory is read in blocks")
	}
}

// TestTraceableCodeIsTheSame: with offsets, the engine makes the same code: debug information
// costs memory, not time. The offsets are behind the code in the cache.
func TestTraceableCodeIsTheSame(t *testing.T) {
	wasm, err := os.ReadFile("../../../testdata/lines/c-4.wasm")
	if err != nil {
		t.Fatal(err)
	}
	metered, report, err := meter.Rewrite(wasm, meter.Config{})
	if err != nil || !report.Traceable {
		t.Fatal(report, err)
	}
	var stored [][]byte
	for _, traceable := range []bool{false, true} {
		dir := t.TempDir()
		code, err := Compile(t.Context(), metered, dir, traceable)
		if err != nil {
			t.Fatal(err)
		}
		if err := code.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		file, err := codeFile(dir)
		if err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(filepath.Join(dir, file.Path))
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, content)
	}
	const behind = 5 // bytes: no offsets, no exceptions
	code := stored[0][:len(stored[0])-behind]
	if !bytes.HasPrefix(stored[1], code) || len(stored[1]) < len(stored[0])+16 {
		t.Errorf("%d bytes without offsets, %d with, and the code differs", len(stored[0]), len(stored[1]))
	}
}

// content is a file that counts how often it is read.
type content struct {
	io.Reader
	reads  int
	closed bool
}

func (c *content) Read(p []byte) (int, error) { c.reads++; return c.Reader.Read(p) }
func (c *content) Close() error               { c.closed = true; return nil }

type oneFile struct {
	codeCache
	content io.ReadCloser
}

func (f oneFile) Get([32]byte) (io.ReadCloser, bool, error) { return f.content, f.content != nil, nil }

// TestBlockReader: reads are whole, also across the end of a block, and few.
func TestBlockReader(t *testing.T) {
	text := strings.Repeat("0123456789", 3*blockSize/10)
	file := &content{Reader: strings.NewReader(text)}
	r, ok, err := (&blocks{oneFile{content: file}}).Get([32]byte{})
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	var got bytes.Buffer
	piece := make([]byte, 7)
	for {
		n, err := r.Read(piece)
		got.Write(piece[:n])
		if err != nil {
			break
		}
		if n != len(piece) {
			t.Fatalf("%d bytes", n)
		}
	}
	if got.String() != text || file.reads > 5 {
		t.Errorf("%d bytes in %d reads", got.Len(), file.reads)
	}
	if err := r.Close(); err != nil || !file.closed {
		t.Errorf("not closed: %v", err)
	}
	if _, ok, err := (&blocks{oneFile{}}).Get([32]byte{}); ok || err != nil {
		t.Errorf("no content: %v, %v", ok, err)
	}
}
