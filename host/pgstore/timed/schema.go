package timed

// Schema creates the table. bytes is Event.Size of the event, which counts in the head until
// the event is moved, and then in the log, or until it is removed.
const Schema = `
CREATE TABLE scheduled (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	due bigint NOT NULL,
	accepted_at bigint NOT NULL,
	cancelled_at bigint NOT NULL DEFAULT 0,
	event_id bytea NOT NULL UNIQUE,
	idempotency_key bytea NOT NULL UNIQUE,
	type bytea NOT NULL,
	subject bytea NOT NULL,
	envelope bytea NOT NULL,
	origin bytea NOT NULL,
	bytes bigint NOT NULL
);
CREATE INDEX scheduled_due ON scheduled (due, id) WHERE cancelled_at = 0;
CREATE INDEX scheduled_cancelled ON scheduled (cancelled_at) WHERE cancelled_at > 0;
`
