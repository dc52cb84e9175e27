package provisional

import (
	"context"
	"errors"
	"testing"

	"github.com/berth-host/berth/host/fault"
)

// TestProvisionalReads checks which values an effect waits for.
func TestProvisionalReads(t *testing.T) {
	stored := func(context.Context) error { return nil }
	failed := func(context.Context) error { return errors.New("full") }
	late := func(ctx context.Context) error { return ctx.Err() }
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	read := func(key, value string, stored func(context.Context) error) Read {
		return Read{key, []byte(value), true, stored}
	}
	for _, tt := range []struct {
		name string
		do   func(r *Reads)
		ctx  context.Context
		lost bool
		want func(error) bool
	}{
		{"none", func(*Reads) {}, t.Context(), false, nil},
		{"stored", func(r *Reads) { r.Add(read("a", "1", stored)); r.Add(read("b", "1", stored)) }, t.Context(), false, nil},
		{"one failed", func(r *Reads) { r.Add(read("a", "1", failed)); r.Add(read("b", "1", stored)) }, t.Context(), true,
			func(err error) bool { return fault.Is(err, fault.Unavailable) }},
		{"too late", func(r *Reads) { r.Add(read("a", "1", late)) }, ended, true, func(err error) bool { return errors.Is(err, context.Canceled) }},
		{"the last one was swapped", func(r *Reads) {
			r.Add(read("a", "1", stored))
			r.Add(read("b", "1", failed))
			r.SwapSucceeded("b", []byte("1"))
		}, t.Context(), false, nil},
		{"another key was swapped", func(r *Reads) { r.Add(read("b", "1", failed)); r.SwapSucceeded("a", []byte("1")) }, t.Context(), true,
			func(err error) bool { return fault.Is(err, fault.Unavailable) }},
		{"another value was swapped", func(r *Reads) { r.Add(read("b", "1", failed)); r.SwapSucceeded("b", []byte("2")) }, t.Context(), true,
			func(err error) bool { return fault.Is(err, fault.Unavailable) }},
		{"the key was made", func(r *Reads) { r.Add(read("b", "", failed)); r.SwapSucceeded("b", nil) }, t.Context(), true,
			func(err error) bool { return fault.Is(err, fault.Unavailable) }},
		{"both of the key were swapped", func(r *Reads) {
			r.Add(read("b", "1", stored))
			r.Add(read("b", "1", failed))
			r.SwapSucceeded("b", []byte("1"))
		}, t.Context(), false, nil},
		{"failed before", func(r *Reads) { r.Add(read("a", "1", failed)); _ = r.Await(t.Context()) }, t.Context(), true,
			func(err error) bool { return fault.Is(err, fault.Unavailable) }},
	} {
		var r Reads
		tt.do(&r)
		err := r.Await(tt.ctx)
		if tt.want == nil && err != nil || tt.want != nil && !tt.want(err) || r.Lost != tt.lost || r.Open() != tt.lost {
			t.Errorf("%s: got %v, lost %v, open %v", tt.name, err, r.Lost, r.Open())
		}
	}
	old := []byte("1")
	var r Reads
	if !r.ProvedBy("a", old) {
		t.Error("without values a swap must wait for none")
	}
	if r.Add(read("a", "1", failed)); !r.ProvedBy("a", old) || r.ProvedBy("b", old) || r.ProvedBy("a", []byte("2")) || r.ProvedBy("a", nil) {
		t.Error("a swap proves the value that it replaces, and no other")
	}
	if r.Add(read("b", "1", stored)); r.ProvedBy("a", old) || r.ProvedBy("b", old) {
		t.Error("a swap must wait for the value of another key")
	}
	if _ = r.Await(t.Context()); r.ProvedBy("a", old) || r.ProvedBy("c", nil) {
		t.Error("a swap must not follow a value that is lost")
	}
}

// TestNumberOfReadsIsBounded: an attempt that goes on reading does not collect values without
// a bound. It may read such values again when it has waited.
func TestNumberOfReadsIsBounded(t *testing.T) {
	r := Reads{Swaps: true}
	n := 0
	for ; r.Wanted() && n <= maxReads; n++ {
		r.Add(Read{Key: "k", Value: []byte{byte(n)}, Found: true, Stored: func(context.Context) error { return nil }})
	}
	if n != maxReads {
		t.Errorf("%d values, want %d", n, maxReads)
	}
	if err := r.Await(t.Context()); err != nil || !r.Wanted() {
		t.Errorf("after a wait: %v, wanted %v", err, r.Wanted())
	}
}
