package delivery_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/delivery/fair"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// bySubjects shares events among the values of their subject.
func bySubjects(window int) *fair.Policy {
	return &fair.Policy{By: "/metadata/subject", Value: bySubject, Window: window}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(testTimeout); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
		<-time.After(50 * time.Microsecond)
	}
}

// TestBurstDelaysNoOtherValue: while one tenant has 100,000 events waiting, an event of another
// tenant starts before 100 more of the first one, and each event is delivered once.
func TestBurstDelaysNoOtherValue(t *testing.T) {
	const burst = 100_000
	f := setUp(t)
	for range burst {
		f.log.publish(t, "first")
	}
	f.store.cursors["handler/h"] = 0
	h := f.open(t, "h", delivery.Policy{Fair: bySubjects(0)})
	gate, second := make(chan struct{}), make(chan struct{})
	var mu sync.Mutex
	delivered := make(map[uint64]int)
	stop := workLeases(h, 4, func(a event.Attempt) event.Outcome {
		if a.Event.Subject() == "second" {
			close(second)
		} else {
			<-gate
		}
		mu.Lock()
		defer mu.Unlock()
		delivered[a.Seq]++
		return event.Outcome{}
	})
	defer stop()
	eventually(t, "all events are read", func() bool { return h.Stats().Open == burst })
	kept := h.Kept()
	if kept < burst-4096 {
		t.Errorf("%d of %d events are kept by their Seqs", kept, burst)
	}
	f.log.publish(t, "second")
	eventually(t, "the other event is read, and not only its Seq kept", func() bool { return h.Stats().Open == burst+1 && h.Kept() <= kept })
	more, started := 0, false
	for !started {
		select {
		case gate <- struct{}{}:
			more++
		case <-second:
			started = true
		}
	}
	if more >= 100 {
		t.Errorf("the other tenant's event started after %d more of the first one", more)
	}
	t.Logf("the other tenant's event started after %d more of the first one", more)
	close(gate)
	eventually(t, "all events are delivered", func() bool { return h.Stats().Lag == 0 })
	mu.Lock()
	defer mu.Unlock()
	for seq := range uint64(burst + 1) {
		if delivered[seq+1] != 1 {
			t.Fatalf("event %d was delivered %d times", seq+1, delivered[seq+1])
		}
	}
}

// TestKeptEventsAreOpen: events that are kept by their Seqs are pending, count as open and as
// lag, hold the cursor, can be skipped and replayed, and survive a restart.
func TestKeptEventsAreOpen(t *testing.T) {
	m := onMemory(t)
	policy := delivery.Policy{Fair: bySubjects(1), Paused: true}
	h, stop := m.open("h", policy)
	for range 10 {
		m.publish("a")
	}
	eventually(t, "the events are read", func() bool { return h.Stats().Open == 10 && h.Kept() == 9 })
	ctx := context.Background()
	pending := func(seq uint64) string {
		records, err := m.engine.Memory.Read(ctx, seq, 1)
		if err != nil {
			t.Fatal(err)
		}
		list, err := m.d.Deliveries(ctx, records[0])
		if err != nil || len(list) != 1 || list[0].WaitingFor == nil {
			return "none"
		}
		return list[0].Status + " " + list[0].WaitingFor.Kind
	}
	if got := pending(7); got != "pending pause" {
		t.Errorf("a kept event is %s", got)
	}
	if err := m.d.SkipEvent(ctx, "h", 5); err != nil {
		t.Fatal(err)
	}
	if err := m.d.SkipEvent(ctx, "h", 5); !fault.Is(err, fault.Conflict) {
		t.Errorf("a second skip: got %v", err)
	}
	if s := h.Stats(); s.Open != 9 || s.Lag != 9 {
		t.Errorf("after a skip %d are open, and the lag is %d", s.Open, s.Lag)
	}
	if oldest := oldest(t, m.d); oldest != 1 {
		t.Errorf("the oldest open event is %d", oldest)
	}
	stop()
	if err := h.Close(ctx); err != nil {
		t.Fatal(err)
	}
	h, stop = m.open("h", policy)
	eventually(t, "the events are read again", func() bool { return h.Stats().Open == 9 })
	if err := m.d.Replay(ctx, "h", 4, 6); err != nil { // the skipped one too
		t.Fatal(err)
	}
	eventually(t, "the replay is read", func() bool { return h.Stats().Lag >= 7 })
	policy.Paused, policy.Key = false, bySubject
	h.Update(policy)
	eventually(t, "everything is delivered", func() bool { return h.Stats().Lag == 0 })
	stop()
	m.mu.Lock()
	defer m.mu.Unlock()
	if got := m.seen["h"]; !slices.IsSorted(got) || !slices.Contains(got, 5) || len(got) < 7 {
		t.Errorf("delivered were %d", got)
	}
}

// TestKeptEventsAreReadWhenSharedLater: events are shared from an update on, and what reads kept
// events again ends when there are none.
func TestKeptEventsAreReadWhenSharedLater(t *testing.T) {
	m := onMemory(t)
	policy := delivery.Policy{Key: bySubject, Paused: true}
	h, stop := m.open("h", policy)
	defer stop()
	for range 5 {
		m.publish("a")
	}
	eventually(t, "the events are read", func() bool { return h.Stats().Open == 5 })
	policy.Fair = bySubjects(1)
	h.Update(policy)
	for range 10 {
		m.publish("a")
		m.publish("b")
	}
	eventually(t, "the others are kept", func() bool { return h.Stats().Open == 25 && h.Kept() == 19 })
	policy.Paused = false
	h.Update(policy)
	eventually(t, "everything is delivered", func() bool { return h.Stats().Lag == 0 })
	eventually(t, "nothing reads kept events", func() bool { return !h.ReadsKept() })
	m.mu.Lock()
	defer m.mu.Unlock()
	if got := slices.Sorted(slices.Values(m.seen["h"])); len(got) != 25 || len(slices.Compact(got)) != 25 {
		t.Errorf("delivered were %d", got)
	}
}

// TestRetryingKeyDelaysNoOtherKeyOfItsValue: the events behind a retry do not use up the share of
// their value.
func TestRetryingKeyDelaysNoOtherKeyOfItsValue(t *testing.T) {
	f := setUp(t)
	for range 5000 {
		f.log.publish(t, "stuck")
	}
	other := f.log.publish(t, "other")
	f.store.cursors["handler/h"] = 0
	one := &fair.Policy{By: "/one", Value: func(*event.Event) string { return "tenant" }}
	h := f.open(t, "h", delivery.Policy{Key: bySubject, Fair: one, Retry: spec.RetryPolicy{Backoff: time.Hour, MaxBackoff: time.Hour}})
	arrived := make(chan struct{})
	stop := work(h, 2, func(a event.Attempt) event.Outcome {
		if a.Seq == other {
			close(arrived)
		}
		return event.Outcome{Verdict: event.Retry, Class: event.ClassRetry}
	})
	defer stop()
	select {
	case <-arrived:
	case <-time.After(testTimeout):
		t.Fatal("the event of the other key did not start")
	}
}

// sameEvent is a log of one event many times.
type sameEvent struct {
	*log
	count uint64
}

func (l sameEvent) Last() uint64 { return l.count }

func (l sameEvent) Read(_ context.Context, from uint64, limit int) (list []event.Record, err error) {
	for seq := from; seq <= l.count && len(list) < limit; seq++ {
		list = append(list, event.Record{Seq: seq, Event: l.at(1).Event})
	}
	return list, nil
}

func (l sameEvent) Subscribe(from uint64) delivery.Reader { return &sameReader{l, from} }

type sameReader struct {
	sameEvent
	next uint64
}

func (r *sameReader) Next(ctx context.Context, buf []event.Record) (int, error) {
	list, err := r.Read(ctx, r.next, len(buf))
	if r.next += uint64(len(list)); len(list) == 0 {
		<-ctx.Done()
		err = ctx.Err()
	}
	return copy(buf, list), err
}

func (r *sameReader) Close() {}

// TestReaderStopsAtMillionKeptEvents: then it waits until some of them are delivered.
func TestReaderStopsAtMillionKeptEvents(t *testing.T) {
	const total = 1_050_000
	l := sameEvent{newLog(), total}
	l.publish(t, "a")
	s := newStore()
	s.cursors["handler/h"] = 0
	d := delivery.New(delivery.Config{Store: s, Log: l})
	defer d.Close(context.Background())
	policy := delivery.Policy{Fair: bySubjects(0), Paused: true}
	h := open(t, d, "h", policy)
	eventually(t, "the reader stops", h.ReaderFull)
	if kept := h.Kept(); kept > 1_000_000 || kept < 990_000 {
		t.Errorf("%d events are kept", kept)
	}
	if lag := h.Stats().Lag; lag != total {
		t.Errorf("the lag is %d, want %d", lag, total)
	}
	policy.Paused = false
	h.Update(policy)
	stop := workLeases(h, 2, ok)
	defer stop()
	eventually(t, "the reader has read everything", func() bool { return h.Stats().Lag < total-100_000 && h.Stats().Lag == h.Stats().Open })
}
