package sandbox_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/spec"
)

// owned is a queue whose attempts end with the ownership of the handler.
type owned struct {
	*queue
	ctx context.Context
	end context.CancelFunc
}

func newOwned(t *testing.T) *owned {
	ctx, end := context.WithCancel(spec.WithFence(t.Context(), spec.Fence{Unit: "h", Epoch: 4}))
	t.Cleanup(end)
	return &owned{newQueue(), ctx, end}
}

func (o *owned) Lease() sandbox.Lease { return ownedLease{o.queue.Lease(), o} }

type ownedLease struct {
	sandbox.Lease
	of *owned
}

func (l ownedLease) Context() context.Context { return l.of.ctx }
func (l ownedLease) Fenced()                  { l.of.end() }

// fencedKV is a state that keeps the fence of the last write, or refuses each.
type fencedKV struct {
	kv
	refuse bool
	fence  chan spec.Fence
}

func (k fencedKV) Set(ctx context.Context, _ string, _ []byte) error {
	f, _ := spec.FenceOf(ctx)
	k.fence <- f
	if k.refuse {
		return fmt.Errorf("set a key: %w", spec.ErrFenced)
	}
	return nil
}

// TestAttemptsEndWithOwnership: a guest that computes, that waits for the host, or whose write is
// refused, is stopped when another host owns the handler. The attempt does not count.
func TestAttemptsEndWithOwnership(t *testing.T) {
	calls, spins := load(t, guest(t, "any_call")), load(t, guest(t, "spin_on_event"))
	waits := make(chan struct{}, 1)
	fences := make(chan spec.Fence, 1)
	for _, tt := range []struct {
		name string
		m    *sandbox.Module
		kv   sandbox.KV
		push event.Attempt
		lose func(o *owned)
	}{
		{"it computes", spins, nil, attempt(t, 1, `{"spin":true}`), func(o *owned) {
			<-o.taken
			o.end()
		}},
		{"it waits for the store", calls, brokenKV{waits: waits}, call(t, "kv_get", "k", "text", "len", "buf", "cap"), func(o *owned) {
			<-waits
			o.end()
		}},
		{"the store refuses its write", calls, fencedKV{refuse: true, fence: fences}, call(t, "kv_set", "a", "text", "len", "text", "len"), func(*owned) {
			if f := <-fences; f != (spec.Fence{Unit: "h", Epoch: 4}) {
				t.Errorf("the write has the fence %+v", f)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOwned(t)
			p, err := tt.m.NewPool(t.Context(), sandbox.PoolConfig{Source: o, Capabilities: sandbox.Capabilities{KV: tt.kv}, Limits: spec.Limits{Timeout: time.Hour}})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Drain(context.Background())
			o.push(tt.push)
			tt.lose(o)
			if d := o.await(t); d.outcome.Class != event.ClassCancelled {
				t.Errorf("got %+v, want it cancelled", d.outcome)
			}
			if o.ctx.Err() == nil {
				t.Error("the handler goes on")
			}
		})
	}
}
