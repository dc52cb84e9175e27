package keyvalue

// Schema creates the tables. Values are replaced in place as far as their pages have space, so
// that the index need not change. kv_usage counts as spec.GrowKV does; writers lock its row.
const Schema = `
CREATE TABLE kv (
	plugin text COLLATE "C" NOT NULL,
	key bytea NOT NULL,
	value bytea NOT NULL,
	until bigint NOT NULL DEFAULT 0, -- Unix ns; 0 is never
	PRIMARY KEY (plugin, key)
) WITH (fillfactor = 80);
CREATE INDEX kv_until ON kv (plugin, until) WHERE until > 0;
CREATE TABLE kv_usage (
	plugin text COLLATE "C" PRIMARY KEY,
	bytes bigint NOT NULL
) WITH (fillfactor = 20);
`
