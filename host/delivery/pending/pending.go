// Package pending has what finished deliveries of an atomic handler do to its key-value state
// until the store shows it: attempts that start meanwhile read it, so that they need not wait
// for the write, and one that has read something else is known to be in conflict.
package pending

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/berth-host/berth/host/event"
)

// Set has the effects of the finished but uncommitted deliveries of one handler. The zero
// value is empty. It is safe for concurrent use; its lock is a leaf.
type Set struct {
	mu   sync.RWMutex
	keys map[string]*key
	// sorted has the keys in order; nil when one was added or removed since.
	sorted []string
}

// key is a key with pending writes.
type key struct {
	writes []write // in commit order
	merged event.EffectWrite
	sum    [sha256.Size]byte // of the merged value, if summed
	summed bool
}

type write struct {
	of *event.Effects
	event.EffectWrite
}

// Add adds the effects of a delivery that has finished: it is committed after all others.
func (s *Set) Add(e *event.Effects) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range e.Writes {
		k := s.keys[w.Key]
		if k == nil {
			if s.keys == nil {
				s.keys = make(map[string]*key)
			}
			k = &key{}
			s.keys[w.Key], s.sorted = k, nil
		}
		k.writes = append(k.writes, write{e, w})
		k.merge()
	}
}

// Remove removes the effects of a delivery that the store shows, or has refused.
func (s *Set) Remove(e *event.Effects) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range e.Writes {
		k := s.keys[w.Key]
		if k == nil {
			continue
		}
		i := slices.IndexFunc(k.writes, func(one write) bool { return one.of == e })
		switch {
		case i < 0:
		case len(k.writes) == 1:
			delete(s.keys, w.Key)
			s.sorted = nil
		case i == 0: // nearly always: they are committed in order
			k.writes[0] = write{}
			k.writes = k.writes[1:]
			k.merge()
		default:
			k.writes = slices.Delete(k.writes, i, i+1)
			k.merge()
		}
	}
}

// merge sets merged to what the writes do together.
func (k *key) merge() {
	first := len(k.writes) - 1
	for first > 0 && k.writes[first].Kind != event.EffectSet && k.writes[first].Kind != event.EffectDelete {
		first-- // the write depends on those before
	}
	k.merged, k.summed = k.writes[first].EffectWrite, false
	for _, w := range k.writes[first+1:] {
		k.merged = w.After(k.merged)
	}
}

// Get returns the one write that does what all pending ones do to a key. The caller does not
// change its value.
func (s *Set) Get(name string) (w event.EffectWrite, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	k := s.keys[name]
	if k == nil {
		return w, false
	}
	return k.merged, true
}

// List returns the writes of Get to keys that begin with a prefix and come after a key,
// ascending, at most limit.
func (s *Set) List(prefix, after string, limit int) (list []event.EffectWrite) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.keys) == 0 {
		return nil
	}
	if s.sorted == nil {
		s.sorted = make([]string, 0, len(s.keys))
		for name := range s.keys {
			s.sorted = append(s.sorted, name)
		}
		slices.Sort(s.sorted)
	}
	i, found := slices.BinarySearch(s.sorted, max(prefix, after))
	if found && s.sorted[i] == after {
		i++
	}
	for ; i < len(s.sorted) && len(list) < limit && strings.HasPrefix(s.sorted[i], prefix); i++ {
		list = append(list, s.keys[s.sorted[i]].merged)
	}
	return list
}

// Conflicts reports whether effects have read a key that a pending write has changed since:
// they cannot be committed after it. It reports false where only the store can decide.
func (s *Set) Conflicts(e *event.Effects, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.keys) == 0 {
		return false
	}
	for i := range e.Reads {
		r := &e.Reads[i]
		if k := s.keys[r.Key]; k != nil && k.differs(r, now) {
			return true
		}
	}
	return false
}

// differs reports whether a key was read with another value than it has now.
func (k *key) differs(r *event.EffectRead, now time.Time) bool {
	w := &k.merged
	switch {
	case w.Kind == event.EffectDelete, !w.Until.IsZero() && !w.Until.After(now):
		return r.Found
	case w.Kind == event.EffectExpire:
		return false // the store has the value
	case !k.summed:
		k.sum, k.summed = sha256.Sum256(w.Value), true
	}
	return !r.Found || r.Sum != k.sum
}

// Conflict returns a delivery as it is shown after runs in conflict, until it runs again.
func Conflict(d event.Delivery, runs int) event.Delivery {
	d.Status, d.ErrorClass = event.StatusRetrying, event.ClassKVConflict
	d.ErrorMessage = fmt.Sprintf("another delivery changed a key that it had read (run %d of %d beside others; then it runs alone)", runs, event.MaxConflicts)
	if runs >= event.MaxConflicts {
		d.ErrorMessage = fmt.Sprintf("another delivery changed a key that it had read, in %d runs or more: it is to run alone", runs)
	}
	return d
}
