package host_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// avoided are words that no identifier and no Go file name may contain: private or
// ambiguous words for concepts that have a standard name. The value is the replacement.
// docs/glossary.md defines the terms.
var avoided = vocabulary(
	"prefetch, lease, buffered, flush, revoke or acquire", "hand hands handed held rest rests resting recall recalls recalled deal deals dealt",
	"notify, signal, wake or markDirty", "tell tells told poke pokes touch touches touched nudge nudges nudged",
	"quota, capacity, evict, reclaim or grow", "room rooms space spaces",
	"flush, record, resolve or clear", "settle settles settled settling",
	"view, dead letters, position, cursor or block", "row rows letter letters place places placed stretch stretches",
	"nameLocks, or a mutex named after what it guards", "turn turns toggle toggles switching moving",
	"batch, linger or expired", "crowd crowds crowded patience deserted",
	"fetchConfig, newTimer, emptySource, upstreamError or signerChanged", "reach reaches reached alarm alarms silence silent foreign stranger strangers",
	"owner, keepRunning, reconcile, evaluate, install or repair", "holder holders stay stays pursue pursues assess assessed assesses bring brings mend mends mended",
	"sampled or skipped", "thinned",
	"fileaudit", "drops",
	"precondition", "agreed",
	"max, min, or a name for the list", "most least some few",
)

func vocabulary(pairs ...string) map[string]string {
	list := make(map[string]string)
	for i := 0; i < len(pairs); i += 2 {
		for _, w := range strings.Fields(pairs[i+1]) {
			list[w] = pairs[i]
		}
	}
	return list
}

// permitted are the exceptions, by directory and name, with their reasons.
var permitted = map[string]string{
	"host/wire Held": "the name of a state in the API",
}

// tables are the directories, and those below them, where a row is one of an SQL database.
var tables = []string{"host/orders", "host/store", "host/pgstore", "host/event/transfer"}

// ofTable reports whether a word is the term for what a directory is about.
func ofTable(dir, word string) bool {
	return (word == "row" || word == "rows") && slices.ContainsFunc(tables, func(t string) bool { return dir == t || strings.HasPrefix(dir, t+"/") })
}

var (
	acronymEnd = regexp.MustCompile(`([A-Z])([A-Z][a-z])`)
	wordStart  = regexp.MustCompile(`([a-z0-9])([A-Z])`)
	word       = regexp.MustCompile(`[A-Za-z]+`)
)

// words splits an identifier: KVSpaceOf is kv, space and of.
func words(name string) []string {
	name = acronymEnd.ReplaceAllString(name, "$1 $2")
	return word.FindAllString(strings.ToLower(wordStart.ReplaceAllString(name, "$1 $2")), -1)
}

// avoidedWord returns the first avoided word of an identifier and its replacement. "Dead
// letter" is a standard term.
func avoidedWord(name string) (found, instead string) {
	before := ""
	for _, w := range words(name) {
		if instead, ok := avoided[w]; ok && !(before == "dead" && strings.HasPrefix(w, "letter")) {
			return w, instead
		}
		before = w
	}
	return "", ""
}

func TestAvoidedWordIsFound(t *testing.T) {
	for name, want := range map[string]string{
		"makeRoom": "room", "HTTPRest": "rest", "rest2": "rest", "Rest": "rest", "restart": "", "deadLetters": "", "letters": "letters",
		"TestRowTakesThePlace": "row", "handler": "", "snake_few": "few", "KVSpace": "space",
	} {
		if got, _ := avoidedWord(name); got != want {
			t.Errorf("avoidedWord(%q) = %q, want %q", name, got, want)
		}
	}
}

// TestVocabulary fails on every declared identifier and Go file name with an avoided word,
// and on unused exceptions.
func TestVocabulary(t *testing.T) {
	root := ".."
	used, checked := make(map[string]bool), 0
	check := func(dir, name, at string) {
		checked++
		word, instead := avoidedWord(name)
		if word == "" || ofTable(dir, word) {
			return
		}
		key := dir + " " + name
		used[key] = true
		if permitted[key] == "" {
			t.Errorf("%s: %s: avoid %q, write %s", at, name, word, instead)
		}
	}
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(file, ".go") {
			return err
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		dir := path.Dir(rel)
		check(dir, strings.TrimSuffix(path.Base(rel), ".go"), rel)
		files := token.NewFileSet()
		parsed, err := parser.ParseFile(files, file, nil, parser.SkipObjectResolution)
		if err != nil {
			return fmt.Errorf("%s: %w", rel, err)
		}
		for _, id := range declared(parsed) {
			check(dir, id.Name, fmt.Sprintf("%s:%d", rel, files.Position(id.Pos()).Line))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if checked < 10_000 {
		t.Fatalf("only %d names were checked", checked)
	}
	for key := range permitted {
		if !used[key] {
			t.Errorf("permitted: no declaration needs %q any more; delete the exception", key)
		}
	}
}

// declared lists the identifiers that a file declares, also in functions.
func declared(file *ast.File) (ids []*ast.Ident) {
	add := func(list ...ast.Expr) {
		for _, e := range list {
			if id, ok := e.(*ast.Ident); ok {
				ids = append(ids, id)
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			add(n.Name)
		case *ast.TypeSpec:
			add(n.Name)
		case *ast.ValueSpec:
			for _, id := range n.Names {
				add(id)
			}
		case *ast.Field:
			for _, id := range n.Names {
				add(id)
			}
		case *ast.LabeledStmt:
			add(n.Label)
		case *ast.ImportSpec:
			if n.Name != nil {
				add(n.Name)
			}
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				add(n.Lhs...)
			}
		case *ast.RangeStmt:
			if n.Tok == token.DEFINE {
				add(n.Key, n.Value)
			}
		}
		return true
	})
	return ids
}
