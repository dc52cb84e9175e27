package install_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/install"
	"github.com/berth-host/berth/host/wire"
)

// breaking gives n bytes and then an error.
type breaking struct {
	io.Reader
	err error
}

func (b *breaking) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if errors.Is(err, io.EOF) && b.err != nil {
		err = b.err
	}
	return n, err
}

func (b *breaking) Close() error { return nil }

// Wherever a download breaks off, it is gone on with there.
func TestDownloadResumes(t *testing.T) {
	wasm := module(`{"name":"x","version":"1.0.0"}`, "ok "+strings.Repeat("x", 16000))
	rapid.Check(t, func(r *rapid.T) {
		w := newWorld(t)
		w.put(wasm, func(rel *install.Release) {
			if rapid.Bool().Draw(r, "of unknown size") {
				rel.Size = 0
			}
		})
		cuts := rapid.SliceOfN(rapid.IntRange(1, len(wasm)), 0, 8).Draw(r, "cuts")
		w.shop.open = func(_ install.Release, offset int64) (io.ReadCloser, error) {
			remaining := wasm[offset:]
			if len(cuts) == 0 {
				return io.NopCloser(bytes.NewReader(remaining)), nil
			}
			n := min(cuts[0], len(remaining))
			cuts = cuts[1:]
			return &breaking{bytes.NewReader(remaining[:n]), fault.New(fault.Unavailable, "cut")}, nil
		}
		var seen []wire.Progress
		_, err := w.i.Install(t.Context(), install.Request{Name: "x"}, "", func(p wire.Progress) { seen = append(seen, p) })
		if err != nil {
			r.Fatal(err)
		}
		w.runs("x", "1.0.0", wasm)
		if !slices.IsSorted(w.opened) {
			r.Errorf("opened at %v", w.opened)
		}
		var steps []string
		last := int64(0)
		for _, p := range seen {
			if p.Done < last && p.Step == "download" {
				r.Errorf("went back from %d to %d", last, p.Done)
			}
			last = p.Done
			if len(steps) == 0 || steps[len(steps)-1] != p.Step {
				steps = append(steps, p.Step)
			}
		}
		if got := strings.Join(steps, " "); got != "resolve download vet store probe commit start" {
			r.Errorf("steps: %s", got)
		}
	})
}

// TestDownloadGivenUp: the next attempt resumes an abandoned download, also from another
// host.
func TestDownloadGivenUp(t *testing.T) {
	w := newWorld(t)
	wasm := versioned("x", "1.0.0", "")
	w.put(wasm, nil)
	w.shop.open = func(install.Release, int64) (io.ReadCloser, error) {
		return nil, fault.New(fault.Unavailable, "it is down")
	}
	wants(t, w.install("x"), fault.Unavailable, "it is down")
	if len(w.opened) != 3 {
		t.Errorf("tried at %v", w.opened)
	}
	ctx, cancel := context.WithCancel(t.Context())
	w.shop.open = func(_ install.Release, offset int64) (io.ReadCloser, error) {
		cancel()
		return &breaking{bytes.NewReader(wasm[offset:20]), ctx.Err()}, nil
	}
	if _, err := w.i.Install(ctx, install.Request{Name: "x"}, "", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	w.shop.open = nil
	again := openWorld(t, w.cfg.Dir, w.shop)
	if err := again.install("x"); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(w.opened[3:]); got != "[0 20]" {
		t.Errorf("opened at %s", got)
	}
	again.runs("x", "1.0.0", wasm)
}

// A part with one byte behind the whole module is discarded too.
func TestDownloadOfAPartThatIsTooLong(t *testing.T) {
	w := newWorld(t)
	wasm := versioned("x", "1.0.0", "")
	w.put(wasm, nil)
	part := filepath.Join(w.cfg.Dir, "downloads", digestOf(wasm)+".part")
	long := append(bytes.Clone(wasm), 'x')
	if err := errors.Join(os.Mkdir(filepath.Dir(part), 0o700), os.WriteFile(part, long, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := w.install("x"); err != nil {
		t.Fatal(err)
	}
	w.runs("x", "1.0.0", wasm)
	if len(w.opened) != 1 || w.opened[0] != 0 {
		t.Errorf("the download began at %v, want 0", w.opened)
	}
}

// A part that does not belong to the module is thrown away, once.
func TestDownloadOfAWrongPart(t *testing.T) {
	for what, rubbish := range map[string][]byte{"other": []byte("rubbish"), "longer": bytes.Repeat([]byte("x"), 1000)} {
		w := newWorld(t)
		wasm := versioned("x", "1.0.0", "")
		w.put(wasm, nil)
		part := filepath.Join(w.cfg.Dir, "downloads", digestOf(wasm)+".part")
		if err := errors.Join(os.Mkdir(filepath.Dir(part), 0o700), os.WriteFile(part, rubbish, 0o600)); err != nil {
			t.Fatal(err)
		}
		if err := w.install("x"); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		w.runs("x", "1.0.0", wasm)
	}
	// One as long as the module is; one of a server that will not begin there, or that
	// begins elsewhere and says nothing.
	whole := versioned("x", "1.0.0", "")
	for what, open := range map[string]func(offset int64) (io.ReadCloser, error){
		"as long": func(offset int64) (io.ReadCloser, error) {
			if offset == int64(len(whole)) {
				return nil, fault.Field("url", "the server answers 416 Requested Range Not Satisfiable")
			}
			return io.NopCloser(bytes.NewReader(whole[offset:])), nil
		},
		"refused": func(offset int64) (io.ReadCloser, error) {
			if offset > 0 {
				return nil, fault.Field("url", "the server was asked for another part")
			}
			return io.NopCloser(bytes.NewReader(whole)), nil
		},
		"lies": func(offset int64) (io.ReadCloser, error) {
			if offset > 0 {
				return io.NopCloser(bytes.NewReader(make([]byte, int64(len(whole))-offset))), nil
			}
			return io.NopCloser(bytes.NewReader(whole)), nil
		},
	} {
		w := newWorld(t)
		w.put(whole, nil)
		w.shop.open = func(_ install.Release, offset int64) (io.ReadCloser, error) { return open(offset) }
		n := 10
		if what == "as long" {
			n = len(whole)
		}
		part := filepath.Join(w.cfg.Dir, "downloads", digestOf(whole)+".part")
		if err := errors.Join(os.Mkdir(filepath.Dir(part), 0o700), os.WriteFile(part, make([]byte, n), 0o600)); err != nil {
			t.Fatal(err)
		}
		if err := w.install("x"); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	// Likewise when it broke off just now: a server of several, with different copies.
	w := newWorld(t)
	w.put(whole, nil)
	broken := false
	w.shop.open = func(_ install.Release, offset int64) (io.ReadCloser, error) {
		switch {
		case !broken:
			broken = true
			return &breaking{bytes.NewReader(whole[:10]), fault.New(fault.Unavailable, "cut")}, nil
		case offset > 0:
			return io.NopCloser(bytes.NewReader(make([]byte, int64(len(whole))-offset))), nil
		}
		return io.NopCloser(bytes.NewReader(whole)), nil
	}
	if err := w.install("x"); err != nil {
		t.Errorf("several servers: %v", err)
	}
	// A link in its place is not followed.
	w = newWorld(t)
	wasm := versioned("x", "1.0.0", "")
	w.put(wasm, nil)
	outside := filepath.Join(t.TempDir(), "precious")
	part := filepath.Join(w.cfg.Dir, "downloads", digestOf(wasm)+".part")
	if err := errors.Join(os.WriteFile(outside, []byte("precious"), 0o600), os.Mkdir(filepath.Dir(part), 0o700), os.Symlink(outside, part)); err != nil {
		t.Fatal(err)
	}
	wants(t, w.install("x"), fault.Conflict, "not a regular file")
	if got, err := os.ReadFile(outside); err != nil || string(got) != "precious" {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestOldDownloadsGo: downloads that are not resumed are removed at a start and before
// the next download: after a day, and the oldest above the limit of their size.
func TestOldDownloadsGo(t *testing.T) {
	w := newWorld(t)
	w.cfg.MaxSize = 1000
	w.open()
	dir := filepath.Join(w.cfg.Dir, "downloads")
	wasm := versioned("x", "1.0.0", "")
	w.put(wasm, nil)
	fill := func() {
		t.Helper()
		for name, f := range map[string]struct {
			age  time.Duration
			size int
		}{
			"old": {25 * time.Hour, 0}, "older": {24*time.Hour + time.Second, 9},
			"5": {5 * time.Hour, 1000}, "4": {4 * time.Hour, 1000}, "3": {3 * time.Hour, 1000}, "2": {2 * time.Hour, 1000}, "1": {time.Hour, 900},
			digestOf(wasm): {6 * time.Hour, 20}, // wanted just now
		} {
			path := filepath.Join(dir, name+".part")
			at := start.Add(-f.age)
			if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(path, bytes.Repeat([]byte("x"), f.size), 0o600), os.Chtimes(path, at, at)); err != nil {
				t.Fatal(err)
			}
		}
	}
	left := func() string {
		names, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for i, name := range names {
			names[i] = strings.TrimSuffix(filepath.Base(name), ".part")
		}
		return strings.Join(names, " ")
	}
	fill()
	if err := w.install("x"); err != nil {
		t.Fatal(err)
	}
	// It was 20 of 4,000 bytes; what it is now is in the store.
	if got := left(); got != "1 2 3 4" {
		t.Errorf("after an installation there are %q", got)
	}
	if len(w.opened) == 0 || w.opened[0] != 20 {
		t.Errorf("the download began at %v; the part of the release in progress must stay", w.opened)
	}
	fill()
	if err := w.i.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := left(); got != "1 2 3 4" {
		t.Errorf("after a start there are %q", got)
	}
}

// FuzzLock: a lock file is refused, or its names and digests are safe.
func FuzzLock(f *testing.F) {
	f.Add([]byte("format: 1\nplugins:\n  x: {sha256: " + digestOf(nil) + ", size: 1}\n"))
	f.Add([]byte("format: 1\nplugins: {../x: {}}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var l install.Lock
		if (newCodec()).Unmarshal(text, &l) != nil || install.CheckLock(l) != nil {
			return
		}
		for name, e := range l.Plugins {
			if strings.ContainsAny(name, "/\\.") || len(e.SHA256) != 64 {
				t.Errorf("%q is taken", text)
			}
		}
	})
}
