package sandbox_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox"
)

// neighbour is a healthy pool whose latency is measured while other guests run.
type neighbour struct {
	t     *testing.T
	queue *queue
	event event.Attempt
	waits []time.Duration // during the last measurement
	all   []time.Duration
}

func newNeighbour(t *testing.T) *neighbour {
	t.Helper()
	_, q := start(t, load(t, guest(t, "echo")), sandbox.PoolConfig{Name: "neighbour"})
	return &neighbour{t: t, queue: q, event: attempt(t, 1, `{"status":"well"}`)}
}

// pause is the time between an outcome and the next event.
const pause = 500 * time.Microsecond

// during measures until do returns, at least once.
func (n *neighbour) during(do func()) {
	n.waits = n.waits[:0]
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		due := time.Now()
		for {
			n.measure(due)
			due = time.Now().Add(pause)
			select {
			case <-over:
				return
			case <-time.After(pause):
			}
		}
	}()
	defer func() { <-ended }()
	defer close(over)
	do()
}

// measure sends an event that was due at a time. A late event counts as latency.
func (n *neighbour) measure(due time.Time) {
	n.queue.push(n.event)
	<-n.queue.taken
	select {
	case d := <-n.queue.dones:
		if d.outcome.Verdict != event.OK || d.result != `{"echo":"well"}` {
			n.t.Errorf("the neighbour: %q %s %s", d.outcome.Class, d.outcome.Message, d.result)
		}
	case <-time.After(testTimeout):
		n.t.Error("no outcome from the neighbour")
	}
	wait := time.Since(due)
	n.waits = append(n.waits, wait)
	n.all = append(n.all, wait)
}

// worst returns the maximum latency during the last measurement.
func (n *neighbour) worst() time.Duration { return slices.Max(n.waits) }

func (n *neighbour) report() string {
	slices.Sort(n.all)
	at := func(q float64) time.Duration { return n.all[int(q*float64(len(n.all)-1))].Round(time.Microsecond) }
	return fmt.Sprintf("latency of %d events of the neighbour: p50 %v, p99 %v, p99.9 %v, worst %v", len(n.all), at(0.5), at(0.99), at(0.999), at(1))
}
