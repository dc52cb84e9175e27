package keyvalue

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/pgstore/conn"
	"github.com/berth-host/berth/host/spec"
)

// Config sets up a State. DB is required.
type Config struct {
	DB    *conn.DB
	Quota int64            // of each plugin's state, in bytes; 0 is 64 MiB
	Now   func() time.Time // nil is time.Now
	// Logger gets errors of the removal of values whose time is over; nil discards.
	Logger *slog.Logger
}

// State is the key-value state of plugins for its callers; see bus.State. It is safe for
// concurrent use. The values of writes that were not fenced out are in the order in which the
// writes of one host were called, for each plugin.
type State struct {
	cfg  Config
	base context.Context // of the transactions of groups; ends at Close
	stop context.CancelFunc

	mu     sync.Mutex
	queues map[string][]*op // the writes of a plugin that wait; a plugin has an entry while its groups are stored
	groups sync.WaitGroup   // and keep
	closed bool
}

// New returns a State, to be closed before the DB.
func New(cfg Config) *State {
	if cfg.Quota == 0 {
		cfg.Quota = 64 << 20
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &State{cfg: cfg, queues: make(map[string][]*op)}
	if s.cfg.Logger == nil {
		s.cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s.base, s.stop = context.WithCancel(context.Background())
	s.groups.Go(s.keep)
	return s
}

// Close ends the writes that wait, and waits for those under way.
func (s *State) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.groups.Wait()
}

// limits returns what a Batch begins with.
func (s *State) limits() Limits { return Limits{s.cfg.Quota, s.cfg.Now()} }

// KVGet returns a plugin's value, and whether there is one. The caller owns the value.
func (s *State) KVGet(ctx context.Context, plugin, key string) (value []byte, found bool, err error) {
	const doing = "read a key"
	if err := spec.CheckKV(key, nil); err != nil {
		return nil, false, fmt.Errorf("%s: %w", doing, err)
	}
	err = s.cfg.DB.Query(ctx, doing, `SELECT value FROM kv WHERE plugin = $1 AND key = $2 AND (until = 0 OR until > $3)`,
		[]any{plugin, []byte(key), s.cfg.Now().UnixNano()}, func(rows pgx.Rows) (err error) {
			value = nil
			if found = rows.Next(); found {
				err = rows.Scan(&value)
			}
			return err
		})
	if err != nil {
		return nil, false, err
	}
	return value, found, err
}

// KVCached answers not ok: another host may have written the value.
func (s *State) KVCached(string, string) (value []byte, found, ok bool) { return nil, false, false }

// KVNewest answers not ok; see KVCached.
func (s *State) KVNewest(string, string) (value []byte, found, ok bool, stored func(context.Context) error) {
	return nil, false, false, nil
}

// KVSet stores a plugin's value, without a time limit. It is durable when it returns.
// fault.Exhausted, in the field "value", when the plugin would have more than its quota, or when
// the value is over abi.MaxKVValue; fault.Invalid when the key is empty or over abi.MaxKVKey.
func (s *State) KVSet(ctx context.Context, plugin, key string, value []byte) error {
	return s.write(ctx, "set a key", &op{kind: set, name: name{plugin, key}, value: value})
}

// KVCAS stores a plugin's value only if the present one equals old or, when old is nil, if there
// is none. Otherwise fault.Conflict. An empty old that is not nil is an empty value. The key
// keeps its time limit. After an error of unknown result a caller reads the value before it repeats the
// call, which can conflict with its own write: that an equal value is its own cannot be known.
func (s *State) KVCAS(ctx context.Context, plugin, key string, old, value []byte) error {
	return s.write(ctx, "compare and set a key", &op{kind: set, name: name{plugin, key}, compare: true, old: old, value: value})
}

// KVDelete removes a plugin's value, if there is one.
func (s *State) KVDelete(ctx context.Context, plugin, key string) error {
	return s.write(ctx, "delete a key", &op{kind: remove, name: name{plugin, key}})
}

// KVExpire has a plugin's value disappear at a time, or never for the zero time.
// fault.NotFound when there is no value.
func (s *State) KVExpire(ctx context.Context, plugin, key string, until time.Time) error {
	return s.write(ctx, "set a key's time limit", &op{kind: expire, name: name{plugin, key}, until: spec.KVUntil(until)})
}

// KVChange writes value and time limit in one write, or removes a key; see spec.KVChange.
// fault.Conflict when the present value is not the expected one; KVCAS says what follows an error
// of unknown result.
func (s *State) KVChange(ctx context.Context, plugin string, c spec.KVChange) error {
	o := &op{kind: set, name: name{plugin, c.Key}, value: c.Value, until: spec.KVUntil(c.Until), compare: c.Compare, old: c.Old}
	if c.Value == nil {
		o.kind = remove
	}
	return s.write(ctx, "change a key", o)
}

const (
	// clearStep is the number of values that one transaction of KVClear removes: the time of each is
	// bounded, and other writes of the plugin wait for it.
	clearStep = 4096
	// removeNext removes the values of a plugin behind a key, and returns the last key, the number and
	// the bytes. Each begins behind the one before, so that it does not pass over what that has removed.
	removeNext = `WITH page AS (SELECT key FROM kv WHERE plugin = $1 AND key > $2 ORDER BY key LIMIT $3),
		removed AS (DELETE FROM kv USING page WHERE kv.plugin = $1 AND kv.key = page.key
			RETURNING octet_length(kv.key) + octet_length(kv.value) AS size)
		SELECT coalesce((SELECT key FROM page ORDER BY key DESC LIMIT 1), ''), count(*), coalesce(sum(size), 0)::bigint FROM removed`
)

// KVClear removes all of a plugin's state. It commits in steps: on an error, a part can be removed.
// A value that is written meanwhile can remain.
func (s *State) KVClear(ctx context.Context, plugin string) error {
	last, n := []byte{}, clearStep // no key is empty
	for n == clearStep {
		var next []byte
		if err := s.cfg.DB.Write(ctx, "clear a plugin's keys", func(ctx context.Context, tx pgx.Tx) error {
			b, _, err := load(ctx, tx, nil, []string{plugin}, nil, s.limits())
			if err != nil {
				return err
			}
			var size int64
			if err := tx.QueryRow(ctx, removeNext, plugin, last, clearStep).Scan(&next, &n, &size); err != nil {
				return err
			}
			u := b.usage[plugin]
			u.bytes, u.written = u.bytes-size-int64(n)*spec.KVEntry, true
			return b.Flush(ctx)
		}); err != nil {
			return err
		}
		last = next
	}
	return nil
}

// KVList returns the keys of a plugin that begin with prefix and come after another one,
// ascending by their bytes, at most limit (1 to spec.MaxKVPage; otherwise fault.Invalid).
func (s *State) KVList(ctx context.Context, plugin, prefix, after string, limit int) (list []spec.KVItem, err error) {
	const doing = "list keys"
	if err := spec.CheckKVPage(limit); err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	query := `SELECT key, octet_length(value), until FROM kv WHERE plugin = $1 AND key >= $2 AND key > $3 AND (until = 0 OR until > $4)`
	args := []any{plugin, []byte(max(prefix, after)), []byte(after), s.cfg.Now().UnixNano(), limit}
	if end := behind(prefix); end != "" {
		query, args = query+` AND key < $6`, append(args, []byte(end))
	}
	err = s.cfg.DB.Query(ctx, doing, query+` ORDER BY key LIMIT $5`, args, func(rows pgx.Rows) error {
		list = nil
		var item spec.KVItem
		var key []byte
		var until int64
		_, err := pgx.ForEachRow(rows, []any{&key, &item.Size, &until}, func() error {
			item.Key, item.Until = string(key), spec.KVLimit(until)
			list = append(list, item)
			return nil
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return list, nil
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

// KVUsage returns the bytes of a plugin's state, without values whose time is over, and their
// quota.
func (s *State) KVUsage(ctx context.Context, plugin string) (used, quota int64, err error) {
	const query = `SELECT coalesce((SELECT bytes FROM kv_usage WHERE plugin = $1), 0) - (SELECT coalesce(sum(octet_length(key)
		+ octet_length(value) + $3::bigint), 0)::bigint FROM kv WHERE plugin = $1 AND until > 0 AND until <= $2)`
	err = s.cfg.DB.Query(ctx, "read a plugin's usage", query, []any{plugin, s.cfg.Now().UnixNano(), int64(spec.KVEntry)},
		func(rows pgx.Rows) (err error) {
			used, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
			return err
		})
	return used, s.cfg.Quota, err
}

// keepEvery is the time between two removals of values whose time is over. Every host does it:
// when there are none, it is one read.
const keepEvery = 10 * time.Second

// keep removes values whose time is over until Close.
func (s *State) keep() {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-tick.C:
		case <-s.base.Done():
			return
		}
		err := s.RemoveExpired(s.base)
		if err != nil && !failing && s.base.Err() == nil {
			s.cfg.Logger.Warn("keys whose time is over cannot be removed; they are absent, but take disk space", "error", err)
		}
		failing = err != nil
	}
}

// RemoveExpired removes the values whose time is over, of all plugins, a bounded number in each
// transaction.
func (s *State) RemoveExpired(ctx context.Context) error {
	const doing = "remove keys whose time is over"
	var plugins []string
	const query = `SELECT plugin FROM kv_usage u WHERE EXISTS (SELECT 1 FROM kv WHERE kv.plugin = u.plugin AND until > 0 AND until <= $1)`
	if err := s.cfg.DB.Query(ctx, doing, query, []any{s.cfg.Now().UnixNano()}, func(rows pgx.Rows) (err error) {
		plugins, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	}); err != nil {
		return err
	}
	for _, plugin := range plugins {
		for freed := int64(1); freed > 0; {
			if err := s.cfg.DB.Write(ctx, doing, func(ctx context.Context, tx pgx.Tx) error {
				b, _, err := load(ctx, tx, nil, []string{plugin}, nil, s.limits())
				if err != nil {
					return err
				}
				if freed, err = b.reclaim(ctx, plugin, 1); err != nil {
					return err
				}
				return b.Flush(ctx)
			}); err != nil {
				return err
			}
		}
	}
	return nil
}
