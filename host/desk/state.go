package desk

import (
	"context"
	"encoding/base64"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// Change is a change of the key-value state.
type Change struct {
	Key    string  `json:"key"`
	Before *string `json:"before"` // nil: there was none
	After  *string `json:"after"`  // nil: there is none
	// Expires: the key has got a time after which it disappears.
	Expires bool `json:"expires,omitzero"`
}

// state is the key-value state of a plugin. It implements sandbox.KV, and is safe for
// concurrent use.
type state struct {
	all    *bus.Memory
	plugin string

	mu      sync.Mutex
	changes []Change // since take, one for each key
}

// take returns the changes since the last call. A key that has its value again is not
// changed.
func (s *state) take() []Change {
	s.mu.Lock()
	defer s.mu.Unlock()
	changes := slices.DeleteFunc(s.changes, func(c Change) bool {
		return !c.Expires && (c.Before == nil) == (c.After == nil) && (c.Before == nil || *c.Before == *c.After)
	})
	s.changes = nil
	return changes
}

// readable returns bytes as text, or in base64 when they are none.
func readable(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return "base64:" + base64.StdEncoding.EncodeToString(b)
}

// write does a write and records the change of the key; after is nil for a deletion.
func (s *state) write(ctx context.Context, key string, after []byte, do func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	present, found, err := s.all.KVGet(ctx, s.plugin, key)
	if err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	name := readable([]byte(key))
	i := slices.IndexFunc(s.changes, func(c Change) bool { return c.Key == name })
	if i < 0 {
		i = len(s.changes)
		s.changes = append(s.changes, Change{Key: name})
		if found {
			s.changes[i].Before = new(readable(present))
		}
	}
	s.changes[i].After, s.changes[i].Expires = nil, false
	if after != nil {
		s.changes[i].After = new(readable(after))
	}
	return nil
}

// Cached implements sandbox.KV.
func (s *state) Cached(key string) (value []byte, found, ok bool) {
	return s.all.KVCached(s.plugin, key)
}

// Newest implements sandbox.KV.
func (s *state) Newest(key string) (value []byte, found, ok bool, stored func(context.Context) error) {
	return s.all.KVNewest(s.plugin, key)
}

// Get implements sandbox.KV.
func (s *state) Get(ctx context.Context, key string) ([]byte, bool, error) {
	return s.all.KVGet(ctx, s.plugin, key)
}

// Set implements sandbox.KV.
func (s *state) Set(ctx context.Context, key string, value []byte) error {
	return s.write(ctx, key, append([]byte{}, value...), func() error { return s.all.KVSet(ctx, s.plugin, key, value) })
}

// CompareAndSet implements sandbox.KV.
func (s *state) CompareAndSet(ctx context.Context, key string, old, value []byte) error {
	return s.write(ctx, key, append([]byte{}, value...), func() error { return s.all.KVCAS(ctx, s.plugin, key, old, value) })
}

// Delete implements sandbox.KV.
func (s *state) Delete(ctx context.Context, key string) error {
	return s.write(ctx, key, nil, func() error { return s.all.KVDelete(ctx, s.plugin, key) })
}

// List implements sandbox.KV.
func (s *state) List(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	items, err := s.all.KVList(ctx, s.plugin, prefix, after, limit)
	keys := make([]string, len(items))
	for i := range items {
		keys[i] = items[i].Key
	}
	return keys, err
}

// Expire implements sandbox.KV.
func (s *state) Expire(ctx context.Context, key string, until time.Time) error {
	present, _, err := s.all.KVGet(ctx, s.plugin, key)
	if err != nil {
		return err
	}
	if err := s.write(ctx, key, append([]byte{}, present...), func() error { return s.all.KVExpire(ctx, s.plugin, key, until) }); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name := readable([]byte(key))
	i := slices.IndexFunc(s.changes, func(c Change) bool { return c.Key == name })
	s.changes[i].Expires = !until.IsZero()
	return nil
}

// commit applies the effects of an event; nil has none.
func (s *state) commit(ctx context.Context, e *event.Effects) error {
	if e == nil {
		return nil
	}
	defer e.Release()
	for _, w := range e.Writes {
		var err error
		switch w.Kind {
		case event.EffectDelete:
			err = s.Delete(ctx, w.Key)
		case event.EffectSwap:
			var present []byte
			if present, _, err = s.Get(ctx, w.Key); err == nil {
				err = s.CompareAndSet(ctx, w.Key, present, w.Value)
			}
		case event.EffectSet:
			err = s.Set(ctx, w.Key, w.Value)
		}
		if err == nil && (w.Kind == event.EffectExpire || w.Kind == event.EffectSet && !w.Until.IsZero()) {
			err = s.Expire(ctx, w.Key, w.Until)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Usage implements sandbox.KV.
func (s *state) Usage(ctx context.Context) (used, quota int64, err error) {
	return s.all.KVUsage(ctx, s.plugin)
}

// secrets are the secrets of a file. They implement sandbox.Secrets.
type secrets struct {
	granted []string
	values  map[string]string
}

// Granted implements sandbox.Secrets.
func (s secrets) Granted(name string) bool { return slices.Contains(s.granted, name) }

// Read implements sandbox.Secrets.
func (s secrets) Read(name string) (string, error) {
	if value, ok := s.values[name]; ok {
		return value, nil
	}
	return "", fault.New(fault.NotFound, "there is no secret %s", name)
}
