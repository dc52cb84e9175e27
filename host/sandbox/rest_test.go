package sandbox_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/spec"
)

// resting is a queue whose Hand says when it is told to rest with an attempt open.
type resting struct {
	*queue
	rested chan struct{}
}

type restingHand struct {
	single
	open   atomic.Bool
	rested chan struct{}
}

func (r resting) Hand() sandbox.Hand {
	return &restingHand{single: single{source: r.queue}, rested: r.rested}
}

func (h *restingHand) Next(stop, retire <-chan struct{}) (event.Taken, bool) {
	taken, ok := h.single.Next(stop, retire)
	h.open.Store(ok)
	return taken, ok
}

func (h *restingHand) Done(o *event.Outcome) bool {
	h.open.Store(false)
	return h.single.Done(o)
}

func (h *restingHand) Rest() {
	if !h.open.Load() {
		return
	}
	select {
	case h.rested <- struct{}{}:
	default:
	}
}

// TestHandRests holds that an instance lets go of what it holds when its attempt
// takes long, and before it waits for somebody else.
func TestHandRests(t *testing.T) {
	for _, name := range []string{"spin_on_event", "log_lines", "kv_counter"} {
		t.Run(name, func(t *testing.T) {
			m := load(t, guest(t, name))
			r := resting{newQueue(), make(chan struct{}, 1)}
			p, err := m.NewPool(t.Context(), sandbox.PoolConfig{Source: r, Limits: spec.Limits{Concurrency: 1, Timeout: time.Hour},
				Capabilities: sandbox.Capabilities{KV: brokenKV{waits: make(chan struct{}, 1)}}})
			if err != nil {
				t.Fatal(err)
			}
			r.push(attempt(t, 1, `{"status":"shipped","spin":true}`))
			select {
			case <-r.rested:
			case <-time.After(patience):
				t.Error("it was never told to rest")
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // what spins is stopped
			_ = p.Drain(ctx)
		})
	}
}
