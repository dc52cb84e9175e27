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

// TestWindowKeepsTheNewest compares the window with a list, for Seqs with and without
// gaps, events of many sizes and one that is larger than the whole window.
func TestWindowKeepsTheNewest(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, gaps := range []int{1, 4} {
		const slots, maxBytes = 7, 4000
		w := NewWindow(WindowConfig{Events: slots, Bytes: maxBytes})
		w.Reset(10)
		seq := uint64(10)
		var all []event.Record
		for range 400 {
			seq += uint64(1 + random.IntN(gaps))
			size := random.IntN(900)
			if random.IntN(30) == 0 {
				size = maxBytes
			}
			rec := recordOf(t, seq, size)
			w.Add([]event.Record{rec})
			all = append(all, rec)
			want := newestOf(all, slots, maxBytes)
			if w.n != len(want) || w.Last() != seq || w.bytes != bytesOf(want) || w.bytes > maxBytes {
				t.Fatalf("after %d: %d events of %d bytes up to %d, want %d of %d", seq, w.n, w.bytes, w.Last(), len(want), bytesOf(want))
			}
			if older := all[:len(all)-len(want)]; len(older) > 0 && w.low != older[len(older)-1].Seq {
				t.Fatalf("low is %d, want %d", w.low, older[len(older)-1].Seq)
			}
			buf := make([]event.Record, slots+1)
			for from := w.low + 1; from <= seq+1; from++ {
				i, _ := slices.BinarySearchFunc(want, from, func(rec event.Record, seq uint64) int { return int(rec.Seq) - int(seq) })
				n := w.copyTo(buf, from)
				if n != len(want)-i || n > 0 && (buf[0].Seq != want[i].Seq || buf[n-1].Seq != want[len(want)-1].Seq) {
					t.Fatalf("from %d of %d events: got %d, want %d", from, len(want), n, len(want)-i)
				}
				if read, ok := w.Read(from, 3); !ok || !slices.Equal(read, want[i:min(i+3, len(want))]) {
					t.Fatalf("Read from %d: got %d events, %v", from, len(read), ok)
				}
			}
		}
	}
}

// newestOf returns the newest events that fit. One that does not fit at all evicts
// all before it.
func newestOf(all []event.Record, slots, maxBytes int) []event.Record {
	for i := len(all) - 1; i >= 0; i-- {
		if newest := all[i:]; len(newest) > slots || bytesOf(newest) > maxBytes {
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

// TestWindowForgetsWhatIsTrimmedOrReset checks from which Seq on the window has events.
func TestWindowForgetsWhatIsTrimmedOrReset(t *testing.T) {
	w := NewWindow(WindowConfig{Events: 5})
	for seq := uint64(1); seq <= 9; seq++ {
		w.Add([]event.Record{recordOf(t, seq, 1)})
	}
	check := func(what string, from, last uint64, want int) {
		t.Helper()
		if _, ok := w.Read(from-1, 10); ok {
			t.Errorf("%s: it has events from %d on", what, from-1)
		}
		if records, ok := w.Read(from, 10); !ok || len(records) != want || want > 0 && records[0].Seq != from || w.Last() != last {
			t.Errorf("%s: got %d events from %d on, %v, Last %d; want %d, Last %d", what, len(records), from, ok, w.Last(), want, last)
		}
	}
	check("full", 5, 9, 5)
	w.Trim(3)
	check("trimmed below it", 5, 9, 5)
	w.Trim(7)
	check("trimmed", 7, 9, 3)
	w.Trim(100)
	check("trimmed to nothing", 10, 9, 0)
	w.Add([]event.Record{recordOf(t, 10, 1)})
	check("the next event", 10, 10, 1)
	w.Reset(12)
	check("reset", 13, 12, 0)
	w.Add([]event.Record{recordOf(t, 13, 1)})
	check("after a reset", 13, 13, 1)
}

func TestDefaultsOfAWindow(t *testing.T) {
	w := NewWindow(WindowConfig{})
	if len(w.slots) != 8192 || w.maxBytes != 67_108_864 {
		t.Errorf("the window has %d slots of %d bytes, want 8192 and 67108864", len(w.slots), w.maxBytes)
	}
	b, err := New(Config{Log: NewMemory(MemoryConfig{}), Window: w})
	if err != nil {
		t.Fatal(err)
	}
	if b.Subscribe(0).next != 1 || b.Subscribe(1).next != 1 || b.Subscribe(2).next != 2 {
		t.Error("a subscription from 0 or 1 begins at 1, and from 2 at 2")
	}
}

// TestDeliveryReplacesTheOneBefore stores a failure over a success, and the other way
// round: an event has one delivery of a handler at a time.
func TestDeliveryReplacesTheOneBefore(t *testing.T) {
	m := NewMemory(MemoryConfig{})
	at := m.now().UTC()
	plain := event.Delivery{Handler: "h", Seq: 1, Status: event.StatusOK, Attempts: 1, At: at, FirstAttempt: at}
	dead := event.Delivery{Handler: "h", Seq: 1, Status: event.StatusDead, Attempts: 5, ErrorClass: event.ClassTrap, At: at}
	if _, err := m.Append(t.Context(), []*event.Event{recordOf(t, 1, 1).Event}); err != nil {
		t.Fatal(err)
	}
	for i, d := range []event.Delivery{plain, dead, plain, dead, dead, plain} {
		if _, _, err := m.SaveDeliveries(t.Context(), nil, nil, []event.Delivery{d}, nil); err != nil {
			t.Fatal(err)
		}
		n := 0
		for range m.of("h").all {
			n++
		}
		if n != 1 {
			t.Fatalf("%d: there are %d deliveries, want 1", i, n)
		}
		got, err := m.Deliveries(t.Context(), 1)
		if err != nil || len(got) != 1 || got[0].Status != d.Status {
			t.Errorf("%d: got %+v, %v, want %s", i, got, err, d.Status)
		}
	}
}
