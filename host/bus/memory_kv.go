package bus

import (
	"bytes"
	"context"
	"fmt"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// memoryKV is one plugin's state.
type memoryKV struct {
	values map[string][]byte
	bytes  int64 // of keys and values, and spec.KVEntry for each
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
	if of := m.kv[plugin]; of != nil {
		value, found = of.values[key]
	}
	return bytes.Clone(value), found, nil
}

// KVCached implements State.
func (m *Memory) KVCached(plugin, key string) (value []byte, found, ok bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if of := m.kv[plugin]; of != nil {
		value, found = of.values[key]
	}
	return value, found, !m.closed
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
	return m.kvWrite(ctx, "set a key", plugin, key, value, func([]byte, bool) bool { return true })
}

// KVCAS implements State.
func (m *Memory) KVCAS(ctx context.Context, plugin, key string, old, value []byte) error {
	return m.kvWrite(ctx, "compare and set a key", plugin, key, value, func(present []byte, found bool) bool {
		return found == (old != nil) && bytes.Equal(present, old)
	})
}

func (m *Memory) kvWrite(ctx context.Context, doing, plugin, key string, value []byte, expected func([]byte, bool) bool) error {
	if err := spec.CheckKV(key, value); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx, doing); err != nil {
		return err
	}
	of := m.kv[plugin]
	if of == nil {
		of = &memoryKV{values: make(map[string][]byte)}
	}
	present, found := of.values[key]
	if !expected(present, found) {
		return fault.New(fault.Conflict, "%s: the value of %q is not the expected one", doing, key)
	}
	growth, err := spec.GrowKV(plugin, key, present, found, value, of.bytes, m.kvBytes)
	if err != nil {
		return err
	}
	of.values[key] = append([]byte{}, value...)
	of.bytes += growth
	m.kv[plugin] = of
	return nil
}

// KVDelete implements State.
func (m *Memory) KVDelete(ctx context.Context, plugin, key string) error {
	const doing = "delete a key"
	if err := spec.CheckKV(key, nil); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx, doing); err != nil {
		return err
	}
	if of := m.kv[plugin]; of != nil {
		if value, found := of.values[key]; found {
			of.bytes -= int64(len(key)+len(value)) + spec.KVEntry
			delete(of.values, key)
		}
	}
	return nil
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
