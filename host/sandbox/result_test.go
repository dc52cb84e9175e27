package sandbox_test

import (
	"strings"
	"testing"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox"
)

// nested is JSON of so many levels of lists.
func nested(levels int) string {
	return strings.Repeat("[", levels) + strings.Repeat("]", levels)
}

// TestResultNestsNoDeeperThanData has results at the limit, and results that decoders of
// the API's responses reject, which read 10,000 levels.
func TestResultNestsNoDeeperThanData(t *testing.T) {
	m := load(t, guest(t, "config_echo"))
	for _, tt := range []struct {
		name, result string
		want         string // of the message; "" for a result that is taken
	}{
		{"64 levels", nested(64), ""},
		{"256 levels", nested(256), ""},
		{"257 levels", nested(257), ""},
		{"65 levels", nested(65), ""},
		{"1,000 levels", nested(1000), ""},
		{"1,000 levels of objects", strings.Repeat(`{"a":`, 1000) + "1" + strings.Repeat("}", 1000), ""},
		{"brackets in a string", `"` + strings.Repeat("[", 2000) + `"`, ""},
		{"many short lists", "[" + strings.Repeat("[],", 2000) + "[]]", ""},
		{"1,001 levels", nested(1001), "its result nests 1001 levels of lists and objects; the limit is 1000"},
		{"10,000 levels", nested(10_000), "its result nests 10000 levels of lists and objects; the limit is 1000"},
		{"10,001 levels", nested(10_001), "its result is not JSON"}, // the decoder reads no more
		{"1,001 levels that do not end", strings.Repeat("[", 1001), "its result is not JSON"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, q := start(t, m, sandbox.PoolConfig{Settings: tt.result})
			q.push(attempt(t, 1, `{}`))
			got := q.await(t)
			switch {
			case tt.want == "" && (got.outcome.Verdict != event.OK || got.result != tt.result):
				t.Errorf("got verdict %d (%s), want the result", got.outcome.Verdict, got.outcome.Message)
			case tt.want != "" && (got.outcome.Class != event.ClassBadResult || !strings.HasPrefix(got.outcome.Message, tt.want)):
				t.Errorf("got class %q, %q, want %q", got.outcome.Class, got.outcome.Message, tt.want)
			}
		})
	}
}
