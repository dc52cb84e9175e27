package joint

// Waiting returns how many instances wait.
func (s *Source) Waiting() int { return s.bell.Waiting() }
