package kv

import (
	"container/list"
	"hash/maphash"
	"sync"
	"time"
)

const (
	shards = 16
	// maxCached is the size in bytes of the largest value that is cached: reading a
	// larger one costs about as much as copying it.
	maxCached = 64 << 10
	// entryCost is the memory of an entry besides its key and value, in bytes.
	entryCost = 256
)

// Cache has the committed values that were read or written last, and which keys have no
// value. It is safe for concurrent use.
type Cache struct {
	seed     maphash.Seed
	quota    int64 // of one plugin, in bytes
	now      func() time.Time
	shards   [shards]shard
	accounts sync.Map // *account by plugin
}

// shard has the keys of one hash.
type shard struct {
	mu      sync.Mutex
	entries map[Key]*list.Element // of *entry
	recent  list.List             // the last used first
	bytes   int64
	limit   int64

	// writing and clearing are the keys and plugins whose commit is under way. version
	// counts the beginnings and ends of commits.
	writing  map[Key]struct{}
	clearing map[string]struct{}
	version  uint64

	queued    map[Key]*Queued // the newest queued write of each key
	suspended map[string]int  // by plugin: queued writes cannot be read
}

type entry struct {
	key Key
	value
}

func (e *entry) cost() int64 {
	return int64(len(e.key.Plugin)+len(e.key.Name)+len(e.bytes)) + entryCost
}

// NewCache returns an empty cache that uses about this many bytes of memory. quota bounds
// the bytes of one plugin, as spec.GrowKV counts. now is the clock for the time limits of
// values.
func NewCache(bytes, quota int64, now func() time.Time) *Cache {
	c := &Cache{seed: maphash.MakeSeed(), quota: quota, now: now}
	for i := range c.shards {
		s := &c.shards[i]
		s.limit = bytes / shards
		s.entries, s.writing = make(map[Key]*list.Element), make(map[Key]struct{})
		s.clearing, s.queued, s.suspended = make(map[string]struct{}), make(map[Key]*Queued), make(map[string]int)
	}
	return c
}

func (c *Cache) shard(key Key) *shard {
	return &c.shards[maphash.Comparable(c.seed, key)%shards]
}

// Get returns the value of a key, and whether there is one. The caller must not change
// it. ok is false when the file has to be read; add stores what the file has, unless a
// write of the key may have come between, and returns what the caller of Get gets.
func (c *Cache) Get(key Key) (bytes []byte, found, ok bool, add func(Stored) (bytes []byte, found bool)) {
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, cached := s.get(key); cached {
		if v.until != 0 {
			v = v.at(c.now)
		}
		return v.bytes, v.found, true, nil
	}
	version := s.version
	return nil, false, false, func(file Stored) ([]byte, bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		v := file.value()
		if s.version == version && !s.changing(key) {
			s.set(key, v)
		}
		v = v.at(c.now)
		return v.bytes, v.found
	}
}

// peek returns a value for the writer.
func (c *Cache) peek(key Key) (value, bool) {
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.get(key)
}

// add adds a value that the writer has read from the file.
func (c *Cache) add(key Key, v value) {
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set(key, v)
}

// begin removes the values that a commit is about to change.
func (c *Cache) begin(keys []Key, plugins map[string]struct{}) {
	for _, key := range keys {
		s := c.shard(key)
		s.mu.Lock()
		s.remove(key)
		s.writing[key] = struct{}{}
		s.version++
		s.mu.Unlock()
	}
	if len(plugins) == 0 {
		return
	}
	for i := range c.shards {
		c.shards[i].beginClear(plugins)
	}
}

func (s *shard) beginClear(plugins map[string]struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	for plugin := range plugins {
		s.clearing[plugin] = struct{}{}
	}
	for key := range s.entries {
		if _, cleared := plugins[key.Plugin]; cleared {
			s.remove(key)
		}
	}
}

// publish ends a commit. Without values the file answers for the keys of begin.
func (c *Cache) publish(values map[Key]value) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		if len(s.writing)+len(s.clearing) > 0 {
			s.version++
			for key := range s.writing {
				if v, ok := values[key]; ok {
					s.set(key, v)
				}
			}
			clear(s.writing)
			clear(s.clearing)
		}
		s.mu.Unlock()
	}
}

// changing reports whether a commit that is under way may change the key.
func (s *shard) changing(key Key) bool {
	_, writing := s.writing[key]
	_, clearing := s.clearing[key.Plugin]
	return writing || clearing
}

func (s *shard) get(key Key) (value, bool) {
	el := s.entries[key]
	if el == nil {
		return value{}, false
	}
	s.recent.MoveToFront(el)
	return el.Value.(*entry).value, true
}

// set stores a value and evicts those that were not used for longest.
func (s *shard) set(key Key, v value) {
	s.remove(key)
	if len(v.bytes) > maxCached {
		return
	}
	e := &entry{key, v}
	s.entries[key] = s.recent.PushFront(e)
	for s.bytes += e.cost(); s.bytes > s.limit; {
		s.remove(s.recent.Back().Value.(*entry).key)
	}
}

func (s *shard) remove(key Key) {
	if el := s.entries[key]; el != nil {
		delete(s.entries, key)
		s.bytes -= s.recent.Remove(el).(*entry).cost()
	}
}
