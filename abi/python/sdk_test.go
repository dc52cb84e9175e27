package python

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/berth-host/berth/abi"
)

func TestModuleEndsWithTheProgram(t *testing.T) {
	module, err := Module([]File{{"handler.py", "def handle(event):\n    return 1\n"}, {"prices.py", "# é\n"}})
	if err != nil {
		t.Fatal(err)
	}
	program := strings.Replace(sdk, "_second_edition = True", "_second_edition = False", 1) + "\x00handler.py\ndef handle(event):\n    return 1\n\x00prices.py\n# é\n"
	want := binary.LittleEndian.AppendUint32(nil, uint32(len(program)))
	if !bytes.HasSuffix(module, append(want, program...)) {
		t.Error("the module does not end with the length and the program")
	}
	if _, _, err := abi.FindSection(module, abi.ManifestSection); err != nil {
		t.Errorf("the sections do not follow each other: %v", err)
	}
	again, err := Module([]File{{"handler.py", "def handle(event):\n    return 1\n"}, {"prices.py", "# é\n"}})
	if err != nil || !bytes.Equal(again, module) {
		t.Errorf("the same files make another module (%v)", err)
	}
}

// TestEngineIsTheBuildsOutput compares the engine with what engine/build.sh printed.
func TestEngineIsTheBuildsOutput(t *testing.T) {
	const want = "fbab546de174fa234c3132e33993de072a78cc3de10a3c29b7e3b2424b0047cd"
	if got := fmt.Sprintf("%x", sha256.Sum256(engine)); got != want {
		t.Errorf("got the SHA-256 %s, want %s", got, want)
	}
}

func TestModuleRefuses(t *testing.T) {
	tests := []struct {
		name  string
		files []File
		want  string
	}{
		{"no files", nil, "no Python files"},
		{"bytes that are not UTF-8", []File{{"a.py", "\xff"}}, "a.py is not a text in UTF-8"},
		{"a zero byte", []File{{"a.py", "x\x00"}}, "a.py is not a text in UTF-8"},
	}
	for _, tt := range tests {
		if _, err := Module(tt.files); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

func FuzzProgram(f *testing.F) {
	f.Add(engine, []byte("x"))
	f.Add([]byte("\x00asm\x01\x00\x00\x00\x0b\x07\x01\x01\x04\x00\x00\x00\x00"), []byte("x"))
	f.Add([]byte("\x00asm\x01\x00\x00\x00\x0b\xff\xff\xff\xff\x0f\x01\x04\x00\x00\x00\x00"), []byte("x"))
	f.Fuzz(func(t *testing.T, engine, program []byte) {
		module, err := withProgram(engine, program)
		if err == nil && !bytes.HasSuffix(module, program) {
			t.Error("the program is not at the end")
		}
	})
}
