package sandbox_test

import (
	"context"
	"testing"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/spec"
)

// buffering is a queue whose leases buffer outcomes until Flush.
type buffering struct{ *queue }

type bufferingLease struct {
	single
	queue    *queue
	buffered []done
}

func (b buffering) Lease() sandbox.Lease {
	return &bufferingLease{single: single{source: b.queue}, queue: b.queue}
}

func (l *bufferingLease) Next(stop, retire <-chan struct{}) (event.Taken, bool) {
	l.Flush()
	return l.single.Next(stop, retire)
}

func (l *bufferingLease) Done(o *event.Outcome) {
	l.buffered = append(l.buffered, done{attempt: l.a, outcome: *o, result: string(o.Result)})
}

func (l *bufferingLease) Flush() {
	for _, d := range l.buffered {
		l.queue.dones <- d
	}
	l.buffered = nil
}

func (l *bufferingLease) Close() { l.Flush() }

// TestBufferedOutcomesAreRecordedOnce: every outcome is recorded once, also those of
// an instance that ends with its attempt.
func TestBufferedOutcomesAreRecordedOnce(t *testing.T) {
	for _, name := range []string{"echo", "return_early", "trap_on_event", "stdio"} {
		t.Run(name, func(t *testing.T) {
			m := load(t, guest(t, name))
			b := buffering{newQueue()}
			p, err := m.NewPool(t.Context(), sandbox.PoolConfig{Source: b, Limits: spec.Limits{Concurrency: 1}})
			if err != nil {
				t.Fatal(err)
			}
			for number := 1; number <= 5; number++ {
				b.push(attempt(t, number, `{"status":"x"}`))
				if d := b.await(t); d.attempt.Number != number || d.outcome.Fuel == 0 {
					t.Errorf("got %+v, want the outcome of attempt %d with its fuel", d, number)
				}
			}
			ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
			defer cancel()
			if err := p.Drain(ctx); err != nil {
				t.Fatal(err)
			}
			if n := len(b.dones); n != 0 || p.Instances() != 0 {
				t.Errorf("after drain: %d more outcomes, %d instances", n, p.Instances())
			}
		})
	}
}
