package delivery_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// lines is a log with its warnings.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// warnings returns the values of the given keys of every warning with this text.
func (l *lines) warnings(t *testing.T, text string, keys ...string) (found []string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.buf.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatal(err)
		}
		if fields["level"] != "WARN" || fields["msg"] != text {
			continue
		}
		var values []string
		for _, k := range keys {
			values = append(values, fmt.Sprint(fields[k]))
		}
		found = append(found, strings.Join(values, " "))
	}
	return found
}

// TestFailuresAreLogged: one warning for each dead letter, one for the failed attempts of a
// class, and none for successes.
func TestFailuresAreLogged(t *testing.T) {
	var log lines
	f := setUpWith(t, delivery.Config{Logger: slog.New(slog.NewJSONHandler(&log, nil))})
	h := f.open(t, "h", delivery.Policy{Key: bySubject, Retry: spec.RetryPolicy{MaxAttempts: 3, Backoff: time.Millisecond, MaxBackoff: 2 * time.Millisecond}})
	outcomes := map[string]event.Outcome{
		"crash":  {Verdict: event.Failed, Class: event.ClassExit, Message: "panic: boom (a/main.go:3)\nit exited with code 2\npanic: boom"},
		"reject": {Verdict: event.Reject, Class: event.ClassRejected, Message: strings.Repeat("x", 501)},
		"again":  {Verdict: event.Retry, Class: event.ClassRetry, Message: "no ledger"},
		"good":   {},
	}
	stop := work(h, 1, func(a event.Attempt) event.Outcome {
		if o := outcomes[a.Event.Subject()]; a.Event.Subject() != "again" || a.Number == 1 {
			return o
		}
		return event.Outcome{}
	})
	defer stop()
	for _, subject := range []string{"crash", "reject", "again", "good", "crash", "reject"} {
		f.log.publish(t, subject)
	}
	f.store.await(t, "all is final", func() bool { return f.store.finals("h") == 6 })
	stop() // what is logged of the last attempt is logged now
	id := func(seq int) string { return f.log.at(seq).Event.ID() }
	dead := log.warnings(t, "dead letter", "plugin", "event_id", "seq", "attempt", "class", "error")
	slices.Sort(dead)
	long := strings.Repeat("x", 500) + "…"
	want := []string{
		fmt.Sprintf("h %s 1 3 exit panic: boom (a/main.go:3)", id(1)),
		fmt.Sprintf("h %s 2 1 rejected %s", id(2), long),
		fmt.Sprintf("h %s 5 3 exit panic: boom (a/main.go:3)", id(5)),
		fmt.Sprintf("h %s 6 1 rejected %s", id(6), long),
	}
	slices.Sort(want)
	if !slices.Equal(dead, want) {
		t.Errorf("dead letters: got %q, want %q", dead, want)
	}
	failed := log.warnings(t, "attempt failed; retry scheduled", "plugin", "event_id", "seq", "attempt", "class", "error", "suppressed")
	for _, want := range []string{
		fmt.Sprintf("h %s 1 1 exit panic: boom (a/main.go:3) 0", id(1)),
		fmt.Sprintf("h %s 3 1 retry no ledger 0", id(3)),
	} {
		if !slices.Contains(failed, want) {
			t.Errorf("no %q in %q", want, failed)
		}
	}
}

// TestRefusedChildrenAreLogged: a successful attempt with a child whose key is used becomes
// a dead letter.
func TestRefusedChildrenAreLogged(t *testing.T) {
	var log lines
	f := setUpWith(t, delivery.Config{Logger: slog.New(slog.NewJSONHandler(&log, nil))})
	child := func(data string) *event.Event {
		ev, err := event.New(event.Draft{Type: "child", IdempotencyKey: "k", Data: json.RawMessage(data)})
		if err != nil {
			t.Fatal(err)
		}
		return ev
	}
	f.store.children["k"] = child(`1`)
	h := f.open(t, "h", delivery.Policy{})
	stop := work(h, 1, func(event.Attempt) event.Outcome {
		return event.Outcome{Children: []*event.Event{child(`2`)}}
	})
	defer stop()
	f.log.publish(t, "a")
	f.store.await(t, "it is dead", func() bool { return f.store.deliveries[key{"h", 1}].Status == event.StatusDead })
	want := fmt.Sprintf("h %s 1 1 conflict", f.log.at(1).Event.ID())
	stop()
	if err := h.Close(t.Context()); err != nil { // the recorder has written and logged everything then
		t.Fatal(err)
	}
	if got := log.warnings(t, "dead letter", "plugin", "event_id", "seq", "attempt", "class"); !slices.Equal(got, []string{want}) {
		t.Errorf("got %q, want %q", got, want)
	}
}
