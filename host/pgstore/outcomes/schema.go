package outcomes

// Schema makes the tables. Times are Unix nanoseconds, fuel is the bits of a uint64. What
// guests choose is bytea: text refuses the character U+0000. The table released has the
// events at or below the mark "trimmed" that a delivery kept and that may be removed now.
//
// The content of a block is never compressed again. Rows that are updated in place, as the
// last blocks of the handlers are, have free space in their pages for the new version.
const Schema = `
CREATE TABLE outcome_blocks (
	handler text COLLATE "C" NOT NULL,
	first_seq bigint NOT NULL,
	last_seq bigint NOT NULL,
	newest_at bigint NOT NULL,
	outcomes bigint NOT NULL,
	block bytea NOT NULL,
	PRIMARY KEY (handler, first_seq)
) WITH (fillfactor = 70);
ALTER TABLE outcome_blocks ALTER COLUMN block SET STORAGE EXTERNAL;
CREATE TABLE deliveries (
	handler text COLLATE "C" NOT NULL,
	seq bigint NOT NULL,
	status text COLLATE "C" NOT NULL,
	attempts bigint NOT NULL,
	result bytea NOT NULL,
	error_class text COLLATE "C" NOT NULL,
	error_message bytea NOT NULL,
	duration bigint NOT NULL,
	fuel bigint NOT NULL,
	at bigint NOT NULL,
	due bigint NOT NULL,
	first_at bigint NOT NULL,
	digest text COLLATE "C" NOT NULL,
	purged boolean NOT NULL DEFAULT false,
	PRIMARY KEY (handler, seq)
) WITH (fillfactor = 80);
CREATE INDEX deliveries_by_seq ON deliveries (seq);
CREATE INDEX deliveries_kept ON deliveries (seq, handler) WHERE status <> 'ok' AND NOT purged;
CREATE INDEX deliveries_dead ON deliveries (handler, seq) WHERE status = 'dead' AND NOT purged;
CREATE INDEX deliveries_open ON deliveries (handler, status, seq) WHERE status NOT IN ('ok', 'dead');
CREATE TABLE released (seq bigint PRIMARY KEY);
CREATE TABLE attempts (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	handler text COLLATE "C" NOT NULL,
	seq bigint NOT NULL,
	number bigint NOT NULL,
	at bigint NOT NULL,
	status text COLLATE "C" NOT NULL,
	class text COLLATE "C" NOT NULL,
	message bytea NOT NULL,
	duration bigint NOT NULL,
	fuel bigint NOT NULL,
	digest text COLLATE "C" NOT NULL,
	instance bigint NOT NULL,
	log_size bigint NOT NULL,
	logs bytea NOT NULL
);
CREATE UNIQUE INDEX attempts_once ON attempts (handler, seq, at, number, status);
CREATE INDEX attempts_by_seq ON attempts (seq, handler);
CREATE INDEX attempts_with_logs ON attempts (handler, id) WHERE log_size > 0;
CREATE TABLE attempt_logs (
	handler text COLLATE "C" PRIMARY KEY,
	bytes bigint NOT NULL
) WITH (fillfactor = 50);
`
