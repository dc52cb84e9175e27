package timed

// Schema creates the table. The size of each event, see sizeOf, counts in the head's bytes until
// it is removed, or moved into the log, where it still counts.
const Schema = `
CREATE TABLE scheduled (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	due bigint NOT NULL,
	accepted_at bigint NOT NULL,
	cancelled_at bigint NOT NULL DEFAULT 0,
	event_id bytea NOT NULL UNIQUE,
	idempotency_key bytea NOT NULL UNIQUE,
	type text COLLATE "C" NOT NULL,
	subject bytea NOT NULL,
	envelope bytea NOT NULL,
	origin bytea NOT NULL
);
CREATE INDEX scheduled_due ON scheduled (due, id) WHERE cancelled_at = 0;
CREATE INDEX scheduled_cancelled ON scheduled (cancelled_at) WHERE cancelled_at > 0;
`

// SchemaBytes has the head count the bytes of the events that are not due yet.
const SchemaBytes = `
ALTER TABLE head ADD COLUMN scheduled_bytes bigint NOT NULL DEFAULT 0;
UPDATE head SET scheduled_bytes = (SELECT coalesce(sum(` + sizeOf + `), 0) FROM scheduled WHERE cancelled_at = 0);
`
