package sandbox

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
	read := func(key, value string, stored func(context.Context) error) provisionalRead {
		return provisionalRead{key, []byte(value), true, stored}
	}
	for _, tt := range []struct {
		name string
		do   func(r *provisionalReads)
		ctx  context.Context
		lost bool
		want func(error) bool
	}{
		{"none", func(*provisionalReads) {}, t.Context(), false, nil},
		{"stored", func(r *provisionalReads) { r.add(read("a", "1", stored)); r.add(read("b", "1", stored)) }, t.Context(), false, nil},
		{"one failed", func(r *provisionalReads) { r.add(read("a", "1", failed)); r.add(read("b", "1", stored)) }, t.Context(), true,
			func(err error) bool { return fault.Is(err, fault.Unavailable) }},
		{"too late", func(r *provisionalReads) { r.add(read("a", "1", late)) }, ended, true, func(err error) bool { return errors.Is(err, context.Canceled) }},
		{"the last one was swapped", func(r *provisionalReads) {
			r.add(read("a", "1", stored))
			r.add(read("b", "1", failed))
			r.swapSucceeded("b", []byte("1"))
		}, t.Context(), false, nil},
		{"another key was swapped", func(r *provisionalReads) { r.add(read("b", "1", failed)); r.swapSucceeded("a", []byte("1")) }, t.Context(), true,
			func(err error) bool { return fault.Is(err, fault.Unavailable) }},
		{"another value was swapped", func(r *provisionalReads) { r.add(read("b", "1", failed)); r.swapSucceeded("b", []byte("2")) }, t.Context(), true,
			func(err error) bool { return fault.Is(err, fault.Unavailable) }},
		{"the key was made", func(r *provisionalReads) { r.add(read("b", "", failed)); r.swapSucceeded("b", nil) }, t.Context(), true,
			func(err error) bool { return fault.Is(err, fault.Unavailable) }},
		{"both of the key were swapped", func(r *provisionalReads) {
			r.add(read("b", "1", stored))
			r.add(read("b", "1", failed))
			r.swapSucceeded("b", []byte("1"))
		}, t.Context(), false, nil},
		{"failed before", func(r *provisionalReads) { r.add(read("a", "1", failed)); _ = r.await(t.Context()) }, t.Context(), true,
			func(err error) bool { return fault.Is(err, fault.Unavailable) }},
	} {
		var r provisionalReads
		tt.do(&r)
		err := r.await(tt.ctx)
		if tt.want == nil && err != nil || tt.want != nil && !tt.want(err) || r.lost != tt.lost || r.open() != tt.lost {
			t.Errorf("%s: got %v, lost %v, open %v", tt.name, err, r.lost, r.open())
		}
	}
	old := []byte("1")
	var r provisionalReads
	if !r.provedBy("a", old) {
		t.Error("without values a swap must wait for none")
	}
	if r.add(read("a", "1", failed)); !r.provedBy("a", old) || r.provedBy("b", old) || r.provedBy("a", []byte("2")) || r.provedBy("a", nil) {
		t.Error("a swap proves the value that it replaces, and no other")
	}
	if r.add(read("b", "1", stored)); r.provedBy("a", old) || r.provedBy("b", old) {
		t.Error("a swap must wait for the value of another key")
	}
	if _ = r.await(t.Context()); r.provedBy("a", old) || r.provedBy("c", nil) {
		t.Error("a swap must not follow a value that is lost")
	}
}
