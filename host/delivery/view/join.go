package view

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/wire"
)

// State is the delivery of an event as a handler, the recorder or the store has it.
type State struct {
	event.Delivery
	// Since is the time up to which a final delivery in the store is out of date.
	Since      time.Time
	WaitingFor *wire.WaitingFor
}

// Join joins what handlers, the recorder and the store have of one event, asked in this order:
// what moves to the store meanwhile is then found there. The zero value is empty. It is not
// safe for concurrent use.
type Join struct {
	states map[string]State
	Past   []event.PastAttempt // of all handlers, in any order
}

// Of returns the state of a handler.
func (j *Join) Of(handler string) (s State, known bool) {
	s, known = j.states[handler]
	return s, known
}

// Set sets the state of a handler.
func (j *Join) Set(handler string, s State) {
	if j.states == nil {
		j.states = make(map[string]State)
	}
	j.states[handler] = s
}

// Writing adds an outcome that is being written.
func (j *Join) Writing(d event.Delivery) {
	if a, kept := d.Past(); kept && d.Effects == nil {
		j.Past = append(j.Past, a)
	}
	if _, live := j.states[d.Handler]; !live {
		j.Set(d.Handler, State{Delivery: d, Since: JustBefore(d)})
	}
}

// Stored adds the deliveries and the attempts of the store.
func (j *Join) Stored(list []event.Delivery, kept []event.PastAttempt) {
	j.Past = append(j.Past, kept...)
	for _, d := range list {
		known, live := j.states[d.Handler]
		if !live || d.Status.Final() && (known.Since.IsZero() || d.At.After(known.Since)) {
			j.Set(d.Handler, State{Delivery: d})
		}
	}
}

// List returns the deliveries with their histories, sorted by plugin and shard, without versions.
func (j *Join) List() []wire.Delivery {
	list := make([]wire.Delivery, 0, len(j.states))
	for _, s := range j.states {
		w := Of(s.Delivery)
		w.WaitingFor, w.History = s.WaitingFor, History(s.Delivery, j.Past)
		list = append(list, w)
	}
	slices.SortFunc(list, Compare)
	return list
}

// Compare orders deliveries of one event by plugin and shard.
func Compare(a, b wire.Delivery) int {
	shard := func(d wire.Delivery) int {
		if d.Shard == nil {
			return -1
		}
		return *d.Shard
	}
	return cmp.Or(strings.Compare(a.Plugin, b.Plugin), cmp.Compare(shard(a), shard(b)))
}

// JustBefore is the Since of an outcome that may be in the store by now: there it counts, and
// older ones do not.
func JustBefore(d event.Delivery) time.Time { return d.At.Add(-1) }
