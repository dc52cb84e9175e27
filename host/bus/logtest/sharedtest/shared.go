package sharedtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// Run tests two engines that open returns, of which both have one empty log; it closes them
// when the test ends.
func Run(t *testing.T, open func(t *testing.T) (one, two bus.Engine)) {
	for _, tt := range []struct {
		name string
		run  func(t *testing.T, one, two bus.Engine)
	}{
		{"what one stores the other has", visible},
		{"a key has one winner", oneWinner},
		{"both read the same sequence", sameSequence},
		{"a bound for both", sharedBound},
		{"one trims for both", trimmed},
		{"state is shared", state},
		{"one moves a due event", movedOnce},
	} {
		t.Run(tt.name, func(t *testing.T) {
			one, two := open(t)
			tt.run(t, one, two)
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// await returns when the engine has an event.
func await(t testing.TB, s bus.Engine, seq uint64) {
	t.Helper()
	must(t, s.Wait(t.Context(), seq-1))
}

func visible(t *testing.T, one, two bus.Engine) {
	ctx := t.Context()
	events := logtest.Numbered(t, "k", 600)
	receipts, err := one.Append(ctx, events)
	must(t, err)
	last := receipts[len(receipts)-1].Seq
	await(t, two, last)
	if got := two.Last(); got != last {
		t.Errorf("Last: got %d, want %d", got, last)
	}
	for i, rec := range logtest.ReadAll(t, two, 1, 100) {
		if rec.Seq != receipts[i].Seq || rec.Event.Envelope() != events[i].Envelope() {
			t.Fatalf("event %d: got Seq %d, %s", i, rec.Seq, rec.Event.Envelope())
		}
	}
	if rec, err := two.Event(ctx, events[7].ID()); err != nil || rec.Seq != receipts[7].Seq {
		t.Errorf("Event: got %+v, %v", rec, err)
	}
	first, err := one.Status(ctx)
	must(t, err)
	if second, err := two.Status(ctx); err != nil || second != first {
		t.Errorf("Status: got %+v, %v, want %+v", second, err, first)
	}
	again, err := two.Append(ctx, []*event.Event{events[3], logtest.Make(t, event.Draft{IdempotencyKey: "k-4", Data: []byte(`"x"`)})})
	must(t, err)
	if again[0].Seq != receipts[3].Seq || !again[0].Duplicate {
		t.Errorf("a duplicate: got %+v", again[0])
	}
	logtest.WantCode(t, "other content", again[1].Err, fault.Conflict)
}

// oneWinner has both append one key with different content at once: one is stored, the other
// is in conflict with it.
func oneWinner(t *testing.T, one, two bus.Engine) {
	for round := range 60 {
		var receipts [2]event.Receipt
		var wg sync.WaitGroup
		for i, s := range []bus.Engine{one, two} {
			ev := logtest.Make(t, event.Draft{IdempotencyKey: fmt.Sprint("key-", round), Data: fmt.Append(nil, i*(round%2))})
			wg.Go(func() {
				list, err := s.Append(t.Context(), []*event.Event{ev})
				if err != nil {
					t.Error(err)
					return
				}
				receipts[i] = list[0]
			})
		}
		wg.Wait()
		stored, repeated, refused := 0, 0, 0
		for _, r := range receipts {
			switch {
			case r.Err != nil:
				refused++
			case r.Duplicate:
				repeated++
			default:
				stored++
			}
		}
		same := round%2 == 0
		if stored != 1 || same && repeated != 1 || !same && refused != 1 || receipts[0].Seq != receipts[1].Seq ||
			receipts[0].EventID != receipts[1].EventID {
			t.Fatalf("round %d: got %+v", round, receipts)
		}
	}
}

// sameSequence races publishers at both engines with readers of both.
func sameSequence(t *testing.T, one, two bus.Engine) {
	const publishers, each = 6, 60
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	engines := []bus.Engine{one, two}
	var acked sync.Map
	var publishing, reading sync.WaitGroup
	for p := range publishers {
		publishing.Go(func() {
			for i := range each {
				list := []*event.Event{
					logtest.Make(t, event.Draft{IdempotencyKey: fmt.Sprintf("%d-%d", p, i)}),
					logtest.Make(t, event.Draft{IdempotencyKey: fmt.Sprintf("shared-%d", i)}),
				}
				receipts, err := engines[p%2].Append(ctx, list)
				if err != nil {
					t.Error(err)
					return
				}
				for _, r := range receipts {
					if before, found := acked.LoadOrStore(r.Seq, r.EventID); found && before != r.EventID {
						t.Errorf("Seq %d is of %s and %s", r.Seq, before, r.EventID)
					}
				}
			}
		})
	}
	var seen [2][]event.Record
	for i, s := range engines {
		reading.Go(func() { seen[i] = follow(ctx, t, s) })
	}
	publishing.Wait()
	end, err := one.Append(ctx, []*event.Event{logtest.Make(t, event.Draft{Type: "end"})})
	must(t, err)
	reading.Wait()
	acked.Store(end[0].Seq, end[0].EventID)
	compare := func(a, b event.Record) bool { return a.Seq == b.Seq && a.Event.ID() == b.Event.ID() }
	if !slices.EqualFunc(seen[0], seen[1], compare) {
		t.Errorf("the readers saw %d and %d events, or other ones", len(seen[0]), len(seen[1]))
	}
	count := 0
	acked.Range(func(seq, id any) bool {
		count++
		if !slices.ContainsFunc(seen[1], func(r event.Record) bool { return r.Seq == seq && r.Event.ID() == id }) {
			t.Errorf("event %v (%v) was acknowledged and not read", seq, id)
		}
		return true
	})
	if want := publishers*each + each + 1; count != want || len(seen[0]) != want {
		t.Errorf("%d events were acknowledged and %d read, want %d", count, len(seen[0]), want)
	}
}

// follow reads a log until the event of type end.
func follow(ctx context.Context, t *testing.T, s bus.Engine) (seen []event.Record) {
	for next := uint64(1); ; {
		records, err := s.Read(ctx, next, 17)
		if err == nil && len(records) == 0 {
			err = s.Wait(ctx, next-1)
		}
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			return seen
		}
		for _, rec := range records {
			if rec.Seq < next {
				t.Errorf("Seq %d after %d", rec.Seq, next-1)
			}
			next = rec.Seq + 1
			if seen = append(seen, rec); rec.Event.Type() == "end" {
				return seen
			}
		}
	}
}

func sharedBound(t *testing.T, one, two bus.Engine) {
	size := logtest.Make(t, event.Draft{Type: "t"}).Size()
	var wg sync.WaitGroup
	for i := range 8 {
		s := []bus.Engine{one, two}[i%2]
		s.SetMaxBytes(40 * size)
		wg.Go(func() {
			for range 10 {
				if _, err := s.Append(t.Context(), []*event.Event{logtest.Make(t, event.Draft{Type: "t"})}); err != nil &&
					!fault.Is(err, fault.Exhausted) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	st, err := one.Status(t.Context())
	must(t, err)
	if st.Bytes > st.MaxBytes || st.Bytes < st.MaxBytes-2*size || int(st.Events) != len(logtest.ReadAll(t, two, 1, 100)) {
		t.Errorf("got %+v", st)
	}
}

func trimmed(t *testing.T, one, two bus.Engine) {
	ctx := t.Context()
	receipts, err := one.Append(ctx, logtest.Numbered(t, "k", 50))
	must(t, err)
	await(t, two, receipts[49].Seq)
	if n, err := one.Trim(ctx, receipts[20].Seq); n != 20 || err != nil {
		t.Fatalf("Trim: got %d, %v", n, err)
	}
	// The other engine learns it with the next event at the latest.
	next, err := one.Append(ctx, []*event.Event{logtest.Make(t, event.Draft{IdempotencyKey: "k-3"})})
	must(t, err)
	await(t, two, next[0].Seq)
	if all := logtest.ReadAll(t, two, 0, 100); len(all) != 31 || all[0].Seq != receipts[20].Seq {
		t.Errorf("got %d events from Seq %d", len(all), all[0].Seq)
	}
	if n, err := two.Trim(ctx, next[0].Seq); n != 30 || err != nil {
		t.Errorf("Trim of the other: got %d, %v", n, err)
	}
}

func state(t *testing.T, one, two bus.Engine) {
	ctx := t.Context()
	receipts, err := one.Append(ctx, logtest.Numbered(t, "k", 3))
	must(t, err)
	must(t, one.SetCursor(ctx, event.Cursor{Name: "c", Seq: 2}))
	if seq, found, err := two.Cursor(ctx, "c"); seq != 2 || !found || err != nil {
		t.Errorf("Cursor: got %d, %v, %v", seq, found, err)
	}
	child := logtest.Make(t, event.Draft{IdempotencyKey: "child"})
	_, _, err = one.SaveDeliveries(ctx, nil, nil, []event.Delivery{
		{Handler: "h", Seq: receipts[0].Seq, Status: event.StatusOK, Attempts: 1, Children: []*event.Event{child}},
		{Handler: "h", Seq: receipts[1].Seq, Status: event.StatusDead, Attempts: 3, ErrorClass: event.ClassTrap},
	}, []event.Cursor{{Name: event.HandlerCursors("h").Position, Seq: receipts[1].Seq}})
	must(t, err)
	await(t, two, one.Last())
	if rec, err := two.Event(ctx, "child"); err != nil || rec.Event.ID() != child.ID() {
		t.Errorf("a child: got %+v, %v", rec, err)
	}
	if list, _, err := two.DeadLetters(ctx, event.DeadFilter{}, "", 10); len(list) != 1 || err != nil {
		t.Errorf("DeadLetters: got %+v, %v", list, err)
	}
	if n, err := two.Redrive(ctx, event.DeadFilter{Handler: "h"}); n != 1 || err != nil {
		t.Errorf("Redrive: got %d, %v", n, err)
	}
	if list, err := one.Redriven(ctx, "h", 0, 10); len(list) != 1 || err != nil {
		t.Errorf("Redriven: got %+v, %v", list, err)
	}
	must(t, one.KVSet(ctx, "p", "key", []byte("1")))
	must(t, two.KVCAS(ctx, "p", "key", []byte("1"), []byte("2")))
	logtest.WantCode(t, "a past value", one.KVCAS(ctx, "p", "key", []byte("1"), []byte("3")), fault.Conflict)
	if value, found, err := one.KVGet(ctx, "p", "key"); string(value) != "2" || !found || err != nil {
		t.Errorf("KVGet: got %q, %v, %v", value, found, err)
	}
	must(t, one.PutDocuments(ctx, []event.Document{{Kind: "k", ID: "i", Body: `{"a":1}`}}))
	if list, err := two.Documents(ctx, "k"); len(list) != 1 || err != nil {
		t.Errorf("Documents: got %+v, %v", list, err)
	}
}
