package shelf

// Schema creates the tables. A module is in parts of at most partSize: the server bounds the
// time in which a host sends one row.
const Schema = `
CREATE TABLE documents (
	kind text COLLATE "C" NOT NULL,
	id text COLLATE "C" NOT NULL,
	body bytea NOT NULL,
	PRIMARY KEY (kind, id)
);
CREATE TABLE shared (
	kind text COLLATE "C" NOT NULL,
	id text COLLATE "C" NOT NULL,
	body bytea, -- NULL: it was removed
	revision bigint NOT NULL,
	PRIMARY KEY (kind, id)
);
CREATE TABLE revisions (
	kind text COLLATE "C" PRIMARY KEY,
	revision bigint NOT NULL
) WITH (fillfactor = 50);
CREATE TABLE modules (
	sha256 text COLLATE "C" NOT NULL,
	part integer NOT NULL,
	content bytea NOT NULL,
	stored_at timestamptz NOT NULL,
	PRIMARY KEY (sha256, part)
);
ALTER TABLE modules ALTER COLUMN content SET STORAGE EXTERNAL; -- compression costs time and saves little
`
