package delivery_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// nextBatch takes a batch and returns its Seqs.
func nextBatch(t *testing.T, x *delivery.Lease, size int) (seqs []uint64) {
	t.Helper()
	list, ok := x.NextBatch(size, 0, timedOut(t), nil)
	if !ok {
		t.Fatal("no batch is ready")
	}
	for _, a := range list {
		seqs = append(seqs, a.Seq)
	}
	return seqs
}

func span(from, to uint64) (seqs []uint64) {
	for ; from <= to; from++ {
		seqs = append(seqs, from)
	}
	return seqs
}

// setUpBatches returns a handler whose key is the subject, with n events of different keys.
func setUpBatches(t *testing.T, n int, policy delivery.Policy) (f fixture, h *handler, x *delivery.Lease) {
	f = setUp(t)
	if policy.Key == nil {
		policy.Key = bySubject
	}
	h = f.open(t, "h", policy)
	x = h.Lease()
	t.Cleanup(x.Close)
	for i := range n {
		f.log.publish(t, fmt.Sprint("o-", i))
	}
	f.awaitOpen(t, h, uint64(n))
	return f, h, x
}

// TestBatchOfHundred: of a batch of 100 events three fail. The others are ok at once, and
// their keys go on; the three are tried again alone, before the next event of their key.
func TestBatchOfHundred(t *testing.T) {
	f, h, x := setUpBatches(t, 100, delivery.Policy{Retry: spec.RetryPolicy{Backoff: time.Nanosecond, MaxBackoff: time.Nanosecond}})
	failing := []uint64{7, 50, 93}
	if got := nextBatch(t, x, 100); !slices.Equal(got, span(1, 100)) {
		t.Fatalf("got %v", got)
	}
	for i := range 100 { // the next event of each key
		f.log.publish(t, fmt.Sprint("o-", i))
	}
	f.awaitOpen(t, h, 200)
	list := make([]event.Outcome, 100)
	for i := range list {
		list[i].Fuel, list[i].Duration = 3, time.Millisecond
		if slices.Contains(failing, uint64(i+1)) {
			list[i] = event.Outcome{Verdict: event.Retry, Class: event.ClassRetry, Message: "later", Fuel: 3, Duration: time.Millisecond}
		}
	}
	x.DoneBatch(list)
	if s := h.Stats(); s.Delivered != 97 || s.Failed != 3 || s.Fuel != 300 || s.Lag != 103 {
		t.Errorf("got %+v", s)
	}
	h.AwaitWritten(t.Context(), t.Fatal)
	for seq := range uint64(100) {
		d := f.store.deliveries[key{"h", seq + 1}]
		want := event.StatusOK
		if slices.Contains(failing, seq+1) {
			want = event.StatusRetrying
		}
		if d.Status != want || d.Attempts != 1 || d.Fuel != 3 || d.Duration != time.Millisecond {
			t.Fatalf("event %d is stored as %+v", seq+1, d)
		}
	}
	started := make(map[uint64]int)
	for len(started) < 103 {
		got, ok := x.NextBatch(100, 0, timedOut(t), nil)
		if !ok || len(got) > 1 && slices.ContainsFunc(got, func(a event.Attempt) bool { return a.Number > 1 }) {
			t.Fatalf("got %v (%v): a second attempt comes alone", got, ok)
		}
		for _, a := range got {
			started[a.Seq]++
			if before := a.Seq - 100; a.Seq > 100 && slices.Contains(failing, before) && started[before] == 0 {
				t.Errorf("event %d started before %d, which is tried again", a.Seq, before)
			}
		}
		x.DoneBatch(make([]event.Outcome, len(got)))
	}
	h.AwaitWritten(t.Context(), t.Fatal)
	if s := h.Stats(); s.Delivered != 200 || s.Failed != 3 || s.Lag != 0 {
		t.Errorf("got %+v", s)
	}
	if wrong := h.Inconsistency(x); wrong != "" {
		t.Error(wrong)
	}
}

// TestBatchHasEachKeyOnce: events of a key come in batches of their own, in order.
func TestBatchHasEachKeyOnce(t *testing.T) {
	f := setUp(t)
	h := f.open(t, "h", delivery.Policy{Key: bySubject})
	x := h.Lease()
	defer x.Close()
	for _, subject := range []string{"a", "b", "a", "c", "b", ""} {
		f.log.publish(t, subject)
	}
	f.awaitOpen(t, h, 6)
	for _, want := range [][]uint64{{1, 2, 4, 6}, {3, 5}} {
		if got := nextBatch(t, x, 100); !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
		x.DoneBatch(make([]event.Outcome, len(want)))
	}
}

// TestBatchIsBounded: by the events that are asked for, and by the bytes of the envelopes.
func TestBatchIsBounded(t *testing.T) {
	_, _, x := setUpBatches(t, 10, delivery.Policy{})
	for _, want := range [][]uint64{{1, 2, 3}, {4, 5, 6}} {
		if got := nextBatch(t, x, 3); !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
		x.DoneBatch(make([]event.Outcome, len(want)))
	}
	f := setUp(t)
	h := f.open(t, "h", delivery.Policy{})
	data := append(append([]byte{'"'}, bytes.Repeat([]byte{'x'}, 1<<20-1000)...), '"')
	const fit = abi.MaxBatchBytes / (1 << 20)
	for range fit + 2 {
		f.log.add(t, event.Draft{Type: "large", Data: json.RawMessage(data)})
	}
	f.awaitOpen(t, h, fit+2)
	y := h.Lease()
	defer y.Close()
	if got := nextBatch(t, y, 1000); !slices.Equal(got, span(1, fit)) {
		t.Fatalf("got %v", got)
	}
	y.DoneBatch(make([]event.Outcome, fit))
}

// TestBatchWaitsForMore: a batch that is not full waits until it is.
func TestBatchWaitsForMore(t *testing.T) {
	f, h, x := setUpBatches(t, 2, delivery.Policy{})
	got := make(chan []uint64)
	go func() {
		list, _ := x.NextBatch(5, time.Hour, timedOut(t), nil)
		var seqs []uint64
		for _, a := range list {
			seqs = append(seqs, a.Seq)
		}
		got <- seqs
	}()
	for range 3 {
		select {
		case seqs := <-got:
			t.Fatalf("the batch %v did not wait", seqs)
		default:
		}
		f.log.publish(t, "")
	}
	if seqs := <-got; !slices.Equal(seqs, span(1, 5)) {
		t.Fatalf("got %v", seqs)
	}
	x.DoneBatch(make([]event.Outcome, 5))
	f.log.publish(t, "")
	f.awaitOpen(t, h, 1)
	if list, ok := x.NextBatch(5, time.Millisecond, timedOut(t), nil); !ok || len(list) != 1 { // the wait ends
		t.Fatalf("got %v (%v)", list, ok)
	}
	x.DoneBatch(make([]event.Outcome, 1))
}

// TestStopEndsWaitOfBatch: an instance that ends while its batch waits leaves the events to
// others.
func TestStopEndsWaitOfBatch(t *testing.T) {
	_, h, x := setUpBatches(t, 2, delivery.Policy{})
	stop, ended := make(chan struct{}), make(chan bool)
	go func() {
		_, ok := x.NextBatch(5, time.Hour, stop, nil)
		ended <- ok
	}()
	close(stop)
	if <-ended {
		t.Error("a stopped instance got a batch")
	}
	y := h.Lease()
	defer y.Close()
	if got := nextBatch(t, y, 5); !slices.Equal(got, span(1, 2)) {
		t.Fatalf("got %v", got)
	}
	y.DoneBatch(make([]event.Outcome, 2))
}

// TestPauseKeepsWaitingBatch: no batch starts after a pause, also one that waited for more.
func TestPauseKeepsWaitingBatch(t *testing.T) {
	f, h, x := setUpBatches(t, 2, delivery.Policy{})
	got := make(chan int)
	go func() {
		list, _ := x.NextBatch(3, time.Hour, timedOut(t), nil)
		got <- len(list)
	}()
	h.Update(delivery.Policy{Key: bySubject, Paused: true})
	f.log.publish(t, "")
	f.awaitOpen(t, h, 3)
	select {
	case n := <-got:
		t.Fatalf("a batch of %d started while the handler is paused", n)
	default:
	}
	h.Update(delivery.Policy{Key: bySubject})
	if n := <-got; n != 3 {
		t.Fatalf("got %d events", n)
	}
	x.DoneBatch(make([]event.Outcome, 3))
}

// TestBatchIsOneFailureForBreaker: a batch that traps counts once; an open breaker tries one
// event alone.
func TestBatchIsOneFailureForBreaker(t *testing.T) {
	_, h, x := setUpBatches(t, 20, delivery.Policy{
		Retry:   spec.RetryPolicy{MaxAttempts: 3, Backoff: time.Hour, MaxBackoff: time.Hour},
		Breaker: spec.BreakerPolicy{Failures: 3, Cooldown: time.Hour, MaxCooldown: time.Hour},
	})
	trapped := func(n int) []event.Outcome {
		list := make([]event.Outcome, n)
		for i := range list {
			list[i] = event.Outcome{Verdict: event.Failed, Class: event.ClassTrap}
		}
		return list
	}
	for n := range 3 {
		if state := h.Condition().State; state != "" {
			t.Fatalf("after %d batches it is %s", n, state)
		}
		nextBatch(t, x, 5)
		x.DoneBatch(trapped(5))
	}
	if state := h.Condition().State; state != "breaker_open" {
		t.Fatalf("it is %q after three batches", state)
	}
	h.Probe()
	if got := nextBatch(t, x, 5); !slices.Equal(got, []uint64{16}) {
		t.Fatalf("the open breaker tries %v", got)
	}
	x.DoneBatch(make([]event.Outcome, 1))
	if state := h.Condition().State; state != "" {
		t.Fatalf("it is %q after a success", state)
	}
	if got := nextBatch(t, x, 5); !slices.Equal(got, span(17, 20)) {
		t.Fatalf("got %v", got)
	}
	x.DoneBatch(trapped(4))
}

// TestMixedBatchResetsBreaker: a batch whose events end as the guest says is an answer.
func TestMixedBatchResetsBreaker(t *testing.T) {
	_, h, x := setUpBatches(t, 12, delivery.Policy{Breaker: spec.BreakerPolicy{Failures: 2, Cooldown: time.Hour, MaxCooldown: time.Hour}})
	trap := event.Outcome{Verdict: event.Failed, Class: event.ClassTrap}
	reject := event.Outcome{Verdict: event.Reject, Class: event.ClassRejected}
	for i, list := range [][]event.Outcome{{trap, trap}, {reject, {}}, {trap, trap}, {{}, reject}} {
		if got := nextBatch(t, x, 2); len(got) != 2 {
			t.Fatalf("got %v", got)
		}
		x.DoneBatch(list)
		if state := h.Condition().State; state != "" {
			t.Fatalf("it is %s after batch %d", state, i+1)
		}
	}
}

// TestCancelledBatchReturnsInOrder: the events of a batch that the host stops come again as
// they were, first attempts in order.
func TestCancelledBatchReturnsInOrder(t *testing.T) {
	_, h, x := setUpBatches(t, 8, delivery.Policy{})
	nextBatch(t, x, 5)
	list := make([]event.Outcome, 5)
	for i := range list {
		list[i] = event.Outcome{Verdict: event.Failed, Class: event.ClassCancelled, Fuel: 1}
	}
	x.DoneBatch(list)
	if wrong := h.Inconsistency(x); wrong != "" {
		t.Error(wrong)
	}
	if got := nextBatch(t, x, 100); !slices.Equal(got, span(1, 8)) {
		t.Fatalf("got %v", got)
	}
	x.DoneBatch(make([]event.Outcome, 8))
	if s := h.Stats(); s.Failed != 0 || s.Delivered != 8 || s.Fuel != 5 {
		t.Errorf("got %+v", s)
	}
}

// TestBatchSharesItsEffects: the effects of a batch are committed once; in conflict, all of
// its events come again, in order.
func TestBatchSharesItsEffects(t *testing.T) {
	f := setUpAtomic(t)
	for _, subject := range []string{"x", "y", "z"} {
		f.log.publish(t, subject)
	}
	f.awaitOpen(t, f.h, 3)
	shared := func(r *run) []event.Outcome { return []event.Outcome{r.ok(), r.ok(), r.ok()} }
	nextBatch(t, f.a, 10)
	r := f.start(f.a)
	r.increment("n")
	f.store.set("n", "10")
	f.a.DoneBatch(shared(r)) // in conflict with the store
	f.h.AwaitWritten(t.Context(), t.Fatal)
	if got := nextBatch(t, f.a, 10); !slices.Equal(got, span(1, 3)) {
		t.Fatalf("got %v", got)
	}
	if d := f.store.deliveries[key{"h", 3}]; d.ErrorClass != event.ClassKVConflict || d.Attempts != 0 {
		t.Errorf("stored: %+v", d)
	}
	r = f.start(f.a)
	r.increment("n")
	f.store.setRefuse(errFull)
	f.a.DoneBatch(shared(r))
	for _, subject := range []string{"u", "v", "w"} {
		f.log.publish(t, subject)
	}
	f.awaitOpen(t, f.h, 6)
	nextBatch(t, f.a, 10)
	r = f.start(f.a)
	r.e.Reads = []event.EffectRead{{Key: "n"}} // it has read nothing, which is no longer so
	f.a.DoneBatch(shared(r))                   // certainly in conflict
	if got := nextBatch(t, f.a, 10); !slices.Equal(got, span(4, 6)) {
		t.Fatalf("got %v", got)
	}
	if wrong := f.h.Inconsistency(f.a, f.b); wrong != "" {
		t.Error(wrong)
	}
	r = f.start(f.a)
	r.increment("n")
	f.a.DoneBatch(shared(r))
	f.store.setRefuse(nil)
	f.awaitValue(t, "n", "12")
	f.h.AwaitWritten(t.Context(), t.Fatal)
	counts := f.d.Measure("h").Versions[0].Counts
	if s := f.h.Stats(); s.Delivered != 6 || s.Failed != 0 || counts.Conflicts != 6 || counts.Duration.Count() != 6 {
		t.Errorf("got %+v and %+v", s, counts)
	}
}

// TestBatchesHammer has four instances take batches of many keys, of which some events fail,
// while the handler is paused and looked at.
func TestBatchesHammer(t *testing.T) {
	x := newHammer(t, 4000, 40)
	var once sync.Once
	worker := func() {
		lease := x.h.Lease()
		defer lease.Close()
		for n := 0; ; n++ {
			list, ok := lease.NextBatch(1+n%50, time.Duration(n%3)*time.Millisecond, x.quit, nil)
			if !ok {
				return
			}
			results, last := make([]event.Outcome, len(list)), false
			x.model.mu.Lock()
			for i, a := range list {
				if n%10 > 7 && i%5 == 0 {
					results[i] = outcomes[(n+i)%len(outcomes)]
				}
				last = x.record(a, results[i]) || last
			}
			lease.DoneBatch(results) // before the next event of a key may start
			x.model.mu.Unlock()
			if last {
				once.Do(func() { close(x.finished) })
			}
		}
	}
	x.run(t, 4, worker, func() int { return 1 })
	x.check(t)
}
