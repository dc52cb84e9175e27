package kv

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/store/datafile"
)

// StateConfig sets up a State. All fields are required.
type StateConfig struct {
	Cache  *Cache
	Reader *sql.DB // read-only connections
	Closed func() bool
	Coded  func(doing string, err error) error // wraps an error and gives it a code
	// Send returns how a write gets to the writer: try puts it into the queue, unless that is
	// full, and await does so if it is not there yet, and waits for the result.
	Send func(w *Write) (try func() bool, await func(ctx context.Context, doing string) error)
	Log  *slog.Logger
}

// State is the key-value state of plugins for its callers; see bus.State. It is safe for
// concurrent use.
type State struct {
	cfg                    StateConfig
	get, list, from, usage *sql.Stmt
	anyExpired             *sql.Stmt
	failing                atomic.Bool // RemoveExpired
}

// NewState prepares the statements of a State.
func NewState(ctx context.Context, cfg StateConfig) (*State, error) {
	const list = `SELECT key, octet_length(value), coalesce(until, 0) FROM kv WHERE plugin = ?1 AND key >= ?2 AND key <> ?3
		AND (until IS NULL OR until > ?4)`
	s := &State{cfg: cfg}
	return s, datafile.Prepare(ctx, cfg.Reader, datafile.Statements{
		&s.get:  get,
		&s.from: list + ` ORDER BY key LIMIT ?5`,
		&s.list: list + ` AND key < ?6 ORDER BY key LIMIT ?5`,
		&s.usage: `SELECT coalesce((SELECT bytes FROM kv_usage WHERE plugin = ?1), 0) - coalesce((SELECT sum(octet_length(key)
			+ octet_length(value) + 128) FROM kv WHERE until <= ?2 AND plugin = ?1), 0)`,
		&s.anyExpired: `SELECT EXISTS (SELECT 1 FROM kv WHERE until <= ?)`,
	})
}

// KVGet returns a plugin's value, and whether there is one. The caller owns the value. It
// waits for no write.
func (s *State) KVGet(ctx context.Context, plugin, key string) (value []byte, found bool, err error) {
	const doing = "read a key"
	if err := s.check(ctx, key, nil); err != nil {
		return nil, false, s.cfg.Coded(doing, err)
	}
	value, found, ok, add := s.cfg.Cache.Get(Key{Plugin: plugin, Name: key})
	if ok {
		return bytes.Clone(value), found, nil
	}
	var file Stored
	err = s.get.QueryRowContext(ctx, plugin, key).Scan(&file.Value, &file.Until)
	if file.Found = err == nil; file.Found || errors.Is(err, sql.ErrNoRows) {
		value, found = add(file)
		return bytes.Clone(value), found, nil
	}
	return nil, false, s.cfg.Coded(doing, err)
}

// KVCached returns a plugin's value from memory, and whether there is one. ok is false
// when only KVGet can answer. The caller must not change the value.
func (s *State) KVCached(plugin, key string) (value []byte, found, ok bool) {
	if s.cfg.Closed() {
		return nil, false, false
	}
	v, ok := s.cfg.Cache.peek(Key{Plugin: plugin, Name: key})
	if v.until != 0 {
		v = v.at(s.cfg.Cache.now)
	}
	return v.bytes, v.found, ok
}

// KVNewest returns a plugin's value from memory as KVCached does, or that of a write that
// has not returned. Then stored waits until that write is durable, and returns an error
// when it never will be or when its context ends first; otherwise stored is nil.
func (s *State) KVNewest(plugin, key string) (value []byte, found, ok bool, stored func(context.Context) error) {
	if s.cfg.Closed() {
		return nil, false, false, nil
	}
	value, found, ok, queued := s.cfg.Cache.Newest(Key{Plugin: plugin, Name: key})
	if queued != nil {
		stored = func(ctx context.Context) error { return s.cfg.Coded("write a key that was read", queued.Wait(ctx)) }
	}
	return value, found, ok, stored
}

// KVSet stores a plugin's value, without a time limit. It is durable when it returns.
// fault.Exhausted, in the field "value", when the plugin would have more than its quota, or
// when the value is over abi.MaxKVValue; fault.Invalid when the key is empty or over abi.MaxKVKey.
func (s *State) KVSet(ctx context.Context, plugin, key string, value []byte) error {
	return s.write(ctx, "set a key", &Write{Kind: Set, Key: Key{Plugin: plugin, Name: key}, Value: value})
}

// KVCAS stores a plugin's value only if the present one equals old or, when old is
// nil, if there is none. Otherwise fault.Conflict. An empty old that is not nil is an
// empty value. The key keeps its time limit.
func (s *State) KVCAS(ctx context.Context, plugin, key string, old, value []byte) error {
	return s.write(ctx, "compare and set a key", &Write{Kind: Set, Key: Key{Plugin: plugin, Name: key}, Value: value, Compare: true, Old: old})
}

// KVDelete removes a plugin's value, if there is one.
func (s *State) KVDelete(ctx context.Context, plugin, key string) error {
	return s.write(ctx, "delete a key", &Write{Kind: Delete, Key: Key{Plugin: plugin, Name: key}})
}

// KVExpire has a plugin's value disappear at a time, or never for the zero time.
// fault.NotFound when there is no value.
func (s *State) KVExpire(ctx context.Context, plugin, key string, until time.Time) error {
	return s.write(ctx, "set a key's time limit", &Write{Kind: Expire, Key: Key{Plugin: plugin, Name: key}, Until: spec.KVUntil(until)})
}

// KVChange writes value and time limit in one write, or removes a key; see spec.KVChange.
// fault.Conflict when the present value is not the expected one.
func (s *State) KVChange(ctx context.Context, plugin string, c spec.KVChange) error {
	w := &Write{Kind: Set, Key: Key{Plugin: plugin, Name: c.Key}, Value: c.Value, Until: spec.KVUntil(c.Until), Compare: c.Compare, Old: c.Old}
	if c.Value == nil {
		w.Kind = Delete
	}
	return s.write(ctx, "change a key", w)
}

// KVClear removes all of a plugin's state.
func (s *State) KVClear(ctx context.Context, plugin string) error {
	defer s.cfg.Cache.Suspend(plugin)()
	_, await := s.cfg.Send(&Write{Kind: Clear, Key: Key{Plugin: plugin}})
	return await(ctx, "clear a plugin's keys")
}

// write writes to one key.
func (s *State) write(ctx context.Context, doing string, w *Write) error {
	if err := s.check(ctx, w.Key.Name, w.Value); err != nil {
		return s.cfg.Coded(doing, err)
	}
	if w.Compare && s.cfg.Cache.Refuses(w) {
		return s.cfg.Coded(doing, Conflict(w.Key.Name)) // no flush is needed to know that
	}
	w.Value = append([]byte{}, w.Value...) // the caller's memory; and an empty value is not NULL
	try, await := s.cfg.Send(w)
	queued, sent := s.cfg.Cache.Enqueue(w, try)
	if !sent {
		defer s.cfg.Cache.Suspend(w.Key.Plugin)()
	}
	err := await(ctx, doing)
	if queued != nil {
		s.cfg.Cache.Resolve(queued, err)
	}
	return err
}

// check returns why a key cannot be used now.
func (s *State) check(ctx context.Context, key string, value []byte) error {
	if err := spec.CheckKV(key, value); err != nil {
		return err
	}
	return s.usable(ctx)
}

func (s *State) usable(ctx context.Context) error {
	if s.cfg.Closed() {
		return datafile.ErrClosed()
	}
	return ctx.Err()
}

// KVList returns the keys of a plugin that begin with prefix and come after another one,
// ascending by their bytes, at most limit (1 to spec.MaxKVPage; otherwise fault.Invalid).
func (s *State) KVList(ctx context.Context, plugin, prefix, after string, limit int) (list []spec.KVItem, err error) {
	const doing = "list keys"
	if err := spec.CheckKVPage(limit); err != nil {
		return nil, s.cfg.Coded(doing, err)
	}
	if err := s.usable(ctx); err != nil {
		return nil, s.cfg.Coded(doing, err)
	}
	stmt, args := s.from, []any{plugin, max(prefix, after), after, s.cfg.Cache.now().UnixNano(), limit}
	if end := behind(prefix); end != "" {
		stmt, args = s.list, append(args, end)
	}
	var item spec.KVItem
	var until int64
	found, err := stmt.QueryContext(ctx, args...)
	err = datafile.Each(found, err, func() {
		item.Until = spec.KVLimit(until)
		list = append(list, item)
	}, &item.Key, &item.Size, &until)
	return list, s.cfg.Coded(doing, err)
}

// behind returns the first string behind all that begin with a prefix, "" for none.
func behind(prefix string) string {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			return prefix[:i] + string([]byte{prefix[i] + 1})
		}
	}
	return ""
}

// KVUsage returns the bytes of a plugin's state, without values whose time is over, and
// their quota.
func (s *State) KVUsage(ctx context.Context, plugin string) (used, quota int64, err error) {
	const doing = "read a plugin's usage"
	if err := s.usable(ctx); err != nil {
		return 0, 0, s.cfg.Coded(doing, err)
	}
	err = s.usage.QueryRowContext(ctx, plugin, s.cfg.Cache.now().UnixNano()).Scan(&used)
	return used, s.cfg.Cache.quota, s.cfg.Coded(doing, err)
}

// RemoveExpired removes the values whose time is over, a bounded number in each write. The
// keeper calls it from time to time.
func (s *State) RemoveExpired(ctx context.Context) {
	err := s.removeExpired(ctx)
	if err != nil && !s.failing.Load() && !s.cfg.Closed() {
		s.cfg.Log.Warn("keys whose time is over cannot be removed; they are absent, but take disk space", "error", err)
	}
	s.failing.Store(err != nil)
}

func (s *State) removeExpired(ctx context.Context) error {
	var any bool
	if err := s.anyExpired.QueryRowContext(ctx, s.cfg.Cache.now().UnixNano()).Scan(&any); err != nil || !any {
		return err
	}
	for w := (&Write{Kind: Sweep, Swept: sweepStep}); w.Swept == sweepStep; {
		_, await := s.cfg.Send(w)
		if err := await(ctx, "remove keys whose time is over"); err != nil {
			return err
		}
	}
	return nil
}
