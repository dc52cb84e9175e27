// Package namelock has a lock for every handler's name.
package namelock

import (
	"context"
	"sync"

	"github.com/berth-host/berth/host/fault"
)

// Locks has a lock for every name. The zero value has none that is locked. It is safe for
// concurrent use.
type Locks struct {
	mu    sync.Mutex
	names map[string]chan struct{}
}

// Lock waits until the name is free and locks it, or returns an error that wraps ctx's.
func (l *Locks) Lock(ctx context.Context, name string) (unlock func(), err error) {
	l.mu.Lock()
	if l.names == nil {
		l.names = make(map[string]chan struct{})
	}
	lock := l.names[name]
	if lock == nil {
		lock = make(chan struct{}, 1)
		l.names[name] = lock
	}
	l.mu.Unlock()
	select {
	case lock <- struct{}{}:
		return func() { <-lock }, nil
	case <-ctx.Done():
		return nil, Error(ctx, name)
	}
}

// Error is the error of a wait for a handler that ctx has ended.
func Error(ctx context.Context, name string) error {
	return fault.New(fault.Unavailable, "wait for the handler %s, which is being opened, replayed or closed: %w", name, ctx.Err())
}
