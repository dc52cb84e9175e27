package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/config/file"
	"github.com/berth-host/berth/host/fault"
)

func TestEditOfReadOnlyFileNamesTheLines(t *testing.T) {
	for _, tt := range []struct {
		name, text, want string
		edit             func(*Editor) error
	}{
		{"a new section", "routes: {}\n", "Insert before line 2:\nhandlers:\n  x:\n    enabled: false\n", func(e *Editor) error { _, err := e.SetHandlerEnabled("x", false); return err }},
		{"a changed line", "handlers:\n  x:\n    enabled: true # why\nroutes: {}\n", "Replace lines 3 to 3 by:\n    enabled: false # why\n", func(e *Editor) error { _, err := e.SetHandlerEnabled("x", false); return err }},
		{"a removed section", "handlers:\n  x:\n    enabled: true\n  y: {}\n", "Remove lines 2 to 3", func(e *Editor) error { _, err := e.RemoveHandler("x"); return err }},
	} {
		path := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(path, []byte(tt.text), 0o644); err != nil {
			t.Fatal(err)
		}
		e := NewEditor(path)
		e.replace = func(path string, old, data []byte) error {
			return fault.New(fault.Conflict, "replace %s: %w", path, file.ErrReadOnly)
		}
		err := tt.edit(e)
		if !fault.Is(err, fault.Conflict) || !errors.Is(err, file.ErrReadOnly) || !strings.HasSuffix(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want a conflict with %q", tt.name, err, tt.want)
		}
	}
}

func TestRecoverFindsDataDirectoryInDamagedFile(t *testing.T) {
	for _, line := range []string{"data_dir: %s", "{data_dir: \"%s\", routes: {", "\"data_dir\": '%s'\nroutes: [", "data_dir: %s # here"} {
		dir, data := t.TempDir(), t.TempDir()
		path := filepath.Join(dir, "c.yaml")
		former := strings.Replace(line, "%s", data, 1) + "\nrest: true"
		if err := os.WriteFile(path, []byte(former), 0o644); err != nil {
			t.Fatal(err)
		}
		after := former + "\nmore: true"
		real, err := filepath.EvalSymlinks(path)
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf("berth-edit-1 %d %d %q\n%s%s", len(former), len(after), real, former, after)
		if err := os.WriteFile(filepath.Join(data, file.CopyFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(former+"\nmo"), 0o644); err != nil {
			t.Fatal(err)
		}
		recovered, err := Recover(path, "")
		got, _ := os.ReadFile(path)
		if !recovered || err != nil || string(got) != former {
			t.Errorf("%s: got %q, %v, %v", line, got, recovered, err)
		}
	}
}

func TestRecoverFindsDataDirectoryInParsableFile(t *testing.T) {
	dir, data := t.TempDir(), t.TempDir()
	path := filepath.Join(dir, "c.yaml")
	former := fmt.Sprintf("data_dir : %q\n", data)
	after := former + "\n# more\n"
	if err := os.WriteFile(path, []byte(former+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("berth-edit-1 %d %d %q\n%s%s", len(former), len(after), real, former, after)
	if err := os.WriteFile(filepath.Join(data, file.CopyFile), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	recovered, err := Recover(path, "")
	if got, _ := os.ReadFile(path); !recovered || err != nil || string(got) != former {
		t.Errorf("got %q, %v, %v", got, recovered, err)
	}
}
