package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// mutant is one change of one file.
type mutant struct {
	file       string // absolute
	src        []byte
	start, end int // the bytes of src that text replaces
	text, kind string
}

func (m mutant) apply() []byte {
	return slices.Concat(m.src[:m.start], []byte(m.text), m.src[m.end:])
}

func (m mutant) line() int { return 1 + bytes.Count(m.src[:m.start], []byte("\n")) }

// diff formats the change: the position, the lines before, the lines after.
func (m mutant) diff() string {
	from := bytes.LastIndexByte(m.src[:m.start], '\n') + 1
	to := len(m.src)
	if i := bytes.IndexByte(m.src[m.end:], '\n'); i >= 0 {
		to = m.end + i
	}
	name := m.file
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, m.file); err == nil {
			name = rel
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "  %s:%d: %s\n", name, m.line(), m.kind)
	for _, l := range cut(string(m.src[from:to])) {
		fmt.Fprintf(&b, "    - %s\n", l)
	}
	for _, l := range cut(string(m.src[from:m.start]) + m.text + string(m.src[m.end:to])) {
		fmt.Fprintf(&b, "    + %s\n", l)
	}
	return b.String()
}

// cut splits text into trimmed lines, and omits the middle of many.
func cut(s string) []string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	if len(lines) > 6 {
		lines = slices.Concat(lines[:3], []string{"..."}, lines[len(lines)-2:])
	}
	return lines
}

// checker type-checks the mutants of one package.
type checker struct {
	fset    *token.FileSet
	names   []string
	files   map[string]*ast.File
	mutants []mutant
	conf    types.Config
	path    string
}

func newChecker(ctx context.Context, p pkg) (*checker, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-export", "-deps",
		"-f", "{{if .Export}}{{.ImportPath}}={{.Export}}{{end}}", p.ImportPath)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list -export: %w", err)
	}
	exports := map[string]string{}
	for l := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(l), "=")
		exports[path] = file
	}
	c := &checker{fset: token.NewFileSet(), files: map[string]*ast.File{}, path: p.ImportPath}
	c.conf = types.Config{
		Error: func(error) {},
		Importer: importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
			return os.Open(exports[path])
		}),
		Sizes: types.SizesFor("gc", runtime.GOARCH),
	}
	for _, name := range p.GoFiles {
		path := filepath.Join(p.Dir, name)
		src, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		f, err := parser.ParseFile(c.fset, path, src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		c.names = append(c.names, path)
		c.files[path] = f
		if !ast.IsGenerated(f) {
			c.mutants = append(c.mutants, mutantsOf(c.fset, f, path, src)...)
		}
	}
	return c, nil
}

// sample shuffles the mutants and returns the first n that type-check; 0 means all.
// With at they are those of one FILE:LINE.
func (c *checker) sample(seed uint64, n int, at string) []mutant {
	h := fnv.New64a()
	io.WriteString(h, c.path)
	random := rand.New(rand.NewPCG(seed, h.Sum64()))
	if at != "" {
		n = 0
		c.mutants = slices.DeleteFunc(c.mutants, func(m mutant) bool {
			return !strings.HasSuffix(fmt.Sprintf("%s:%d", m.file, m.line()), "/"+strings.TrimPrefix(at, "./"))
		})
	}
	all := slices.Clone(c.mutants)
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	var chosen []mutant
	for _, m := range all {
		if n > 0 && len(chosen) == n {
			break
		}
		if c.compiles(m) {
			chosen = append(chosen, m)
		}
	}
	slices.SortFunc(chosen, func(a, b mutant) int {
		return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.start, b.start), cmp.Compare(a.kind, b.kind))
	})
	return chosen
}

func (c *checker) compiles(m mutant) bool {
	changed, err := parser.ParseFile(c.fset, m.file, m.apply(), parser.SkipObjectResolution)
	if err != nil {
		return false
	}
	files := make([]*ast.File, 0, len(c.names))
	for _, name := range c.names {
		if name == m.file {
			files = append(files, changed)
		} else {
			files = append(files, c.files[name])
		}
	}
	_, err = c.conf.Check(c.path, c.fset, files, nil)
	return err == nil
}

// other names the operators that replace one.
var other = map[token.Token][]token.Token{
	token.EQL: {token.NEQ}, token.NEQ: {token.EQL},
	token.LSS: {token.LEQ, token.GEQ}, token.LEQ: {token.LSS, token.GTR},
	token.GTR: {token.GEQ, token.LEQ}, token.GEQ: {token.GTR, token.LSS},
	token.LAND: {token.LOR}, token.LOR: {token.LAND},
	token.ADD: {token.SUB}, token.SUB: {token.ADD}, token.MUL: {token.QUO}, token.QUO: {token.MUL}, token.REM: {token.MUL},
	token.AND: {token.OR}, token.OR: {token.AND}, token.XOR: {token.AND}, token.AND_NOT: {token.AND},
	token.SHL: {token.SHR}, token.SHR: {token.SHL},
	token.ADD_ASSIGN: {token.SUB_ASSIGN}, token.SUB_ASSIGN: {token.ADD_ASSIGN}, token.MUL_ASSIGN: {token.QUO_ASSIGN},
	token.OR_ASSIGN: {token.AND_ASSIGN}, token.AND_ASSIGN: {token.OR_ASSIGN}, token.AND_NOT_ASSIGN: {token.AND_ASSIGN},
	token.SHL_ASSIGN: {token.SHR_ASSIGN}, token.SHR_ASSIGN: {token.SHL_ASSIGN}, token.XOR_ASSIGN: {token.AND_ASSIGN},
	token.INC: {token.DEC}, token.DEC: {token.INC},
	token.BREAK: {token.CONTINUE}, token.CONTINUE: {token.BREAK},
}

// mutantsOf lists the mutants of a file in the order of its text.
func mutantsOf(fset *token.FileSet, f *ast.File, path string, src []byte) []mutant {
	v := visitor{path: path, src: src, at: func(p token.Pos) int { return fset.Position(p).Offset }}
	ast.Inspect(f, v.visit)
	return v.found
}

type visitor struct {
	path  string
	src   []byte
	at    func(token.Pos) int
	found []mutant
}

func (v *visitor) replace(kind string, from, to token.Pos, text string) {
	v.found = append(v.found, mutant{file: v.path, src: v.src, start: v.at(from), end: v.at(to), text: text, kind: kind})
}

func (v *visitor) text(n ast.Node) string { return string(v.src[v.at(n.Pos()):v.at(n.End())]) }

func (v *visitor) operator(kind string, pos token.Pos, op token.Token) {
	for _, o := range other[op] {
		v.replace(kind+" "+op.String()+" → "+o.String(), pos, pos+token.Pos(len(op.String())), o.String())
	}
}

func (v *visitor) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.ImportSpec, *ast.StructType:
		return false
	case *ast.BinaryExpr:
		v.operator("operator", n.OpPos, n.Op)
	case *ast.UnaryExpr:
		if n.Op == token.NOT || n.Op == token.SUB {
			v.replace("operator "+n.Op.String()+" removed", n.OpPos, n.OpPos+1, "")
		}
	case *ast.BasicLit:
		if n.Kind == token.INT {
			v.replace("constant + 1", n.Pos(), n.End(), "("+n.Value+" + 1)")
			v.replace("constant - 1", n.Pos(), n.End(), "("+n.Value+" - 1)")
		}
	case *ast.Ident:
		if n.Name == "true" || n.Name == "false" {
			v.replace("constant "+n.Name, n.Pos(), n.End(), strconv.FormatBool(n.Name == "false"))
		}
	case *ast.IfStmt:
		v.condition("if", n.Cond)
	case *ast.ForStmt:
		if n.Cond != nil {
			v.replace("for never", n.Cond.Pos(), n.Cond.End(), "("+v.text(n.Cond)+") && false")
		}
	case *ast.CaseClause:
		if n.List != nil && len(n.Body) > 0 {
			v.replace("case emptied", n.Colon+1, n.End(), "")
		}
	case *ast.ReturnStmt:
		for _, r := range n.Results {
			v.result(r)
		}
	case *ast.IncDecStmt:
		v.operator("operator", n.TokPos, n.Tok)
		v.remove(n)
	case *ast.AssignStmt:
		v.operator("operator", n.TokPos, n.Tok)
		if n.Tok == token.ASSIGN {
			blank := strings.TrimSuffix(strings.Repeat("_, ", len(n.Lhs)), ", ")
			v.replace("assignment removed", n.Lhs[0].Pos(), n.Lhs[len(n.Lhs)-1].End(), blank)
		} else if n.Tok != token.DEFINE {
			v.remove(n)
		}
	case *ast.BranchStmt:
		if n.Label == nil {
			v.operator("branch", n.TokPos, n.Tok)
		}
		v.remove(n)
	case *ast.ExprStmt, *ast.DeferStmt, *ast.SendStmt:
		v.remove(n)
	case *ast.CallExpr:
		return !v.capacity(n)
	}
	return true
}

func (v *visitor) condition(kind string, cond ast.Expr) {
	text := v.text(cond)
	v.replace(kind+" negated", cond.Pos(), cond.End(), "!("+text+")")
	v.replace(kind+" always", cond.Pos(), cond.End(), "("+text+") || true")
	v.replace(kind+" never", cond.Pos(), cond.End(), "("+text+") && false")
}

// result replaces a returned value by the zero value, where its text names one.
func (v *visitor) result(r ast.Expr) {
	switch text := v.text(r); text {
	case "nil", "true", "false", `""`, "0":
	default:
		for _, zero := range []string{"nil", `""`, "0", "false"} {
			v.replace("result "+zero, r.Pos(), r.End(), zero)
		}
	}
}

// remove leaves an empty statement.
func (v *visitor) remove(n ast.Node) { v.replace("statement removed", n.Pos(), n.End(), "") }

// capacity reports whether a call's constants change no result, only how much is allocated.
func (v *visitor) capacity(n *ast.CallExpr) bool {
	switch f := n.Fun.(type) {
	case *ast.Ident:
		return f.Name == "make" && len(n.Args) == 3
	case *ast.SelectorExpr:
		return f.Sel.Name == "Grow"
	}
	return false
}
