package sharedtest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

func movedOnce(t *testing.T, one, two bus.Engine) {
	ctx := t.Context()
	var late []*event.Event
	due := time.Now().Add(time.Hour)
	for i := range 20 {
		late = append(late, logtest.Make(t, event.Draft{IdempotencyKey: fmt.Sprint("late-", i), Deferral: event.Deferral{At: due}}))
	}
	_, err := one.Append(ctx, late)
	must(t, err)
	moved := make(chan int)
	for _, s := range []bus.Engine{one, two} {
		go func() {
			total := 0
			for {
				n, next, err := s.MoveDue(ctx, due, 3)
				if total += n; err != nil || next.IsZero() || next.After(due) {
					if err != nil {
						t.Error(err)
					}
					moved <- total
					return
				}
			}
		}()
	}
	if n := <-moved + <-moved; n != len(late) {
		t.Errorf("%d events were moved, want %d", n, len(late))
	}
	st, err := one.Status(ctx)
	must(t, err)
	if st.Events != int64(len(late)) || st.Scheduled != 0 {
		t.Errorf("got %+v", st)
	}
	await(t, two, st.LastSeq)
	if got := len(logtest.ReadAll(t, two, 1, 100)); got != len(late) {
		t.Errorf("%d events are in the log", got)
	}
}

// Cluster is an engine with what changes the owners of its units.
type Cluster struct {
	bus.Engine
	// Take makes the next epoch of a unit the present one, and returns its fence, once the
	// writes under the one before that have begun have ended.
	Take func(t testing.TB, unit string) spec.Fence
}

// RunFenced tests an engine that checks fences. open returns an empty one, and closes it when
// the test ends.
func RunFenced(t *testing.T, open func(t *testing.T) Cluster) {
	t.Run("every write", func(t *testing.T) { everyWrite(t, open(t)) })
	t.Run("fences of outcomes", func(t *testing.T) { fencesOfOutcomes(t, open(t)) })
	t.Run("a take against saves", func(t *testing.T) { takeAgainstSaves(t, open(t)) })
}

// writes calls every writing method of an engine that has the events k-0 to k-4, of which the
// first is a dead letter of the handler h, and a scheduled event late.
func writes(t testing.TB, s bus.Engine) map[string]func(context.Context) error {
	now := time.Now()
	fresh := func() *event.Event { return logtest.Make(t, event.Draft{}) }
	return map[string]func(context.Context) error{
		"Append": func(ctx context.Context) error { _, err := s.Append(ctx, []*event.Event{fresh()}); return err },
		"Append late": func(ctx context.Context) error {
			_, err := s.Append(ctx, []*event.Event{logtest.Make(t, event.Draft{Deferral: event.Deferral{After: time.Hour}})})
			return err
		},
		"Trim":          func(ctx context.Context) error { _, err := s.Trim(ctx, 4); return err },
		"Skip":          func(ctx context.Context) error { _, err := s.Skip(ctx, 2, 2); return err },
		"MoveDue":       func(ctx context.Context) error { _, _, err := s.MoveDue(ctx, now.Add(48*time.Hour), 10); return err },
		"Cancel":        func(ctx context.Context) error { _, err := s.CancelScheduled(ctx, "late"); return err },
		"TrimCancelled": func(ctx context.Context) error { _, err := s.TrimCancelled(ctx, now.Add(time.Hour)); return err },
		"SetCursor":     func(ctx context.Context) error { return s.SetCursor(ctx, event.Cursor{Name: "handler/h", Seq: 4}) },
		"SaveDeliveries": func(ctx context.Context) error {
			_, _, err := s.SaveDeliveries(ctx, nil, nil, []event.Delivery{{Handler: "h", Seq: 3, Status: event.StatusOK, Attempts: 1,
				Children: []*event.Event{fresh()}}}, nil)
			return err
		},
		"ForgetHandler": func(ctx context.Context) error { return s.ForgetHandler(ctx, "h") },
		"Redrive":       func(ctx context.Context) error { _, err := s.Redrive(ctx, event.DeadFilter{Handler: "h"}); return err },
		"Purge":         func(ctx context.Context) error { _, err := s.Purge(ctx, event.DeadFilter{Handler: "h"}); return err },
		"Requeue":       func(ctx context.Context) error { _, err := s.Requeue(ctx, "h", []uint64{1}); return err },
		"StartReplay":   func(ctx context.Context) error { return s.StartReplay(ctx, "h", 1, 2, now) },
		"KVSet":         func(ctx context.Context) error { return s.KVSet(ctx, "p", "key", []byte("2")) },
		"KVCAS":         func(ctx context.Context) error { return s.KVCAS(ctx, "p", "key", []byte("1"), []byte("2")) },
		"KVDelete":      func(ctx context.Context) error { return s.KVDelete(ctx, "p", "key") },
		"KVExpire":      func(ctx context.Context) error { return s.KVExpire(ctx, "p", "key", now.Add(time.Hour)) },
		"KVClear":       func(ctx context.Context) error { return s.KVClear(ctx, "p") },
		"PutDocuments": func(ctx context.Context) error {
			return s.PutDocuments(ctx, []event.Document{{Kind: "k", ID: "i", Body: `{"a":2}`}})
		},
	}
}

// picture is what the engine has, for a comparison.
func picture(t testing.TB, s bus.Engine) []any {
	ctx := t.Context()
	st, err1 := s.Status(ctx)
	cursors, err2 := s.Cursors(ctx)
	backlog, err3 := s.LoadBacklog(ctx, "h")
	dead, err4 := s.DeadCounts(ctx)
	value, _, err5 := s.KVGet(ctx, "p", "key")
	items, err6 := s.KVList(ctx, "p", "", "", 10)
	documents, err7 := s.Documents(ctx, "k")
	later, _, err8 := s.ScheduledEvents(ctx, event.ScheduledQuery{Limit: 10}, "")
	must(t, errors.Join(err1, err2, err3, err4, err5, err6, err7, err8))
	keys := make([]string, len(later))
	for i := range later {
		keys[i] = later[i].Event.Metadata().IdempotencyKey
	}
	return []any{st, cursors, backlog, dead, string(value), items, documents, keys}
}

// everyWrite calls each method in a past epoch, then in the present one.
func everyWrite(t *testing.T, s Cluster) {
	ctx := t.Context()
	_, err := s.Append(ctx, append(logtest.Numbered(t, "k", 5),
		logtest.Make(t, event.Draft{IdempotencyKey: "late", Deferral: event.Deferral{After: time.Hour}})))
	must(t, err)
	_, _, err = s.SaveDeliveries(ctx, nil, nil, []event.Delivery{{Handler: "h", Seq: 1, Status: event.StatusDead, Attempts: 1,
		ErrorClass: event.ClassTrap}}, []event.Cursor{{Name: "handler/h", Seq: 2}})
	must(t, err)
	must(t, s.KVSet(ctx, "p", "key", []byte("1")))
	must(t, s.PutDocuments(ctx, []event.Document{{Kind: "k", ID: "i", Body: `{"a":1}`}}))
	past := s.Take(t, "unit")
	present := s.Take(t, "unit")
	before := picture(t, s)
	for name, write := range writes(t, s) {
		for _, f := range []spec.Fence{past, {Unit: "unit", Epoch: present.Epoch + 1}, {Unit: "never taken", Epoch: 1}} {
			if err := write(spec.WithFence(ctx, f)); !errors.Is(err, spec.ErrFenced) {
				t.Errorf("%s under %+v: got %v, want ErrFenced", name, f, err)
			}
		}
		if after := picture(t, s); !reflect.DeepEqual(after, before) {
			t.Fatalf("%s changed %+v to %+v", name, before, after)
		}
	}
	for name, write := range writes(t, s) {
		if err := write(spec.WithFence(ctx, present)); errors.Is(err, spec.ErrFenced) {
			t.Errorf("%s in the present epoch: got %v", name, err)
		}
	}
}

// fencesOfOutcomes saves the outcomes of a handler that is owned and of one that is not.
func fencesOfOutcomes(t *testing.T, s Cluster) {
	ctx := t.Context()
	_, err := s.Append(ctx, logtest.Numbered(t, "k", 4))
	must(t, err)
	lost, _, owned := s.Take(t, "lost"), s.Take(t, "lost"), s.Take(t, "owned")
	child := func(key string) []*event.Event {
		return []*event.Event{logtest.Make(t, event.Draft{IdempotencyKey: key})}
	}
	saved, fenced, err := s.SaveDeliveries(ctx, []spec.Fence{owned, lost},
		[]event.Successes{{Handler: "lost", List: []event.SuccessAt{{Seq: 2}}}, {Handler: "owned", List: []event.SuccessAt{{Seq: 2}}}},
		[]event.Delivery{
			{Handler: "lost", Seq: 1, Status: event.StatusOK, Attempts: 2, Children: child("of lost")},
			{Handler: "owned", Seq: 1, Status: event.StatusOK, Attempts: 2, Children: child("of owned")},
		},
		[]event.Cursor{{Name: "handler/lost", Seq: 2}, {Name: "handler/owned", Seq: 2}})
	if err != nil || len(fenced) != 1 || fenced[0] != lost || len(saved.Refused) != 0 {
		t.Fatalf("got %+v, %+v, %v", saved, fenced, err)
	}
	for seq := uint64(1); seq <= 2; seq++ {
		if list, err := s.Deliveries(ctx, seq); err != nil || len(list) != 1 || list[0].Handler != "owned" {
			t.Errorf("event %d: got %+v, %v", seq, list, err)
		}
	}
	if _, err := s.Event(ctx, "of owned"); err != nil {
		t.Error(err)
	}
	if rec, err := s.Event(ctx, "of lost"); err == nil {
		t.Errorf("a child of a fenced handler: %+v", rec)
	}
	if b, err := s.LoadBacklog(ctx, "lost"); err != nil || b.Found {
		t.Errorf("the backlog of a fenced handler: %+v, %v", b, err)
	}
}

// takeAgainstSaves takes a unit again and again while its owner saves outcomes. What is stored
// of an epoch is stored before the take of the next one has returned: the backlog that is
// loaded then has everything that the former owner will ever have stored.
func takeAgainstSaves(t *testing.T, s Cluster) {
	ctx := t.Context()
	const rounds, each = 12, 20
	_, err := s.Append(ctx, logtest.Numbered(t, "k", rounds*each))
	must(t, err)
	fence := s.Take(t, "h")
	next := uint64(1)
	for range rounds {
		first := make(chan struct{})
		ended := make(chan uint64)
		go func(f spec.Fence, from uint64) {
			stored := from - 1
			for seq := from; seq < from+each; seq++ {
				_, fenced, err := s.SaveDeliveries(ctx, []spec.Fence{f}, nil, []event.Delivery{{Handler: "h", Seq: seq, Status: event.StatusOK,
					Attempts: 1, Result: `1`}}, []event.Cursor{{Name: "handler/h", Seq: seq}})
				if err != nil {
					t.Error(err)
				}
				if seq == from {
					close(first)
				}
				if err != nil || len(fenced) > 0 {
					break
				}
				stored = seq
			}
			ended <- stored
		}(fence, next)
		<-first
		fence = s.Take(t, "h")
		backlog, err := s.LoadBacklog(ctx, "h")
		must(t, err)
		if stored := <-ended; stored != backlog.Cursor {
			t.Fatalf("the former owner stored up to %d, the next one loaded %d", stored, backlog.Cursor)
		}
		next = backlog.Cursor + 1
	}
}
