package outcomes

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// listModel is what a List has to have: each outcome as a delivery, oldest first, and the
// source of those in full form.
type listModel struct {
	list       List[int]
	deliveries []event.Delivery
	sources    map[int]int // by index in deliveries
	bytes      int
	next       uint64
}

func (m *listModel) success(t *rapid.T) (s event.Success, result string) {
	s = event.Success{At: noon.Add(time.Duration(m.next) * time.Second), Duration: time.Millisecond, Fuel: m.next}
	return s, rapid.SampledFrom([]string{"", `"a"`, `{"b":1}`}).Draw(t, "result")
}

func (m *listModel) succeeded(s event.Success, digest, result string) {
	m.deliveries = append(m.deliveries, s.Delivery("h", m.next, digest, result))
	m.bytes += len(result)
	m.next++
}

func (m *listModel) step(t *rapid.T) {
	digest := rapid.SampledFrom([]string{"", "aa", "bb", "cc"}).Draw(t, "digest")
	switch rapid.SampledFrom([]string{"success", "success", "successes", "full", "full", "clear"}).Draw(t, "step") {
	case "success":
		s, result := m.success(t)
		m.list.AddSuccess("h", digest, m.next, s, []byte(result))
		m.succeeded(s, digest, result)
	case "successes":
		var done event.Successes
		for range rapid.IntRange(1, 4).Draw(t, "successes") {
			s, result := m.success(t)
			done.Append(m.next, s, []byte(result))
			m.succeeded(s, digest, result)
		}
		m.list.AddSuccesses("h", digest, &done)
	case "full":
		d := event.Delivery{Handler: "h", Seq: m.next, Attempts: 1, SHA256: digest, At: noon.Add(time.Duration(len(m.deliveries)) * time.Second),
			Status: event.StatusRetrying, ErrorClass: event.ClassTrap, Logs: []spec.GuestLine{{Message: "line"}}}
		size := 4 + spec.GuestLineSize
		if rapid.Bool().Draw(t, "parent") {
			child, err := event.New(event.Draft{Type: "child", Data: json.RawMessage(`1`)})
			if err != nil {
				t.Fatal(err)
			}
			d.Status, d.ErrorClass, d.Result, d.Logs, d.Children = event.StatusOK, "", `"r"`, nil, []*event.Event{child, child}
			size = len(d.Result) + 2*len(child.Envelope())
		}
		if d.Status == event.StatusOK && rapid.Bool().Draw(t, "effects") {
			d.Effects = &event.Effects{Writes: []event.EffectWrite{{Key: "k", Value: []byte("value")}}}
			size += d.Effects.Size()
			if last := len(m.deliveries) - 1; last >= 0 && m.deliveries[last].Effects != nil && rapid.Bool().Draw(t, "of one batch") {
				size -= d.Effects.Size()
				d.Effects = m.deliveries[last].Effects
			}
		}
		if rapid.Bool().Draw(t, "again") { // the next attempt has the same Seq
			for i := range m.deliveries {
				if _, full := m.sources[i]; full {
					d.Seq, d.Attempts = m.deliveries[i].Seq, 2
				}
			}
		}
		m.next++
		m.sources[len(m.deliveries)] = int(m.next)
		m.deliveries = append(m.deliveries, d)
		if got := m.list.Add(&d, int(m.next)); got != size {
			t.Fatalf("its size is %d, want %d", got, size)
		}
		m.bytes += size
	case "clear":
		m.list.Clear()
		m.deliveries, m.sources, m.bytes = nil, make(map[int]int), 0
	}
}

// check compares everything that a List shows with the model.
func (m *listModel) check(t *rapid.T) {
	if m.list.Len() != len(m.deliveries) || m.list.Bytes() != m.bytes {
		t.Fatalf("it has %d outcomes of %d bytes, want %d of %d", m.list.Len(), m.list.Bytes(), len(m.deliveries), m.bytes)
	}
	newest, seqs, past := make(map[uint64]string), []uint64{}, make(map[uint64]int)
	var refusable []string
	for i, d := range m.deliveries {
		newest[d.Seq] = show(d)
		seqs = append(seqs, d.Seq)
		if _, kept := d.Past(); kept && d.Effects == nil {
			past[d.Seq]++
		}
		if len(d.Children) > 0 || d.Effects != nil {
			refusable = append(refusable, fmt.Sprint(show(d), m.sources[i]))
		}
	}
	for seq := range m.next + 1 {
		d, found := m.list.Find(seq)
		if want, has := newest[seq]; found != has || found && show(d) != want {
			t.Fatalf("of %d it finds %s (%v), want %s", seq, show(d), found, want)
		}
		if got := m.list.Past(seq, nil); len(got) != past[seq] {
			t.Fatalf("of %d it has %d attempts that are kept, want %d", seq, len(got), past[seq])
		}
	}
	if got := slices.Sorted(m.list.Seqs); !slices.Equal(got, slices.Sorted(slices.Values(seqs))) {
		t.Fatalf("Seqs %v, want %v", got, seqs)
	}
	var got []string
	for p := range m.list.Refusable {
		got = append(got, fmt.Sprint(show(*p.Delivery), p.Source))
	}
	if !slices.Equal(got, refusable) {
		t.Fatalf("those that can be refused are %v, want %v", got, refusable)
	}
	m.checkWrite(t)
}

// checkWrite checks that a write has each outcome once, the compact ones by module.
func (m *listModel) checkWrite(t *rapid.T) {
	successes, full := m.list.AppendTo(nil, nil)
	digests, count := make(map[string]bool), make(map[string]int)
	for i := range successes {
		if digests[successes[i].Digest] || len(successes[i].List) == 0 {
			t.Fatalf("successes of %q are empty, or there twice", successes[i].Digest)
		}
		digests[successes[i].Digest] = true
		for j := range successes[i].List {
			count[show(successes[i].Delivery(j))]++
		}
	}
	for _, d := range full {
		count[show(d)]++
	}
	want := make(map[string]int)
	for _, d := range m.deliveries {
		want[show(d)]++
	}
	if !maps.Equal(count, want) {
		t.Fatalf("the write has %v, want %v", count, want)
	}
}

func show(d event.Delivery) string {
	return fmt.Sprintf("%s %d %s %q %d %s %s %d", d.Handler, d.Seq, d.Status, d.Result, d.Attempts, d.SHA256, d.At.Format(time.TimeOnly), len(d.Children))
}

// TestListHasEachOutcomeOnce compares a List with a plain list of deliveries.
func TestListHasEachOutcomeOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &listModel{sources: make(map[int]int)}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			m.step(t)
			m.check(t)
		}
	})
}

// TestClearKeepsWhatIsWritten: the recorder may still show the successes of a list that is
// cleared; large memory for results is not kept.
func TestClearKeepsWhatIsWritten(t *testing.T) {
	var l List[int]
	l.AddSuccess("h", "aa", 1, event.Success{At: noon}, []byte(`"first"`))
	l.AddSuccess("h", "bb", 2, event.Success{At: noon}, make([]byte, MaxResults+1))
	written, _ := l.AppendTo(nil, nil)
	l.Clear()
	if got := written[0].Delivery(0); got.Seq != 1 || got.Result != `"first"` || len(written[1].Delivery(0).Result) != MaxResults+1 {
		t.Errorf("got %+v, and %d bytes", got, len(written[1].Delivery(0).Result))
	}
	if l.successes[0].Results == nil || l.successes[1].Results != nil {
		t.Errorf("it keeps memory of %d and %d bytes", cap(l.successes[0].Results), cap(l.successes[1].Results))
	}
}

// TestAddingAllocatesNothing: a list that was filled before has the memory.
func TestAddingAllocatesNothing(t *testing.T) {
	var l List[*int]
	var done event.Successes
	done.Append(2, event.Success{At: noon}, []byte(`"b"`))
	result, d, source := []byte(`"a"`), &event.Delivery{Seq: 3}, new(int)
	if n := testing.AllocsPerRun(100, func() {
		l.Clear()
		l.AddSuccess("h", "aa", 1, event.Success{At: noon}, result)
		l.AddSuccesses("h", "bb", &done)
		l.Add(d, source)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
