package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"

	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/store/kv"
)

// KVGet returns a plugin's value, and whether there is one. The caller owns the value. It
// waits for no write.
func (s *Store) KVGet(ctx context.Context, plugin, key string) (value []byte, found bool, err error) {
	const doing = "read a key"
	if err := s.checkKV(ctx, key, nil); err != nil {
		return nil, false, s.coded(doing, err)
	}
	value, found, ok, add := s.kvCache.Get(kv.Key{Plugin: plugin, Name: key})
	if ok {
		return bytes.Clone(value), found, nil
	}
	err = s.read.kvGet.QueryRowContext(ctx, plugin, key).Scan(&value)
	if found = err == nil; found || errors.Is(err, sql.ErrNoRows) {
		add(value, found)
		return bytes.Clone(value), found, nil
	}
	return nil, false, s.coded(doing, err)
}

// KVCached returns a plugin's value from memory, and whether there is one. ok is false
// when only KVGet can answer. The caller must not change the value.
func (s *Store) KVCached(plugin, key string) (value []byte, found, ok bool) {
	if s.closed() {
		return nil, false, false
	}
	value, found, ok, _ = s.kvCache.Get(kv.Key{Plugin: plugin, Name: key})
	return value, found, ok
}

// KVNewest returns a plugin's value from memory as KVCached does, or that of a write that
// has not returned. Then stored waits until that write is durable, and returns an error
// when it never will be or when its context ends first; otherwise stored is nil.
func (s *Store) KVNewest(plugin, key string) (value []byte, found, ok bool, stored func(context.Context) error) {
	if s.closed() {
		return nil, false, false, nil
	}
	value, found, ok, queued := s.kvCache.Newest(kv.Key{Plugin: plugin, Name: key})
	if queued != nil {
		stored = func(ctx context.Context) error { return s.coded("write a key that was read", queued.Wait(ctx)) }
	}
	return value, found, ok, stored
}

// KVSet stores a plugin's value. It is durable when it returns. fault.Exhausted,
// in the field "value", when the plugin would have more than Config.KVBytes, or
// when the value is over abi.MaxKVValue; fault.Invalid when the key is empty or over abi.MaxKVKey.
func (s *Store) KVSet(ctx context.Context, plugin, key string, value []byte) error {
	return s.writeKV(ctx, "set a key", &kv.Write{Kind: kv.Set, Key: kv.Key{Plugin: plugin, Name: key}, Value: value})
}

// KVCAS stores a plugin's value only if the present one equals old or, when old is
// nil, if there is none. Otherwise fault.Conflict. An empty old that is not nil is an
// empty value.
func (s *Store) KVCAS(ctx context.Context, plugin, key string, old, value []byte) error {
	const doing = "compare and set a key"
	if err := s.checkKV(ctx, key, value); err != nil {
		return s.coded(doing, err)
	}
	w := &kv.Write{Kind: kv.CompareAndSet, Key: kv.Key{Plugin: plugin, Name: key}, Old: old, Value: value}
	if s.kvCache.Refuses(w) {
		return s.coded(doing, kv.Conflict(key)) // no flush is needed to know that
	}
	return s.writeKV(ctx, doing, w)
}

// KVDelete removes a plugin's value, if there is one.
func (s *Store) KVDelete(ctx context.Context, plugin, key string) error {
	return s.writeKV(ctx, "delete a key", &kv.Write{Kind: kv.Delete, Key: kv.Key{Plugin: plugin, Name: key}})
}

// KVClear removes all of a plugin's state.
func (s *Store) KVClear(ctx context.Context, plugin string) error {
	defer s.kvCache.Suspend(plugin)()
	return s.submit(ctx, "clear a plugin's keys", &op{events: 1, kv: &kv.Write{Kind: kv.Clear, Key: kv.Key{Plugin: plugin}}})
}

// writeKV writes to one key.
func (s *Store) writeKV(ctx context.Context, doing string, w *kv.Write) error {
	if err := s.checkKV(ctx, w.Key.Name, w.Value); err != nil {
		return s.coded(doing, err)
	}
	w.Value = append([]byte{}, w.Value...) // the caller's memory; and an empty value is not NULL
	o := &op{events: 1, bytes: len(w.Value), kv: w}
	queued, sent := s.kvCache.Enqueue(w, func() bool { return s.trySend(o) })
	if !sent {
		defer s.kvCache.Suspend(w.Key.Plugin)()
	}
	err := s.submit(ctx, doing, o)
	if queued != nil {
		s.kvCache.Resolve(queued, err)
	}
	return err
}

// checkKV returns why a key cannot be used now.
func (s *Store) checkKV(ctx context.Context, key string, value []byte) error {
	if err := spec.CheckKV(key, value); err != nil {
		return err
	}
	if s.closed() {
		return errClosed()
	}
	return ctx.Err()
}
