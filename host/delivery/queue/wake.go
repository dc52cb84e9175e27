package queue

// Signal puts a token into a channel, unless it has one.
func Signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Gate wakes all that wait. The zero value is ready. It is not safe for concurrent use.
type Gate struct{ c chan struct{} }

// Wait returns a channel that the next Open closes.
func (g *Gate) Wait() <-chan struct{} {
	if g.c == nil {
		g.c = make(chan struct{})
	}
	return g.c
}

// Open wakes those that wait.
func (g *Gate) Open() {
	if g.c != nil {
		close(g.c)
		g.c = nil
	}
}
