package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-host/berth/abi/strictjson"
	"github.com/berth-host/berth/host/wire"
)

// forgeries are texts of a guest that would be a line of the host, or part of one, in a log
// that takes them as they are, with what the log has in JSON.
var forgeries = []struct{ text, logged string }{
	{"plain", "plain"},
	{"x\n{\"time\":\"2026-01-02T03:04:05Z\",\"level\":\"WARN\",\"msg\":\"dead letter\",\"plugin\":\"other\"}", ""},
	{`","source":"host","msg":"dead letter`, ""},
	{`\","source":"host"}` + "\r\n" + `{"msg":"dead letter"}`, ""},
	{"dead letter\" plugin=other event_id=1 class=trap", ""},
	{"x\ntime=2026-01-02T03:04:05Z level=WARN msg=\"dead letter\" plugin=other", ""},
	{"\x1b[2J\x1b[1;1Hberth is up\x00\x07\b", ""},
	{"\u009b2J\u202egnp\u2028next\u0085line\u200b", "\ufffd2J\ufffdgnp\ufffdnext\ufffdline\ufffd"},
}

// logHost starts the real binary with a guest that logs what an event says and one that
// rejects every event, publishes the forgeries at each level, and returns the log of the host.
func logHost(t *testing.T, flags ...string) string {
	t.Helper()
	dir, config, plugins := workplace(t)
	for file, name := range map[string]string{"log_text": "logger", "reject": "reject"} {
		write(t, filepath.Join(plugins, name+".wasm.json"), fmt.Appendf(nil, `{"name":%q,"subscribes":[{"event_type":"said"}]}`, name))
		write(t, filepath.Join(plugins, name+".wasm"), guest(t, file))
	}
	settings, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, config, append(settings, "handlers: {logger: {log_level: debug}}\n"...))
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, exec.Command(exe), dir, append([]string{"--config", config, "--data-dir", filepath.Join(dir, "data")}, flags...)...)
	s.active(t, "logger")
	s.active(t, "reject")
	for level := range 4 {
		for _, f := range forgeries {
			body := map[string]any{"event_type": "said", "data": map[string]any{"level": level, "text": f.text}}
			var receipt wire.Receipt
			if _, err := s.Call(t.Context(), "POST", "/api/v1/events", body, &receipt); err != nil {
				t.Fatal(err)
			}
			s.delivered(t, receipt.EventID, "logger")
		}
	}
	s.terminate(t)
	return s.log.String()
}

// TestLogIsJSON: a host whose log is no terminal writes JSON, at every level, one object a
// line. Texts of guests are in lines that are marked as theirs, whatever they are.
func TestLogIsJSON(t *testing.T) {
	levels, guests, dead := make(map[string]int), make(map[string]int), 0
	for line := range strings.Lines(logHost(t, "--log-level", "debug")) {
		var record map[string]json.RawMessage
		if err := (strictjson.Decoder{}).Decode([]byte(strings.TrimSuffix(line, "\n")), &record); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		text := func(key string) (value string) {
			_ = json.Unmarshal(record[key], &value) // "" for others
			return value
		}
		if text("time") == "" || text("msg") == "" {
			t.Errorf("%q has no time or msg", line)
		}
		levels[text("level")]++
		switch {
		case text("source") == "guest":
			if text("plugin") != "logger" || len(text("event_id")) != 36 || string(record["attempt"]) != "1" {
				t.Errorf("got %q", line)
			}
			guests[text("level")+" "+text("msg")]++
		case text("msg") == "dead letter":
			dead++
			if text("plugin") != "reject" || text("class") != "rejected" || len(text("event_id")) != 36 || string(record["seq"]) == "" {
				t.Errorf("got %q", line)
			}
		}
	}
	for _, level := range []string{"DEBUG", "INFO", "WARN", "ERROR"} {
		if levels[level] == 0 {
			t.Errorf("no line has the level %s", level)
		}
		for _, f := range forgeries {
			want := f.logged
			if want == "" {
				want = f.text
			}
			if guests[level+" "+want] != 1 {
				t.Errorf("%s %q is there %d times: %v", level, want, guests[level+" "+want], guests)
			}
		}
	}
	if want := 4 * len(forgeries); dead != want {
		t.Errorf("%d dead letters, want %d", dead, want)
	}
}

// TestLogAsText: one record is one line of printable characters, in which the guest's text is
// quoted. Lines below the level are not there.
func TestLogAsText(t *testing.T) {
	text := logHost(t, "--log-format", "text", "--log-level", "warn")
	n := 0
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "time=") || strings.Contains(line, "level=INFO") || strings.Contains(line, "level=DEBUG") {
			t.Errorf("got %q", line)
		}
		if strings.Contains(line, " source=guest ") {
			n++
		} else if strings.Contains(line, "plugin=other") || strings.Contains(line, "berth is up") {
			t.Errorf("a guest has forged %q", line)
		}
		if i := bytes.IndexFunc([]byte(line), func(r rune) bool { return r < ' ' && r != '\n' || r == '\u009b' || r == '\u202e' }); i >= 0 {
			t.Errorf("%q has a character that is not printable", line)
		}
	}
	if want := 2 * len(forgeries); n != want {
		t.Errorf("%d lines of the guest, want %d:\n%s", n, want, text)
	}
}

// TestLogFlags: formats and levels that there are not are errors of the command line.
func TestLogFlags(t *testing.T) {
	for line, want := range map[string]string{
		"serve --log-format xml":  `"xml" is not a format of the log: use text or json`,
		"serve --log-level trace": `"trace" is not a level of the log: use debug, info, warn or error`,
	} {
		var stdout, stderr bytes.Buffer
		if code := doMain(t.Context(), strings.Fields(line), strings.NewReader(""), &stdout, &stderr); code != 2 || !strings.Contains(stderr.String(), want) {
			t.Errorf("%s: exit code %d, %s", line, code, &stderr)
		}
	}
}
