package kv

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// Key names a value of a plugin.
type Key struct{ Plugin, Name string }

func compareKeys(a, b Key) int {
	return cmp.Or(cmp.Compare(a.Plugin, b.Plugin), cmp.Compare(a.Name, b.Name))
}

// Kind is what a Write does.
type Kind byte

const (
	Set    Kind = iota
	Delete      // the key, if it is there
	Expire      // sets the time limit of a key that is there
	Clear       // deletes all values of the plugin
	Sweep       // removes values whose time is over, of all plugins
)

// Write is a write of one caller.
type Write struct {
	Kind  Kind
	Key   Key
	Value []byte // of Set; not nil, and never changed afterwards
	Until int64  // of Set and Expire, as spec.KVUntil returns it; 0 keeps the present one after a comparison
	Swept int    // of Sweep: how many were removed
	// Compare, of Set and Delete: only if the present value equals Old or, when Old is nil, if
	// there is none.
	Compare bool
	Old     []byte
}

// succeeds reports whether the write changes a key that has this value, the quota aside.
func (w *Write) succeeds(present value) bool {
	if w.Compare {
		return matches(present, w.Old)
	}
	return w.Kind != Expire || present.found
}

// result returns the value of the key after a write that succeeds.
func (w *Write) result(present value) value {
	switch {
	case w.Kind == Expire:
		return value{present.bytes, true, w.Until}
	case w.Kind == Delete:
		return value{}
	case w.Compare && w.Until == 0:
		return value{w.Value, true, present.until}
	}
	return value{w.Value, true, w.Until}
}

// Stored is a value in the file. Until is 0 for never.
type Stored struct {
	Value []byte
	Until int64
	Found bool
}

func (s Stored) value() value {
	if s.Found && s.Value == nil {
		s.Value = []byte{} // an empty value as the driver reads it, which it would write as NULL
	}
	return value{s.Value, s.Found, s.Until}
}

// Expired is a key whose time is over.
type Expired struct {
	Key   Key
	Until int64
	Size  int64 // of the value, in bytes
}

// Reader reads the file as the transaction of the batch sees it.
type Reader interface {
	Value(key Key) (Stored, error)
	Usage(plugin string) (bytes int64, err error) // of keys and values, as spec.GrowKV counts
	// Expired lists the keys whose time was over at now, of one plugin or, for "", of all, in
	// the order of Until and Key, those behind after, at most limit.
	Expired(plugin string, now int64, after Expired, limit int) ([]Expired, error)
}

// File is the transaction that a batch is flushed to.
type File interface {
	Clear(plugin string) error
	Delete(key Key) error
	Set(list []Entry) error // in the order of the keys; the caller does not use the list again
}

// Entry is a key with its value.
type Entry struct {
	Key     Key
	Value   []byte
	Until   int64
	Limited bool // it has or had a time limit
}

// Batch is the writes of one group, and how many bytes each plugin has. It is used by one
// goroutine: Apply for each write, Flush before the commit, then Commit or Abort, after
// which the next group begins.
type Batch struct {
	cache *Cache
	usage map[string]int64 // committed bytes by plugin, as far as they have been read

	values  map[Key]value // the last write of each key
	limited map[Key]bool  // which of them have or had a time limit
	used    map[string]int64
	cleared map[string]struct{}
}

// value is what a key has, also when its time is over; the zero value is none.
type value struct {
	bytes []byte
	found bool
	until int64 // Unix ns; 0 for never
}

// at returns what readers see of the value now.
func (v value) at(now func() time.Time) value {
	if v.until != 0 && v.until <= now().UnixNano() {
		return value{}
	}
	return v
}

func (v value) equal(w value) bool {
	return v.found == w.found && v.until == w.until && bytes.Equal(v.bytes, w.bytes)
}

// size returns the bytes that a value of a key takes of the quota.
func (v value) size(key Key) int64 {
	if !v.found {
		return 0
	}
	return entrySize(key, int64(len(v.bytes)))
}

func entrySize(key Key, value int64) int64 { return int64(len(key.Name)) + value + spec.KVEntry }

func growthOf(key Key, before, after value) int64 { return after.size(key) - before.size(key) }

// NewBatch returns an empty batch whose committed values are in the cache.
func NewBatch(cache *Cache) *Batch {
	return &Batch{
		cache: cache, usage: make(map[string]int64),
		values: make(map[Key]value), limited: make(map[Key]bool), used: make(map[string]int64), cleared: make(map[string]struct{}),
	}
}

// Empty reports whether the batch changes nothing.
func (b *Batch) Empty() bool { return len(b.values) == 0 && len(b.cleared) == 0 }

// Apply adds a write to the batch, after those before it. refused is why this write alone
// changes nothing: fault.Conflict, fault.NotFound, or fault.Exhausted in the field "value" for
// the quota. err is an error of the reader; the batch is unchanged then, except that values
// may be removed whose time is over.
func (b *Batch) Apply(w *Write, r Reader) (refused, err error) {
	plugin := w.Key.Plugin
	switch w.Kind {
	case Clear:
		maps.DeleteFunc(b.values, func(k Key, _ value) bool { return k.Plugin == plugin })
		maps.DeleteFunc(b.limited, func(k Key, _ bool) bool { return k.Plugin == plugin })
		b.cleared[plugin] = struct{}{}
		b.used[plugin] = 0
		return nil, nil
	case Sweep:
		w.Swept, err = b.sweep(r)
		return nil, err
	}
	before, err := b.present(w.Key, r)
	if err != nil {
		return nil, err
	}
	present := before.at(b.cache.now)
	if !w.succeeds(present) {
		if w.Kind == Expire {
			return NotFound(w.Key), nil
		}
		return Conflict(w.Key.Name), nil
	}
	next := w.result(present).at(b.cache.now)
	if next.equal(before) {
		return nil, nil
	}
	fits, err := b.fits(plugin, r, func() int64 { return growthOf(w.Key, b.newest(w.Key, before), next) })
	if fits == nil && err == nil {
		b.put(w.Key, b.newest(w.Key, before), next)
	}
	return fits, err
}

// fits returns the quota's refusal of a growth, after it has removed values whose time is
// over, if they are needed. It changes what growth is counted from.
func (b *Batch) fits(plugin string, r Reader, growth func() int64) (refused, err error) {
	used, err := b.usedBy(plugin, r)
	if err != nil {
		return nil, err
	}
	for {
		refused = spec.FitKV(plugin, growth(), used, b.cache.quota)
		if refused == nil {
			return nil, nil
		}
		freed, err := b.reclaim(plugin, used+growth()-b.cache.quota, r)
		if err != nil || freed == 0 {
			return refused, err
		}
		used -= freed // but a key that is written anyway now grows by more
	}
}

// newest returns the value of a key that was read before others were removed.
func (b *Batch) newest(key Key, before value) value {
	if v, written := b.values[key]; written {
		return v
	}
	return before
}

// put adds a value in place of another one. The plugin's bytes are known.
func (b *Batch) put(key Key, before, next value) {
	if before.until != 0 || next.until != 0 {
		b.limited[key] = true
	}
	b.values[key] = next
	b.used[key.Plugin] += growthOf(key, before, next)
}

// Conflict is the error of a comparison that found another value.
func Conflict(name string) error {
	return fault.New(fault.Conflict, "the value of %q is not the expected one", name)
}

// NotFound is the error of an Expire that found no value.
func NotFound(key Key) error {
	return fault.New(fault.NotFound, "%s has no key %q", key.Plugin, key.Name)
}

// present returns the value of a key after the writes of the batch so far.
func (b *Batch) present(key Key, r Reader) (value, error) {
	if v, written := b.values[key]; written {
		return v, nil
	}
	if _, cleared := b.cleared[key.Plugin]; cleared {
		return value{}, nil
	}
	if v, cached := b.cache.peek(key); cached {
		return v, nil
	}
	file, err := r.Value(key)
	v := file.value()
	if err == nil {
		b.cache.add(key, v)
	}
	return v, err
}

// usedBy returns the bytes of a plugin after the writes of the batch so far.
func (b *Batch) usedBy(plugin string, r Reader) (used int64, err error) {
	if used, known := b.used[plugin]; known {
		return used, nil
	}
	used, known := b.usage[plugin]
	if !known {
		if used, err = r.Usage(plugin); err != nil {
			return 0, err
		}
		b.usage[plugin] = used
	}
	b.used[plugin] = used
	return used, nil
}

// Flush writes the batch to the file. From now on until Commit or Abort readers of its
// keys ask the file.
func (b *Batch) Flush(f File) error {
	if b.Empty() {
		return nil
	}
	keys := slices.SortedFunc(maps.Keys(b.values), compareKeys)
	b.cache.begin(keys, b.cleared)
	for plugin := range b.cleared {
		if err := f.Clear(plugin); err != nil {
			return err
		}
	}
	sets := make([]Entry, 0, len(keys))
	for _, key := range keys {
		if v := b.values[key]; v.found {
			sets = append(sets, Entry{key, v.bytes, v.until, b.limited[key]})
		} else if err := f.Delete(key); err != nil {
			return err
		}
	}
	if len(sets) == 0 {
		return nil
	}
	return f.Set(sets)
}

// Commit publishes the batch, which the file has now, and empties it.
func (b *Batch) Commit() {
	if b.Empty() {
		b.reset()
		return
	}
	b.cache.publish(b.values)
	maps.Copy(b.usage, b.used)
	for plugin, used := range b.used {
		a := b.cache.account(plugin)
		a.used.Store(used)
		a.known.Store(true)
	}
	b.reset()
}

// Abort drops the batch. The file may have it or not.
func (b *Batch) Abort() {
	b.cache.publish(nil)
	for plugin := range b.used {
		b.cache.account(plugin).known.Store(false)
	}
	clear(b.usage)
	b.reset()
}

func (b *Batch) reset() {
	clear(b.values)
	clear(b.limited)
	clear(b.used)
	clear(b.cleared)
}
