package main

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/cmd/berth/internal/console"
	"github.com/berth-host/berth/host/wire"
)

// Every command that shows what others wrote, with an attack in every text.
func TestNoTextSteersTheTerminal(t *testing.T) {
	const attack = "x\x1b[2J\u202e\u009b\r\nFORGED  active\tROW"
	const id = "01a227c8-ec24-76f7-b0c4-5e2c7f064963"
	answers := map[string]string{
		"GET /api/v1/audit":                     attacked[wire.List[wire.AuditRecord]](attack, "", ""),
		"GET /api/v1/config":                    attacked[wire.Settings](attack, "", ""),
		"GET /api/v1/events/plugins":            attacked[wire.List[wire.Plugin]](attack, "", ""),
		"GET /api/v1/events/plugins/p":          attacked[wire.Plugin](attack, "Name", "p"),
		"GET /api/v1/events":                    attacked[wire.List[wire.Event]](attack, "", ""),
		"GET /api/v1/events/log":                attacked[wire.LogStatus](attack, "", ""),
		"GET /api/v1/events/dead-letters":       attacked[wire.List[wire.DeadLetter]](attack, "", ""),
		"GET /api/v1/events/dead-letters/" + id: attacked[wire.List[wire.DeadLetter]](attack, "EventID", id),
		"GET /api/v1/orders":                    attacked[wire.List[wire.Order]](attack, "", ""),
		"GET /api/v1/overview":                  attacked[wire.Overview](attack, "", ""),
		"GET /api/v1/orders/o":                  attacked[wire.Order](attack, "ID", "o"),
		"GET /api/v1/plugins/verify":            attacked[wire.List[wire.Stored]](attack, "", ""),
		"POST /api/v1/events/explain":           attacked[wire.Explanation](attack, "", ""),
		"POST /api/v1/events/reload-config":     attacked[wire.ReloadResult](attack, "", ""),
		"POST /api/v1/events":                   attacked[wire.Receipt](attack, "", ""),
		"POST /api/v1/events/replay":            attacked[wire.Replaying](attack, "Plugin", "p"),
		"POST /api/v1/events/plugins/p/disable": attacked[wire.Plugin](attack, "Name", "p"),
		"GET /api/v1/plugins/marketplace":       attacked[wire.Marketplace](attack, "Next", ""),
		"GET /api/v1/events/" + id:              attacked[wire.Event](attack, "", ""),
	}
	d := newDesk(t, answers)
	shown := 0
	for _, command := range online {
		if command == "audit tail" {
			continue // it does not end while it is answered; it prints as audit list does
		}
		for _, flag := range []string{"", " --json"} {
			_, stdout, stderr := d.run(t, `{"event_type":"t"}`, command+flag)
			for _, out := range []string{stdout, stderr} {
				for i, l := range strings.Split(out, "\n") {
					if strings.ContainsFunc(l, func(r rune) bool { return console.Line(string(r)) != string(r) }) || strings.HasPrefix(l, "FORGED") {
						t.Errorf("%s: line %d is %q", command+flag, i, l)
					}
				}
				if strings.Contains(out, "FORGED") {
					shown++
				}
			}
		}
	}
	if shown < 20 {
		t.Errorf("only %d outputs had a text in them", shown)
	}
}

// attacked is the JSON of a T that has this text everywhere, and another in the
// field named.
func attacked[T any](text, field, value string) string {
	var v T
	poison(reflect.ValueOf(&v).Elem(), text, field, value)
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(raw)
}

func poison(v reflect.Value, text, field, value string) {
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
	case v.Type() == reflect.TypeFor[json.RawMessage]():
		raw, err := json.Marshal(map[string]string{"event_id": "e", "idempotency_key": text, "subject": text})
		if err != nil {
			panic(err)
		}
		v.Set(reflect.ValueOf(json.RawMessage(raw)))
	case v.Kind() == reflect.String:
		v.SetString(text)
	case v.Kind() == reflect.Pointer && v.Type().Elem().Kind() != reflect.Pointer:
		if v.Type() == reflect.TypeFor[*wire.Plan]() || v.Type() == reflect.TypeFor[*string]() && field == "Next" {
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		poison(v.Elem(), text, field, value)
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			poison(v.Index(i), text, field, value)
		}
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Name == field && v.Field(i).Kind() == reflect.String {
				v.Field(i).SetString(value)
				continue
			}
			poison(v.Field(i), text, field, value)
		}
	}
}

// Commands print by package console.
func TestOnlyTheConsolePrints(t *testing.T) {
	files, err := filepath.Glob("internal/*/*.go")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	// Output without text of other parties: the logger, which quotes it; the shells' scripts;
	// the child's report to the host; cobra's help.
	passes := map[string]bool{"serve.go logging.New": true, "serve.go console.IsTerminal": true, "completion.go root.GenBashCompletionV2": true, "completion.go root.GenZshCompletion": true,
		"completion.go root.GenFishCompletion": true, "completion.go io.WriteString": true, "vet.go vet.RunChild": true, "main.go root.SetOut": true, "main.go root.SetErr": true}
	fset := token.NewFileSet()
	for _, path := range append(files, "main.go") {
		if strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "internal/console/") {
			continue
		}
		file, err := parser.ParseFile(fset, path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			name := spelled(call.Fun)
			for _, arg := range call.Args {
				what := spelled(arg)
				direct := strings.HasSuffix(what, "env.Out") || strings.HasSuffix(what, "env.Err") || strings.HasSuffix(what, "a.Out") || strings.HasSuffix(what, "a.Err") || strings.HasPrefix(what, "os.Std")
				if at := filepath.Base(path) + " " + name; direct && !passes[at] && at != "main.go doMain" {
					t.Errorf("%s: %s has %s: print by Print, Note, PrintJSON or console.Table", fset.Position(call.Pos()), name, what)
				}
			}
			method := name[strings.LastIndex(name, ".")+1:]
			if strings.HasPrefix(name, "fmt.Print") || strings.Contains(name, ".Out.") || strings.Contains(name, ".Err.") || name == "println" || name == "tabwriter.NewWriter" {
				t.Errorf("%s: %s: print by Print, Note, PrintJSON or console.Table", fset.Position(call.Pos()), name)
			}
			if (method == "Print" || method == "Note") && !constant(call.Args[0]) {
				t.Errorf("%s: the format of %s is not a constant", fset.Position(call.Pos()), name)
			}
			return true
		})
	}
}

// spelled is the source of a name, or of a name of something.
func spelled(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return spelled(e.X) + "." + e.Sel.Name
	}
	return ""
}

// constant reports whether an expression is text of the source.
func constant(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return true
	case *ast.BinaryExpr:
		return constant(e.X) && constant(e.Y)
	}
	return false
}
