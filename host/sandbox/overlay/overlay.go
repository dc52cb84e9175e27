// Package overlay has the key-value state as one delivery of an atomic handler sees it: its
// own writes above those of finished but uncommitted deliveries, above the store. Nothing
// leaves the overlay before the delivery is committed with it; what the delivery has read is
// compared then.
package overlay

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// Base is the state below the delivery's own writes. Its errors are passed on as they are.
type Base interface {
	// Pending returns what finished but uncommitted deliveries do to a key, and PendingKeys
	// the keys with such writes that begin with prefix and sort after another key, ascending,
	// at most limit.
	Pending(key string) (w event.EffectWrite, ok bool)
	PendingKeys(prefix, after string, limit int) []event.EffectWrite
	// Load returns a stored value, which the overlay does not change.
	Load(key string) (value []byte, found bool, err error)
	// List returns stored keys as PendingKeys does.
	List(prefix, after string, limit int) (keys []string, err error)
	// Usage returns the size of the whole state, and its bound.
	Usage() (used, quota int64, err error)
}

// Budget bounds memory, in bytes. It must be safe for concurrent use.
type Budget interface {
	Take(n int64) bool
	Give(n int64)
	UsedUp() string // why Take returned false
}

// Bounds of one delivery.
const (
	MaxReads = 10_000 // keys that are remembered
	// overhead is the memory of an entry besides its key and value.
	overhead = 192
)

// Overlay is the state as the open delivery of one instance sees it. It is for one goroutine.
type Overlay struct {
	budget Budget
	plugin string

	reads  index
	read   []event.EffectRead
	writes index
	write  []event.EffectWrite
	sizes  []int64 // of the present entries of write, with spec.KVEntry; unknown if not looked up
	bytes  int     // of the keys and values of write
	upper  int64   // the sum of their size
	taken  int64   // from the budget
	free   int64   // of the state's bound, when that was last looked up
	known  bool    // free is
}

// unknown is a size that has not been looked up.
const unknown = -1

// New returns the empty overlay of an instance of a plugin.
func New(plugin string, budget Budget) *Overlay { return &Overlay{plugin: plugin, budget: budget} }

// Get returns the value of a key, which the caller does not change.
func (o *Overlay) Get(b Base, now time.Time, key string) (value []byte, found bool, err error) {
	i := o.writes.find(key)
	if i < 0 {
		return o.readBelow(b, now, key)
	}
	w := o.write[i]
	if !present(w, now) {
		return nil, false, nil
	}
	if w.Kind == event.EffectExpire { // it was there when its limit was set
		return o.readBelow(b, now, key)
	}
	return w.Value, true, nil
}

// Set writes a value. The last write wins.
func (o *Overlay) Set(b Base, key string, value []byte) error {
	return o.add(b, event.EffectWrite{Kind: event.EffectSet, Key: key, Value: value})
}

// Swap writes a value if the present one equals old or, when old is nil, if there is none.
// Otherwise it returns fault.Conflict.
func (o *Overlay) Swap(b Base, now time.Time, key string, old, value []byte) error {
	present, found, err := o.Get(b, now, key)
	if err != nil {
		return err
	}
	if found != (old != nil) || !bytes.Equal(present, old) {
		return fault.New(fault.Conflict, "the value of the key is not the expected one")
	}
	kind := event.EffectSwap
	if !found {
		kind = event.EffectSet // it has no limit to keep
	}
	return o.add(b, event.EffectWrite{Kind: kind, Key: key, Value: value})
}

// Delete removes a key, if it is there.
func (o *Overlay) Delete(b Base, key string) error {
	return o.add(b, event.EffectWrite{Kind: event.EffectDelete, Key: key})
}

// Expire has a key disappear at a time; zero removes the limit that it had. fault.NotFound
// when there is no such key.
func (o *Overlay) Expire(b Base, now time.Time, key string, until time.Time) error {
	_, found, err := o.Get(b, now, key)
	if err != nil {
		return err
	}
	if !found {
		return fault.New(fault.NotFound, "there is no such key")
	}
	return o.add(b, event.EffectWrite{Kind: event.EffectExpire, Key: key, Until: until})
}

// present reports whether a key is there after a write to it, of which EffectExpire was done
// to a key that was there.
func present(w event.EffectWrite, now time.Time) bool {
	return w.Kind != event.EffectDelete && (w.Until.IsZero() || now.Before(w.Until))
}

// readBelow reads a key below the delivery's own writes, and remembers what it was.
func (o *Overlay) readBelow(b Base, now time.Time, key string) (value []byte, found bool, err error) {
	w, pending := b.Pending(key)
	switch {
	case pending && !present(w, now):
	case pending && w.Kind != event.EffectExpire:
		value, found = w.Value, true
	default:
		if value, found, err = b.Load(key); err != nil {
			return nil, false, err
		}
	}
	return value, found, o.remember(key, value, found)
}

// remember adds what a key was. If it was something else before, the delivery has seen two
// states: a sum that no value has makes sure that it is in conflict.
func (o *Overlay) remember(key string, value []byte, found bool) error {
	r := event.EffectRead{Key: key, Found: found}
	if found {
		r.Sum = sha256.Sum256(value)
	}
	if i := o.reads.find(key); i >= 0 {
		if o.read[i] != r {
			o.read[i].Found, o.read[i].Sum = true, [sha256.Size]byte{}
		}
		return nil
	}
	if len(o.read) == MaxReads {
		return tooLarge("key", "the event has read %d keys, which is the limit", MaxReads)
	}
	if err := o.take(overhead + len(key)); err != nil {
		return err
	}
	o.reads.add(key)
	o.read = append(o.read, r)
	return nil
}

// add adds a write above an older one to the same key. It keeps copies.
func (o *Overlay) add(b Base, w event.EffectWrite) error {
	i := o.writes.find(w.Key)
	grown, entry := len(w.Key)+len(w.Value), overhead
	if i >= 0 {
		w = w.After(o.write[i])
		grown, entry = len(w.Value)-len(o.write[i].Value), 0
	}
	switch {
	case i < 0 && len(o.write) == abi.MaxAtomicKeys:
		return tooLarge("key", "the event has written %d keys, which is the limit", abi.MaxAtomicKeys)
	case grown > 0 && o.bytes+grown > abi.MaxAtomicBytes:
		return tooLarge("value", "the event's writes are over %d bytes together", abi.MaxAtomicBytes)
	}
	if err := o.checkQuota(b, i, w); err != nil {
		return err
	}
	if err := o.take(grown + entry); err != nil {
		return err
	}
	o.bytes += grown
	o.upper += size(w)
	w.Value = bytes.Clone(w.Value)
	if i >= 0 {
		o.upper -= size(o.write[i])
		o.write[i] = w
		return nil
	}
	o.writes.add(w.Key)
	o.write, o.sizes = append(o.write, w), append(o.sizes, unknown)
	return nil
}

// checkQuota returns an error for a write, in place of the one with an index unless that is
// negative, with which the state would grow beyond its bound. What others write meanwhile
// counts when the delivery is committed.
func (o *Overlay) checkQuota(b Base, at int, w event.EffectWrite) error {
	if w.Kind != event.EffectSet && w.Kind != event.EffectSwap {
		return nil
	}
	upper := o.upper + size(w)
	if at >= 0 {
		upper -= size(o.write[at])
	}
	if o.known && upper <= o.free {
		return nil
	}
	used, quota, err := b.Usage()
	if err != nil {
		return err
	}
	if o.free, o.known = quota-used, true; upper <= o.free {
		return nil
	}
	growth, err := o.growth(b, w, at)
	if err != nil {
		return err
	}
	if growth > o.free && growth > 0 {
		return tooLarge("value", "the state of %s would be %d bytes; the limit is %d", o.plugin, used+growth, quota)
	}
	return nil
}

// size is the upper bound of what a write adds to the state.
func size(w event.EffectWrite) int64 {
	if w.Kind == event.EffectDelete || w.Kind == event.EffectExpire {
		return 0
	}
	return int64(len(w.Key)+len(w.Value)) + spec.KVEntry
}

// growth returns how much the writes add to the state, with w in place of the one with the
// index at, or besides them.
func (o *Overlay) growth(b Base, w event.EffectWrite, at int) (n int64, err error) {
	for i := range o.write {
		if o.sizes[i] == unknown {
			if o.sizes[i], err = sizeBelow(b, o.write[i].Key); err != nil {
				return 0, err
			}
		}
		switch one := o.write[i]; {
		case i == at:
			n += size(w) - o.sizes[i]
		case one.Kind != event.EffectExpire:
			n += size(one) - o.sizes[i]
		}
	}
	if at < 0 {
		below, err := sizeBelow(b, w.Key)
		if err != nil {
			return 0, err
		}
		n += size(w) - below
	}
	return n, nil
}

// sizeBelow returns the size of a stored entry; 0 for none.
func sizeBelow(b Base, key string) (int64, error) {
	value, found, err := b.Load(key)
	if !found || err != nil {
		return 0, err
	}
	return int64(len(key)+len(value)) + spec.KVEntry, nil
}

// take takes memory for the overlay.
func (o *Overlay) take(n int) error {
	if n <= 0 {
		return nil // it is given back with all
	}
	if !o.budget.Take(int64(n)) {
		return fault.New(fault.Exhausted, "%s", o.budget.UsedUp())
	}
	o.taken += int64(n)
	return nil
}

// Effects returns what the delivery has read and writes, nil for nothing, and empties the
// overlay. The memory stays charged until Effects.Release is called.
func (o *Overlay) Effects() *event.Effects {
	if len(o.read)+len(o.write) == 0 {
		return nil
	}
	e := &event.Effects{Plugin: o.plugin, Reads: o.read, Writes: o.write}
	budget, taken := o.budget, o.taken
	e.Release = func() { budget.Give(taken) }
	o.taken = 0
	o.reset()
	return e
}

// Drop empties the overlay.
func (o *Overlay) Drop() {
	if o.taken > 0 {
		o.budget.Give(o.taken)
	}
	o.reset()
}

func (o *Overlay) reset() { *o = Overlay{plugin: o.plugin, budget: o.budget} }

func tooLarge(field, format string, args ...any) error {
	return &fault.Error{Code: fault.Exhausted, Field: field, Reason: fmt.Sprintf(format, args...)}
}

// index finds keys in a list by their position. It has a map once there are many.
type index struct {
	keys []string
	by   map[string]int
}

// mapFrom is the number of keys from which an index has a map.
const mapFrom = 16

// find returns the position of a key; negative for none.
func (x *index) find(key string) int {
	if x.by != nil {
		if i, ok := x.by[key]; ok {
			return i
		}
		return -1
	}
	for i := range x.keys {
		if x.keys[i] == key {
			return i
		}
	}
	return -1
}

// add adds a key at the end.
func (x *index) add(key string) {
	x.keys = append(x.keys, key)
	if x.by == nil && len(x.keys) > mapFrom {
		x.by = make(map[string]int)
		for i := range x.keys {
			x.by[x.keys[i]] = i
		}
	} else if x.by != nil {
		x.by[key] = len(x.keys) - 1
	}
}
