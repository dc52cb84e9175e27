package delivery_test

import (
	"crypto/sha256"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
)

// values are the key-value state of the handler in a store.
type values map[string]string

// apply applies effects, unless a key that they have read has changed.
func (v values) apply(e *event.Effects) bool {
	for _, r := range e.Reads {
		value, found := v[r.Key]
		if found != r.Found || found && sha256.Sum256([]byte(value)) != r.Sum {
			return false
		}
	}
	for _, w := range e.Writes {
		if w.Kind == event.EffectDelete {
			delete(v, w.Key)
		} else {
			v[w.Key] = string(w.Value)
		}
	}
	return true
}

// get reads a value of the store.
func (s *store) get(key string) (value string, found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	value, found = s.kv[key]
	return value, found
}

// set writes a value as a person does.
func (s *store) set(key, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kv[key] = value
}

// guest runs attempts of an atomic handler, and counts the effects that are not released.
type guest struct {
	get        func(key string) (value string, found bool) // from the store
	unreleased atomic.Int64
	runs       atomic.Int64
}

// run is one attempt with the state as the sandbox gives it to the guest: its own writes, the
// pending ones, the store.
type run struct {
	g *guest
	x *delivery.Lease
	e *event.Effects
}

func (g *guest) start(x *delivery.Lease) *run {
	g.runs.Add(1)
	g.unreleased.Add(1)
	return &run{g, x, &event.Effects{Plugin: "h", Release: func() { g.unreleased.Add(-1) }}}
}

func (r *run) get(key string) (value string, found bool) {
	for _, w := range r.e.Writes {
		if w.Key == key {
			return string(w.Value), w.Kind != event.EffectDelete
		}
	}
	if w, pending := r.x.Pending(key); pending {
		value, found = string(w.Value), w.Kind != event.EffectDelete
	} else {
		value, found = r.g.get(key)
	}
	read := event.EffectRead{Key: key, Found: found}
	if found {
		read.Sum = sha256.Sum256([]byte(value))
	}
	r.e.Reads = append(r.e.Reads, read)
	return value, found
}

func (r *run) set(key, value string) {
	w := event.EffectWrite{Kind: event.EffectSet, Key: key, Value: []byte(value)}
	if i := slices.IndexFunc(r.e.Writes, func(w event.EffectWrite) bool { return w.Key == key }); i >= 0 {
		r.e.Writes[i] = w
	} else {
		r.e.Writes = append(r.e.Writes, w)
	}
}

// increment adds one to the number in a key, with a plain get and set.
func (r *run) increment(key string) {
	value, _ := r.get(key)
	n, _ := strconv.Atoi(value)
	r.set(key, strconv.Itoa(n+1))
}

// ok ends the run.
func (r *run) ok() event.Outcome { return event.Outcome{Effects: r.e} }

// failed ends the run without effects, which the sandbox drops.
func (r *run) failed() event.Outcome {
	r.e.Release()
	return event.Outcome{Verdict: event.Failed, Class: event.ClassTrap}
}
