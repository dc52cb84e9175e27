package bus

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/event"
)

func recordOf(t *testing.T, seq uint64, size int) event.Record {
	t.Helper()
	ev, err := event.New(event.Draft{Type: "t", Data: []byte(`"` + strings.Repeat("x", size) + `"`)})
	if err != nil {
		t.Fatal(err)
	}
	return event.Record{Seq: seq, Event: ev}
}

// TestRingHoldsTheNewest compares the ring with a list, for Seqs with and without
// gaps, events of many sizes and one that is larger than the ring may be.
func TestRingHoldsTheNewest(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, gaps := range []int{1, 4} {
		var r ring
		const slots, maxBytes = 7, 4000
		r.init(slots, maxBytes, 10)
		seq := uint64(10)
		var all []event.Record
		for range 400 {
			seq += uint64(1 + random.IntN(gaps))
			size := random.IntN(900)
			if random.IntN(30) == 0 {
				size = maxBytes
			}
			rec := recordOf(t, seq, size)
			r.add([]event.Record{rec})
			all = append(all, rec)
			want := newestOf(all, slots, maxBytes)
			if r.n != len(want) || r.high != seq || r.bytes != bytesOf(want) || r.bytes > maxBytes {
				t.Fatalf("after %d: %d events of %d bytes up to %d, want %d of %d", seq, r.n, r.bytes, r.high, len(want), bytesOf(want))
			}
			if older := all[:len(all)-len(want)]; len(older) > 0 && r.low != older[len(older)-1].Seq {
				t.Fatalf("low is %d, want %d", r.low, older[len(older)-1].Seq)
			}
			buf := make([]event.Record, slots+1)
			for from := r.low + 1; from <= seq+1; from++ {
				i, _ := slices.BinarySearchFunc(want, from, func(rec event.Record, seq uint64) int { return int(rec.Seq) - int(seq) })
				n := r.copyTo(buf, from)
				if n != len(want)-i || n > 0 && (buf[0].Seq != want[i].Seq || buf[n-1].Seq != want[len(want)-1].Seq) {
					t.Fatalf("from %d of %d events: got %d, want %d", from, len(want), n, len(want)-i)
				}
			}
		}
	}
}

// newestOf are the newest events that fit. One that does not fit at all takes the
// place of all before it.
func newestOf(all []event.Record, slots, maxBytes int) []event.Record {
	for i := len(all) - 1; i >= 0; i-- {
		if rest := all[i:]; len(rest) > slots || bytesOf(rest) > maxBytes {
			return all[i+1:]
		}
	}
	return all
}

func bytesOf(records []event.Record) (n int) {
	for _, rec := range records {
		n += len(rec.Event.Envelope())
	}
	return n
}

func TestDefaultsOfABus(t *testing.T) {
	b, err := New(Config{Log: NewMemory(MemoryConfig{})})
	if err != nil {
		t.Fatal(err)
	}
	if len(b.ring.slots) != 8192 || b.ring.maxBytes != 67_108_864 {
		t.Errorf("the ring has %d slots of %d bytes, want 8192 and 67108864", len(b.ring.slots), b.ring.maxBytes)
	}
	if b.Subscribe(0).next != 1 || b.Subscribe(1).next != 1 || b.Subscribe(2).next != 2 {
		t.Error("a subscription from 0 or 1 begins at 1, and from 2 at 2")
	}
}

// TestRowTakesThePlaceOfAPlainOne stores a failure where a success was, and the
// other way round: there is one row of an event at a time.
func TestRowTakesThePlaceOfAPlainOne(t *testing.T) {
	m := NewMemory(MemoryConfig{})
	at := m.now().UTC()
	plain := event.Delivery{Handler: "h", Seq: 1, Status: event.StatusOK, Attempts: 1, At: at, FirstAttempt: at}
	dead := event.Delivery{Handler: "h", Seq: 1, Status: event.StatusDead, Attempts: 5, ErrorClass: event.ClassTrap, At: at}
	if _, err := m.Append(t.Context(), []*event.Event{recordOf(t, 1, 1).Event}); err != nil {
		t.Fatal(err)
	}
	for i, d := range []event.Delivery{plain, dead, plain, dead, dead, plain} {
		if _, err := m.SaveDeliveries(t.Context(), []event.Delivery{d}, nil); err != nil {
			t.Fatal(err)
		}
		if n := m.rows["h"].len(); n != 1 {
			t.Fatalf("%d: there are %d rows, want 1", i, n)
		}
		rows, err := m.Deliveries(t.Context(), 1)
		if err != nil || len(rows) != 1 || rows[0].Status != d.Status {
			t.Errorf("%d: got %+v, %v, want %s", i, rows, err, d.Status)
		}
	}
}
