package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/config/document"
	"github.com/berth-host/berth/host/fault"
)

func FuzzParse(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte("handlers: {x: &x {<<: *x}}\n"))
	f.Add([]byte("a: &a [*a]\n? b\n: !!binary c\n---\n"))
	f.Add([]byte("routes: {\"*\": }\r\n\ufeff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := config.Parse("f", data)
		if err != nil {
			if !fault.Is(err, fault.Invalid) || len(document.Problems(err)) == 0 {
				t.Fatalf("got %v, want invalid with problems", err)
			}
			lines := 1 + bytes.Count(data, []byte("\n")) + bytes.Count(data, []byte("\r")) + bytes.Count(data, []byte("\u0085")) + bytes.Count(data, []byte("\u2028")) + bytes.Count(data, []byte("\u2029"))
			for _, p := range document.Problems(err) {
				if p.Line < 1 || p.Line > lines || p.Reason == "" {
					t.Errorf("%+v of %d lines", p, lines)
				}
			}
			return
		}
		for name, h := range c.Handlers {
			if !json.Valid(h.Config) || h.Config[0] != '{' {
				t.Errorf("%s: config is %s", name, h.Config)
			}
			s, _ := c.Resolve(name, abi.Manifest{})
			if s.Limits.Timeout <= 0 || s.Limits.Memory <= 0 || s.Limits.Concurrency <= 0 || s.Retry.MaxAttempts <= 0 || s.Retry.Backoff > s.Retry.MaxBackoff {
				t.Errorf("%s: %+v", name, s)
			}
		}
		if d := config.Diff(c, c, nil); d != nil {
			t.Errorf("differs from itself: %v", d)
		}
	})
}

// checkEdit enables and disables x in text. Either the edit is refused and the
// file is as it was, or it changed that one setting by one inserted or replaced
// run of bytes. It reports whether an edit was made.
func checkEdit(t interface {
	Helper()
	Fatalf(string, ...any)
	Errorf(string, ...any)
}, path, text string) bool {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatalf("%v", err)
	}
	before, parseErr := config.Parse(path, []byte(text))
	made := true
	for _, enabled := range []bool{true, false} {
		old, err := os.ReadFile(path)
		if err != nil {
			t.Fatalf("%v", err)
		}
		_, editErr := config.NewEditor(path).SetHandlerEnabled("x", enabled)
		now, err := os.ReadFile(path)
		if err != nil {
			t.Fatalf("%v", err)
		}
		if editErr != nil {
			made = false
			if string(now) != string(old) {
				t.Errorf("refused (%v), and yet changed to %q", editErr, now)
			}
			continue
		}
		if parseErr != nil {
			t.Fatalf("edited a file that is not valid: %v", parseErr)
		}
		after, err := config.Parse(path, now)
		if err != nil {
			t.Fatalf("%q became %q: %v", old, now, err)
		}
		if h := after.Handlers["x"]; h.Enabled == nil || *h.Enabled != enabled {
			t.Errorf("%q became %q: enabled is not %v", old, now, enabled)
		}
		for _, line := range config.Diff(before, after, nil) {
			if !strings.HasPrefix(line, "handlers.x.enabled: ") {
				t.Errorf("%q became %q: %s", old, now, line)
			}
		}
		if !oneRun(string(old), string(now)) {
			t.Errorf("%q became %q", old, now)
		}
	}
	return made
}

// oneRun reports whether now is old with a run inserted, or with one value
// replaced by another.
func oneRun(old, now string) bool {
	head := 0
	for head < len(old) && head < len(now) && old[head] == now[head] {
		head++
	}
	tail := 0
	for tail < len(old)-head && tail < len(now)-head && old[len(old)-1-tail] == now[len(now)-1-tail] {
		tail++
	}
	return len(old)-head-tail <= len("false")
}

func FuzzEdit(f *testing.F) {
	for _, text := range []string{
		"", "handlers:\n  x:\n    enabled: true # on\n", "handlers: {x: {}, y: {enabled}}\n", "data_dir: d\r\n", "# c\n\nroutes:\n  a:\n\n  # b\nhandlers:\n  y: &y {}\n  z: *y\n",
		"? handlers\n: x:\n    enabled: false\n", "\ufeffhandlers: {x: {config: {a: \"\\\n  b\"}}}\n", "handlers:\n  y:\n    config:\n      a: |\n        # b\n",
	} {
		f.Add(text)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(dir, fmt.Sprintf("%d.yaml", os.Getpid()))
		checkEdit(t, path, text)
	})
}

// FuzzEdits makes any edit to any text: afterwards the file means what was
// intended and no more, or is as it was.
func FuzzEdits(f *testing.F) {
	styles, err := filepath.Glob("testdata/styles/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for i, style := range styles {
		f.Add(read(f, style), uint8(i))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string, which uint8) {
		path := filepath.Join(dir, fmt.Sprintf("%d.yaml", os.Getpid()))
		write(t, path, text)
		before, parseErr := config.Parse(path, []byte(text))
		edits := styleEdits()
		e := edits[int(which)%len(edits)]
		err := e.edit(config.NewEditor(path))
		now := read(t, path)
		if err != nil {
			if now != text {
				t.Fatalf("%s: refused (%v), and yet %q changed to %q", e.name, err, text, now)
			}
			return
		}
		if parseErr != nil {
			t.Fatalf("%s: edited a file that is not valid: %v", e.name, parseErr)
		}
		after, err := config.Parse(path, []byte(now))
		if err != nil {
			t.Fatalf("%s: %q became %q: %v", e.name, text, now, err)
		}
		_, name, _ := strings.Cut(e.name, " ")
		allowed := map[string][]string{
			"disable x": {"enabled"}, "enable x": {"enabled"}, "pause x": {"paused"}, "resume x": {"paused"}, "approve x": {"grants"}, "install new": {"enabled", "grants"},
		}[e.name]
		for _, line := range config.Diff(before, after, nil) {
			key, _, _ := strings.Cut(strings.TrimPrefix(line, "handlers."+name+"."), ":")
			if strings.HasPrefix(line, "handlers."+name+": removed") && allowed == nil {
				continue
			}
			if !strings.HasPrefix(line, "handlers."+name+".") || allowed != nil && !slices.Contains(allowed, key) {
				t.Errorf("%s: %q became %q: %s", e.name, text, now, line)
			}
		}
		h, there := after.Handlers[name]
		done := map[string]bool{
			"disable x": there && h.Enabled != nil && !*h.Enabled, "enable x": there && h.Enabled != nil && *h.Enabled,
			"pause x": h.Paused, "resume x": !h.Paused, "approve x": len(h.Grants) == 2, "install new": there, "uninstall x": !there, "uninstall y": !there,
		}
		if !done[e.name] {
			t.Errorf("%s: %q became %q", e.name, text, now)
		}
		if again := e.edit(config.NewEditor(path)); again != nil || read(t, path) != now {
			t.Errorf("%s once more: %v, %q became %q", e.name, again, now, read(t, path))
		}
	})
}

// TestEditOfAnyLayout: every file of plain keys can be edited by one run of bytes.
func TestEditOfAnyLayout(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	rapid.Check(t, func(r *rapid.T) {
		text := layout(r)
		if _, err := config.Parse("generated", []byte(text)); err != nil {
			r.Fatalf("the generator made %q: %v", text, err)
		}
		if !checkEdit(r, path, text) {
			r.Errorf("refused to edit %q", text)
		}
	})
}

// layout draws a valid file: sections in any order, block or flow, with
// comments, blank lines, quotes, and any line ends and indentation.
func layout(r *rapid.T) string {
	unit := strings.Repeat(" ", rapid.IntRange(1, 4).Draw(r, "unit"))
	var lines []string
	noise := func(indent string) {
		for range rapid.IntRange(0, 2).Draw(r, "noise") {
			lines = append(lines, rapid.SampledFrom([]string{"", "# note", indent + "# note: {", indent + unit + "# deep", "   "}).Draw(r, "line"))
		}
	}
	tail := rapid.SampledFrom([]string{"", " ", " # é why", "\t"})
	key := func(name string) string {
		return rapid.SampledFrom([]string{name, `"` + name + `"`, "'" + name + "'"}).Draw(r, "quotes") + ":"
	}
	handler := func(name string) {
		var fields []string
		if rapid.Bool().Draw(r, "enabled") {
			fields = append(fields, key("enabled")+rapid.SampledFrom([]string{" true", "  false", " ", " ~"}).Draw(r, "value"))
		}
		if rapid.Bool().Draw(r, "order") {
			fields = append(fields, key("order_by")+` "/é,}"`)
		}
		if rapid.Bool().Draw(r, "flow") {
			lines = append(lines, unit+key(name)+" {"+strings.Join(fields, ", ")+"}"+tail.Draw(r, "tail"))
			return
		}
		lines = append(lines, unit+key(name)+tail.Draw(r, "tail"))
		if rapid.Bool().Draw(r, "text") {
			fields = append(fields, key("config"), unit+"a: |", unit+unit+"one", unit+unit+"# two", "", unit+"b: [1,", unit+unit+"2]")
		}
		for _, f := range fields {
			lines = append(lines, unit+unit+f)
			if strings.HasPrefix(f, "e") || strings.HasPrefix(f, "o") {
				noise(unit + unit)
			}
		}
	}
	sections := rapid.Permutation([]string{"data_dir", "routes", "handlers", "server"}).Draw(r, "sections")
	for _, s := range sections[:rapid.IntRange(0, 4).Draw(r, "count")] {
		noise("")
		switch s {
		case "data_dir":
			lines = append(lines, key(s)+" 'it''s # here'"+tail.Draw(r, "tail"))
		case "routes":
			lines = append(lines, key(s), unit+"order_*:", unit+`"*": {exclude: [y]}`)
		case "server":
			lines = append(lines, key(s)+" {listen: \"127.0.0.1:0\",", "  shutdown_timeout: 1s}")
		case "handlers":
			names := rapid.Permutation([]string{"x", "y", "z"}).Draw(r, "names")[:rapid.IntRange(0, 3).Draw(r, "handlers")]
			switch style := rapid.IntRange(0, 3).Draw(r, "style"); {
			case style == 0:
				lines = append(lines, key(s)+" {"+strings.Join(names, ": {}, ")+strings.Repeat(": {}", min(1, len(names)))+"}")
			default:
				lines = append(lines, key(s)+tail.Draw(r, "tail"))
				for _, name := range names {
					noise(unit)
					handler(name)
				}
			}
		}
	}
	noise("")
	eol := rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(r, "eol")
	text := strings.Join(lines, eol)
	if rapid.Bool().Draw(r, "newline") {
		text += eol
	}
	return text
}

func TestRemovalFromAnyLayoutKeepsTheOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	rapid.Check(t, func(r *rapid.T) {
		text := layout(r)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			r.Fatal(err)
		}
		want, err := config.Load(path)
		if err != nil {
			r.Fatal(err)
		}
		got, err := config.NewEditor(path).RemoveHandler("x")
		if err != nil {
			r.Fatalf("%q: %v", text, err)
		}
		delete(want.Handlers, "x")
		if !reflect.DeepEqual(want.Handlers, got.Handlers) {
			r.Errorf("got %+v, want %+v", got.Handlers, want.Handlers)
		}
	})
}
