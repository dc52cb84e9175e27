package pglog

// Schema makes the tables of the log. Times are unix nanoseconds. Texts of publishers are
// bytea, which has no order of a language and takes every byte. event_id is NULL when it is
// the idempotency key.
const Schema = `CREATE TABLE head (
		id boolean PRIMARY KEY DEFAULT true CHECK (id),
		store text NOT NULL,
		seq bigint NOT NULL DEFAULT 0,
		events bigint NOT NULL DEFAULT 0,
		bytes bigint NOT NULL DEFAULT 0,
		at bigint NOT NULL DEFAULT 0,
		trimmed bigint NOT NULL DEFAULT 0,
		scheduled bigint NOT NULL DEFAULT 0,
		cancelled bigint NOT NULL DEFAULT 0
	) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
	INSERT INTO head (store) VALUES (replace(gen_random_uuid()::text, '-', ''));
	CREATE TABLE events (
		seq bigint PRIMARY KEY,
		event_id bytea,
		idempotency_key bytea NOT NULL,
		type text COLLATE "C" NOT NULL,
		subject bytea NOT NULL,
		appended_at bigint NOT NULL,
		envelope bytea NOT NULL,
		origin bytea NOT NULL
	) WITH (autovacuum_vacuum_scale_factor = 0.05);
	CREATE UNIQUE INDEX events_by_key ON events (idempotency_key);
	CREATE INDEX events_by_id ON events (event_id) WHERE event_id IS NOT NULL;
	CREATE INDEX events_by_type ON events (type, seq);
	CREATE INDEX events_by_subject ON events (subject, seq) WHERE subject <> '';
	CREATE TABLE skipped (
		seq bigint PRIMARY KEY,
		until bigint NOT NULL,
		at bigint NOT NULL
	);`
