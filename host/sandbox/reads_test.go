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
	for _, tt := range []struct {
		name string
		do   func(r *provisionalReads)
		ctx  context.Context
		lost bool
		want func(error) bool
	}{
		{"none", func(*provisionalReads) {}, t.Context(), false, nil},
		{"stored", func(r *provisionalReads) { r.add("a", stored); r.add("b", stored) }, t.Context(), false, nil},
		{"one failed", func(r *provisionalReads) { r.add("a", failed); r.add("b", stored) }, t.Context(), true,
			func(err error) bool { return fault.Is(err, fault.Unavailable) }},
		{"too late", func(r *provisionalReads) { r.add("a", late) }, ended, true, func(err error) bool { return errors.Is(err, context.Canceled) }},
		{"the last one was swapped", func(r *provisionalReads) { r.add("a", stored); r.add("b", failed); r.swapSucceeded("b") }, t.Context(), false, nil},
		{"another was swapped", func(r *provisionalReads) { r.add("b", failed); r.add("a", stored); r.swapSucceeded("b") }, t.Context(), true,
			func(err error) bool { return fault.Is(err, fault.Unavailable) }},
		{"failed before", func(r *provisionalReads) { r.add("a", failed); _ = r.await(t.Context()) }, t.Context(), true,
			func(err error) bool { return fault.Is(err, fault.Unavailable) }},
	} {
		var r provisionalReads
		tt.do(&r)
		err := r.await(tt.ctx)
		if tt.want == nil && err != nil || tt.want != nil && !tt.want(err) || r.lost != tt.lost || r.open() != tt.lost {
			t.Errorf("%s: got %v, lost %v, open %v", tt.name, err, r.lost, r.open())
		}
	}
	var r provisionalReads
	if !r.only("a") {
		t.Error("without values a swap must wait for none")
	}
	if r.add("a", stored); !r.only("a") || r.only("b") {
		t.Error("a swap depends on the value of its own key alone")
	}
	if r.add("b", stored); r.only("a") || r.only("b") {
		t.Error("a swap must wait for the value of another key")
	}
}
