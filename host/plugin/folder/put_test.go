package folder_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/berth-host/berth/host/plugin/folder"
)

func TestPut(t *testing.T) {
	read := func(path string) string {
		b, err := os.ReadFile(path)
		if err != nil {
			return ""
		}
		return string(b)
	}
	for _, tt := range []struct {
		name           string
		before, beside string // the module and its manifest that are there; "" for none
		manifest       []byte
		refused        bool // the module cannot get its name
		module, want   string
	}{
		{"new", "", "", nil, false, "new", ""},
		{"new with a manifest", "", "", []byte("m"), false, "new", "m"},
		{"with an empty manifest", "", "", []byte{}, false, "new", ""},
		{"in place of one with a manifest", "old", "before", nil, false, "new", ""},
		{"in place of one with another manifest", "old", "before", []byte("m"), false, "new", "m"},
		{"refused", "", "", []byte("m"), true, "", ""},
		{"refused in place of another manifest", "", "before", []byte("m"), true, "", "before"},
		{"refused in place of a manifest", "", "before", nil, true, "", "before"},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "x.wasm")
		if tt.refused {
			if err := os.MkdirAll(filepath.Join(path, "in it"), 0o700); err != nil { // a directory that is not empty is not replaced
				t.Fatal(err)
			}
		}
		for file, text := range map[string]string{path: tt.before, folder.Sidecar(path): tt.beside} {
			if text != "" {
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := folder.Put(path, []byte("new"), tt.manifest); (err != nil) != tt.refused {
			t.Errorf("%s: got %v", tt.name, err)
		}
		if got := read(path); got != tt.module {
			t.Errorf("%s: the module is %q, want %q", tt.name, got, tt.module)
		}
		if got := read(folder.Sidecar(path)); got != tt.want {
			t.Errorf("%s: the manifest is %q, want %q", tt.name, got, tt.want)
		}
		var left []string
		entries, err := os.ReadDir(dir)
		for _, e := range entries {
			left = append(left, e.Name())
		}
		left = slices.DeleteFunc(left, func(name string) bool { return name == "x.wasm" || name == "x.wasm.json" })
		if err != nil || len(left) > 0 {
			t.Errorf("%s: it leaves %v, %v", tt.name, left, err)
		}
	}
	if err := folder.Put(filepath.Join(t.TempDir(), "gone", "x.wasm"), nil, nil); err == nil {
		t.Error("it wrote into a directory that is not there")
	}
}

func TestNamed(t *testing.T) {
	empty := []byte("\x00asm\x01\x00\x00\x00")
	for _, tt := range []struct {
		path     string
		wasm     []byte
		manifest []byte
		want     string // "": it is refused
	}{
		{"Big_Order.wasm", empty, nil, "big-order"},
		{"dir/x.wasm", empty, []byte(`{"name": "y"}`), "y"},
		{"dir/x.wasm", empty, []byte(`{}`), "x"},
		{"x.wasm", empty, []byte(`{"name": "y"`), ""},
		{"x.wasm", empty, []byte{}, ""},
		{"x y.wasm", empty, nil, ""},
		{"x.wasm", empty[:5], nil, ""},
		{"x.wasm", []byte("not wasm"), nil, ""},
	} {
		if got, err := folder.Named(tt.path, tt.wasm, tt.manifest); got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s with %q: got %q, %v", tt.path, tt.manifest, got, err)
		}
	}
}
