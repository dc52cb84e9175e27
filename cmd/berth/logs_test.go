package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/wire"
)

// TestLogsAreFollowed: further lines are asked for after the last one that is known, at once
// when there are more, also of a host that was started again. No text steers the terminal.
func TestLogsAreFollowed(t *testing.T) {
	line := func(seq int, more string) string {
		return fmt.Sprintf(`{"seq":%d,"at":"2026-01-02T03:04:05Z","level":"info","message":"line %[1]d\n\u001b[2J"%s}`, seq, more)
	}
	log := func(items, next string, last int) string {
		return fmt.Sprintf(`{"plugin":"p","items":[%s],"next":%s,"last":%d,"discarded":0,"evicted":0}`, items, next, last)
	}
	steps := []struct{ query, answer string }{
		{"event=01a227c8-ec24-76f7-b0c4-5e2c7f064963&limit=200", log(line(1, ""), "null", 2)},
		{"event=01a227c8-ec24-76f7-b0c4-5e2c7f064963&limit=200&after=2", log(line(3, `,"discarded":7`), `"3"`, 5)},
		{"event=01a227c8-ec24-76f7-b0c4-5e2c7f064963&limit=200&after=3", log(line(5, `,"event_id":"e","attempt":2`), "null", 6)},
		{"event=01a227c8-ec24-76f7-b0c4-5e2c7f064963&limit=200&after=6", log(line(1, ""), "null", 1)},
		{"event=01a227c8-ec24-76f7-b0c4-5e2c7f064963&limit=200&after=1", log("", "null", 1)},
	}
	for flag, want := range map[string]string{
		"": "info   line 1 �[2J\n… info   line 3 �[2J\n… info   line 5 �[2J  (e, attempt 2)\n… info   line 1 �[2J\n",
		" --json": `{"seq":1,"at":"2026-01-02T03:04:05Z","level":"info","message":"line 1\n\u001b[2J"}` + "\n" +
			`{"seq":3,"at":"2026-01-02T03:04:05Z","level":"info","message":"line 3\n\u001b[2J","discarded":7}` + "\n" +
			`{"seq":5,"at":"2026-01-02T03:04:05Z","level":"info","message":"line 5\n\u001b[2J","event_id":"e","attempt":2}` + "\n" +
			`{"seq":1,"at":"2026-01-02T03:04:05Z","level":"info","message":"line 1\n\u001b[2J"}` + "\n",
	} {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		n := 0
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(wire.VersionHeader, "1")
			w.Header().Set("Content-Type", "application/json")
			if r.URL.Path == "/healthz" {
				return
			}
			if r.URL.Path != "/api/v1/events/plugins/p/logs" || n == len(steps) || r.URL.RawQuery != steps[n].query {
				t.Errorf("request %d is for %s", n, r.URL)
				stop()
				return
			}
			fmt.Fprint(w, steps[n].answer)
			if n++; n == len(steps) {
				stop()
			}
		}))
		defer s.Close()
		t.Setenv("BERTH_URL", s.URL)
		t.Setenv("BERTH_TOKEN", "secret")
		var stdout, stderr strings.Builder
		code := doMain(ctx, strings.Fields("plugin logs p --follow --event 01a227c8-ec24-76f7-b0c4-5e2c7f064963"+flag), strings.NewReader(""), &stdout, &stderr)
		got := stdout.String()
		if flag == "" {
			if !strings.Contains(got, "\n… 7 lines discarded\n") {
				t.Errorf("the gap is not shown in %q", got)
			}
			got = withoutTimes(got)
		}
		if code != 0 || got != want {
			t.Errorf("exit code %d, %s\n got %q\nwant %q", code, &stderr, got, want)
		}
	}
}

// withoutTimes replaces what is before the level of each line.
func withoutTimes(text string) string {
	var b strings.Builder
	for i, line := range strings.SplitAfter(text, "\n") {
		_, after, found := strings.Cut(line, "  ")
		switch {
		case !found:
			continue
		case i > 0:
			b.WriteString("… ")
		}
		b.WriteString(after)
	}
	return b.String()
}
