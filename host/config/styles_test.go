package config_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/spec"
)

// updating reports whether golden files are to be written (-update); review the
// differences.
func updating() bool {
	f := flag.Lookup("update")
	return f != nil && f.Value.String() == "true"
}

func TestMain(m *testing.M) {
	flag.Bool("update", false, "write the golden files of the YAML styles")
	os.Exit(m.Run())
}

// styleEdits are made to every file of testdata/styles, each to the file as it is.
func styleEdits() []struct {
	name string
	edit func(*config.Editor) error
} {
	type edit = struct {
		name string
		edit func(*config.Editor) error
	}
	grants := []spec.Grant{{Name: "http", Targets: spec.Targets{Hosts: []string{"api.example.com"}}}, {Name: "kv"}}
	return []edit{
		{"disable x", func(e *config.Editor) error { _, err := e.SetHandlerEnabled("x", false); return err }},
		{"enable x", func(e *config.Editor) error { _, err := e.SetHandlerEnabled("x", true); return err }},
		{"pause x", func(e *config.Editor) error { _, err := e.SetHandlerPaused("x", true); return err }},
		{"resume x", func(e *config.Editor) error { _, err := e.SetHandlerPaused("x", false); return err }},
		{"approve x", func(e *config.Editor) error { _, err := e.SetHandlerGrants("x", grants); return err }},
		{"install new", func(e *config.Editor) error {
			if _, err := e.SetHandlerGrants("new", grants[1:]); err != nil {
				return err
			}
			_, err := e.SetHandlerEnabled("new", true)
			return err
		}},
		{"uninstall x", func(e *config.Editor) error { _, err := e.RemoveHandler("x"); return err }},
		{"uninstall y", func(e *config.Editor) error { _, err := e.RemoveHandler("y"); return err }},
	}
}

// TestEditsOfYAMLStyles makes each edit to each style of YAML and compares the changed
// lines with the golden file, to the byte.
func TestEditsOfYAMLStyles(t *testing.T) {
	styles, err := filepath.Glob("testdata/styles/*.yaml")
	if err != nil || len(styles) < 30 {
		t.Fatalf("%d styles, %v", len(styles), err)
	}
	for _, style := range styles {
		name := strings.TrimSuffix(filepath.Base(style), ".yaml")
		t.Run(name, func(t *testing.T) {
			before, err := os.ReadFile(style)
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for _, e := range styleEdits() {
				path := filepath.Join(t.TempDir(), "c.yaml")
				write(t, path, string(before))
				err := e.edit(config.NewEditor(path))
				after := []byte(read(t, path))
				fmt.Fprintf(&got, "# %s\n", e.name)
				switch {
				case err != nil && !bytes.Equal(before, after):
					t.Fatalf("%s: refused (%v), and yet changed to %q", e.name, err, after)
				case err != nil:
					for _, line := range strings.Split(strings.ReplaceAll(err.Error(), path, "FILE"), "\n") {
						fmt.Fprintf(&got, "refused: %s\n", line)
					}
				case bytes.Equal(before, after):
					got.WriteString("unchanged\n")
				default:
					got.WriteString(lineDiff(string(before), string(after)))
				}
			}
			golden := strings.TrimSuffix(style, ".yaml") + ".edits"
			if updating() {
				write(t, golden, got.String())
				return
			}
			if want := read(t, golden); got.String() != want {
				t.Errorf("got\n%s\nwant\n%s", got.String(), want)
			}
		})
	}
}

// lineDiff says which lines of one text another has not, and what it has
// instead, quoted: together with the one text it is the other.
func lineDiff(before, after string) string {
	a, b := strings.SplitAfter(before, "\n"), strings.SplitAfter(after, "\n")
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	var out strings.Builder
	for i, line := range a[head : len(a)-tail] {
		fmt.Fprintf(&out, "%3d - %q\n", head+i+1, line)
	}
	for i, line := range b[head : len(b)-tail] {
		fmt.Fprintf(&out, "%3d + %q\n", head+i+1, line)
	}
	return out.String()
}
