package live

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/config/document"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

func TestProblemsOfSchedulesAndEventTypes(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good.json")
	writeFile(t, good, `{"properties": {"n": {"type": "integer"}}}`)
	wrong := filepath.Join(dir, "wrong.json")
	writeFile(t, wrong, `{"type": "strange"}`)
	large := filepath.Join(dir, "large.json")
	writeFile(t, large, `{"description": "`+strings.Repeat("x", 64<<10)+`"}`)
	path := filepath.Join(dir, "c.yaml")
	writeFile(t, path, `event_types:
  good: {schema: `+good+`}
  wrong: {schema: `+wrong+`}
  missing: {schema: `+dir+`/missing.json}
  directory: {schema: `+dir+`}
  large: {schema: `+large+`}
  remote: {schema: {$ref: "https://example.com/s.json"}}
  pattern: {schema: {pattern: "(?=x)"}}
schedules:
  fine: {every: 1h, event_type: good, data: {n: 1}}
  misfit: {every: 1h, event_type: remote}
  zone: {cron: "@daily", zone: Europe/Atlantis, event_type: good}
  never: {cron: "0 0 30 2 *", event_type: good}
  past: {cron: "2020-01-31T08:00:00Z", event_type: good}
`)
	_, err := Read(path)
	got := make(map[string]document.Problem)
	for _, p := range document.Problems(err) {
		got[p.Path] = p
	}
	for _, want := range []struct {
		path   string
		line   int
		reason string
	}{
		{"event_types.wrong.schema", 3, wrong + ": it is not a JSON Schema: /type"},
		{"event_types.missing.schema", 4, "no such file"},
		{"event_types.directory.schema", 5, "is not a regular file"},
		{"event_types.large.schema", 6, "is over 65536 bytes"},
		{"event_types.remote.schema", 7, "leads out of the schema"},
		{"event_types.pattern.schema", 8, "/pattern: the regular expression"},
		{"schedules.zone.zone", 12, "there is no time zone"},
		{"schedules.never.cron", 13, "never fires"},
		{"schedules.past.cron", 14, "is a time in the past"},
	} {
		if p := got[want.path]; p.Line != want.line || !strings.Contains(p.Reason, want.reason) || p.File != path {
			t.Errorf("%s: got %+v", want.path, p)
		}
		delete(got, want.path)
	}
	if len(got) > 0 {
		t.Errorf("got %v besides", got)
	}
}

func TestScheduleWhoseDataItsTypeRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	const text = "event_types:\n  t: {schema: {properties: {n: {type: integer}}}, mode: MODE}\nschedules:\n  a:\n    every: 1h\n    event_type: t\n    data: {n: x}\n"
	writeFile(t, path, strings.Replace(text, "MODE", "reject", 1))
	_, err := Read(path)
	want := path + ":4: schedules.a.data/n: must be integer, not string: the schema of this event type demands it (event_types.t.schema)"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	writeFile(t, path, strings.Replace(text, "MODE", "warn", 1))
	if _, err := Read(path); err != nil {
		t.Errorf("with a warning: %v", err)
	}
}

// TestReloadOfASchemaFile: a changed schema counts from the next reload, and a broken one changes nothing.
func TestReloadOfASchemaFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "s.json")
	writeFile(t, file, `{"type": "object"}`)
	l := open(t, "event_types: {t: {schema: "+file+"}}\nschedules: {a: {every: 1h, event_type: other}}\n")
	ev, err := event.New(event.Draft{Type: "t", Data: []byte("1")})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.EventTypes().Check(ev); err == nil || err.Error() != "data: must be object, not number: the schema of this event type demands it (event_types.t.schema)" {
		t.Errorf("got %v", err)
	}
	if list := l.Schedules(); len(list) != 1 || list[0].Name != "a" {
		t.Errorf("got %+v", list)
	}
	writeFile(t, file, `{"type": "number"}`)
	if err := l.EventTypes().Check(ev); err == nil {
		t.Error("the file was read without a reload")
	}
	result, err := l.Reload(t.Context())
	if err != nil || len(result.Changed) != 1 || result.Changed[0] != "event_types.t.schema: the file has changed" {
		t.Errorf("got %+v, %v", result, err)
	}
	if err := l.EventTypes().Check(ev); err != nil {
		t.Errorf("after a reload: %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Reload(t.Context()); !fault.Is(err, fault.Invalid) {
		t.Errorf("got %v", err)
	}
	if err := l.EventTypes().Check(ev); err != nil {
		t.Errorf("after a reload that failed: %v", err)
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
