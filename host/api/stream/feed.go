package stream

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/berth-host/berth/host/wire"
)

// Feed sends every activity to every subscriber without blocking. It closes the channel of
// a subscriber whose buffer is full, once that is read. It is safe for concurrent use.
type Feed struct {
	size    int
	readers atomic.Int64

	mu   sync.Mutex
	subs map[chan wire.Activity]struct{}
}

// NewFeed returns a feed with buffers of size activities; 0 is 256.
func NewFeed(size int) *Feed {
	if size <= 0 {
		size = 256
	}
	return &Feed{size: size, subs: make(map[chan wire.Activity]struct{})}
}

// Watched reports whether there are subscribers, so that producers can skip making an
// activity. It costs one atomic load.
func (f *Feed) Watched() bool { return f.readers.Load() > 0 }

// Publish sends an activity to every subscriber. They must not change it.
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
			f.unsubscribe(ch)
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
		f.unsubscribe(ch)
	})
	return ch
}

// unsubscribe ends a subscription. The caller holds the lock.
func (f *Feed) unsubscribe(ch chan wire.Activity) {
	if _, found := f.subs[ch]; found {
		delete(f.subs, ch)
		f.readers.Add(-1)
		close(ch)
	}
}
