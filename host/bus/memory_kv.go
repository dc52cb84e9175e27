package bus

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// memoryKV is one plugin's state.
type memoryKV struct {
	values map[string]memoryValue
	sorted []string // the keys of values, ascending; nil when they have to be sorted again
	bytes  int64    // of keys and values, and spec.KVEntry for each
	next   int64    // no time limit of a value is before; 0: no value has one
}

// memoryValue is a value. It has disappeared when the time until, in Unix ns, is reached; 0
// is never.
type memoryValue struct {
	bytes []byte
	until int64
}

func (v memoryValue) expired(now int64) bool { return v.until != 0 && v.until <= now }

// get returns the value of a key.
func (of *memoryKV) get(key string, now int64) (v memoryValue, found bool) {
	if of == nil {
		return memoryValue{}, false
	}
	if v, found = of.values[key]; !found || v.expired(now) {
		return memoryValue{}, false
	}
	return v, true
}

// set stores a value in place of the one that the key has.
func (of *memoryKV) set(key string, v memoryValue) {
	present, found := of.values[key]
	if of.bytes += int64(len(v.bytes) - len(present.bytes)); !found {
		of.bytes += int64(len(key)) + spec.KVEntry
		of.sorted = nil
	}
	of.values[key] = v
	if v.until != 0 && (of.next == 0 || v.until < of.next) {
		of.next = v.until
	}
}

func (of *memoryKV) remove(key string) {
	if v, found := of.values[key]; found {
		of.bytes -= int64(len(key)+len(v.bytes)) + spec.KVEntry
		delete(of.values, key)
		of.sorted = nil
	}
}

// reclaim removes the values whose time is over.
func (of *memoryKV) reclaim(now int64) {
	if of.next == 0 || of.next > now {
		return
	}
	of.next = 0
	for key, v := range of.values {
		if v.expired(now) {
			of.remove(key)
		} else if v.until != 0 && (of.next == 0 || v.until < of.next) {
			of.next = v.until
		}
	}
}

// keys returns the keys in order.
func (of *memoryKV) keys() []string {
	if of.sorted == nil {
		of.sorted = make([]string, 0, len(of.values))
		for key := range of.values {
			of.sorted = append(of.sorted, key)
		}
		slices.Sort(of.sorted)
	}
	return of.sorted
}

// stateOf returns a plugin's state, to be written to. The caller holds mu.
func (m *Memory) stateOf(plugin string) *memoryKV {
	of := m.kv[plugin]
	if of == nil {
		of = &memoryKV{values: make(map[string]memoryValue)}
		m.kv[plugin] = of
	}
	return of
}

// KVGet implements State. The caller owns the value.
func (m *Memory) KVGet(ctx context.Context, plugin, key string) (value []byte, found bool, err error) {
	const doing = "read a key"
	if err := spec.CheckKV(key, nil); err != nil {
		return nil, false, fmt.Errorf("%s: %w", doing, err)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.usable(ctx, doing); err != nil {
		return nil, false, err
	}
	v, found := m.kv[plugin].get(key, m.now().UnixNano())
	return bytes.Clone(v.bytes), found, nil
}

// KVCached implements State.
func (m *Memory) KVCached(plugin, key string) (value []byte, found, ok bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	v, found := m.kv[plugin].get(key, m.now().UnixNano())
	return v.bytes, found, !m.closed
}

// KVNewest implements State.
func (m *Memory) KVNewest(plugin, key string) (value []byte, found, ok bool, stored func(context.Context) error) {
	value, found, ok = m.KVCached(plugin, key)
	return value, found, ok, nil
}

// KVSet implements State. fault.Exhausted, in the field "value", when the plugin would
// exceed MemoryConfig.KVBytes, or when the value is over 1 MiB; fault.Invalid when the
// key is empty or over 256 bytes.
func (m *Memory) KVSet(ctx context.Context, plugin, key string, value []byte) error {
	return m.change(ctx, "set a key", plugin, spec.KVChange{Key: key, Value: append([]byte{}, value...)})
}

// KVCAS implements State.
func (m *Memory) KVCAS(ctx context.Context, plugin, key string, old, value []byte) error {
	return m.change(ctx, "compare and set a key", plugin, spec.KVChange{Key: key, Value: append([]byte{}, value...), Compare: true, Old: old})
}

// KVDelete implements State.
func (m *Memory) KVDelete(ctx context.Context, plugin, key string) error {
	return m.change(ctx, "delete a key", plugin, spec.KVChange{Key: key})
}

// KVChange implements State.
func (m *Memory) KVChange(ctx context.Context, plugin string, c spec.KVChange) error {
	if c.Value != nil {
		c.Value = append([]byte{}, c.Value...)
	}
	return m.change(ctx, "change a key", plugin, c)
}

// change makes a change, whose value it keeps.
func (m *Memory) change(ctx context.Context, doing, plugin string, c spec.KVChange) error {
	if err := spec.CheckKV(c.Key, c.Value); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx, doing); err != nil {
		return err
	}
	now, of := m.now().UnixNano(), m.stateOf(plugin)
	present, found := of.get(c.Key, now)
	if c.Compare && (found != (c.Old != nil) || !bytes.Equal(present.bytes, c.Old)) {
		return fault.New(fault.Conflict, "%s: the value of %q is not the expected one", doing, c.Key)
	}
	v := memoryValue{c.Value, spec.KVUntil(c.Until)}
	if c.Compare && v.until == 0 {
		v.until = present.until
	}
	if c.Value == nil || v.expired(now) {
		of.remove(c.Key)
		return nil
	}
	if _, err := m.grow(plugin, of, 0, c.Key, v.bytes, now); err != nil {
		return err
	}
	of.set(c.Key, v)
	return nil
}

// grow returns by how much a value makes a plugin's state grow that will have grown by so
// much already, or the quota's refusal. The caller holds mu.
func (m *Memory) grow(plugin string, of *memoryKV, already int64, key string, value []byte, now int64) (int64, error) {
	growth := func() (int64, error) {
		present, found := of.values[key]
		return spec.GrowKV(plugin, key, present.bytes, found, value, of.bytes+already, m.kvBytes)
	}
	n, err := growth()
	if err != nil {
		of.reclaim(now)
		n, err = growth()
	}
	return n, err
}

// KVExpire implements State.
func (m *Memory) KVExpire(ctx context.Context, plugin, key string, until time.Time) error {
	const doing = "set a key's time limit"
	if err := spec.CheckKV(key, nil); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx, doing); err != nil {
		return err
	}
	of := m.kv[plugin]
	v, found := of.get(key, m.now().UnixNano())
	if !found {
		return fault.New(fault.NotFound, "%s: %s has no key %q", doing, plugin, key)
	}
	of.set(key, memoryValue{v.bytes, spec.KVUntil(until)})
	return nil
}

// KVList implements State.
func (m *Memory) KVList(ctx context.Context, plugin, prefix, after string, limit int) ([]spec.KVItem, error) {
	const doing = "list keys"
	if err := spec.CheckKVPage(limit); err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx, doing); err != nil {
		return nil, err
	}
	of := m.kv[plugin]
	if of == nil {
		return nil, nil
	}
	now, list := m.now().UnixNano(), []spec.KVItem(nil)
	keys := of.keys()
	first, _ := slices.BinarySearch(keys, max(prefix, after))
	for _, key := range keys[first:] {
		if !strings.HasPrefix(key, prefix) || len(list) == limit {
			break
		}
		if v, found := of.get(key, now); found && key > after {
			list = append(list, spec.KVItem{Key: key, Size: len(v.bytes), Until: spec.KVLimit(v.until)})
		}
	}
	return list, nil
}

// KVUsage implements State.
func (m *Memory) KVUsage(ctx context.Context, plugin string) (used, quota int64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx, "read a plugin's usage"); err != nil {
		return 0, 0, err
	}
	if of := m.kv[plugin]; of != nil {
		of.reclaim(m.now().UnixNano())
		used = of.bytes
	}
	return used, m.kvBytes, nil
}

// KVClear implements State.
func (m *Memory) KVClear(ctx context.Context, plugin string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx, "clear a plugin's keys"); err != nil {
		return err
	}
	delete(m.kv, plugin)
	return nil
}
