package toolchain

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-host/berth/abi"
)

// TestCreate makes a project in every language: it is complete, has the project's name, and
// is recognised as one in its language and no other.
func TestCreate(t *testing.T) {
	for _, l := range Languages() {
		t.Run(l.Name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "not", "there", "yet")
			if err := Create(l, "stock-alert", dir); err != nil {
				t.Fatal(err)
			}
			p, err := Open(dir, "")
			if err != nil {
				t.Fatal(err)
			}
			if p.Language.Name != l.Name || p.Name != "stock-alert" || p.Output() != filepath.Join(dir, "stock-alert.wasm") {
				t.Errorf("got %s, %s, %s", p.Language.Name, p.Name, p.Output())
			}
			m, err := abi.ParseManifest(p.Manifest)
			if err != nil || m.Version == "" || len(m.Subscribes) == 0 {
				t.Errorf("manifest %+v, %v", m, err)
			}
			for _, file := range []string{l.MainFile("stock-alert"), "README.md", "events.jsonl", ".gitignore"} {
				if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
					t.Error(err)
				}
			}
			count := 0
			err = fs.WalkDir(os.DirFS(dir), ".", func(name string, entry fs.DirEntry, err error) error {
				if err != nil || entry.IsDir() {
					return err
				}
				count++
				text, err := os.ReadFile(filepath.Join(dir, name))
				if strings.Contains(name, "NAME") || strings.HasSuffix(name, ".tmpl") || strings.Contains(string(text), "{{.") {
					t.Errorf("%s is not filled in", name)
				}
				return err
			})
			if err != nil || count < 6 {
				t.Errorf("%d files, %v", count, err)
			}
		})
	}
}

func TestCreateRefuses(t *testing.T) {
	l := goLanguage()
	parent := t.TempDir()
	full, file, empty := filepath.Join(parent, "full"), filepath.Join(parent, "file"), filepath.Join(parent, "empty")
	for _, dir := range []string{full, empty} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{filepath.Join(full, "x"), file} {
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct{ name, dir, want string }{
		{"ok", full, "is not empty"},
		{"ok", file, "not a directory"},
		{"ok", filepath.Join(file, "below"), "not a directory"},
		{"Not Ok", filepath.Join(parent, "new"), "must be 1 to 63 of a-z"},
		{"install", filepath.Join(parent, "new"), "a word of the host's API"},
	} {
		if err := Create(l, tt.name, tt.dir); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s in %s: got %v, want %s", tt.name, tt.dir, err, tt.want)
		}
	}
	if err := Create(l, "ok", empty); err != nil {
		t.Error(err)
	}
	// The directory becomes one that is not empty while the project is written.
	l.SDK = func() (map[string][]byte, error) { return map[string][]byte{"../../late/x": nil}, nil }
	if err := Create(l, "ok", filepath.Join(parent, "late")); err == nil {
		t.Error("no error")
	}
	entries, err := os.ReadDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || e.Name() == "new" {
			t.Errorf("%s is left", e.Name())
		}
	}
}

func TestDetect(t *testing.T) {
	for _, tt := range []struct{ files, want, err string }{
		{files: "go.mod main.go", want: "go"},
		{files: "main.go manifest.json", want: "go"},
		{files: "README.md", err: "no files of a handler in any language"},
		{files: "", err: "no files of a handler in any language"},
	} {
		dir := t.TempDir()
		for _, name := range strings.Fields(tt.files) {
			if err := os.WriteFile(filepath.Join(dir, name), []byte("{}"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		l, err := Detect(os.DirFS(dir))
		if l.Name != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: got %s, %v; want %s, %s", tt.files, l.Name, err, tt.want, tt.err)
		}
	}
}

func TestNamed(t *testing.T) {
	for _, name := range Names() {
		if l, err := Named(name); err != nil || l.Name != name || l.Title == "" || len(l.Tools) == 0 && name != "python" {
			t.Errorf("%s: got %+v, %v", name, l, err)
		}
	}
	if _, err := Named("cobol"); err == nil || !strings.Contains(err.Error(), `"cobol" is not a language that is known here: there are go`) {
		t.Errorf("got %v", err)
	}
}

// TestTools holds that each tool can be named, found and installed.
func TestTools(t *testing.T) {
	for _, l := range Languages() {
		names := make(map[string]bool)
		for _, tool := range l.Tools {
			if tool.Name == "" || tool.Install == "" || names[tool.Name] || (len(tool.Commands) == 0) == (len(tool.Files) == 0) ||
				(len(tool.Commands) > 0) != (tool.Version != nil) {
				t.Errorf("%s: the tool %+v lacks something, or is there twice", l.Name, tool)
			}
			names[tool.Name] = true
		}
	}
}
