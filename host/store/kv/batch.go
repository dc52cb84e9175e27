package kv

import (
	"bytes"
	"cmp"
	"maps"
	"slices"

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
	Set           Kind = iota
	CompareAndSet      // sets if the present value is Old
	Delete
	Clear // deletes all values of the plugin
)

// Write is a write of one caller.
type Write struct {
	Kind  Kind
	Key   Key
	Old   []byte // of CompareAndSet; nil when there must be no value
	Value []byte // of Set and CompareAndSet; not nil, and never changed afterwards
}

// Reader reads the file as the transaction of the batch sees it.
type Reader interface {
	Value(key Key) (value []byte, found bool, err error)
	Usage(plugin string) (bytes int64, err error) // of keys and values, as spec.GrowKV counts
}

// File is the transaction that a batch is flushed to.
type File interface {
	Clear(plugin string) error
	Delete(key Key) error
	Set(list []Entry) error // in the order of the keys
}

// Entry is a key with its value.
type Entry struct {
	Key   Key
	Value []byte
}

// Batch is the writes of one group, and how many bytes each plugin has. It is used by one
// goroutine: Apply for each write, Flush before the commit, then Commit or Abort, after
// which the next group begins.
type Batch struct {
	cache *Cache
	usage map[string]int64 // committed bytes by plugin, as far as they have been read

	values  map[Key]value // the last write of each key
	used    map[string]int64
	cleared map[string]struct{}
}

// value is what a key has; the zero value is none.
type value struct {
	bytes []byte
	found bool
}

// NewBatch returns an empty batch whose committed values are in the cache.
func NewBatch(cache *Cache) *Batch {
	return &Batch{
		cache: cache, usage: make(map[string]int64),
		values: make(map[Key]value), used: make(map[string]int64), cleared: make(map[string]struct{}),
	}
}

// Empty reports whether the batch changes nothing.
func (b *Batch) Empty() bool { return len(b.values) == 0 && len(b.cleared) == 0 }

// Apply adds a write to the batch, after those before it. refused is why this write alone
// changes nothing: fault.Conflict, or fault.Exhausted in the field "value" for the quota.
// err is an error of the reader; the batch is unchanged.
func (b *Batch) Apply(w *Write, r Reader) (refused, err error) {
	plugin := w.Key.Plugin
	if w.Kind == Clear {
		maps.DeleteFunc(b.values, func(k Key, _ value) bool { return k.Plugin == plugin })
		b.cleared[plugin] = struct{}{}
		b.used[plugin] = 0
		return nil, nil
	}
	present, err := b.present(w.Key, r)
	if err != nil {
		return nil, err
	}
	switch {
	case w.Kind == Delete && !present.found:
		return nil, nil
	case w.Kind == CompareAndSet && !matches(present, w.Old):
		return Conflict(w.Key.Name), nil
	case w.Kind != Delete && present.found && bytes.Equal(present.bytes, w.Value):
		return nil, nil
	}
	used, err := b.usedBy(plugin, r)
	if err != nil {
		return nil, err
	}
	if w.Kind == Delete {
		b.values[w.Key] = value{}
		b.used[plugin] = used - int64(len(w.Key.Name)+len(present.bytes)) - spec.KVEntry
		return nil, nil
	}
	growth, refused := spec.GrowKV(plugin, w.Key.Name, present.bytes, present.found, w.Value, used, b.cache.quota)
	if refused != nil {
		return refused, nil
	}
	b.values[w.Key] = value{w.Value, true}
	b.used[plugin] = used + growth
	return nil, nil
}

// Conflict is the error of a CompareAndSet that found another value.
func Conflict(name string) error {
	return fault.New(fault.Conflict, "the value of %q is not the expected one", name)
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
	bytes, found, err := r.Value(key)
	v := value{bytes, found}
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
			sets = append(sets, Entry{key, v.bytes})
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
	clear(b.used)
	clear(b.cleared)
}
