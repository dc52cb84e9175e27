package api

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/berth-host/berth/host/wire"
)

// Feed hands every activity to every subscriber, and never waits for one: a
// subscriber whose buffer is full is dropped, and its channel closed after what
// is in it. It is safe for concurrent use.
type Feed struct {
	size    int
	readers atomic.Int64

	mu   sync.Mutex
	subs map[chan wire.Activity]struct{}
}

// NewFeed returns a feed with buffers of this many activities; 0 is 256.
func NewFeed(size int) *Feed {
	if size <= 0 {
		size = 256
	}
	return &Feed{size: size, subs: make(map[chan wire.Activity]struct{})}
}

// Watched reports whether anybody would see an activity, so that a producer can
// save making it. It is cheap.
func (f *Feed) Watched() bool { return f.readers.Load() > 0 }

// Publish hands an activity to every subscriber, which must not change it.
func (f *Feed) Publish(a wire.Activity) {
	if !f.Watched() {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for ch := range f.subs {
		select {
		case ch <- a:
		default:
			f.drop(ch)
		}
	}
}

// Subscribe implements Activities.
func (f *Feed) Subscribe(ctx context.Context) <-chan wire.Activity {
	ch := make(chan wire.Activity, f.size)
	f.mu.Lock()
	f.subs[ch] = struct{}{}
	f.readers.Add(1)
	f.mu.Unlock()
	context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.drop(ch)
	})
	return ch
}

// drop ends a subscription. The lock is held.
func (f *Feed) drop(ch chan wire.Activity) {
	if _, found := f.subs[ch]; found {
		delete(f.subs, ch)
		f.readers.Add(-1)
		close(ch)
	}
}
