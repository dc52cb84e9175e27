package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	guaranteeName = regexp.MustCompile(`^\*\*([^*]+?)\.?\*\*`)
	suiteTests    = regexp.MustCompile("^((?:`Test\\w+`(?:, )?)+) of `([a-z/]+)`$")
	suitePackage  = regexp.MustCompile("^`(host/[a-z/]+)`$")
	suiteFaults   = regexp.MustCompile("`FAULT=([^`]+)`")
)

// documentedGuarantee is a line of the table in docs/guarantees.md.
type documentedGuarantee struct {
	name    string
	engines []string
	suites  []string // but for TestGuarantees
	listed  bool     // TestGuarantees is one
}

// documentedGuarantees returns the names of the guarantees in the document, and its table.
func documentedGuarantees(t *testing.T) (names []string, table []documentedGuarantee) {
	t.Helper()
	text := documents(t)["docs/guarantees.md"]
	_, text, _ = strings.Cut(text, "\n## Guarantees\n")
	list, text, _ := strings.Cut(text, "\n## How the guarantees are tested\n")
	tests, _, found := strings.Cut(text, "\n## ")
	if !found {
		t.Fatal("docs/guarantees.md has other headings")
	}
	for _, item := range strings.Split(list, "\n- ")[1:] {
		if m := guaranteeName.FindStringSubmatch(item); m != nil {
			names = append(names, m[1])
		} else {
			t.Errorf("the guarantee %.40q does not begin with its name in bold", item)
		}
	}
	for line := range strings.Lines(tests) {
		cells := strings.Split(strings.Trim(line, "| \n"), " | ")
		if !strings.HasPrefix(line, "|") || len(cells) != 3 || cells[0] == "guarantee" {
			continue
		}
		g := documentedGuarantee{name: cells[0], engines: strings.Split(cells[1], ", "), suites: strings.Split(cells[2], "; ")}
		if g.listed = g.suites[0] == "`TestGuarantees`"; g.listed {
			g.suites = g.suites[1:]
		}
		table = append(table, g)
	}
	return names, table
}

// TestGuaranteesHaveSuites holds that docs/guarantees.md names, for each guarantee, suites that
// exist and the engines on which TestGuarantees tests it. With -v it shows them.
func TestGuaranteesHaveSuites(t *testing.T) {
	names, table := documentedGuarantees(t)
	tested := guarantees()
	var inTable []string
	for _, g := range table {
		inTable = append(inTable, g.name)
		t.Run(g.name, func(t *testing.T) {
			i := slices.IndexFunc(tested, func(other guarantee) bool { return other.name == g.name })
			switch {
			case g.listed != (i >= 0):
				t.Errorf("the document says that TestGuarantees tests it: %v; that is %v", g.listed, i >= 0)
			case i >= 0 && !slices.Equal(g.engines, tested[i].engines):
				t.Errorf("the document has the engines %q, TestGuarantees %q", g.engines, tested[i].engines)
			case i < 0 && len(g.suites) == 0:
				t.Error("it has no suite")
			}
			for _, suite := range g.suites {
				checkSuite(t, suite, g.engines)
			}
			t.Logf("%s: %s (TestGuarantees: %v)", strings.Join(g.engines, ", "), strings.Join(g.suites, "; "), g.listed)
		})
	}
	if len(names) < 20 || !slices.Equal(names, inTable) {
		t.Errorf("the guarantees are\n%q\nand those of the table\n%q", names, inTable)
	}
	for _, g := range tested {
		if !slices.Contains(names, g.name) {
			t.Errorf("TestGuarantees tests %q, which the document does not have", g.name)
		}
	}
}

// enginePackages are where the engines run the suites for engines.
var enginePackages = map[string]string{memoryEngine: "host/bus", sqliteEngine: "host/store", postgresEngine: "host/pgstore"}

// checkSuite checks that a suite of the table exists: tests of a package, a package that each
// engine's tests import, or a failure test of several hosts.
func checkSuite(t *testing.T, suite string, engines []string) {
	t.Helper()
	if m := suiteTests.FindStringSubmatch(suite); m != nil {
		_, declared := testsOf(t, m[2])
		for _, name := range strings.Split(m[1], ", ") {
			if !declared[strings.Trim(name, "`")] {
				t.Errorf("%s has no %s", m[2], name)
			}
		}
		return
	}
	if m := suitePackage.FindStringSubmatch(suite); m != nil {
		for _, engine := range engines {
			if imports, _ := testsOf(t, enginePackages[engine]); !imports["github.com/berth-host/berth/"+m[1]] {
				t.Errorf("the tests of %s do not run %s", enginePackages[engine], m[1])
			}
		}
		return
	}
	faults := suiteFaults.FindAllStringSubmatch(suite, -1)
	if len(faults) == 0 {
		t.Errorf("%s is no suite", suite)
	}
	text, err := os.ReadFile(filepath.Join("..", "cluster", "scenarios.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range faults {
		if !strings.Contains(string(text), `{name: "`+m[1]+`",`) {
			t.Errorf("cmd/cluster has no failure test %q", m[1])
		}
	}
}

// testsOf returns what the tests of a package import, and the tests that they declare.
func testsOf(t *testing.T, dir string) (imports, tests map[string]bool) {
	t.Helper()
	imports, tests = make(map[string]bool), make(map[string]bool)
	files, err := filepath.Glob(filepath.Join("..", "..", filepath.FromSlash(dir), "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range file.Imports {
			imports[strings.Trim(spec.Path.Value, `"`)] = true
		}
		for _, declaration := range file.Decls {
			if f, ok := declaration.(*ast.FuncDecl); ok && f.Recv == nil {
				tests[f.Name.Name] = true
			}
		}
	}
	return imports, tests
}
