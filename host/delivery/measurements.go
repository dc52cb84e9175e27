package delivery

import "github.com/berth-host/berth/host/delivery/measure"

// Measurements are the counts of a plugin's handler and its shards; a copy.
type Measurements = measure.Measurements

// Measure returns the measurements of a plugin's handler and its shards, open or not. It takes time
// in proportion to the number of versions and shards only.
func (d *Dispatcher) Measure(plugin string) (m Measurements) {
	m.Versions, m.Ready = d.measured.Of(plugin)
	return m
}

// AddTo implements measure.Source.
func (s *Source) AddTo(v *measure.Versions) (ready int) {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	v.Add(s.module, &s.counts)
	return s.h.ready.Len()
}
