// Package schema has the tables of the data file and their migrations. A published
// migration is never edited, only followed by another.
package schema

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"

	"github.com/berth-host/berth/host/fault"
)

// ApplicationID marks the file as Berth's in its header ("Brth").
const ApplicationID = 0x42727468

// The schemas from which on a file has these tables.
const (
	Identity = 8  // the store's id and the count of its writes
	Skipped  = 9  // the Seqs that readers pass over
	Blocks   = 10 // plain successes in blocks
	Attempts = 12 // past attempts, documents, and the origin of events
)

// Latest returns the number of migrations that this program knows.
func Latest() int { return len(migrations) }

// migrations make the tables. The file's user_version is the number of migrations it
// has had. Times are unix nanoseconds.
var migrations = [...]string{
	// 1: the event log. A Seq is never used twice, also when the log has been
	// trimmed to nothing: marks has the highest that was trimmed ("trimmed").
	// events_by_topic is divided into blocks of 256 Seqs, so that an insert changes
	// the few pages of the newest block and not one anywhere in the index.
	`CREATE TABLE events (
		seq INTEGER PRIMARY KEY,
		event_id TEXT, -- NULL when it is the idempotency key
		idempotency_key TEXT NOT NULL,
		type TEXT NOT NULL,
		subject TEXT NOT NULL,
		appended_at INTEGER NOT NULL,
		envelope TEXT NOT NULL
	) STRICT;
	CREATE UNIQUE INDEX events_by_key ON events(idempotency_key);
	CREATE INDEX events_by_id ON events(event_id) WHERE event_id IS NOT NULL;
	CREATE INDEX events_by_topic ON events(seq >> 8, subject, type);
	CREATE TABLE marks (name TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID;
	CREATE TABLE cursors (name TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID;`,

	// 2: deliveries. fuel is the bits of a uint64; due is 0 for none.
	`CREATE TABLE deliveries (
		handler TEXT NOT NULL,
		seq INTEGER NOT NULL,
		status TEXT NOT NULL,
		attempts INTEGER NOT NULL,
		result TEXT NOT NULL,
		error_class TEXT NOT NULL,
		error_message TEXT NOT NULL,
		duration INTEGER NOT NULL,
		fuel INTEGER NOT NULL,
		at INTEGER NOT NULL,
		due INTEGER NOT NULL,
		PRIMARY KEY (handler, seq)
	) STRICT, WITHOUT ROWID;
	CREATE INDEX deliveries_by_seq ON deliveries(seq);
	CREATE INDEX deliveries_open ON deliveries(handler, seq) WHERE status NOT IN ('ok', 'dead');
	CREATE INDEX deliveries_dead ON deliveries(seq) WHERE status = 'dead';`,

	// 3: the plugins' key-value state, and how many bytes each one has.
	`CREATE TABLE kv (
		plugin TEXT NOT NULL,
		key TEXT NOT NULL,
		value BLOB NOT NULL,
		PRIMARY KEY (plugin, key)
	) STRICT;
	CREATE TABLE kv_usage (plugin TEXT PRIMARY KEY, bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID;
	CREATE TRIGGER kv_insert AFTER INSERT ON kv BEGIN
		INSERT INTO kv_usage VALUES (NEW.plugin, octet_length(NEW.key) + length(NEW.value))
			ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes;
	END;
	CREATE TRIGGER kv_update AFTER UPDATE ON kv BEGIN
		UPDATE kv_usage SET bytes = bytes + length(NEW.value) - length(OLD.value) WHERE plugin = NEW.plugin;
	END;
	CREATE TRIGGER kv_delete AFTER DELETE ON kv BEGIN
		UPDATE kv_usage SET bytes = bytes - octet_length(OLD.key) - length(OLD.value) WHERE plugin = OLD.plugin;
	END;`,

	// 4: orders. Package orders reads and writes it.
	`CREATE TABLE orders (
		id TEXT PRIMARY KEY,
		customer_id TEXT NOT NULL,
		currency TEXT NOT NULL,
		items TEXT NOT NULL,
		total_cents INTEGER NOT NULL,
		status TEXT NOT NULL,
		version INTEGER NOT NULL,
		created_at INTEGER NOT NULL,
		updated_at INTEGER NOT NULL
	) STRICT;
	CREATE INDEX orders_by_status ON orders(status);
	CREATE INDEX orders_by_customer ON orders(customer_id);`,

	// 5: dead letters and replays. A dead delivery is a dead letter until it is
	// purged. deliveries_kept has the deliveries that keep an event in the log beyond
	// its time; released has the events below the mark "trimmed" that a delivery kept
	// and that may be removed now (see Store.Trim). first_at is 0 when it is unknown.
	`ALTER TABLE deliveries ADD COLUMN first_at INTEGER NOT NULL DEFAULT 0;
	ALTER TABLE deliveries ADD COLUMN purged INTEGER NOT NULL DEFAULT 0;
	DROP INDEX deliveries_dead;
	DROP INDEX deliveries_open;
	CREATE INDEX deliveries_dead ON deliveries(handler, seq) WHERE status = 'dead' AND purged = 0;
	CREATE INDEX deliveries_kept ON deliveries(seq, handler) WHERE status <> 'ok' AND purged = 0;
	CREATE INDEX deliveries_open ON deliveries(handler, status, seq) WHERE status NOT IN ('ok', 'dead');
	CREATE TABLE released (seq INTEGER PRIMARY KEY) STRICT;
	CREATE TABLE replays (
		handler TEXT PRIMARY KEY,
		from_seq INTEGER NOT NULL,
		to_seq INTEGER NOT NULL,
		resume INTEGER NOT NULL,
		started_at INTEGER NOT NULL
	) STRICT, WITHOUT ROWID;`,

	// 6: the size of the log, and summaries in place of the index by topic. The writer
	// adds appended events to log_size; a trigger subtracts deleted ones. The size of
	// an event is event.Event.Size. A row of stretches has the types and subjects that
	// a block of 256 Seqs may have; see logread/topics.go. A block without one is
	// searched.
	`DROP INDEX events_by_topic;
	CREATE TABLE stretches (stretch INTEGER PRIMARY KEY, topics BLOB NOT NULL) STRICT;
	CREATE TABLE log_size (id INTEGER PRIMARY KEY, events INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT;
	INSERT INTO log_size SELECT 1, count(*), coalesce(sum(octet_length(envelope) +
		octet_length(idempotency_key) + octet_length(type) + octet_length(subject) + 64), 0) FROM events;
	CREATE TRIGGER events_removed AFTER DELETE ON events BEGIN
		UPDATE log_size SET events = events - 1, bytes = bytes - octet_length(OLD.envelope) -
			octet_length(OLD.idempotency_key) - octet_length(OLD.type) - octet_length(OLD.subject) - 64;
	END;`,

	// 7: an entry of a plugin's state counts 128 bytes (spec.KVEntry) besides its key and
	// value, for its row and its index entry.
	`DROP TRIGGER kv_insert;
	DROP TRIGGER kv_delete;
	DELETE FROM kv_usage;
	INSERT INTO kv_usage SELECT plugin, sum(octet_length(key) + length(value) + 128) FROM kv GROUP BY plugin;
	CREATE TRIGGER kv_insert AFTER INSERT ON kv BEGIN
		INSERT INTO kv_usage VALUES (NEW.plugin, octet_length(NEW.key) + length(NEW.value) + 128)
			ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes;
	END;
	CREATE TRIGGER kv_delete AFTER DELETE ON kv BEGIN
		UPDATE kv_usage SET bytes = bytes - octet_length(OLD.key) - length(OLD.value) - 128 WHERE plugin = OLD.plugin;
	END;`,

	// 8: the store's id, which a copy keeps, and the number of committed writes, for
	// the watermark. log_size is the row that most writes change anyway.
	`CREATE TABLE identity (store TEXT NOT NULL) STRICT;
	INSERT INTO identity VALUES (lower(hex(randomblob(16))));
	ALTER TABLE log_size ADD COLUMN writes INTEGER NOT NULL DEFAULT 0;`,

	// 9: the ranges of Seqs in which readers pass over unreadable events; both ends
	// included.
	`CREATE TABLE skipped (seq INTEGER PRIMARY KEY, until INTEGER NOT NULL, at INTEGER NOT NULL) STRICT;`,

	// 10: the module that handled an event, and plain successes in blocks of up to 512
	// outcomes of a handler; see package outcomes. The content is the last column, so
	// that the columns before it are read without it. The key is an index of its own:
	// the ends of all handlers' blocks then share pages, which a group writes once.
	`ALTER TABLE deliveries ADD COLUMN digest TEXT NOT NULL DEFAULT '';
	CREATE TABLE outcome_blocks (
		id INTEGER PRIMARY KEY,
		handler TEXT NOT NULL,
		first_seq INTEGER NOT NULL,
		last_seq INTEGER NOT NULL,
		newest_at INTEGER NOT NULL,
		outcomes INTEGER NOT NULL,
		block BLOB NOT NULL
	) STRICT;
	CREATE UNIQUE INDEX outcome_blocks_by_first ON outcome_blocks(handler, first_seq);`,

	// 11: the index of keys and ids, in place of two that each event changed at another
	// page. Package keys describes it. merged is 0: a start indexes all events. swept is
	// the number of removed events at the begin of the last complete sweep.
	`CREATE TABLE event_keys (hash INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (hash, seq)) STRICT, WITHOUT ROWID;
	CREATE TABLE key_index (seed BLOB NOT NULL, merged INTEGER NOT NULL, swept INTEGER NOT NULL) STRICT;
	INSERT INTO key_index VALUES (randomblob(16), 0, 0);
	DROP INDEX events_by_key;
	DROP INDEX events_by_id;`,

	// 12: who published an event ("" when that is not known; see event.Origin.Encode), the
	// past attempts of deliveries (package attempts), and documents (package documents).
	// Ids of attempts grow in the order in which the attempts ended. log_size is
	// the size of the logs as spec.MaxHandlerLog counts it; attempt_logs has the sum of each
	// handler. fuel is the bits of a uint64. An index has status only to have a shape of its
	// own: a repair recognizes lone pages by theirs.
	`ALTER TABLE events ADD COLUMN origin TEXT NOT NULL DEFAULT '';
	CREATE TABLE attempts (
		id INTEGER PRIMARY KEY,
		handler TEXT NOT NULL,
		seq INTEGER NOT NULL,
		number INTEGER NOT NULL,
		at INTEGER NOT NULL,
		status TEXT NOT NULL,
		class TEXT NOT NULL,
		message TEXT NOT NULL,
		duration INTEGER NOT NULL,
		fuel INTEGER NOT NULL,
		digest TEXT NOT NULL,
		instance INTEGER NOT NULL,
		log_size INTEGER NOT NULL,
		logs TEXT NOT NULL
	) STRICT;
	CREATE UNIQUE INDEX attempts_by_event ON attempts(handler, seq, at, number, status);
	CREATE INDEX attempts_with_logs ON attempts(handler, id, log_size) WHERE log_size > 0;
	CREATE TABLE attempt_logs (handler TEXT PRIMARY KEY, bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID;
	CREATE TRIGGER attempt_logs_insert AFTER INSERT ON attempts WHEN NEW.log_size > 0 BEGIN
		INSERT INTO attempt_logs VALUES (NEW.handler, NEW.log_size) ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes;
	END;
	CREATE TRIGGER attempt_logs_update AFTER UPDATE OF log_size ON attempts BEGIN
		UPDATE attempt_logs SET bytes = bytes + NEW.log_size - OLD.log_size WHERE handler = NEW.handler;
	END;
	CREATE TRIGGER attempt_logs_delete AFTER DELETE ON attempts WHEN OLD.log_size > 0 BEGIN
		UPDATE attempt_logs SET bytes = bytes - OLD.log_size WHERE handler = OLD.handler;
	END;
	CREATE TABLE documents (
		kind TEXT NOT NULL,
		id TEXT NOT NULL,
		body TEXT NOT NULL,
		PRIMARY KEY (kind, id)
	) STRICT, WITHOUT ROWID;`,

	// 13: when a value of a plugin's state disappears; NULL for never. The default lets a
	// repair recognize entries without the column. And events that are due later.
	`ALTER TABLE kv ADD COLUMN until INTEGER DEFAULT NULL;
	CREATE INDEX kv_by_until ON kv(until, plugin, key) WHERE until IS NOT NULL;` + scheduledTables,

	// 14: the share of the log that events have which are not due yet.
	scheduledBytes,
}

// Upgrade upgrades the file to a schema, up to Latest, in one transaction. It refuses a
// file that is not one of Berth's, and one of a newer schema: fault.Invalid.
func Upgrade(ctx context.Context, db *sql.DB, path string, to int) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // does nothing after the commit
	var version, application, objects int
	for pragma, value := range map[string]*int{
		"PRAGMA user_version":                &version,
		"PRAGMA application_id":              &application,
		"SELECT count(*) FROM sqlite_schema": &objects,
	} {
		if err := tx.QueryRowContext(ctx, pragma).Scan(value); err != nil {
			return err
		}
	}
	fresh := version == 0 && application == 0 && objects == 0
	switch {
	case !fresh && application != ApplicationID:
		return fault.New(fault.Invalid, "%s is an SQLite file, but not one of Berth's; use another data directory", path)
	case version > to:
		return fault.New(fault.Invalid, "%s was written by a newer Berth (schema %d, this one knows %d); use that version, or another "+
			"data directory",
			path, version, to)
	case version == to:
		return nil
	}
	for i := version; i < to; i++ {
		if _, err := tx.ExecContext(ctx, migrations[i]); err != nil {
			return fmt.Errorf("upgrade to schema %d: %w", i+1, err)
		}
	}
	_, err1 := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", to))
	_, err2 := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", ApplicationID))
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	return tx.Commit()
}

// Recount computes everything that a file of the latest schema has twice: the size of the
// log, of each plugin's state and of each handler's logs. writes is the number of writes that it has from now on.
func Recount(ctx context.Context, tx *sql.Tx, writes uint64) error {
	for _, text := range []string{
		`DELETE FROM kv_usage`,
		`INSERT INTO kv_usage SELECT plugin, sum(octet_length(key) + length(value) + 128) FROM kv GROUP BY plugin`,
		`DELETE FROM attempt_logs`,
		`INSERT INTO attempt_logs SELECT handler, sum(log_size) FROM attempts WHERE log_size > 0 GROUP BY handler`,
		`INSERT OR REPLACE INTO log_size (id, events, bytes) SELECT 1, count(*), coalesce(sum(octet_length(envelope) +
			octet_length(idempotency_key) + octet_length(type) + octet_length(subject) + 64), 0) FROM events`,
		`UPDATE log_size SET (scheduled, cancelled, scheduled_bytes, bytes) = (SELECT count(*) FILTER (WHERE cancelled_at = 0), count(*)
			FILTER (WHERE cancelled_at > 0), coalesce(sum(size) FILTER (WHERE cancelled_at = 0), 0), bytes + coalesce(sum(size), 0)
			FROM (SELECT cancelled_at, octet_length(envelope) + octet_length(idempotency_key) + octet_length(type) +
			octet_length(subject) + 64 AS size FROM scheduled))`,
	} {
		if _, err := tx.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, `UPDATE log_size SET writes = ?`, int64(min(writes, math.MaxInt64)))
	return err
}
