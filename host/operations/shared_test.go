package operations

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// suspended opens the runner of a host that runs no operations yet.
func suspended(t *testing.T, h *fakeHost) *Runner {
	t.Helper()
	r := setup(t, h)
	closeRunner(t, r)
	r.cfg.Suspended = true
	return r
}

// One of two hosts with one store runs an operation, the other shows it, and continues it
// when the first one has stopped.
func TestAnotherHostContinuesAnOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHost(t, 1000)
		a, b := suspended(t, h), suspended(t, h)
		in := wire.NewOperation{Kind: Redrive, Plugin: "pricing", Rate: 10}
		if _, err := b.Start(t.Context(), in, "ada"); !fault.Is(err, fault.Unavailable) {
			t.Errorf("started by a host that runs none: %v", err)
		}
		if err := a.Resume(spec.WithFence(t.Context(), spec.Fence{Unit: ":operations", Epoch: 1})); err != nil {
			t.Fatal(err)
		}
		if f, fenced := spec.FenceOf(a.life); !fenced || f.Epoch != 1 {
			t.Errorf("writes have the fence %+v, %v", f, fenced)
		}
		id := start(t, a, in).ID
		<-time.After(2050 * time.Millisecond) // by the clock of the bubble
		if err := b.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if o, err := b.Show(id); err != nil || o.State != wire.OperationRunning || o.Done == 0 {
			t.Errorf("the other host shows %+v, %v", o, err)
		}
		if _, err := b.Cancel(t.Context(), id); !fault.Is(err, fault.Unavailable) {
			t.Errorf("cancelled by a host that runs none: %v", err)
		}
		if err := a.Suspend(context.Background()); err != nil {
			t.Fatal(err)
		}
		if err := b.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer closeRunner(t, b)
		o := ended(t, b, id)
		seqs := h.seqs("retry")
		if o.State != wire.OperationDone || uint64(len(seqs)) != o.Total || !slices.IsSorted(seqs) {
			t.Errorf("got %+v; %d were given", o, len(seqs))
		}
		if err := a.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if o, err := a.Show(id); err != nil || o.State != wire.OperationDone {
			t.Errorf("the first host shows %+v, %v", o, err)
		}
	})
}
