package logtest

import (
	"fmt"
	"math"
	"testing"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
)

// wantRequeued requeues events and checks the number, and all of the handler's pending ones.
func wantRequeued(t testing.TB, s bus.Engine, handler string, seqs []uint64, want int, wantPending ...uint64) {
	t.Helper()
	if n, err := s.Requeue(t.Context(), handler, seqs); n != want || err != nil {
		t.Errorf("Requeue(%v): got %d, %v, want %d", seqs, n, err, want)
	}
	if got := pending(t, s, handler); fmt.Sprint(got) != fmt.Sprint(wantPending) {
		t.Errorf("pending after Requeue(%v): got %v, want %v", seqs, got, wantPending)
	}
}

// requeue: deliveries that the handler has had are pending again, whether they have an
// outcome of either form or none.
func requeue(t *testing.T, s bus.Engine) {
	ctx := t.Context()
	mustAppend(t, s, Numbered(t, "k", 10)...)
	delivery := func(handler string, seq uint64, status event.Status) event.Delivery {
		return event.Delivery{Handler: handler, Seq: seq, Status: status, Attempts: 3, ErrorClass: event.ClassTrap, Fuel: 7, SHA256: "ab", At: at(10)}
	}
	saveSuccesses(t, s, []event.Successes{succeeded("a", noResult, 1, 2, 9), succeeded("b", noResult, 1)}, []event.Delivery{
		delivery("a", 3, event.StatusDead), delivery("a", 4, event.StatusDead), delivery("a", 5, event.StatusRetrying), delivery("a", 6, event.StatusOK),
		delivery("a", 8, event.StatusDead), delivery("b", 3, event.StatusDead),
	}, event.Cursor{Name: "handler/a", Seq: 7})
	if n, err := s.Purge(ctx, event.DeadFilter{Handler: "a", EventID: "k-3"}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	wantRequeued(t, s, "a", nil, 0)
	wantRequeued(t, s, "a", []uint64{2, 2}, 1, 2)
	wantDeliveryPending := func(seq uint64) {
		t.Helper()
		list, err := s.Deliveries(ctx, seq)
		if err != nil || len(list) == 0 || list[0].At.IsZero() {
			t.Fatalf("got %+v, %v", list, err)
		}
		want := event.Delivery{Handler: "a", Seq: seq, Status: event.StatusPending, At: list[0].At}
		if fmt.Sprintf("%+v", list[0]) != fmt.Sprintf("%+v", want) {
			t.Errorf("got %+v, want %+v", list[0], want)
		}
	}
	wantDeliveryPending(2)
	// 3 is a dead letter, 4 a purged one, 5 waits for a retry, 6 succeeded late, 7 was not
	// taken, 8 and 9 are final above the cursor, 10 comes by itself.
	wantRequeued(t, s, "a", []uint64{10, 9, 8, 7, 6, 5, 4, 3, 2, 11, 0, math.MaxUint64}, 6, 2, 3, 4, 6, 7, 8, 9)
	for _, seq := range []uint64{3, 4, 6, 7, 8, 9} {
		wantDeliveryPending(seq)
	}
	wantRequeued(t, s, "a", []uint64{2, 3, 7, 9}, 0, 2, 3, 4, 6, 7, 8, 9)
	if b, err := s.LoadBacklog(ctx, "a"); err != nil || len(b.Done) != 0 || len(b.Open) != 1 || b.Cursor != 7 {
		t.Errorf("the backlog: got %+v, %v", b, err)
	}
	if got := allDead(t, s, event.DeadFilter{}); got != "b3" {
		t.Errorf("dead: %s", got)
	}
	// They end as redriven ones do, in either form.
	saveSuccesses(t, s, []event.Successes{succeeded("a", noResult, 2, 4, 7)}, []event.Delivery{delivery("a", 3, event.StatusDead)})
	wantRequeued(t, s, "a", nil, 0, 6, 8, 9)
	if got := allDead(t, s, event.DeadFilter{Handler: "a"}); got != "a3" {
		t.Errorf("dead again: %s", got)
	}
	wantRequeued(t, s, "b", []uint64{1, 2, 3}, 2, 1, 3) // it has no cursor
	wantRequeued(t, s, "never seen", []uint64{1, 2, 3}, 0)
	if b, err := s.LoadBacklog(ctx, "never seen"); err != nil || b.Found {
		t.Errorf("a handler that was never seen: got %+v, %v", b, err)
	}
}

// requeueInReplay: a replay delivers its events itself; those that it passes over can be
// pending.
func requeueInReplay(t *testing.T, s bus.Engine) {
	ctx := t.Context()
	mustAppend(t, s, Numbered(t, "k", 12)...)
	saveSuccesses(t, s, []event.Successes{succeeded("a", noResult, 1, 2, 3, 4, 5, 6, 7, 8, 10)}, nil, event.Cursor{Name: "handler/a", Seq: 9})
	if err := s.StartReplay(ctx, "a", 3, 6, at(5000)); err != nil {
		t.Fatal(err)
	}
	late := success(4)
	late.At = at(6000) // in the replay
	again := event.Successes{Handler: "a"}
	again.Append(4, late, nil)
	saveSuccesses(t, s, []event.Successes{again}, nil)
	// 1 and 2 precede the replay, 4 is done in it, 7 to 9 are passed over, 10 is done.
	wantRequeued(t, s, "a", []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, 7, 1, 2, 4, 7, 8, 9, 10)
	// After the replay.
	saveSuccesses(t, s, []event.Successes{again}, nil, event.Cursor{Name: "handler/a", Seq: 6})
	wantRequeued(t, s, "a", []uint64{4, 5}, 2, 1, 2, 4, 5, 7, 8, 9, 10)
}

// requeueKeeps: a pending delivery keeps its event in the log, and one whose event is not
// there cannot be pending.
func requeueKeeps(t *testing.T, s bus.Engine) {
	const n = 1200 // more than a transaction changes
	mustAppend(t, s, Numbered(t, "k", n)...)
	var seqs []uint64
	for seq := uint64(1); seq <= n; seq++ {
		seqs = append(seqs, seq)
	}
	saveSuccesses(t, s, []event.Successes{succeeded("a", noResult, seqs...)}, []event.Delivery{
		{Handler: "b", Seq: 3, Status: event.StatusDead, Attempts: 1, At: at(1)}}, event.Cursor{Name: "handler/a", Seq: n})
	wantTrim(t, s, 11, 9)
	wantRequeued(t, s, "a", []uint64{1, 2, 3, 4}, 1, 3) // a leftover
	if p, err := s.Purge(t.Context(), event.DeadFilter{}); p != 1 || err != nil {
		t.Fatal(p, err)
	}
	wantTrim(t, s, 11, 0)
	saveSuccesses(t, s, []event.Successes{succeeded("a", noResult, 3)}, nil)
	wantTrim(t, s, 11, 1)
	wantRequeued(t, s, "a", seqs, n-10, seqs[10:]...)
	wantTrim(t, s, math.MaxUint64, 0)
	saveSuccesses(t, s, []event.Successes{succeeded("a", noResult, seqs[10:]...)}, nil)
	wantRequeued(t, s, "a", nil, 0)
	wantTrim(t, s, math.MaxUint64, n-10)
	wantRequeued(t, s, "a", seqs, 0)
}
