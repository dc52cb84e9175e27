package sandbox_test

import (
	"testing"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/spec"
)

// endless is a Source with b.N events.
type endless struct {
	a    event.Attempt
	left int
	done chan struct{}
}

func (e *endless) TryNext() (event.Attempt, bool) { return event.Attempt{}, false }
func (e *endless) Demand() <-chan struct{}        { return nil }
func (e *endless) Lease() sandbox.Lease           { return &single{source: e} }
func (e *endless) Next(stop, _ <-chan struct{}) (event.Taken, bool) {
	if e.left == 0 {
		<-stop
		return event.Taken{}, false
	}
	e.left--
	return event.Taken{Attempt: e.a}, true
}

func (e *endless) Done(event.Attempt, event.Outcome) {
	if e.left == 0 {
		e.done <- struct{}{}
	}
}

// BenchmarkPool is one event through an instance, with guests that do little.
func BenchmarkPool(b *testing.B) {
	for _, name := range []string{"no_finish", "echo"} {
		b.Run(name, func(b *testing.B) {
			m := load(b, guest(b, name))
			e := &endless{a: attempt(b, 1, `{"status":"shipped"}`), left: b.N, done: make(chan struct{}, 1)}
			b.ReportAllocs()
			p, err := m.NewPool(b.Context(), sandbox.PoolConfig{Source: e, Limits: spec.Limits{Concurrency: 1}})
			if err != nil {
				b.Fatal(err)
			}
			<-e.done
			b.StopTimer()
			if err := p.Drain(b.Context()); err != nil {
				b.Fatal(err)
			}
		})
	}
}
