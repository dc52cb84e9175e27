package search_test

import (
	"context"
	"runtime"
	"strings"
	"testing"

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
	tree, err := s.Tree(t.Context(), l.root)
	if err != nil || len(tree.Root.Children) == 0 {
		t.Fatalf("got %d children, %v", len(tree.Root.Children), err)
	}
	if all := uint64(len(tree.Root.Children)) * childSize; l.heap > before.HeapAlloc+all/4 {
		t.Errorf("the heap has %d bytes more for %d events of %d bytes", l.heap-before.HeapAlloc, len(tree.Root.Children), childSize)
	}
}
