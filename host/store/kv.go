package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// KVGet returns a plugin's value, and whether there is one. The caller owns the value.
func (s *Store) KVGet(ctx context.Context, plugin, key string) (value []byte, found bool, err error) {
	const doing = "read a key"
	if err := spec.CheckKV(key, nil); err != nil {
		return nil, false, s.coded(doing, err)
	}
	err = s.read.kvGet.QueryRowContext(ctx, plugin, key).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	return value, err == nil, s.coded(doing, err)
}

// KVSet stores a plugin's value. It is durable when it returns. fault.Exhausted,
// in the field "value", when the plugin would have more than Config.KVBytes, or
// when the value is over abi.MaxKVValue; fault.Invalid when the key is empty or over abi.MaxKVKey.
func (s *Store) KVSet(ctx context.Context, plugin, key string, value []byte) error {
	return s.kvWrite(ctx, "set a key", plugin, key, value, nil)
}

// KVCAS stores a plugin's value only if the present one equals old or, when old is
// nil, if there is none. Otherwise fault.Conflict. An empty old that is not nil is an
// empty value.
func (s *Store) KVCAS(ctx context.Context, plugin, key string, old, value []byte) error {
	return s.kvWrite(ctx, "compare and set a key", plugin, key, value, func(present []byte, found bool) error {
		if found != (old != nil) || !bytes.Equal(present, old) {
			return fault.New(fault.Conflict, "the value of %q is not the expected one", key)
		}
		return nil
	})
}

func (s *Store) kvWrite(ctx context.Context, doing, plugin, key string, value []byte, check func([]byte, bool) error) error {
	if err := spec.CheckKV(key, value); err != nil {
		return s.coded(doing, err)
	}
	if value == nil {
		value = []byte{} // not NULL
	}
	o := &op{events: 1, bytes: len(value)}
	o.run = func(g *group) error {
		var present []byte
		var usage int64
		err := g.queryRow(s.write.kvGet, plugin, key).Scan(&present)
		found := err == nil
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if check != nil {
			if o.err = check(present, found); o.err != nil {
				return nil
			}
		}
		if err := g.queryRow(s.write.kvUsage, plugin).Scan(&usage); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if _, o.err = spec.GrowKV(plugin, key, present, found, value, usage, s.kvBytes); o.err != nil {
			return nil
		}
		_, err = g.exec(s.write.kvSet, plugin, key, value)
		return err
	}
	return s.submit(ctx, doing, o)
}

// KVDelete removes a plugin's value, if there is one.
func (s *Store) KVDelete(ctx context.Context, plugin, key string) error {
	const doing = "delete a key"
	if err := spec.CheckKV(key, nil); err != nil {
		return s.coded(doing, err)
	}
	return s.submit(ctx, doing, &op{events: 1, run: func(g *group) error {
		_, err := g.exec(s.write.kvDelete, plugin, key)
		return err
	}})
}

// KVClear removes all of a plugin's state.
func (s *Store) KVClear(ctx context.Context, plugin string) error {
	return s.submit(ctx, "clear a plugin's keys", &op{events: 1, run: func(g *group) error {
		_, err := g.exec(s.write.kvClear, plugin)
		return err
	}})
}
