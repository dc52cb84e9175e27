package toolchain

import (
	"flag"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// update has TestGoSDKIsFresh write what it would compare.
var update = flag.Bool("update", false, "write the generated files")

// goSDKFiles returns the files of the Go SDK that handlers need.
func goSDKFiles(t *testing.T) map[string]string {
	t.Helper()
	files := make(map[string]string)
	root := os.DirFS(filepath.Join("..", "..", "abi", "go"))
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			if !slices.Contains([]string{".", "berthtest", "internal", "internal/wire"}, name) {
				return fs.SkipDir
			}
		case name == "go.mod", path.Ext(name) == ".go" && !strings.HasSuffix(name, "_test.go"):
			text, err := fs.ReadFile(root, name)
			files[name] = string(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// archive is the reverse of parseArchive.
func archive(files map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		b.WriteString("-- " + name + " --\n" + files[name])
	}
	return b.String()
}

func TestGoSDKIsFresh(t *testing.T) {
	want := archive(goSDKFiles(t))
	if *update {
		if err := os.WriteFile("gosdk.txtar", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		goSDK = want
	}
	if goSDK != want {
		t.Error("gosdk.txtar is not the SDK of abi/go: run go test ./host/toolchain -run TestGoSDKIsFresh -update")
	}
	got, err := parseArchive(want)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range goSDKFiles(t) {
		if string(got[name]) != text {
			t.Errorf("%s is another one in the archive", name)
		}
	}
	if len(got) < 12 {
		t.Errorf("the archive has %d files", len(got))
	}
}

func TestParseArchive(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       map[string]string
		err        string
	}{
		{name: "nothing", want: map[string]string{}},
		{name: "two", text: "-- a --\n1\n2\n-- b/c --\n-- d\n", want: map[string]string{"a": "1\n2\n", "b/c": "-- d\n"}},
		{name: "empty file", text: "-- a --\n", want: map[string]string{"a": ""}},
		{name: "text before", text: "1\n-- a --\n", err: "does not name a file"},
		{name: "twice", text: "-- a --\n-- a --\n", err: "a is there twice"},
		{name: "no path", text: "--  --\n", err: "does not name a file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files, err := parseArchive(tt.text)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got %v, want %s", err, tt.err)
				}
				return
			}
			got := make(map[string]string)
			for name, contents := range files {
				got[name] = string(contents)
			}
			if err != nil || !maps.Equal(got, tt.want) {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}
