package sources

import "time"

// Status is the state of the marketplace's list.
type Status struct {
	Enabled  bool
	Fetched  time.Time // when it was last confirmed; zero for never and without a client
	Failures uint64    // refreshes in the background that failed, since the start
}

// Status returns the present state. It makes no request.
func (s *Sources) Status() Status {
	status := Status{Enabled: s.Settings().Enabled, Failures: s.failures.Load()}
	s.mu.Lock()
	client := s.client
	s.mu.Unlock()
	if client != nil {
		status.Fetched = client.Fetched()
	}
	return status
}
