package toolchain

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// writeFiles writes files into a new directory.
func writeFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestPythonBuild builds projects without any tool.
func TestPythonBuild(t *testing.T) {
	const manifest = `{"name": "prices", "version": "1.0.0"}`
	tests := []struct {
		name  string
		files map[string]string
		ends  string // of the program
		err   string
	}{
		{"one file of any name", map[string]string{"prices.py": "x = 1\n"}, "\x00prices.py\nx = 1\n", ""},
		{"handler.py is the first", map[string]string{"a.py": "a = 1\n", "handler.py": "h = 1\n", "z.py": "z = 1\n"},
			"\x00handler.py\nh = 1\n\x00a.py\na = 1\n\x00z.py\nz = 1\n", ""},
		{"several without handler.py", map[string]string{"a.py": "", "b.py": ""}, "", "several Python files, and none is handler.py"},
		{"not a text", map[string]string{"handler.py": "\xff"}, "", "handler.py is not a text in UTF-8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.files[ManifestFile] = manifest
			p, err := Open(writeFiles(t, tt.files), "")
			if err != nil {
				t.Fatal(err)
			}
			if p.Language.Name != "python" {
				t.Fatalf("it is recognised as %s", p.Language.Name)
			}
			built, err := p.Build(t.Context(), p.Output(), io.Discard)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			module, err := os.ReadFile(built.Path)
			if err != nil {
				t.Fatal(err)
			}
			program, _, _ := bytes.Cut(module, []byte("berth.manifest"))
			if program = program[:bytes.LastIndexByte(program, '\n')+1]; !bytes.HasSuffix(program, []byte(tt.ends)) {
				t.Errorf("the program ends with %q, want %q", program[max(len(program)-80, 0):], tt.ends)
			}
		})
	}
}
