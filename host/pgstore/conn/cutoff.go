package conn

import (
	"context"
	"errors"
	"sync"
)

// cutoff is whether the server is known not to answer.
type cutoff struct {
	mu      sync.Mutex
	answers context.Context // has ended while that is known
	end     context.CancelFunc
}

func newCutoff() *cutoff {
	c := new(cutoff)
	c.answers, c.end = context.WithCancel(context.Background())
	return c
}

// SetCutOff says whether the server is known not to answer: then the calls under way end within
// about a second and later ones at once, all with fault.Unavailable. It does not concern Apart.
func (d *DB) SetCutOff(cutOff bool) {
	c := d.cutoff
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case cutOff:
		c.end()
	case c.answers.Err() != nil:
		c.answers, c.end = context.WithCancel(context.Background())
	}
}

func (c *cutoff) context() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.answers
}

// bounded returns a context that ends with ctx, after transactionLimit, or when the server is known
// not to answer.
func (d *DB) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, transactionLimit)
	stop := context.AfterFunc(d.cutoff.context(), cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// whileCutOff returns err as that of a server that is known not to answer, if it is one.
func (d *DB) whileCutOff(err error) error {
	const text = "the PostgreSQL server does not answer this host"
	switch {
	case d.cutoff.context().Err() == nil:
		return err
	case errors.Is(err, context.Canceled): // by the cutoff
		return unavailable(text)
	case lost(err):
		return unavailable(text+": %v", err)
	}
	return err
}
