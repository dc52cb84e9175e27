package search_test

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/api/search"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/wire"
)

// largeChildren is a log of an event and what it has caused, each of which is made when it is
// read. At the first look at deliveries it notes the size of the heap.
type largeChildren struct {
	*host
	root event.Record
	heap uint64
}

const (
	childCount = 200
	childSize  = 512 << 10
)

func (l *largeChildren) Read(_ context.Context, from uint64, limit int) (list []event.Record, err error) {
	if from <= l.root.Seq {
		return []event.Record{l.root}, nil
	}
	meta := l.root.Event.Metadata()
	for seq := from; len(list) < limit && seq <= l.root.Seq+childCount; seq++ {
		ev, err := event.New(event.Draft{Type: "t", Subject: "s", CorrelationID: meta.CorrelationID, CausationID: meta.EventID,
			Data: []byte(`"` + strings.Repeat("x", childSize) + `"`)})
		if err != nil {
			return nil, err
		}
		list = append(list, event.Record{Seq: seq, Event: ev})
	}
	return list, nil
}

func (l *largeChildren) Deliveries(context.Context, event.Record) ([]wire.Delivery, error) {
	if l.heap == 0 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		l.heap = m.HeapAlloc
	}
	return nil, nil
}

// TestTreeKeepsNoData: a tree of large events does not need the memory of their data.
func TestTreeKeepsNoData(t *testing.T) {
	l := &largeChildren{host: newHost(t)}
	l.root = l.add(event.Draft{Type: "t", CorrelationID: "chain"}, event.Origin{})
	s := &search.Searcher{Log: l, Deliveries: l, DeadLetters: l, Retries: l}
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	tree, err := s.Tree(t.Context(), l.root, time.Time{})
	if err != nil || len(tree.Root.Children) == 0 {
		t.Fatalf("got %d children, %v", len(tree.Root.Children), err)
	}
	if all := uint64(len(tree.Root.Children)) * childSize; l.heap > before.HeapAlloc+all/4 {
		t.Errorf("the heap has %d bytes more for %d events of %d bytes", l.heap-before.HeapAlloc, len(tree.Root.Children), childSize)
	}
}

// later is a schedule with pages of two events.
type later []event.Scheduled

func (l later) ScheduledEvents(_ context.Context, _ event.ScheduledQuery, cursor string) (list []event.Scheduled, next string, err error) {
	if cursor != "" {
		return l[2:], "", nil
	}
	return l[:2], "more", nil
}

// TestTreeHasEventsThatAreNotDueYet: they are below the event that has caused them, and can be
// asked for.
func TestTreeHasEventsThatAreNotDueYet(t *testing.T) {
	h := newHost(t)
	root := h.add(event.Draft{Type: "root", CorrelationID: "chain"}, event.Origin{})
	child := h.add(event.Draft{Type: "child", CorrelationID: "chain", CausationID: root.Event.ID()}, event.Origin{})
	var schedule later
	for i, d := range []event.Draft{{Type: "below_child", CorrelationID: "chain", CausationID: child.Event.ID()},
		{Type: "other", CorrelationID: "another", CausationID: "x"}, {Type: "below_root", CorrelationID: "chain", CausationID: root.Event.ID()}} {
		ev, err := event.New(d)
		if err != nil {
			t.Fatal(err)
		}
		schedule = append(schedule, event.Scheduled{Event: ev, Due: start().Add(time.Duration(i+1) * time.Hour)})
	}
	s := h.searcher()
	s.Schedule = schedule
	for name, from := range map[string]struct {
		rec event.Record
		due time.Time
	}{"the root": {root, time.Time{}}, "the child": {child, time.Time{}}, "one that is not due": {event.Record{Event: schedule[2].Event}, schedule[2].Due}} {
		tree, err := s.Tree(t.Context(), from.rec, from.due)
		var got []string
		var note func(n wire.EventNode, depth int)
		note = func(n wire.EventNode, depth int) {
			due := ""
			if n.DueAt != nil {
				due = n.DueAt.Sub(start()).String()
			}
			if (n.Seq == 0) != (n.DueAt != nil) || (n.DueAt != nil) == (n.DeliveryCounts != nil) {
				t.Errorf("%s: got %+v", name, n)
			}
			got = append(got, strings.Repeat(" ", depth)+n.EventType+due)
			for _, below := range n.Children {
				note(below, depth+1)
			}
		}
		note(tree.Root, 0)
		want := []string{"root", " child", "  below_child1h0m0s", " below_root3h0m0s"}
		if name == "one that is not due" { // the way to it comes first
			want = []string{"root", " below_root3h0m0s", " child", "  below_child1h0m0s"}
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") || tree.Truncated || err != nil {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	alone := event.Record{Event: schedule[1].Event}
	if tree, err := s.Tree(t.Context(), alone, schedule[1].Due); err != nil || tree.Root.DueAt == nil || len(tree.Root.Children) > 0 {
		t.Errorf("one without a cause: got %+v, %v", tree, err)
	}
	s.MaxExamined = 3 // the rest of the schedule is not examined
	if tree, err := s.Tree(t.Context(), root, time.Time{}); err != nil || !tree.Truncated {
		t.Errorf("with a bound: got %+v, %v", tree, err)
	}
}
