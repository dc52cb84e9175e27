package schema

// scheduledTables are the events that are not due yet, and those that were cancelled before
// they were (cancelled_at is 0 for the others); see package scheduled. Their bytes count in
// log_size like those of events. An event that is due is deleted here in the transaction that
// inserts it into events. Each index has a shape of its own: a repair recognizes lone pages by
// theirs.
const scheduledTables = `
	CREATE TABLE scheduled (
		id INTEGER PRIMARY KEY,
		due INTEGER NOT NULL,
		accepted_at INTEGER NOT NULL,
		cancelled_at INTEGER NOT NULL DEFAULT 0,
		event_id TEXT NOT NULL,
		idempotency_key TEXT NOT NULL,
		type TEXT NOT NULL,
		subject TEXT NOT NULL,
		envelope TEXT NOT NULL,
		origin TEXT NOT NULL
	) STRICT;
	CREATE INDEX scheduled_by_key ON scheduled(idempotency_key, event_id, due);
	CREATE INDEX scheduled_by_id ON scheduled(event_id, type, subject);
	CREATE INDEX scheduled_due ON scheduled(due, id, type, subject) WHERE cancelled_at = 0;
	CREATE INDEX scheduled_cancelled ON scheduled(cancelled_at, id, due) WHERE cancelled_at > 0;
	ALTER TABLE log_size ADD COLUMN scheduled INTEGER NOT NULL DEFAULT 0;
	ALTER TABLE log_size ADD COLUMN cancelled INTEGER NOT NULL DEFAULT 0;
	CREATE TRIGGER scheduled_added AFTER INSERT ON scheduled BEGIN
		UPDATE log_size SET scheduled = scheduled + 1, bytes = bytes + octet_length(NEW.envelope) +
			octet_length(NEW.idempotency_key) + octet_length(NEW.type) + octet_length(NEW.subject) + 64;
	END;
	CREATE TRIGGER scheduled_removed AFTER DELETE ON scheduled BEGIN
		UPDATE log_size SET scheduled = scheduled - (OLD.cancelled_at = 0), cancelled = cancelled - (OLD.cancelled_at > 0),
			bytes = bytes - octet_length(OLD.envelope) - octet_length(OLD.idempotency_key) - octet_length(OLD.type) -
			octet_length(OLD.subject) - 64;
	END;
	CREATE TRIGGER scheduled_stopped AFTER UPDATE OF cancelled_at ON scheduled WHEN OLD.cancelled_at = 0 BEGIN
		UPDATE log_size SET scheduled = scheduled - 1, cancelled = cancelled + 1;
	END;`

// scheduledBytes has log_size count the bytes of the events that are not due yet.
const scheduledBytes = `
	ALTER TABLE log_size ADD COLUMN scheduled_bytes INTEGER NOT NULL DEFAULT 0;
	UPDATE log_size SET scheduled_bytes = (SELECT coalesce(sum(octet_length(envelope) + octet_length(idempotency_key) +
		octet_length(type) + octet_length(subject) + 64), 0) FROM scheduled WHERE cancelled_at = 0);
	CREATE TRIGGER scheduled_bytes_added AFTER INSERT ON scheduled BEGIN
		UPDATE log_size SET scheduled_bytes = scheduled_bytes + octet_length(NEW.envelope) + octet_length(NEW.idempotency_key) +
			octet_length(NEW.type) + octet_length(NEW.subject) + 64;
	END;
	CREATE TRIGGER scheduled_bytes_removed AFTER DELETE ON scheduled WHEN OLD.cancelled_at = 0 BEGIN
		UPDATE log_size SET scheduled_bytes = scheduled_bytes - octet_length(OLD.envelope) - octet_length(OLD.idempotency_key) -
			octet_length(OLD.type) - octet_length(OLD.subject) - 64;
	END;
	CREATE TRIGGER scheduled_bytes_stopped AFTER UPDATE OF cancelled_at ON scheduled WHEN OLD.cancelled_at = 0 BEGIN
		UPDATE log_size SET scheduled_bytes = scheduled_bytes - octet_length(OLD.envelope) - octet_length(OLD.idempotency_key) -
			octet_length(OLD.type) - octet_length(OLD.subject) - 64;
	END;`
