package fair_test

import (
	"runtime"
	"testing"

	"github.com/berth-host/berth/host/delivery/fair"
)

func always(fair.Group) bool { return true }

// TestKeptEventsOfManyBlocks: Seqs with gaps of any size are found, skipped and taken in order.
func TestKeptEventsOfManyBlocks(t *testing.T) {
	for name, gap := range map[string]uint64{"adjacent": 1, "wide": 1 << 20, "wider than a block": 1<<30 + 1, "widest": 1 << 40} {
		t.Run(name, func(t *testing.T) {
			q := fair.New[int](&fair.Policy{})
			g := q.Group("a")
			q.Opened(g)
			const events = 3000
			for i := range uint64(events) {
				q.Keep(g, i%7, 5+i*gap)
			}
			if q.Live() != events || q.First() != 5 || !q.Has(5+2999*gap) || q.Has(6+2999*gap) || q.Has(4) {
				t.Fatalf("%d are kept from %d on", q.Live(), q.First())
			}
			for i := uint64(1); i < events; i += 2 {
				if seq := 5 + i*gap; !q.Skip(seq) || q.Skip(seq) || q.Has(seq) {
					t.Fatalf("%d was not skipped once", seq)
				}
			}
			for i := uint64(0); i < events; i += 2 {
				n, from, _, ok := q.Starved(always, 1)
				if seq := 5 + i*gap; !ok || n != g || from != seq {
					t.Fatalf("got %d of %d, %v; want %d", from, n, ok, seq)
				}
				if next, ok := q.Next(from); !ok || next != g {
					t.Fatalf("%d is not the next one", from)
				}
				q.Take(n)
				if first := q.First(); first != from {
					t.Fatalf("the cursor may pass %d, which is open: the first is %d", from, first)
				}
				q.Recorded(from)
				q.Fed(n, from, func(uint64) bool { return true })
			}
			if q.Live() != 0 || q.First() != 0 || q.Entries() != 0 || q.Behind(g, 3) {
				t.Errorf("%d are kept, and %d are in memory from %d on", q.Live(), q.Entries(), q.First())
			}
		})
	}
}

// TestKeyWaitsBehindItsKeptEvents: an event of a key waits behind the kept ones of that key, also
// if its value is another one.
func TestKeyWaitsBehindItsKeptEvents(t *testing.T) {
	q := fair.New[int](&fair.Policy{})
	a, b := q.Group("a"), q.Group("b")
	q.Opened(a)
	q.Opened(b)
	q.Keep(a, 7, 1)
	if !q.Behind(a, 9) || !q.Behind(b, 7) || q.Behind(b, 9) || q.Behind(b, 0) {
		t.Error("it does not say which events have to be kept")
	}
	q.Keep(b, 7, 2)
	if n, ok := q.Next(1); !ok || n != a {
		t.Errorf("the next one is of group %d, %v", n, ok)
	}
	if _, ok := q.Next(2); ok {
		t.Error("the second event of the key is the next one, before the first")
	}
	q.Take(a)
	if n, ok := q.Next(2); !ok || n != a {
		t.Errorf("the next one is of group %d, %v", n, ok)
	}
	q.Take(a)
	if q.Behind(b, 7) {
		t.Error("nothing of the key is kept, and its events still are")
	}
}

// TestTrimmedEventsAreForgotten: kept events that the log does not have any more hold nothing.
func TestTrimmedEventsAreForgotten(t *testing.T) {
	q := fair.New[int](&fair.Policy{})
	for seq := range uint64(10) {
		q.Keep(q.Group("a"), 0, seq+1)
	}
	n, from, count, ok := q.Starved(always, 4)
	if !ok || from != 1 || count != 4 {
		t.Fatalf("got %d from %d, %v", count, from, ok)
	}
	q.Fed(n, 8, func(seq uint64) bool { return seq == 7 })
	if q.Live() != 4 || q.First() != 7 {
		t.Errorf("%d are kept from %d on, want 4 from 7 on", q.Live(), q.First())
	}
}

// TestRegroupKeepsOrder: under another policy the kept events are one group, in the order of
// the log, and those of a key stay together.
func TestRegroupKeepsOrder(t *testing.T) {
	q := fair.New[int](&fair.Policy{By: "/a"})
	for seq := uint64(1); seq <= 9; seq++ {
		q.Keep(q.Group(string(rune('a'+seq%3))), seq, seq)
	}
	q.Skip(4)
	q = q.Regroup(&fair.Policy{By: "/b"})
	if q.Live() != 8 || q.First() != 1 || !q.Behind(q.Group("x"), 3) {
		t.Errorf("%d are kept from %d on", q.Live(), q.First())
	}
	for _, seq := range []uint64{1, 2, 3, 5, 6, 7, 8, 9} {
		n, ok := q.Next(seq)
		if !ok || n != fair.Shared {
			t.Fatalf("%d is of group %d, %v", seq, n, ok)
		}
		q.Take(n)
	}
}

// TestMillionKeptEvents bounds the memory of as many events as a handler keeps.
func TestMillionKeptEvents(t *testing.T) {
	const events = 1_000_000
	for name, tt := range map[string]struct{ keys, bytes uint64 }{
		"without keys": {1, 15 << 20}, "1,000 keys": {1000, 15 << 20}, "a key each": {events, 40 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			before := heap()
			q := fair.New[int](&fair.Policy{})
			for i := range uint64(events) {
				lane := i % tt.keys
				q.Keep(q.Group("a"), lane*0x9e3779b97f4a7c15, i+1)
			}
			grown := heap() - before
			if q.Live() != events || grown > tt.bytes {
				t.Errorf("%d events take %d bytes, want at most %d", q.Live(), grown, tt.bytes)
			}
			t.Logf("%.1f bytes an event", float64(grown)/events)
			runtime.KeepAlive(q)
		})
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
