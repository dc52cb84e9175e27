package delivery

import "github.com/berth-host/berth/host/delivery/measure"

// Measurements are the counts of a handler; a copy.
type Measurements = measure.Measurements

// Measure returns the measurements of a handler, open or not. It takes time in proportion to
// the number of versions only.
func (d *Dispatcher) Measure(handler string) (m Measurements) {
	m.Versions, m.Ready = d.measured.Of(handler)
	return m
}

// AddTo implements measure.Source.
func (s *Source) AddTo(v *measure.Versions) (ready int) {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	v.Add(s.module, &s.counts)
	return s.h.ready.Len()
}
