package logtest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// RunState runs the tests of what an engine keeps besides the log. open returns an
// empty one with this clock, and closes it when the test ends.
func RunState(t *testing.T, open func(t *testing.T, now func() time.Time) bus.Engine) {
	tests := []struct {
		name string
		run  func(*testing.T, bus.Engine)
	}{
		{"cursors", cursors},
		{"list of cursors", listOfCursors},
		{"deliveries", deliveries},
		{"successes", successes},
		{"extreme successes", extremeSuccesses},
		{"one form after the other", oneForm},
		{"many successes", manySuccesses},
		{"modules", modules},
		{"fences of successes", fencedSuccesses},
		{"trim takes successes", trimTakesSuccesses},
		{"replay of successes", replayedSuccesses},
		{"fences of one host", fencesOfOneHost},
		{"backlog", backlog},
		{"children", children},
		{"dead letters", deadLetters},
		{"redrive", redrive},
		{"purge", purge},
		{"many dead letters", manyDeadLetters},
		{"children of a full log", childrenOfAFullLog},
		{"trim takes deliveries", trimTakesDeliveries},
		{"trim keeps what is open or dead", trimKeeps},
		{"trimmed events get no deliveries", trimmedEventsGetNoDeliveries},
		{"replay", replay},
		{"replay while another is under way", replayAgain},
		{"replay ahead of the cursor", replayAhead},
		{"replay after the clock was set back", replayEarlier},
		{"requeue", requeue},
		{"requeue in a replay", requeueInReplay},
		{"requeued deliveries keep their events", requeueKeeps},
		{"an ended context of cursors", endedContextOfCursors},
		{"closing", closing},
		{"closing while busy", closingWhileBusy},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, open(t, time.Now)) })
	}
}

func cursors(t *testing.T, s bus.Engine) {
	ctx := t.Context()
	check := func(name string, want uint64, wantFound bool) {
		t.Helper()
		if seq, found, err := s.Cursor(ctx, name); seq != want || found != wantFound || err != nil {
			t.Errorf("Cursor(%q): got %d, %v, %v, want %d, %v", name, seq, found, err, want, wantFound)
		}
	}
	set := func(name string, seq uint64) {
		t.Helper()
		if err := s.SetCursor(ctx, event.Cursor{Name: name, Seq: seq}); err != nil {
			t.Errorf("SetCursor(%q): %v", name, err)
		}
	}
	check("handler/a", 0, false)
	set("handler/a", 7)
	set("handler/b", 0)
	check("handler/a", 7, true)
	check("handler/b", 0, true)
	set("handler/a", 3) // back, as a replay does
	check("handler/a", 3, true)
	check("handler/A", 0, false)
}

// listOfCursors: every cursor, by name.
func listOfCursors(t *testing.T, s bus.Engine) {
	ctx := t.Context()
	check := func(want ...event.Cursor) {
		t.Helper()
		got, err := s.Cursors(ctx)
		if err != nil || len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Errorf("Cursors: got %v, %v, want %v", got, err, want)
		}
	}
	check()
	for i, name := range []string{"handler/b", "subscriber/a", "handler/a", "handler/B"} {
		if err := s.SetCursor(ctx, event.Cursor{Name: name, Seq: uint64(i)}); err != nil {
			t.Fatal(fmt.Errorf("SetCursor(%s): %w", name, err))
		}
	}
	check(event.Cursor{Name: "handler/B", Seq: 3}, event.Cursor{Name: "handler/a", Seq: 2}, event.Cursor{Name: "handler/b"},
		event.Cursor{Name: "subscriber/a", Seq: 1})
	if err := s.SetCursor(ctx, event.Cursor{Name: "handler/a", Seq: 1}); err != nil {
		t.Fatal(err)
	}
	check(event.Cursor{Name: "handler/B", Seq: 3}, event.Cursor{Name: "handler/a", Seq: 1}, event.Cursor{Name: "handler/b"},
		event.Cursor{Name: "subscriber/a", Seq: 1})
}

func endedContextOfCursors(t *testing.T, s bus.Engine) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	calls := map[string]func() error{
		"Cursor":    func() error { _, _, err := s.Cursor(ctx, "x"); return err },
		"Cursors":   func() error { _, err := s.Cursors(ctx); return err },
		"SetCursor": func() error { return s.SetCursor(ctx, event.Cursor{Name: "x"}) },
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want the context's error", name, err)
		}
	}
}

func deliveries(t *testing.T, s bus.Engine) {
	ctx := t.Context()
	at := time.Date(2026, 5, 1, 12, 0, 0, 123456789, time.UTC)
	outcomes := []event.Delivery{
		{Handler: "b", Seq: 1, Status: event.StatusOK, Attempts: 1, Result: `{"ok":true}`, Duration: 1234, Fuel: math.MaxUint64, At: at},
		{Handler: "a", Seq: 1, Status: event.StatusRetrying, Attempts: 2, ErrorClass: event.ClassTrap,
			ErrorMessage: "unreachable\x00\n\"", Duration: time.Hour, Fuel: 1, At: at, Due: at.Add(time.Second),
			FirstAttempt: at.Add(-time.Hour)},
		{Handler: "a", Seq: 2, Status: event.StatusPending, At: at},
	}
	if _, _, err := s.SaveDeliveries(ctx, nil, nil, outcomes,
		[]event.Cursor{{Name: "handler/a", Seq: 1}, {Name: "handler/b", Seq: 5}}); err != nil {
		t.Fatal(err)
	}
	check := func(seq uint64, want ...event.Delivery) {
		t.Helper()
		got, err := s.Deliveries(ctx, seq)
		if err != nil || len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Errorf("Deliveries(%d): got %+v, %v, want %+v", seq, got, err, want)
		}
	}
	check(1, outcomes[1], outcomes[0])
	check(2, outcomes[2])
	check(3)
	if seq, _, _ := s.Cursor(ctx, "handler/b"); seq != 5 {
		t.Errorf("Cursor: got %d, want 5", seq)
	}
	next := event.Delivery{Handler: "a", Seq: 1, Status: event.StatusOK, Attempts: 3, At: at.Add(time.Minute)}
	if _, _, err := s.SaveDeliveries(ctx, nil, nil, []event.Delivery{next}, nil); err != nil {
		t.Fatal(err)
	}
	check(1, next, outcomes[0])
	if _, _, err := s.SaveDeliveries(ctx, nil, nil, nil, nil); err != nil {
		t.Errorf("saving nothing: %v", err)
	}
}

// fencesOfOneHost saves with a fence of epoch 0, which is stored, and with one of a
// later epoch, which an engine of one host never has: nothing of that handler is
// stored, and everything of the others is.
func fencesOfOneHost(t *testing.T, s bus.Engine) {
	ctx := t.Context()
	seq := mustAppend(t, s, Make(t, event.Draft{}))[0].Seq
	child := func(key string) []*event.Event { return []*event.Event{Make(t, event.Draft{IdempotencyKey: key})} }
	ours, stale := spec.Fence{Unit: "ours"}, spec.Fence{Unit: "stale", Epoch: 1}
	saved, fenced, err := s.SaveDeliveries(ctx, []spec.Fence{ours, stale}, nil, []event.Delivery{
		{Handler: "stale", Seq: seq, Status: event.StatusOK, At: at(1), Children: child("stale")},
		{Handler: "ours", Seq: seq, Status: event.StatusOK, At: at(1), Children: child("ours")},
		{Handler: "free", Seq: seq, Status: event.StatusOK, At: at(1)},
	}, []event.Cursor{{Name: "handler/stale", Seq: seq}, {Name: "handler/ours", Seq: seq}})
	if err != nil || len(saved.Refused) != 0 || !reflect.DeepEqual(fenced, []spec.Fence{stale}) {
		t.Fatalf("got %+v, fenced %+v, %v", saved, fenced, err)
	}
	list, err := s.Deliveries(ctx, seq)
	if err != nil || len(list) != 2 || list[0].Handler != "free" || list[1].Handler != "ours" {
		t.Errorf("Deliveries: got %+v, %v", list, err)
	}
	for key, want := range map[string]fault.Code{"ours": "", "stale": fault.NotFound} {
		_, err := s.Event(ctx, key)
		WantCode(t, "the child of "+key, err, want)
	}
	if list, err := s.Cursors(ctx); err != nil || len(list) != 1 || list[0].Name != "handler/ours" {
		t.Errorf("Cursors: got %+v, %v", list, err)
	}
	if _, fenced, err := s.SaveDeliveries(ctx, []spec.Fence{ours}, nil, nil, nil); err != nil || len(fenced) != 0 {
		t.Errorf("saving nothing: got fenced %+v, %v", fenced, err)
	}
}

func backlog(t *testing.T, s bus.Engine) {
	ctx := t.Context()
	check := func(handler string, want event.Backlog) {
		t.Helper()
		got, err := s.LoadBacklog(ctx, handler)
		if err != nil {
			t.Fatal(err)
		}
		var open []uint64
		for _, d := range got.Open {
			if d.Handler != handler {
				t.Errorf("%s has a delivery of %s", handler, d.Handler)
			}
			open = append(open, d.Seq)
		}
		var wantOpen []uint64
		for _, d := range want.Open {
			wantOpen = append(wantOpen, d.Seq)
		}
		if got.Found != want.Found || got.Cursor != want.Cursor || !reflect.DeepEqual(open, wantOpen) ||
			fmt.Sprint(got.Done) != fmt.Sprint(want.Done) {
			t.Errorf("LoadBacklog(%s): got %+v, want %+v", handler, got, want)
		}
	}
	check("a", event.Backlog{})
	outcome := func(handler string, seq uint64, st event.Status) event.Delivery {
		return event.Delivery{Handler: handler, Seq: seq, Status: st, At: time.Unix(1, 0)}
	}
	if _, _, err := s.SaveDeliveries(ctx, nil, nil, []event.Delivery{
		outcome("a", 9, event.StatusOK), outcome("a", 3, event.StatusRetrying), outcome("a", 4, event.StatusOK),
		outcome("a", 8, event.StatusDead),
		outcome("a", 6, event.StatusPending), outcome("a", 7, event.StatusDelivering), outcome("b", 2, event.StatusOK),
	}, []event.Cursor{{Name: "handler/a", Seq: 5}, {Name: "handler/c", Seq: 0}, {Name: "thinned-from/a", Seq: 1},
		{Name: "thinned-to/a", Seq: 2}}); err != nil {
		t.Fatal(err)
	}
	open := func(seqs ...uint64) (list []event.Delivery) {
		for _, seq := range seqs {
			list = append(list, event.Delivery{Seq: seq})
		}
		return list
	}
	check("a", event.Backlog{Found: true, Cursor: 5, Open: open(3, 7), Done: []uint64{8, 9}}) // Redriven has 6
	check("b", event.Backlog{Found: true, Done: []uint64{2}})
	check("c", event.Backlog{Found: true})
	if err := s.ForgetHandler(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	check("a", event.Backlog{})
	for _, name := range []string{"thinned-from/a", "thinned-to/a"} {
		if _, found, err := s.Cursor(ctx, name); found || err != nil {
			t.Errorf("the cursor %s is still there: %v, %v", name, found, err)
		}
	}
	check("b", event.Backlog{Found: true, Done: []uint64{2}})
	if err := s.ForgetHandler(ctx, "never seen"); err != nil {
		t.Error(err)
	}
}

func closing(t *testing.T, s bus.Engine) {
	ctx := t.Context()
	mustAppend(t, s, Make(t, event.Draft{}))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	calls := map[string]func() error{
		"Append":      func() error { _, err := s.Append(ctx, Numbered(t, "k", 1)); return err },
		"Read":        func() error { _, err := s.Read(ctx, 1, 1); return err },
		"Wait":        func() error { return s.Wait(ctx, 1) },
		"Trim":        func() error { _, err := s.Trim(ctx, 5); return err },
		"Cursors":     func() error { _, err := s.Cursors(ctx); return err },
		"Status":      func() error { _, err := s.Status(ctx); return err },
		"Cursor":      func() error { _, _, err := s.Cursor(ctx, "x"); return err },
		"SetCursor":   func() error { return s.SetCursor(ctx, event.Cursor{Name: "x"}) },
		"Event":       func() error { _, err := s.Event(ctx, "x"); return err },
		"Events":      func() error { _, err := s.Events(ctx, event.Query{Limit: 1}); return err },
		"SeqAt":       func() error { _, err := s.SeqAt(ctx, time.Now()); return err },
		"LoadBacklog": func() error { _, err := s.LoadBacklog(ctx, "x"); return err },
		"SaveDeliveries": func() error {
			_, _, err := s.SaveDeliveries(ctx, nil, nil, []event.Delivery{{Handler: "a"}}, nil)
			return err
		},
		"Deliveries": func() error { _, err := s.Deliveries(ctx, 1); return err },
		"Attempts":   func() error { _, err := s.Attempts(ctx, 1); return err },
		"Requeue":    func() error { _, err := s.Requeue(ctx, "x", []uint64{1}); return err },
		"Documents":  func() error { _, err := s.Documents(ctx, "x"); return err },
		"PutDocuments": func() error {
			return s.PutDocuments(ctx, []event.Document{{Kind: "x", ID: "y", Body: "1"}})
		},
		"DeadCounts":    func() error { _, err := s.DeadCounts(ctx); return err },
		"DeadLetters":   func() error { _, _, err := s.DeadLetters(ctx, event.DeadFilter{}, "", 1); return err },
		"Redrive":       func() error { _, err := s.Redrive(ctx, event.DeadFilter{}); return err },
		"Purge":         func() error { _, err := s.Purge(ctx, event.DeadFilter{}); return err },
		"Redriven":      func() error { _, err := s.Redriven(ctx, "x", 0, 1); return err },
		"CountRedriven": func() error { _, err := s.CountRedriven(ctx, "x", 0, 1); return err },
		"StartReplay":   func() error { return s.StartReplay(ctx, "x", 1, 1, time.Now()) },
		"ForgetHandler": func() error { return s.ForgetHandler(ctx, "x") },
	}
	for name, call := range calls {
		WantCode(t, name+" after Close", call(), fault.Unavailable)
	}
	if err := s.Close(); err != nil {
		t.Errorf("the second Close: %v", err)
	}
	if got := s.Last(); got != 1 {
		t.Errorf("Last after Close: got %d, want 1", got)
	}
}

func closingWhileBusy(t *testing.T, s bus.Engine) {
	ctx := t.Context()
	var wg sync.WaitGroup
	until := func(call func() error) {
		wg.Go(func() {
			for {
				if err := call(); err != nil {
					if errors.Is(err, context.Canceled) || !fault.Is(err, fault.Unavailable) {
						t.Errorf("while closing: %v", err)
					}
					return
				}
			}
		})
	}
	var started sync.WaitGroup
	for i := range 4 {
		started.Add(1)
		once := sync.OnceFunc(started.Done)
		n := 0
		until(func() error {
			n++
			_, err := s.Append(ctx, Numbered(t, fmt.Sprintf("%d-%d", i, n), 2))
			if n > 3 {
				once()
			}
			return err
		})
	}
	until(func() error { _, err := s.Read(ctx, 1, 100); return err })
	until(func() error { return s.Wait(ctx, s.Last()) })
	until(func() error { _, err := s.LoadBacklog(ctx, "a"); return err })
	until(func() error { return s.SetCursor(ctx, event.Cursor{Name: "handler/a", Seq: 1}) })
	until(func() error { _, err := s.Trim(ctx, s.Last()); return err })
	started.Wait()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
}
