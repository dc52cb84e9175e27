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

	"github.com/berth-host/berth/host/wire"
)

func TestLine(t *testing.T) {
	for in, want := range map[string]string{
		"":                                   "",
		"order-audit":                        "order-audit",
		"café, 注文, заказ, 🫖":                 "café, 注文, заказ, 🫖",
		"two  spaces stay ":                  "two  spaces stay ",
		"a\nb":                               "a b",
		"a\r\n\t\tb":                         "a b",
		"\n\ta\n":                            "a",
		"a\u0085b\u2028c\u2029d\ve\ff":       "a b c d e f",
		"\x1b[2J":                            "\ufffd[2J",
		"\x1b]0;title\a":                     "\ufffd]0;title\ufffd",
		"\u009b2J":                           "\ufffd2J",
		"a\x00b\x7fc":                        "a\ufffdb\ufffdc",
		"\u202egnp.exe\u202c":                "\ufffdgnp.exe\ufffd",
		"\u2066x\u2069 \u200e\u200f\u061c":   "\ufffdx\ufffd \ufffd\ufffd\ufffd",
		"zero\u200bwidth\u2060and\ufeffmore": "zero\ufffdwidth\ufffdand\ufffdmore",
		"no\u00a0break\u3000wide":            "no\ufffdbreak\ufffdwide",
		"\u3164\u115f\u2800":                 "\ufffd\ufffd\ufffd",
		"not \xff UTF-8 \xc3":                "not \ufffd UTF-8 \ufffd",
		"\U000e0041\U000f0000":               "\ufffd\ufffd",
	} {
		if got := line(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestBlock(t *testing.T) {
	for in, want := range map[string]string{
		"":                                   "",
		"one line":                           "one line",
		"panic: x\r\n\tmain.go:7\n":          "panic: x\n      main.go:7",
		"a\nberth: it is done":               "a\n  berth: it is done",
		"a\n\n\tb\x1b[1m":                    "a\n  \n      b\ufffd[1m",
		"a\rb\u2028c":                        "a b c",
		"first\n    deep\n  less\u202e last": "first\n      deep\n    less\ufffd last",
	} {
		if got := block(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// Whatever text is, it is one line without anything that is not printed; and JSON
// that is printed is the same JSON.
func FuzzText(f *testing.F) {
	f.Add("a\tb\n\x1b[2J\u202e")
	f.Add("\u009b\ufeff\U0001f1e6")
	f.Fuzz(func(t *testing.T, text string) {
		shown := line(text)
		for _, r := range shown {
			if printable(r) != r {
				t.Errorf("%q shows %q", text, r)
			}
		}
		if again := line(shown); again != shown {
			t.Errorf("%q shows as %q, and that as %q", text, shown, again)
		}
		for i, l := range strings.Split(block(text), "\n") {
			if i > 0 && !strings.HasPrefix(l, "  ") {
				t.Errorf("%q has a line of its own: %q", text, l)
			}
		}
		raw, err := json.Marshal(map[string]string{text: text})
		if err != nil {
			t.Fatal(err)
		}
		printed := escaped(raw)
		var want, got any
		if json.Unmarshal(raw, &want) != nil || json.Unmarshal([]byte(printed), &got) != nil || !reflect.DeepEqual(want, got) {
			t.Errorf("%s is printed as %s", raw, printed)
		}
		if strings.ContainsFunc(printed, func(r rune) bool { return printable(r) != r }) {
			t.Errorf("%q has what is not printable", printed)
		}
	})
}

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
					if strings.ContainsFunc(l, func(r rune) bool { return printable(r) != r }) || strings.HasPrefix(l, "FORGED") {
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

// A text cannot pretend to be more columns than one.
func TestCellsAreOneColumn(t *testing.T) {
	var out strings.Builder
	a := &app{stdout: &out}
	if err := a.table("NAME\tSTATE", 2, func(i int) cells { return cells{[]string{"a  active", " b\t\tactive "}[i], wire.Rejected} }); err != nil {
		t.Fatal(err)
	}
	if want := "NAME      STATE\na active  rejected\nb active  rejected\n"; out.String() != want {
		t.Errorf("got\n%s", out.String())
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
	case v.Type() == timeType:
	case v.Type() == rawType:
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

// What a command prints, it prints by text.go.
func TestOnlyTheTextFilePrints(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	// What is not text of others: the logger, which quotes it; the shells' scripts; the
	// child's report to the host; cobra's help; a bar on a terminal.
	passes := map[string]bool{"serve.go slog.NewTextHandler": true, "completion.go root.GenBashCompletionV2": true, "completion.go root.GenZshCompletion": true,
		"completion.go root.GenFishCompletion": true, "completion.go io.WriteString": true, "vet.go vet.RunChild": true, "main.go root.SetOut": true, "main.go root.SetErr": true, "main.go rootCommand": true,
		"progress.go progressbar.OptionSetWriter": true, "progress.go terminal": true}
	fset := token.NewFileSet()
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") || path == "text.go" {
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
				if what := spelled(arg); (strings.HasSuffix(what, "stdout") || strings.HasSuffix(what, "stderr") || strings.HasPrefix(what, "os.Std")) && !passes[path+" "+name] && path+" "+name != "main.go doMain" {
					t.Errorf("%s: %s has %s: print by a.print, a.note, a.table or a.printJSON", fset.Position(call.Pos()), name, what)
				}
			}
			if strings.HasPrefix(name, "fmt.Print") || strings.HasPrefix(name, "a.stdout.") || strings.HasPrefix(name, "a.stderr.") || name == "println" || name == "tabwriter.NewWriter" {
				t.Errorf("%s: %s: print by a.print, a.note, a.table or a.printJSON", fset.Position(call.Pos()), name)
			}
			if (name == "a.print" || name == "a.note") && !constant(call.Args[0]) {
				t.Errorf("%s: the format of %s is not of this program", fset.Position(call.Pos()), name)
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
