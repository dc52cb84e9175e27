package host_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/berth-host/berth/"

// layer tells how high a package of the project stands: a package may import
// only what is lower, and leaves do not import each other.
func layer(path string) int {
	switch top := leaf(path); {
	case strings.HasPrefix(path, module+"cmd/"):
		return 6
	case path == module+"host":
		return 5
	case top == "doctor":
		return 4 // it examines every part
	case top == "live" || top == "run" || top == "sources":
		return 3 // they join leaves
	case top == "event" || top == "wire":
		return 1
	case top == "fault" || top == "spec" || top == "netguard" || top == "pathguard" || strings.HasPrefix(path, module+"abi"):
		return 0
	}
	return 2
}

// leaf is the first element below host/, or the program below cmd/: both may have packages
// of their own.
func leaf(path string) string {
	if program, _, ok := strings.Cut(path, "/internal/"); ok && strings.HasPrefix(path, module+"cmd/") {
		return program
	}
	below, ok := strings.CutPrefix(path, module+"host/")
	if !ok {
		return path
	}
	name, _, _ := strings.Cut(below, "/")
	return name
}

// TestImportsRunOneWay holds the house: cmd → host → leaves → event and wire →
// spec and fault, one importer of each foreign part, and foreign code only where it belongs.
func TestImportsRunOneWay(t *testing.T) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Standard", "-deps", module+"...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	only := map[string]string{ // foreign package → the leaf that may import it
		"github.com/tetratelabs/wazero":     "sandbox",
		"github.com/tetratelabs/wazero/api": "sandbox",
		"github.com/labstack/echo/v4":       "api",
		"modernc.org/sqlite":                "store",
		"cel.dev/cel-go/cel":                "route",
		"gopkg.in/yaml.v3":                  "config",
		"github.com/gofrs/flock":            "",
		"github.com/invopop/jsonschema":     "api",

		"github.com/santhosh-tekuri/jsonschema/v6":      "plugin",
		"github.com/santhosh-tekuri/jsonschema/v6/kind": "plugin",

		"github.com/cloudevents/sdk-go/v2/event": "api",
		"github.com/cloudevents/sdk-go/v2/types": "api",

		"github.com/spf13/cobra": module + "cmd/berth",
		"golang.org/x/term":      module + "cmd/berth",

		"github.com/schollz/progressbar/v3": module + "cmd/berth",

		"aead.dev/minisign":                                "marketplace",
		"github.com/Masterminds/semver/v3":                 "",
		"oras.land/oras-go/v2/registry/remote":             "marketplace",
		"oras.land/oras-go/v2/registry":                    "marketplace",
		"github.com/opencontainers/image-spec/specs-go/v1": "marketplace",
	}
	checked := 0
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var pkg struct {
			ImportPath string
			Imports    []string
			Standard   bool
		}
		if err := dec.Decode(&pkg); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if pkg.Standard || !strings.HasPrefix(pkg.ImportPath, module) {
			continue
		}
		checked++
		for _, imp := range pkg.Imports {
			if owner, known := only[imp]; known {
				suite := strings.HasSuffix(pkg.ImportPath, "test") // for tests only, and in no binary
				if owner != "" && leaf(pkg.ImportPath) != owner && !suite {
					t.Errorf("%s imports %s, which only %s may", pkg.ImportPath, imp, owner)
				}
				continue
			}
			if !strings.HasPrefix(imp, module) {
				bottom := layer(pkg.ImportPath) <= 1 && imp != "github.com/google/uuid"
				if bottom && strings.Contains(strings.Split(imp, "/")[0], ".") {
					t.Errorf("%s imports %s: it stands at the bottom and needs only the standard library", pkg.ImportPath, imp)
				}
				continue
			}
			from, to := layer(pkg.ImportPath), layer(imp)
			sameLeaf := from == to && leaf(pkg.ImportPath) == leaf(imp)
			if to >= from && !sameLeaf && from != 0 {
				t.Errorf("%s imports %s: imports run cmd → host → leaves → event and wire → spec and fault", pkg.ImportPath, imp)
			}
		}
		if strings.HasPrefix(pkg.ImportPath, module+"abi") || strings.HasPrefix(pkg.ImportPath, module+"plugins-src") {
			if slices.ContainsFunc(pkg.Imports, func(i string) bool { return strings.HasPrefix(i, module+"host") }) {
				t.Errorf("%s imports the host: a guest knows the ABI only", pkg.ImportPath)
			}
		}
	}
	if checked < 10 {
		t.Fatalf("only %d packages were looked at", checked)
	}
}
