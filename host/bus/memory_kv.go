package bus

import (
	"bytes"
	"context"
	"fmt"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/fault"
)

// kvEntry is the size of an entry besides its key and value, in bytes.
const kvEntry = 128

// memoryKV is one plugin's state.
type memoryKV struct {
	values map[string][]byte
	bytes  int64 // of keys and values, and kvEntry for each
}

// KVGet implements State. The caller owns the value.
func (m *Memory) KVGet(ctx context.Context, plugin, key string) (value []byte, found bool, err error) {
	const doing = "read a key"
	if err := checkKV(doing, key, nil); err != nil {
		return nil, false, err
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
	if err := checkKV(doing, key, value); err != nil {
		return err
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
	grows := int64(len(value) - len(present))
	if !found {
		grows += int64(len(key)) + kvEntry
	}
	if grows > 0 && of.bytes+grows > m.kvBytes {
		return &fault.Error{Code: fault.Exhausted, Field: "value",
			Reason: fmt.Sprintf("the state of %s would be %d bytes; the limit is %d", plugin, of.bytes+grows, m.kvBytes)}
	}
	of.values[key] = append([]byte{}, value...)
	of.bytes += grows
	m.kv[plugin] = of
	return nil
}

// KVDelete implements State.
func (m *Memory) KVDelete(ctx context.Context, plugin, key string) error {
	const doing = "delete a key"
	if err := checkKV(doing, key, nil); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx, doing); err != nil {
		return err
	}
	if of := m.kv[plugin]; of != nil {
		if value, found := of.values[key]; found {
			of.bytes -= int64(len(key)+len(value)) + kvEntry
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

func checkKV(doing, key string, value []byte) error {
	if key == "" || len(key) > abi.MaxKVKey {
		return fmt.Errorf("%s: %w", doing, fault.Field("key", "is %d bytes, but must be 1 to %d", len(key), abi.MaxKVKey))
	}
	if len(value) > abi.MaxKVValue {
		return fmt.Errorf("%s: %w", doing, &fault.Error{Code: fault.Exhausted, Field: "value", Reason: "is larger than 1 MiB"})
	}
	return nil
}
