// Package opened has the open handlers of a dispatcher by name, and a lock for each name, which
// those hold that open, replay, own or close its handler.
package opened

import (
	"context"
	"sync"

	"github.com/berth-host/berth/host/delivery/namelock"
	"github.com/berth-host/berth/host/fault"
)

// Handler is an open handler, a pointer.
type Handler interface {
	comparable
	Closing() bool            // it has begun to close
	Removed() <-chan struct{} // closed when it has closed
	Standby() bool            // another host runs it
}

// Handlers are the open ones. The zero value has none. It is safe for concurrent use.
type Handlers[H Handler] struct {
	names namelock.Locks

	mu     sync.Mutex
	byName map[string]H
	closed bool
}

// Lock locks a name and returns the open handler, the zero value if there is none. It waits for a
// handler that is closing.
func (l *Handlers[H]) Lock(ctx context.Context, name string) (h H, unlock func(), err error) {
	var none H
	for {
		if unlock, err = l.names.Lock(ctx, name); err != nil {
			return none, nil, err
		}
		if h = l.Get(name); h == none || !h.Closing() {
			return h, unlock, nil
		}
		unlock()
		select {
		case <-h.Removed():
		case <-ctx.Done():
			return none, nil, namelock.Error(ctx, name)
		}
	}
}

// LockName is Lock for a handler that closes: it does not wait for it.
func (l *Handlers[H]) LockName(name string) (unlock func()) {
	unlock, _ = l.names.Lock(context.Background(), name)
	return unlock
}

// Get returns the open handler of a name, the zero value if there is none.
func (l *Handlers[H]) Get(name string) H {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.byName[name]
}

// Add adds a handler and starts it, unless the dispatcher closes.
func (l *Handlers[H]) Add(name string, h H, start func()) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return fault.New(fault.Unavailable, "the host is closing")
	}
	if l.byName == nil {
		l.byName = make(map[string]H)
	}
	l.byName[name] = h
	start()
	return nil
}

// Remove removes a handler, if it has the name.
func (l *Handlers[H]) Remove(name string, h H) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byName[name] == h {
		delete(l.byName, name)
	}
}

// Running returns those that this host runs, in any order.
func (l *Handlers[H]) Running() []H { return l.list(false) }

// Running returns the open handlers of a list that this host runs, as another type.
func Running[T any, H Handler](l *Handlers[H], as func(H) T) (list []T) {
	for _, h := range l.list(false) {
		list = append(list, as(h))
	}
	return list
}

// Lock is Handlers.Lock with the handler as another type.
func Lock[T any, H Handler](ctx context.Context, l *Handlers[H], name string, as func(H) T) (open T, unlock func(), err error) {
	var none H
	h, unlock, err := l.Lock(ctx, name)
	if h != none {
		open = as(h)
	}
	return open, unlock, err
}

// Close returns all; no other is added any more.
func (l *Handlers[H]) Close() []H {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	return l.list(true)
}

func (l *Handlers[H]) list(all bool) []H {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]H, 0, len(l.byName))
	for _, h := range l.byName {
		if all || !h.Standby() {
			list = append(list, h)
		}
	}
	return list
}
