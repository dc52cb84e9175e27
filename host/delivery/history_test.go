package delivery_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// refuse makes the store refuse writes, or accept them again if err is nil.
func (f fixture) refuse(err error) {
	f.store.mu.Lock()
	defer f.store.mu.Unlock()
	f.store.refuse = err
}

// answers completes an attempt with a result, duration and fuel that depend on the event.
func answers(a event.Attempt) event.Outcome {
	n := a.Seq
	return event.Outcome{Result: fmt.Appendf(nil, `{"seq":%d}`, n), Duration: time.Duration(n), Fuel: 10 * n}
}

// answered reports whether a delivery is what answers makes.
func answered(d event.Delivery, attempts int) bool {
	want := answers(event.Attempt{Seq: d.Seq})
	return d.Status == event.StatusOK && d.Attempts == attempts && d.Result == string(want.Result) && d.Duration == want.Duration &&
		d.Fuel == want.Fuel && d.SHA256 == moduleDigest && !d.At.IsZero() && !d.FirstAttempt.IsZero()
}

// TestEveryOutcomeIsStored lets thousands of outcomes of all kinds wait for one write, and
// checks what is stored and shown, before the write, after it and after a restart.
func TestEveryOutcomeIsStored(t *testing.T) {
	const events, retried, dead, parent = 3000, 7, 11, 13
	f := setUp(t)
	f.log.publish(t, "") // before the handler is opened
	policy := delivery.Policy{Retry: spec.RetryPolicy{MaxAttempts: 2, Backoff: time.Microsecond, MaxBackoff: time.Microsecond}}
	h := f.open(t, "h", policy)
	f.refuse(errors.New("too slow"))
	for range events {
		f.log.publish(t, "")
	}
	child := makeEvent(t, event.Draft{Type: "child", IdempotencyKey: "k"})
	for n := 0; n < events+2; n++ {
		a, o := take(t, h), event.Outcome{}
		switch o = answers(a); {
		case a.Seq == 1+dead, a.Seq == 1+retried && a.Number == 1:
			o = trap()
		case a.Seq == 1+parent:
			o.Children = []*event.Event{child}
		}
		h.Done(a, o)
		// From its first write on the recorder is busy: all else waits for the next.
		f.store.await(t, "a refused write", func() bool { return f.store.refused > 0 })
	}
	look := func(when string, d *delivery.Dispatcher) {
		t.Helper()
		for i, want := range map[uint64]struct {
			status   string
			attempts int
		}{1: {"", 0}, 2: {"ok", 1}, 1 + retried: {"ok", 2}, 1 + dead: {"dead", 2}, 1 + parent: {"ok", 1}, 1 + events: {"ok", 1}} {
			got, err := d.Deliveries(t.Context(), f.log.at(int(i)))
			switch {
			case err != nil:
				t.Fatal(err)
			case want.status == "" && len(got) == 0:
			case len(got) != 1 || got[0].Status != want.status || got[0].Attempts != want.attempts || got[0].SHA256 != moduleDigest ||
				want.status == "ok" && string(got[0].Result) != fmt.Sprintf(`{"seq":%d}`, i):
				t.Errorf("%s: event %d: got %+v, want %+v", when, i, got, want)
			}
		}
	}
	look("before the write", f.d)
	f.refuse(nil)
	f.store.await(t, "the cursor", func() bool { return f.store.cursors["handler/h"] == 1+events })
	h.AwaitWritten(t.Context(), t.Fatal) // the parent counts once it is written
	if s := h.Stats(); s.Delivered != events-1 || s.Failed != 3 {
		t.Fatalf("got %+v", s)
	}
	f.store.mu.Lock()
	for seq := uint64(2); seq <= 1+events; seq++ {
		d, attempts := f.store.deliveries[key{"h", seq}], 1
		if seq == 1+retried {
			attempts = 2
		}
		if seq == 1+dead && d.Status == event.StatusDead && d.SHA256 == moduleDigest {
			continue
		}
		if !answered(d, attempts) {
			t.Errorf("event %d: stored %+v", seq, d)
		}
	}
	f.store.mu.Unlock()
	look("after the write", f.d)
	if err := f.d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := delivery.New(delivery.Config{Store: f.store, Log: f.log})
	defer again.Close(context.Background())
	if h := open(t, again, "h", policy); h != nil {
		if a, ok := h.TryNext(); ok {
			t.Errorf("%d is delivered again", a.Seq)
		}
	}
	look("after a restart", again)
}

// TestSlowStoreSlowsHandlers: while the store accepts nothing, a handler completes as many
// attempts as its window has events, and no more. Nothing is lost when it accepts again.
func TestSlowStoreSlowsHandlers(t *testing.T) {
	const window, events = 4096, 10_000
	f := setUp(t)
	h := f.open(t, "h", delivery.Policy{})
	f.refuse(errors.New("too slow"))
	var made atomic.Int64
	full := make(chan struct{})
	stop := workLeases(h, 3, func(a event.Attempt) event.Outcome {
		if made.Add(1) == window {
			close(full)
		}
		return answers(a)
	})
	for range events {
		f.log.publish(t, "")
	}
	within(t, "the window is full", full)
	// The lease that completed the last one records it when it asks for the next.
	f.awaitOpen(t, h, 0)
	if s := h.Stats(); made.Load() != window || s.Delivered != window || s.Lag != events-window {
		t.Errorf("%d attempts; %+v", made.Load(), s)
	}
	f.refuse(nil)
	f.store.await(t, "all outcomes", func() bool { return f.store.finals("h") == events })
	stop()
	f.store.mu.Lock()
	defer f.store.mu.Unlock()
	for seq := uint64(1); seq <= events; seq++ {
		if d := f.store.deliveries[key{"h", seq}]; !answered(d, 1) {
			t.Fatalf("event %d: stored %+v", seq, d)
		}
	}
}

// TestUnwrittenResultsAreBounded: while the store accepts nothing, no attempt starts once
// 64 MiB of results are unwritten.
func TestUnwrittenResultsAreBounded(t *testing.T) {
	const bound, size, workers, inLeases, events = 64 << 20, 64 << 10, 2, 16, 2000
	f := setUp(t)
	h := f.open(t, "h", delivery.Policy{})
	f.refuse(errors.New("too slow"))
	result := []byte(`"` + strings.Repeat("x", size-2) + `"`)
	var made atomic.Int64
	full := make(chan struct{})
	stop := workLeases(h, workers, func(event.Attempt) event.Outcome {
		if made.Add(1) == bound/size {
			close(full)
		}
		return event.Outcome{Result: result}
	})
	for range events {
		f.log.publish(t, "")
	}
	within(t, "the results reach the bound", full)
	stop() // the leases record what they have
	if a, ok := h.TryNext(); ok {
		t.Errorf("%d is started", a.Seq)
	}
	if n := made.Load(); n > bound/size+workers*inLeases {
		t.Errorf("%d attempts were made with %d bytes of results each", n, size)
	}
	f.refuse(nil)
	h.AwaitWritten(t.Context(), t.Fatal)
	if _, ok := h.TryNext(); !ok {
		t.Error("no attempt may start after the results were written")
	}
}

func within(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(testTimeout):
		t.Fatalf("timeout: waiting until %s", what)
	}
}

// TestResultsNotKeptAreShown: an older version may have skipped the successes between two
// cursors. They show as ok without a result that was kept, and all others as what they are.
func TestResultsNotKeptAreShown(t *testing.T) {
	f := setUp(t)
	for _, subject := range []string{"", "", "", "other", "", "", "", ""} {
		f.log.publish(t, subject)
	}
	f.store.cursors = map[string]uint64{"handler/h": 6, "thinned-from/h": 2, "thinned-to/h": 7}
	f.store.deliveries[key{"h", 3}] = event.Delivery{Handler: "h", Seq: 3, Status: event.StatusOK, Attempts: 1, Result: "3", At: time.Now()}
	f.store.deliveries[key{"h", 5}] = event.Delivery{Handler: "h", Seq: 5, Status: event.StatusOK, Attempts: 1, At: time.Now()}
	h := f.open(t, "h", delivery.Policy{Takes: func(ev *event.Event) bool { return ev.Metadata().Subject == "" }})
	show := func(seq int) string {
		t.Helper()
		list, err := f.d.Deliveries(t.Context(), f.log.at(seq))
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 {
			return "none"
		}
		text, err := json.Marshal(list[0])
		if err != nil || len(list) != 1 {
			t.Fatalf("got %+v, %v", list, err)
		}
		var d map[string]any
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(d["status"], " ", d["result"], " ", d["result_kept"], " ", d["duration_ms"])
	}
	const absent = "<nil>"
	for seq, want := range []string{
		1: "none", 2: "ok <nil> false 0", 3: "ok 3 " + absent + " 0", 4: "none", 5: "ok <nil> " + absent + " 0", 6: "ok <nil> false 0",
		7: "pending <nil> " + absent + " 0", 8: "pending <nil> " + absent + " 0",
	} {
		if seq == 0 {
			continue
		}
		if got := show(seq); got != want {
			t.Errorf("event %d: got %s, want %s", seq, got, want)
		}
	}
	// What is delivered from now on is stored.
	for range 2 {
		a := take(t, h)
		h.Done(a, answers(a))
	}
	h.AwaitWritten(t.Context(), t.Fatal)
	if got, want := show(7), "ok map[seq:7] "+absent; !strings.HasPrefix(got, want) {
		t.Errorf("event 7: got %s, want %s", got, want)
	}
	if got := f.store.cursors["thinned-to/h"]; got != 7 {
		t.Errorf("the range was changed: it ends at %d", got)
	}
}

// TestOutcomesNameTheirModule: outcomes of two versions, in one write, have the digest of
// the version that made them, in every form and to observers.
func TestOutcomesNameTheirModule(t *testing.T) {
	const events = 40
	seen := make(map[uint64]string)
	f := setUpWith(t, delivery.Config{Observer: func(rec event.Record, d event.Delivery) { seen[rec.Seq] = d.SHA256 }})
	policy := delivery.Policy{Retry: spec.RetryPolicy{MaxAttempts: 1}}
	var versions []*handler
	for _, digest := range []string{"one", "two", ""} {
		s, err := f.d.Open(t.Context(), "h", digest, policy)
		if err != nil {
			t.Fatal(err)
		}
		versions = append(versions, single(s))
	}
	f.refuse(errors.New("too slow"))
	for range events {
		f.log.publish(t, "")
	}
	want := make(map[uint64]string)
	for n := range events {
		h := versions[n%3]
		a := take(t, h)
		if want[a.Seq] = []string{"one", "two", ""}[n%3]; n%4 == 3 {
			h.Done(a, trap())
			continue
		}
		h.Done(a, answers(a))
	}
	compare := func(when string) {
		t.Helper()
		for seq, digest := range want {
			got, err := f.d.Deliveries(t.Context(), f.log.at(int(seq)))
			if err != nil || len(got) != 1 || got[0].SHA256 != digest || seen[seq] != digest {
				t.Errorf("%s: event %d: got %+v, observed %q, %v, want %q", when, seq, got, seen[seq], err, digest)
			}
		}
	}
	compare("before the write")
	f.refuse(nil)
	versions[0].AwaitWritten(t.Context(), t.Fatal)
	compare("after the write")
	for _, h := range versions {
		if err := h.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
