package kv

import (
	"bytes"
	"context"
	"sync/atomic"
)

// Queued is a write that the writer has not committed yet, and whose value readers can
// ask for. It is safe for concurrent use.
type Queued struct {
	key    Key
	value  value
	growth int64         // of the plugin's bytes
	done   chan struct{} // closed when the write is durable or has failed
	err    error         // why it has failed
}

// Wait returns nil when the value is durable, and otherwise why it never will be or, when
// ctx ends first, the context's error.
func (q *Queued) Wait(ctx context.Context) error {
	select { // also when ctx has ended
	case <-q.done:
		return q.err
	default:
	}
	select {
	case <-q.done:
		return q.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Enqueue calls send, which puts a write into the writer's queue or returns false when it
// cannot at once. In between no other write of the key is enqueued. When the write will
// succeed, as far as that is known, its value can be read until Resolve; that needs the
// result, which is nil otherwise.
func (c *Cache) Enqueue(w *Write, send func() bool) (q *Queued, sent bool) {
	s := c.shard(w.Key)
	s.mu.Lock()
	defer s.mu.Unlock()
	newest, cached := s.newest(w.Key)
	if !send() {
		return nil, false
	}
	present := newest.at(c.now)
	if cached && !w.succeeds(present) || !cached && w.Compare {
		return nil, true // it succeeds only if the newest queued write fails
	}
	delete(s.queued, w.Key) // it is not the newest write any more
	if s.suspended[w.Key.Plugin] > 0 || len(w.Value) > maxCached || !cached && w.Kind == Expire {
		return nil, true
	}
	q = &Queued{key: w.Key, value: w.result(present).at(c.now), done: make(chan struct{})}
	if q.value.found {
		var fits bool
		if q.growth, fits = c.account(w.Key.Plugin).take(w.Key, newest, q.value, c.quota); !fits {
			return nil, true
		}
	}
	s.queued[w.Key] = q
	return q, true
}

// account is how many bytes a plugin has, for Enqueue: a value is not readable if the quota
// may refuse it.
type account struct {
	known  atomic.Bool
	used   atomic.Int64 // committed
	queued atomic.Int64 // by writes whose values are readable
}

func (c *Cache) account(plugin string) *account {
	a, known := c.accounts.Load(plugin)
	if !known {
		a, _ = c.accounts.LoadOrStore(plugin, new(account))
	}
	return a.(*account)
}

// take adds the growth of a value in place of the newest one, if the quota allows it.
func (a *account) take(key Key, newest, next value, quota int64) (growth int64, fits bool) {
	growth = max(growthOf(key, newest, next), 0)
	if growth > 0 && (!a.known.Load() || a.used.Load()+a.queued.Load()+growth > quota) {
		return 0, false
	}
	a.queued.Add(growth)
	return growth, true
}

// Resolve ends a Queued with the result of its write, after Batch.Commit or Batch.Abort.
func (c *Cache) Resolve(q *Queued, err error) {
	s := c.shard(q.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	c.account(q.key.Plugin).queued.Add(-q.growth)
	if s.queued[q.key] == q {
		delete(s.queued, q.key)
	}
	q.err = err
	close(q.done)
}

// Suspend makes the values of a plugin's queued writes unreadable until resume is called,
// because a write is enqueued beside Enqueue.
func (c *Cache) Suspend(plugin string) (resume func()) {
	for i := range c.shards {
		c.shards[i].suspend(plugin)
	}
	return func() {
		for i := range c.shards {
			c.shards[i].resume(plugin)
		}
	}
}

func (s *shard) suspend(plugin string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.suspended[plugin]++
	for key := range s.queued {
		if key.Plugin == plugin {
			delete(s.queued, key)
		}
	}
}

func (s *shard) resume(plugin string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.suspended[plugin]--; s.suspended[plugin] == 0 {
		delete(s.suspended, plugin)
	}
}

// Newest is Get, but returns the value of the newest queued write, if there is one that
// can be read. Then q is that write: what depends on the value must wait for it.
func (c *Cache) Newest(key Key) (bytes []byte, found, ok bool, q *Queued) {
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.newest(key)
	v = v.at(c.now)
	return v.bytes, v.found, ok, s.queued[key]
}

func (s *shard) newest(key Key) (value, bool) {
	if q := s.queued[key]; q != nil {
		return q.value, true
	}
	return s.get(key)
}

// Refuses reports whether a comparison cannot succeed: the committed value is another
// one, and no write is queued that may change that.
func (c *Cache) Refuses(w *Write) bool {
	s := c.shard(w.Key)
	s.mu.Lock()
	defer s.mu.Unlock()
	present, cached := s.get(w.Key)
	return cached && s.queued[w.Key] == nil && !matches(present.at(c.now), w.Old)
}

func matches(present value, old []byte) bool {
	return present.found == (old != nil) && bytes.Equal(present.bytes, old)
}
