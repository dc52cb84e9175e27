package keyvalue

import (
	"cmp"
	"context"
	"crypto/sha256"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pgstore/conn"
	"github.com/berth-host/berth/host/spec"
)

// Limits are the quota of each plugin, in bytes, and the time with which limits are compared.
type Limits struct {
	Quota int64
	Now   time.Time
}

// Batch is the writes of one transaction. It is used by one goroutine.
type Batch struct {
	tx      pgx.Tx
	quota   int64
	now     int64
	entries map[name]*entry
	usage   map[string]*usage
}

// name is a key of a plugin.
type name struct{ plugin, key string }

func (n name) compare(other name) int {
	return cmp.Or(cmp.Compare(n.plugin, other.plugin), cmp.Compare(n.key, other.key))
}

// value is what a key has, also when its time is over; the zero value is none.
type value struct {
	found bool
	until int64 // Unix ns; 0 is never
	size  int64
	bytes []byte            // nil if they are in the table only
	sum   [sha256.Size]byte // of bytes that are in the table only, if they are compared
}

// equals reports whether the value has the bytes of this digest.
func (v *value) equals(sum [sha256.Size]byte) bool {
	if v.bytes != nil {
		return sha256.Sum256(v.bytes) == sum
	}
	return v.sum == sum
}

// entry is a key that the batch may write.
type entry struct {
	stored  bool  // the table has a value
	present value // after the writes so far
	changed bool  // present is not what the table has
}

type usage struct {
	bytes   int64
	written bool
}

// Load locks the usage rows of the plugins that effects name, and reads the keys of the
// effects. The caller has locked the units before, and has not locked the head of the log.
func Load(ctx context.Context, tx pgx.Tx, list []*event.Effects, l Limits) (*Batch, error) {
	names := make(map[name]bool)
	var plugins []string
	for _, e := range list {
		plugins = append(plugins, e.Plugin)
		for i := range e.Writes {
			names[name{e.Plugin, e.Writes[i].Key}] = false
		}
	}
	for _, e := range list {
		for i := range e.Reads {
			names[name{e.Plugin, e.Reads[i].Key}] = true
		}
	}
	b, _, err := load(ctx, tx, nil, plugins, names, l)
	return b, err
}

const (
	makeUsage = `INSERT INTO kv_usage (plugin, bytes) SELECT unnest($1::text[]), 0 ON CONFLICT (plugin) DO NOTHING`
	lockUsage = `SELECT plugin, bytes FROM kv_usage WHERE plugin = ANY($1) ORDER BY plugin FOR UPDATE`
	readKeys  = `SELECT kv.plugin, kv.key, kv.until, octet_length(kv.value), CASE WHEN n.compared THEN sha256(kv.value) END
		FROM unnest($1::text[], $2::bytea[], $3::bool[]) AS n (plugin, key, compared) JOIN kv USING (plugin, key)`
)

// load locks the units of fences and returns those that are past, locks the usage rows of
// plugins, ascending and made if they are missing, and reads keys; those that are true in names
// are compared by their bytes. The keys are read by a statement after the one that locks, whose
// snapshot has the writes of all earlier holders of the locks.
func load(ctx context.Context, tx pgx.Tx, fences []spec.Fence, plugins []string, names map[name]bool, l Limits) (*Batch, []spec.Fence, error) {
	b := &Batch{tx: tx, quota: l.Quota, now: l.Now.UnixNano(), entries: make(map[name]*entry, len(names)), usage: make(map[string]*usage)}
	plugins = slices.Compact(slices.Sorted(slices.Values(plugins)))
	if len(plugins) == 0 {
		return b, nil, nil
	}
	var owners []string
	var keys [][]byte
	var compared []bool
	for n, compare := range names {
		b.entries[n] = new(entry)
		owners, keys, compared = append(owners, n.plugin), append(keys, []byte(n.key)), append(compared, compare)
	}
	var batch pgx.Batch
	stale := conn.QueueStale(&batch, fences)
	batch.Queue(makeUsage, plugins)
	batch.Queue(lockUsage, plugins).Query(func(rows pgx.Rows) error {
		var plugin string
		var bytes int64
		_, err := pgx.ForEachRow(rows, []any{&plugin, &bytes}, func() error {
			b.usage[plugin] = &usage{bytes: bytes}
			return nil
		})
		return err
	})
	batch.Queue(readKeys, owners, keys, compared).Query(func(rows pgx.Rows) error { return b.scan(rows) })
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, nil, err
	}
	return b, stale(), nil
}

func (b *Batch) scan(rows pgx.Rows) error {
	var plugin string
	var key, sum []byte
	v := value{found: true}
	_, err := pgx.ForEachRow(rows, []any{&plugin, &key, &v.until, &v.size, &sum}, func() error {
		copy(v.sum[:], sum)
		*b.entries[name{plugin, string(key)}] = entry{stored: true, present: v}
		return nil
	})
	return err
}

// at returns what readers see of a value now.
func (b *Batch) at(v value) value {
	if v.until != 0 && v.until <= b.now {
		return value{}
	}
	return v
}

// sizeOf returns the bytes that a value of a key takes of the quota.
func (n name) sizeOf(v value) int64 {
	if !v.found {
		return 0
	}
	return int64(len(n.key)) + v.size + spec.KVEntry
}

// Judge evaluates effects after the writes of the batch so far. conflict reports that a key has
// another value than they have read. refused is why they cannot be applied: fault.Exhausted in
// the field "value" for the quota, or an error of spec.CheckKV. It changes nothing, except that
// values may be removed whose time is over.
func (b *Batch) Judge(ctx context.Context, e *event.Effects) (conflict bool, refused, err error) {
	for i := range e.Reads {
		r := &e.Reads[i]
		if v := b.at(b.entries[name{e.Plugin, r.Key}].present); v.found != r.Found || v.found && !v.equals(r.Sum) {
			return true, nil, nil
		}
	}
	for i := range e.Writes {
		if refused := spec.CheckKV(e.Writes[i].Key, e.Writes[i].Value); refused != nil {
			return false, refused, nil
		}
	}
	refused, err = b.fits(ctx, e.Plugin, func() (growth int64) {
		for i := range e.Writes {
			n := name{e.Plugin, e.Writes[i].Key}
			before := b.entries[n].present
			growth += n.sizeOf(b.after(before, &e.Writes[i])) - n.sizeOf(before)
		}
		return growth
	})
	return false, refused, err
}

// Apply adds the writes of effects that were judged last, with neither conflict nor refusal.
func (b *Batch) Apply(e *event.Effects) {
	for i := range e.Writes {
		n := name{e.Plugin, e.Writes[i].Key}
		b.put(n, b.after(b.entries[n].present, &e.Writes[i]))
	}
}

// after returns the value of a key after a write.
func (b *Batch) after(before value, w *event.EffectWrite) value {
	present, until := b.at(before), spec.KVUntil(w.Until)
	switch w.Kind {
	case event.EffectSwap:
		until = present.until
	case event.EffectDelete:
		return value{}
	case event.EffectExpire:
		present.until = until
		if !present.found {
			return value{}
		}
		return b.at(present)
	}
	return b.at(value{found: true, until: until, size: int64(len(w.Value)), bytes: noNil(w.Value)})
}

// noNil returns bytes that are not NULL for the database.
func noNil(bytes []byte) []byte {
	if bytes == nil {
		return []byte{}
	}
	return bytes
}

// put replaces the value of a key.
func (b *Batch) put(n name, next value) {
	e, u := b.entries[n], b.usage[n.plugin]
	u.bytes += n.sizeOf(next) - n.sizeOf(e.present)
	// Written also when nothing grows, so that the commit of a repeated write waits for the
	// standby as the first one does.
	u.written = true
	e.present, e.changed = next, e.changed || next.found || e.stored
}

// fits returns the quota's refusal of a growth, after it has removed values whose time is over,
// if they are needed. That changes what growth is counted from.
func (b *Batch) fits(ctx context.Context, plugin string, growth func() int64) (refused, err error) {
	u := b.usage[plugin]
	for {
		n := growth()
		refused := spec.FitKV(plugin, n, u.bytes, b.quota)
		if refused == nil {
			return nil, nil
		}
		freed, err := b.reclaim(ctx, plugin, u.bytes+n-b.quota)
		if err != nil || freed == 0 {
			return refused, err
		}
	}
}

const (
	// reclaimStep is the number of values that one statement removes.
	reclaimStep = 256
	// What a host whose clock is ahead takes for expired is not removed: other hosts have it still.
	reclaim = `DELETE FROM kv WHERE plugin = $1 AND key IN (SELECT key FROM kv WHERE plugin = $1 AND until > 0
		AND until <= least($2, (SELECT (extract(epoch FROM now()) * 1000000000)::bigint)) AND key <> ALL ($3) ORDER BY until LIMIT $4)
		RETURNING octet_length(key) + octet_length(value)`
)

// reclaim removes values of a plugin whose time is over until they are so many bytes or there
// are none, and returns their bytes.
func (b *Batch) reclaim(ctx context.Context, plugin string, bytes int64) (freed int64, err error) {
	keys := [][]byte{}
	for n, e := range b.entries {
		if n.plugin != plugin {
			continue
		}
		keys = append(keys, []byte(n.key))
		if e.present.found && !b.at(e.present).found {
			freed += n.sizeOf(e.present)
			b.put(n, value{})
		}
	}
	u := b.usage[plugin]
	for removed := reclaimStep; freed < bytes && removed == reclaimStep; {
		rows, err := b.tx.Query(ctx, reclaim, plugin, b.now, keys, reclaimStep)
		if err != nil {
			return freed, err
		}
		removed = 0
		var size int64
		if _, err := pgx.ForEachRow(rows, []any{&size}, func() error {
			removed++
			freed += size + spec.KVEntry
			u.bytes -= size + spec.KVEntry
			u.written = true
			return nil
		}); err != nil {
			return freed, err
		}
	}
	return freed, nil
}

const (
	setKeys = `INSERT INTO kv (plugin, key, value, until) SELECT * FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::bigint[])
		ON CONFLICT (plugin, key) DO UPDATE SET value = excluded.value, until = excluded.until`
	limitKeys = `UPDATE kv SET until = n.until FROM unnest($1::text[], $2::bytea[], $3::bigint[]) AS n (plugin, key, until)
		WHERE kv.plugin = n.plugin AND kv.key = n.key`
	removeKeys = `DELETE FROM kv USING unnest($1::text[], $2::bytea[]) AS n (plugin, key) WHERE kv.plugin = n.plugin AND kv.key = n.key`
	setUsage   = `UPDATE kv_usage SET bytes = n.bytes FROM unnest($1::text[], $2::bigint[]) AS n (plugin, bytes)
		WHERE kv_usage.plugin = n.plugin`
)

// columns are keys that one statement writes.
type columns struct {
	plugins []string
	keys    [][]byte
	values  [][]byte
	limits  []int64
}

func (c *columns) add(n name, v value) {
	c.plugins, c.keys = append(c.plugins, n.plugin), append(c.keys, []byte(n.key))
	c.values, c.limits = append(c.values, v.bytes), append(c.limits, v.until)
}

// Flush writes the last value of each key.
func (b *Batch) Flush(ctx context.Context) error {
	var set, limit, remove columns
	for _, n := range slices.SortedFunc(maps.Keys(b.entries), name.compare) {
		switch e := b.entries[n]; {
		case !e.changed:
		case !e.present.found && e.stored:
			remove.add(n, e.present)
		case !e.present.found: // it was written and removed in this batch
		case e.present.bytes == nil:
			limit.add(n, e.present)
		default:
			set.add(n, e.present)
		}
	}
	var batch pgx.Batch
	if len(remove.keys) > 0 {
		batch.Queue(removeKeys, remove.plugins, remove.keys)
	}
	if len(limit.keys) > 0 {
		batch.Queue(limitKeys, limit.plugins, limit.keys, limit.limits)
	}
	if len(set.keys) > 0 {
		batch.Queue(setKeys, set.plugins, set.keys, set.values, set.limits)
	}
	var plugins []string
	var bytes []int64
	for _, plugin := range slices.Sorted(maps.Keys(b.usage)) {
		if u := b.usage[plugin]; u.written {
			plugins, bytes = append(plugins, plugin), append(bytes, u.bytes)
		}
	}
	if len(plugins) > 0 {
		batch.Queue(setUsage, plugins, bytes)
	}
	if batch.Len() == 0 {
		return nil
	}
	return b.tx.SendBatch(ctx, &batch).Close()
}

// conflict is the error of a compare and set that found another value.
func conflict(key string) error {
	return fault.New(fault.Conflict, "the value of %q is not the expected one", key)
}
