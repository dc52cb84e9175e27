package sandbox_test

import (
	"context"
	"testing"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/spec"
)

// keeping is a queue whose Hand keeps outcomes as long as it may.
type keeping struct{ *queue }

type keepingHand struct {
	single
	queue *queue
	kept  []done
}

func (k keeping) Hand() sandbox.Hand {
	return &keepingHand{single: single{source: k.queue}, queue: k.queue}
}

func (h *keepingHand) Next(stop, retire <-chan struct{}) (event.Taken, bool) {
	h.Rest()
	return h.single.Next(stop, retire)
}

func (h *keepingHand) Done(o *event.Outcome) bool {
	h.kept = append(h.kept, done{attempt: h.a, outcome: *o, result: string(o.Result)})
	return false
}

func (h *keepingHand) Rest() {
	for _, d := range h.kept {
		h.queue.dones <- d
	}
	h.kept = nil
}

func (h *keepingHand) Close() { h.Rest() }

// TestFiguresOfKeptOutcomes holds that the pool counts each outcome, also those
// that are told when their instance has ended.
func TestFiguresOfKeptOutcomes(t *testing.T) {
	for _, name := range []string{"echo", "return_early", "trap_on_event", "stdio"} {
		t.Run(name, func(t *testing.T) {
			const events = 5
			m := load(t, guest(t, name))
			k := keeping{newQueue()}
			p, err := m.NewPool(t.Context(), sandbox.PoolConfig{Source: k, Limits: spec.Limits{Concurrency: 1}})
			if err != nil {
				t.Fatal(err)
			}
			var want sandbox.Stats
			for range events {
				k.push(attempt(t, 1, `{"status":"x"}`))
				d := k.await(t)
				if want.Fuel += d.outcome.Fuel; d.outcome.Verdict == event.OK {
					want.Delivered++
				} else {
					want.Failed++
				}
			}
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			if err := p.Drain(ctx); err != nil {
				t.Fatal(err)
			}
			if got := p.Stats(); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}
