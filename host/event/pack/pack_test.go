package pack

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/event"
)

// outcomes draws an ascending list: dense or with gaps, of one module or of several,
// with equal, different, empty and large results.
func outcomes(rt *rapid.T) []Outcome {
	digests := []string{"", strings.Repeat("ab", 32), strings.Repeat("0f", 32), "not hexadecimal", "ABCD"}
	kinds := rapid.SliceOfN(rapid.SampledFrom([]string{"", `{"ok":true}`, "number", "noise", "large"}), 1, 3).Draw(rt, "results")
	dense, versions := rapid.Bool().Draw(rt, "dense"), rapid.IntRange(1, len(digests)).Draw(rt, "versions")
	seq := rapid.Uint64Range(0, 1<<40).Draw(rt, "first")
	var list []Outcome
	for i := range rapid.IntRange(1, MaxOutcomes).Draw(rt, "count") {
		if i > 0 {
			seq++
			if !dense {
				seq += rapid.Uint64Range(0, 300).Draw(rt, "gap")
			}
		}
		o := Outcome{
			Seq: seq, At: rapid.Int64().Draw(rt, "at"), Duration: rapid.Int64Range(0, 1<<20).Draw(rt, "duration"),
			Fuel: rapid.Uint64().Draw(rt, "fuel"), Digest: digests[rapid.IntRange(0, versions-1).Draw(rt, "version")],
		}
		switch kind := rapid.SampledFrom(kinds).Draw(rt, "result"); kind {
		case "number":
			o.Result = fmt.Appendf(nil, `{"event":%d}`, i)
		case "noise":
			o.Result = rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(rt, "noise")
		case "large":
			o.Result = bytes.Repeat([]byte{byte(i)}, 20_000)
		default:
			o.Result = []byte(kind)
		}
		list = append(list, o)
	}
	return list[:Cut(list, MaxOutcomes)]
}

func equal(a, b Outcome) bool {
	return a.Seq == b.Seq && a.At == b.At && a.Duration == b.Duration && a.Fuel == b.Fuel && a.Digest == b.Digest && bytes.Equal(a.Result, b.Result)
}

func mustOpen(t interface{ Fatal(...any) }, b []byte) Block {
	block, err := Open(b)
	if err != nil {
		t.Fatal(err)
	}
	return block
}

func TestBlockHasWhatWasEncoded(t *testing.T) {
	var e Encoder // one for all, so that its buffers are used again
	rapid.Check(t, func(rt *rapid.T) {
		list := outcomes(rt)
		prefix := []byte("before")
		encoded := e.Append(bytes.Clone(prefix), list)
		if !bytes.HasPrefix(encoded, prefix) {
			rt.Fatal("Append has changed what was there")
		}
		block := mustOpen(rt, encoded[len(prefix):])
		if block.Len() != len(list) || block.First() != list[0].Seq || block.Last() != list[len(list)-1].Seq || block.Extended() {
			rt.Fatalf("got %d outcomes from %d to %d", block.Len(), block.First(), block.Last())
		}
		got, err := block.AppendTo(nil)
		if err != nil || !slices.EqualFunc(got, list, equal) {
			rt.Fatalf("AppendTo: got %+v, %v, want %+v", got, err, list)
		}
		i := 0
		if err := block.Times(func(seq uint64, at int64) bool {
			if seq != list[i].Seq || at != list[i].At {
				rt.Fatalf("Times: got %d at %d, want %+v", seq, at, list[i])
			}
			i++
			return true
		}); err != nil || i != len(list) {
			rt.Fatalf("Times: %d outcomes, %v", i, err)
		}
		for range 20 {
			i := rapid.IntRange(0, len(list)-1).Draw(rt, "index")
			if o, found, err := block.Find(list[i].Seq); err != nil || !found || !equal(o, list[i]) {
				rt.Fatalf("Find(%d): got %+v, %v, %v, want %+v", list[i].Seq, o, found, err, list[i])
			}
			seq := rapid.Uint64Range(list[0].Seq-min(list[0].Seq, 3), block.Last()+3).Draw(rt, "seq")
			_, want := slices.BinarySearchFunc(list, seq, func(o Outcome, seq uint64) int { return int(int64(o.Seq - seq)) })
			if _, found, err := block.Find(seq); found != want || err != nil {
				rt.Fatalf("Find(%d): got %v, %v, want %v", seq, found, err, want)
			}
		}
	})
}

func TestExtremeNumbers(t *testing.T) {
	list := []Outcome{
		{Seq: 0, At: math.MinInt64, Duration: math.MaxInt64, Fuel: math.MaxUint64},
		{Seq: 1, At: math.MaxInt64, Duration: math.MinInt64, Fuel: 0},
		{Seq: math.MaxUint64, At: math.MinInt64, Duration: -1, Fuel: math.MaxUint64 / 2, Result: bytes.Repeat([]byte{1}, MaxResults)},
	}
	block := mustOpen(t, new(Encoder).Append(nil, list))
	got, err := block.AppendTo(nil)
	if err != nil || !slices.EqualFunc(got, list, equal) {
		t.Errorf("got %v, want what was encoded", err)
	}
}

// TestBytesOfAnOutcome bounds the size of a full block: 12 bytes for each outcome beside
// its result.
func TestBytesOfAnOutcome(t *testing.T) {
	for _, kind := range []string{"empty", "equal", "distinct"} {
		list := sample(kind, MaxOutcomes)
		n := len(new(Encoder).Append(nil, list))
		perOutcome := float64(n) / MaxOutcomes
		t.Logf("%s results: %.1f bytes for each outcome", kind, perOutcome)
		if limit := map[string]float64{"empty": 10, "equal": 10, "distinct": 60}[kind]; perOutcome > limit {
			t.Errorf("%s results: %.1f bytes for each outcome, want at most %g", kind, perOutcome, limit)
		}
	}
}

// sample returns outcomes as a busy handler has them: 70 microseconds apart, of 2 to 20
// microseconds, with two values of fuel.
func sample(kind string, n int) []Outcome {
	list := make([]Outcome, n)
	at, state := int64(1_760_000_000_000_000_000), uint64(88172645463325252)
	random := func(limit uint64) uint64 { // xorshift
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		return state % limit
	}
	for i := range list {
		at += 40_000 + int64(random(60_000))
		list[i] = Outcome{Seq: 1000 + uint64(i), At: at, Duration: 2000 + int64(random(18_000)), Fuel: 900 + 40*random(2), Digest: strings.Repeat("5c", 32)}
		switch kind {
		case "equal":
			list[i].Result = []byte(`{"ok":true,"notified":["mail","sms"]}`)
		case "distinct":
			list[i].Result = fmt.Appendf(nil, `{"order_id":"order-%08d","status":"shipped","total_cents":%06d,"checksum":"%016x","ok":true}`, i, random(1e6), random(math.MaxUint64))
		}
	}
	return list
}

// extend returns a block with one more column of an id.
func extend(b []byte, id byte, content string) []byte {
	r := reader{b: b[1 : len(b)-checksumSize]}
	for range 3 {
		r.required()
	}
	head := len(b) - checksumSize - len(r.b)
	columns := int(r.required())
	tableAt := len(b) - checksumSize - len(r.b)
	for range 2 * columns {
		r.required()
	}
	contentsAt := len(b) - checksumSize - len(r.b)
	out := append(bytes.Clone(b[:head]), byte(columns+1))
	out = append(out, b[tableAt:contentsAt]...)
	out = append(out, id, byte(len(content)))
	out = append(out, b[contentsAt:len(b)-checksumSize]...)
	return sealed(append(out, content...))
}

// sealed appends the checksum.
func sealed(b []byte) []byte { return binary.LittleEndian.AppendUint32(bytes.Clone(b), checksum(b)) }

func TestUnknownColumnsAreIgnoredAndReported(t *testing.T) {
	list := sample("distinct", 20)
	block := mustOpen(t, extend(new(Encoder).Append(nil, list), columnsEnd+3, "of a later version"))
	got, err := block.AppendTo(nil)
	if err != nil || !slices.EqualFunc(got, list, equal) || !block.Extended() {
		t.Errorf("got %d outcomes, %v, extended %v", len(got), err, block.Extended())
	}
	if o, found, err := block.Find(list[7].Seq); err != nil || !found || !equal(o, list[7]) {
		t.Errorf("Find: got %+v, %v, %v", o, found, err)
	}
}

func TestNewerFormatIsRefused(t *testing.T) {
	b := new(Encoder).Append(nil, sample("equal", 3))
	b[0] = version + 1
	if _, err := Open(sealed(b[:len(b)-checksumSize])); !errors.Is(err, ErrNewer) {
		t.Errorf("got %v, want ErrNewer", err)
	}
}

// TestDamageIsDetected changes every byte, and cuts the block at every length.
func TestDamageIsDetected(t *testing.T) {
	b := new(Encoder).Append(nil, sample("distinct", 40))
	for i := range b {
		for _, flip := range []byte{1, 0x80, 0xff} {
			changed := bytes.Clone(b)
			changed[i] ^= flip
			if _, err := Open(changed); !errors.Is(err, ErrDamaged) {
				t.Fatalf("byte %d changed: got %v, want ErrDamaged", i, err)
			}
		}
		if _, err := Open(b[:i]); !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut at %d: got %v, want ErrDamaged", i, err)
		}
	}
}

// TestHostileHeaders has blocks with the right checksum.
func TestHostileHeaders(t *testing.T) {
	for name, b := range map[string][]byte{
		"no outcomes":                  {1, 0, 1, 0, 0},
		"too many outcomes":            {1, 0x81, 4, 1, 0xff, 0x7f, 0},
		"more outcomes than Seqs":      {1, 3, 1, 1, 0},
		"an overflow of Seqs":          {1, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1, 0},
		"a varint without an end":      {1, 0xff, 0xff},
		"more columns than bytes":      {1, 1, 1, 0, 0x7f},
		"a column twice":               {1, 1, 1, 0, 2, 2, 0, 2, 0},
		"a column beyond the end":      {1, 1, 1, 0, 1, 2, 9, 1},
		"bytes after the last column":  {1, 1, 1, 0, 0, 7},
		"a length of 2^63 for a table": {1, 1, 1, 0, 1, 2, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1},
	} {
		if _, err := Open(sealed(b)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: got %v, want ErrDamaged", name, err)
		}
	}
	for name, b := range map[string][]byte{
		"results of 2^60 bytes":           {1, 1, 1, 0, 2, columnChoices, 1, columnResults, 11, 1, 1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40, 0},
		"a compressed chunk of 4 GiB":     {1, 1, 1, 0, 2, columnChoices, 1, columnResults, 8, 1, 1, 8, 0x0b, 0xff, 0xff, 0xff, 0xff, 0x0f},
		"2^40 digests":                    {1, 1, 1, 0, 2, columnModules, 6, columnChoices, 1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20, 1},
		"a choice that does not exist":    {1, 1, 1, 0, 1, columnChoices, 1, 9},
		"a Seq beyond the last":           {1, 2, 1, 1, 2, columnGaps, 1, columnChoices, 1, 5, 1},
		"more times than outcomes":        {1, 1, 1, 0, 2, columnTimes, 2, columnChoices, 1, 1, 1, 1},
		"no choice of a result":           {1, 1, 1, 0, 0},
		"a run of digests without digest": {1, 1, 1, 0, 2, columnModules, 5, columnChoices, 1, 1, 2, 'a', 1, 1, 1},
	} {
		block, err := Open(sealed(b))
		if err != nil {
			t.Errorf("%s: Open: %v", name, err)
			continue
		}
		if _, err := block.AppendTo(nil); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: got %v, want ErrDamaged", name, err)
		}
	}
}

// FuzzBlock opens any bytes, with the right checksum: nothing panics, and a block that
// can be read is the same after it was encoded again.
func FuzzBlock(f *testing.F) {
	for _, kind := range []string{"empty", "equal", "distinct"} {
		for _, n := range []int{1, 3, 40} {
			b := new(Encoder).Append(nil, sample(kind, n))
			f.Add(b[:len(b)-checksumSize])
			e := extend(b, columnsEnd, "x")
			f.Add(e[:len(e)-checksumSize])
		}
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		block, err := Open(sealed(content))
		if err != nil {
			return
		}
		list, err := block.AppendTo(nil)
		n := 0
		timesErr := block.Times(func(seq uint64, _ int64) bool {
			if n++; n > MaxOutcomes {
				t.Fatal("too many outcomes")
			}
			_, _, findErr := block.Find(seq)
			if err == nil && findErr != nil {
				t.Fatalf("Find(%d): %v in a block that can be read", seq, findErr)
			}
			return n < 20
		})
		if err != nil {
			return
		}
		if timesErr != nil || len(list) != block.Len() || list[0].Seq != block.First() || list[len(list)-1].Seq != block.Last() {
			t.Fatalf("%d outcomes, %v, of a block of %d from %d to %d", len(list), timesErr, block.Len(), block.First(), block.Last())
		}
		again := mustOpen(t, new(Encoder).Append(nil, list))
		if got, err := again.AppendTo(nil); err != nil || !slices.EqualFunc(got, list, equal) {
			t.Fatalf("encoded again: got %+v, %v, want %+v", got, err, list)
		}
	})
}

func TestFromDelivery(t *testing.T) {
	at := time.Date(2026, 5, 1, 12, 0, 0, 123456789, time.UTC)
	plain := event.Success{At: at, Duration: 1234, Fuel: 99}.Delivery("h", 7, strings.Repeat("ab", 32), `{"a":1}`)
	o, ok := FromDelivery(&plain)
	if got := o.Delivery("h"); !ok || !got.At.Equal(plain.At) || fmt.Sprint(got) != fmt.Sprint(plain) {
		t.Errorf("got %+v, %v, want %+v", got, ok, plain)
	}
	for name, change := range map[string]func(*event.Delivery){
		"a second attempt":       func(d *event.Delivery) { d.Attempts = 2 },
		"a dead one":             func(d *event.Delivery) { d.Status = event.StatusDead },
		"an error":               func(d *event.Delivery) { d.ErrorMessage = "x" },
		"a class":                func(d *event.Delivery) { d.ErrorClass = event.ClassTrap },
		"a due time":             func(d *event.Delivery) { d.Due = at },
		"another beginning":      func(d *event.Delivery) { d.FirstAttempt = at },
		"no time":                func(d *event.Delivery) { d.At, d.FirstAttempt = time.Time{}, time.Time{}.Add(-d.Duration) },
		"a result that was lost": func(d *event.Delivery) { d.NotKept = true },
		"a large result":         func(d *event.Delivery) { d.Result = strings.Repeat("x", MaxResults+1) },
	} {
		d := plain
		if change(&d); func() bool { _, ok := FromDelivery(&d); return ok }() {
			t.Errorf("%s is taken for a plain success", name)
		}
	}
}

func TestCut(t *testing.T) {
	large := bytes.Repeat([]byte{1}, MaxResults/2)
	other := bytes.Repeat([]byte{2}, MaxResults/2)
	list := []Outcome{{Result: large}, {Result: large}, {Result: other}, {Result: large}, {}}
	for limit, want := range map[int]int{2: 2, 3: 3, 4: 3, 512: 3} {
		if got := Cut(list, limit); got != want {
			t.Errorf("at most %d: got %d, want %d", limit, got, want)
		}
	}
	if got := Cut(list[3:], 512); got != 2 {
		t.Errorf("the others: got %d, want 2", got)
	}
}

func BenchmarkBlock(b *testing.B) {
	for _, kind := range []string{"empty", "equal", "distinct"} {
		list := sample(kind, MaxOutcomes)
		var e Encoder
		encoded := e.Append(nil, list)
		each := func(b *testing.B) {
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/MaxOutcomes, "ns/outcome")
			b.ReportMetric(float64(len(encoded))/MaxOutcomes, "bytes/outcome")
		}
		b.Run("encode/"+kind, func(b *testing.B) {
			b.ReportAllocs()
			dst := bytes.Clone(encoded)
			for b.Loop() {
				dst = e.Append(dst[:0], list)
			}
			each(b)
		})
		b.Run("decode/"+kind, func(b *testing.B) {
			b.ReportAllocs()
			var got []Outcome
			for b.Loop() {
				block := mustOpen(b, encoded)
				var err error
				if got, err = block.AppendTo(got[:0]); err != nil {
					b.Fatal(err)
				}
			}
			each(b)
		})
		b.Run("find/"+kind, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				block := mustOpen(b, encoded)
				if _, found, err := block.Find(list[300].Seq); !found || err != nil {
					b.Fatal(found, err)
				}
			}
		})
	}
}
