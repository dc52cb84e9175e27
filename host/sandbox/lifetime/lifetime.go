// Package lifetime bounds the attempts of an instance by more than its pool: on a host of a
// cluster they end when another host may own the handler.
package lifetime

import (
	"context"
	"errors"
	"time"

	"github.com/berth-host/berth/host/spec"
)

// Lease is a lease whose attempts can end before the pool.
type Lease interface {
	// Context returns the context of the attempts of the lease, with the fence of their writes;
	// nil when only the pool ends them.
	Context() context.Context
	// Fenced notes that a write of an attempt was refused with spec.ErrFenced: the context ends.
	Fenced()
}

// of returns the context of a lease; nil without one.
func of(lease any) context.Context {
	if x, ok := lease.(Lease); ok {
		return x.Context()
	}
	return nil
}

// Ended reports whether the attempts of a lease have to end.
func Ended(lease any) bool {
	ctx := of(lease)
	return ctx != nil && ctx.Err() != nil
}

// Done is closed when the attempts of a lease have to end; nil when only the pool ends them.
func Done(lease any) <-chan struct{} {
	if ctx := of(lease); ctx != nil {
		return ctx.Done()
	}
	return nil
}

// With returns a context for calls of an attempt. It ends with the pool, with the attempts of the
// lease, and after a time.
func With(lease any, pool context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	attempts := of(lease)
	if attempts == nil {
		return context.WithTimeout(pool, limit)
	}
	ctx, cancel := context.WithTimeout(attempts, limit)
	stop := context.AfterFunc(pool, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// Call makes a call with such a context. It reports whether the time was up.
func Call(lease any, pool context.Context, limit time.Duration, call func(context.Context) error) (late bool, err error) {
	ctx, cancel := With(lease, pool, limit)
	defer cancel()
	err = call(ctx)
	if x, ok := lease.(Lease); ok && errors.Is(err, spec.ErrFenced) {
		x.Fenced()
	}
	return err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded), err
}
