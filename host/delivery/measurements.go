package delivery

import (
	"slices"

	"github.com/berth-host/berth/host/delivery/measure"
)

// Measurements are the counts of a handler since the host started, by version, and the state
// of its queue. They are a copy.
type Measurements struct {
	Versions measure.Versions // in the order in which they first ran, those that ended included
	Ready    int              // events that an instance may take now
}

// Measure returns the measurements of a handler, open or not. It takes time in proportion to
// the number of versions only.
func (d *Dispatcher) Measure(handler string) (m Measurements) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m.Versions = d.ended[handler].Clone()
	for _, s := range d.sources[handler] {
		s.h.mu.Lock()
		m.Versions.Add(s.module, &s.counts)
		m.Ready = s.h.ready.Len()
		s.h.mu.Unlock()
	}
	return m
}

// measureSource adds a source to those that are measured. The caller holds d.mu.
func (d *Dispatcher) measureSource(s *Source) {
	d.sources[s.h.name] = append(d.sources[s.h.name], s)
}

// keepCounts keeps the counts of a source that has ended.
func (d *Dispatcher) keepCounts(s *Source) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	name := s.h.name
	d.sources[name] = slices.DeleteFunc(d.sources[name], func(one *Source) bool { return one == s })
	ended := d.ended[name]
	ended.Add(s.module, &s.counts)
	d.ended[name] = ended
}
