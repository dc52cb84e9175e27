package host_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/berth-host/berth/"

// layer returns the layer of a package of the project: a package imports only lower
// layers, so leaves do not import each other.
func layer(path string) int {
	switch top := leaf(path); {
	case strings.HasPrefix(path, module+"cmd/"):
		return 6
	case path == module+"host":
		return 5
	case top == "doctor":
		return 4 // it examines every part
	case top == "live" || top == "run" || top == "sources" || top == "desk" || top == "backup" || top == "member" || top == "engine":
		return 3 // they join leaves
	case top == "event" || top == "wire":
		return 1
	case top == "fault" || top == "spec" || top == "histogram" || top == "netguard" || top == "pathguard" || strings.HasPrefix(path, module+"abi"):
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

// importers are the leaves that may import a third-party package; "" is any.
var importers = map[string]string{
	"github.com/tetratelabs/wazero":      "sandbox",
	"github.com/tetratelabs/wazero/api":  "sandbox",
	"github.com/ianlancetaylor/demangle": "sandbox",
	"github.com/labstack/echo/v4":        "api",
	"modernc.org/sqlite":                 "store",
	"github.com/jackc/pgx/v5":            "pgstore",
	"github.com/jackc/pgx/v5/pgxpool":    "pgstore",
	"github.com/jackc/pgx/v5/pgconn":     "pgstore",
	"cel.dev/cel-go/cel":                 "route",
	"gopkg.in/yaml.v3":                   "config",
	"github.com/robfig/cron/v3":          "schedules",
	"github.com/gofrs/flock":             "",
	"github.com/invopop/jsonschema":      "api",

	"github.com/santhosh-tekuri/jsonschema/v6":      "plugin",
	"github.com/santhosh-tekuri/jsonschema/v6/kind": "plugin",

	"github.com/cloudevents/sdk-go/v2/event": "api",
	"github.com/cloudevents/sdk-go/v2/types": "api",

	"github.com/spf13/cobra": module + "cmd/berth",
	"golang.org/x/term":      module + "cmd/berth",

	"github.com/klauspost/compress/s2": "event", // its package pack
	"github.com/cespare/xxhash/v2":     "shards",

	"github.com/schollz/progressbar/v3": module + "cmd/berth",

	"go.opentelemetry.io/otel":                                        "telemetry",
	"go.opentelemetry.io/otel/trace":                                  "telemetry",
	"go.opentelemetry.io/otel/attribute":                              "telemetry",
	"go.opentelemetry.io/otel/sdk/trace":                              "telemetry",
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp": "telemetry",
	"github.com/prometheus/client_golang/prometheus":                  "telemetry",
	"github.com/prometheus/client_golang/prometheus/collectors":       "telemetry",
	"github.com/prometheus/client_golang/prometheus/promhttp":         "telemetry",

	"aead.dev/minisign":                                "marketplace",
	"github.com/Masterminds/semver/v3":                 "",
	"oras.land/oras-go/v2/registry/remote":             "marketplace",
	"oras.land/oras-go/v2/registry":                    "marketplace",
	"github.com/opencontainers/image-spec/specs-go/v1": "marketplace",
}

// TestImportsRunOneWay holds the order of the imports: cmd → host → doctor → live, run,
// sources, desk, backup and member → leaves → event and wire → spec and fault. Each third-party package has one
// importer.
func TestImportsRunOneWay(t *testing.T) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Standard", "-deps", module+"...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
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
			if owner, known := importers[imp]; known {
				suite := strings.HasSuffix(pkg.ImportPath, "test") // for tests only, and in no binary
				if owner != "" && leaf(pkg.ImportPath) != owner && !suite {
					t.Errorf("%s imports %s, which only %s may", pkg.ImportPath, imp, owner)
				}
				continue
			}
			if !strings.HasPrefix(imp, module) {
				bottom := layer(pkg.ImportPath) <= 1 && imp != "github.com/google/uuid"
				if bottom && strings.Contains(strings.Split(imp, "/")[0], ".") {
					t.Errorf("%s imports %s: the lowest layers import only the standard library", pkg.ImportPath, imp)
				}
				continue
			}
			from, to := layer(pkg.ImportPath), layer(imp)
			sameLeaf := from == to && leaf(pkg.ImportPath) == leaf(imp)
			if to >= from && !sameLeaf && from != 0 {
				t.Errorf("%s imports %s: imports run cmd → host → doctor → live, run, sources, member, engine → leaves → event, wire → spec, fault", pkg.ImportPath, imp)
			}
		}
		if strings.HasPrefix(pkg.ImportPath, module+"abi") || strings.HasPrefix(pkg.ImportPath, module+"plugins-src") {
			if slices.ContainsFunc(pkg.Imports, func(i string) bool { return strings.HasPrefix(i, module+"host") }) {
				t.Errorf("%s imports the host: a guest knows the ABI only", pkg.ImportPath)
			}
		}
	}
	if checked < 10 {
		t.Fatalf("only %d packages were checked", checked)
	}
}

// TestPartsDoNotReceiveHost holds that no type of package host contains a Host and no
// function of it takes one, so that no part and no adapter can: parts receive the
// functions they need. Methods of Host, New and the tests are exempt.
func TestPartsDoNotReceiveHost(t *testing.T) {
	files := token.NewFileSet()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		checked++
		file, err := parser.ParseFile(files, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		refuse := func(list *ast.FieldList) {
			ast.Inspect(list, func(n ast.Node) bool {
				if id, ok := n.(*ast.Ident); ok && id.Name == "Host" {
					t.Errorf("%s: a Host is passed: pass the functions that are needed", files.Position(id.Pos()))
				}
				_, selector := n.(*ast.SelectorExpr) // a Host of another package
				return !selector
			})
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.StructType:
				refuse(n.Fields)
			case *ast.InterfaceType:
				refuse(n.Methods)
			case *ast.FuncType:
				refuse(n.Params)
			}
			return true
		})
	}
	if checked < 5 {
		t.Fatalf("only %d files were checked", checked)
	}
}

const (
	maxPackageLines = 2500 // without tests, comments and blank lines
	maxRootLines    = 1100 // of package host
)

func TestPackageSizes(t *testing.T) {
	lines := make(map[string]int)
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		lines[strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), "../")] += codeLines(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) < 20 {
		t.Fatalf("only %d packages were counted", len(lines))
	}
	for dir, n := range lines {
		limit := maxPackageLines
		if dir == "host" {
			limit = maxRootLines
		}
		if n > limit {
			t.Errorf("%s has %d lines, over the limit of %d: split it", dir, n, limit)
		}
	}
}

// codeLines counts the lines of a file that have code.
func codeLines(text []byte) int {
	file := token.NewFileSet().AddFile("", -1, len(text))
	var s scanner.Scanner
	s.Init(file, text, nil, 0)
	last, n := 0, 0
	for {
		pos, tok, literal := s.Scan()
		if tok == token.EOF {
			return n
		}
		if tok == token.SEMICOLON && literal == "\n" {
			continue
		}
		first := max(file.Line(pos), last+1)
		end := file.Line(pos) + strings.Count(literal, "\n")
		if end >= first {
			n += end - first + 1
			last = end
		}
	}
}

func TestCodeLines(t *testing.T) {
	const text = "package p\n\n// comment\nvar s = `a\n\nb` // end\n\n/* more\n*/\nfunc f() {\n}\n"
	if got := codeLines([]byte(text)); got != 6 {
		t.Errorf("got %d lines, want 6", got)
	}
}
