package ledger

// Schema creates the tables but that of the units, which is conn.Units. Rows of members change
// often: their pages have space for the next versions.
const Schema = `
CREATE TABLE members (
	id text COLLATE "C" PRIMARY KEY,
	beat bigint NOT NULL,
	body bytea NOT NULL -- a spec.Member as JSON
) WITH (fillfactor = 20);
CREATE TABLE commands (
	id text COLLATE "C" PRIMARY KEY,
	unit text COLLATE "C" NOT NULL,
	method text COLLATE "C" NOT NULL,
	body bytea NOT NULL,
	asked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	answered_at timestamptz, -- NULL: not yet
	answer bytea,
	failure bytea
);
CREATE INDEX commands_open ON commands (asked_at) WHERE answered_at IS NULL;
`
