package event

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestSuccessesAreDeliveries compares lists of successes, built one by one and from other
// lists, with the deliveries that they stand for.
func TestSuccessesAreDeliveries(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := Successes{Handler: "h", Digest: "d"}
		var want []Delivery
		add := func(to *Successes, seq uint64) {
			result := rapid.SampledFrom([]string{"", "1", `{"a":"b"}`}).Draw(t, "result")
			of := Success{At: time.Unix(int64(seq), 1).UTC(), Duration: time.Duration(seq), Fuel: 2 * seq}
			buffer := []byte(result)
			to.Append(seq, of, buffer)
			clear(buffer) // the caller reuses it
			want = append(want, Delivery{Handler: "h", Seq: seq, Status: StatusOK, Attempts: 1, Result: result, Duration: of.Duration,
				Fuel: of.Fuel, At: of.At, FirstAttempt: of.At.Add(-of.Duration), SHA256: "d"})
		}
		seqs := rapid.SliceOfDistinct(rapid.Uint64Range(0, 1000), rapid.ID[uint64]).Draw(t, "seqs")
		for len(seqs) > 0 {
			if rapid.Bool().Draw(t, "one") {
				add(&list, seqs[0])
				seqs = seqs[1:]
				continue
			}
			var other Successes
			n := rapid.IntRange(0, len(seqs)).Draw(t, "n")
			for _, seq := range seqs[:n] {
				add(&other, seq)
			}
			list.AppendAll(&other)
			clear(other.List)
			clear(other.Results)
			seqs = seqs[n:]
		}
		for i, d := range want {
			if got := list.Delivery(i); !reflect.DeepEqual(got, d) || string(list.Result(i)) != d.Result {
				t.Fatalf("%d: got %+v, want %+v", i, got, d)
			}
			if at, found := list.Find(d.Seq); at != i || !found {
				t.Fatalf("Find(%d): got %d, %v, want %d", d.Seq, at, found, i)
			}
		}
		if at, found := list.Find(1001); found || len(list.List) != len(want) {
			t.Fatalf("Find: got %d of %s", at, fmt.Sprint(list))
		}
	})
}
