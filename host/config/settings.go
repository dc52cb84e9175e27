package config

import (
	"net/url"
	"slices"
	"time"

	"github.com/berth-host/berth/host/config/document"
)

const (
	day = 24 * time.Hour

	// minLog is the smallest bound of the log: below it an event of the largest size
	// would never fit.
	minLog = 2 << 20
	// minInflight holds one batch of the largest size beside other requests.
	minInflight = 32 << 20
)

// configTable are all settings, in the order of the documentation.
func configTable(c *Config) (t table) {
	var sharded []document.Value
	t.fields = []field{
		setting("plugin_directories", listKind("directories", 64, parseDirectory), &c.PluginDirectories,
			"Directories that are watched for `.wasm` files. A missing directory is waited for."),
		setting("hot_drop", wordKind(HotDropEnable, HotDropHold), &c.HotDrop,
			"What happens to a dropped file whose handler has no `enabled`: it runs after the vet, or waits until an operator enables it."),
		setting("data_dir", textKind("path", anyText), &c.DataDir, "The directory of everything durable. Also `--data-dir`.").atStart(),
		routesField(c),
		handlersField(c, &sharded),
		schedulesField(c),
		eventTypesField(c),
	}
	t.add("defaults.", defaultsTable(&c.Defaults))
	t.add("server.", serverTable(&c.Server))
	t.add("bus.", busTable(&c.Bus))
	t.add("cluster.", clusterTable(&c.Cluster))
	t.add("vet.", vetTable(&c.Vet))
	t.fields = append(t.fields, setting("auth.allowed_hosts", listKind("host names", 100, parseHostName), &c.Auth.AllowedHosts,
		"Names of the API in requests, besides loopback and `server.listen`.").atStart())
	t.add("marketplace.", marketplaceTable(&c.Marketplace))
	t.checks = append(t.checks, check{"", func(document.Value, map[string]document.Value) {
		if c.Bus.Engine == EnginePostgres {
			return
		}
		for _, shards := range sharded {
			shards.Fail("needs bus.engine: postgres: a host with another engine runs the whole of a handler; leave shards out, or set it to 1")
		}
	}})
	return t
}

func serverTable(s *Server) table {
	return table{fields: []field{
		setting("listen", textKind("host:port", parseAddress), &s.Listen,
			"The address of the API. Also `--listen`. Beyond loopback it requires `tls` or `insecure`.").atStart(),
		setting("tls", objectKind(tlsTable), &s.TLS, "The certificate and its key, both or neither.").atStart(),
		setting("insecure", boolKind(), &s.Insecure, "Allows an address beyond loopback without TLS. Also `--insecure`.").atStart(),
		setting("metrics", wordKind(MetricsToken, MetricsLoopback), &s.Metrics,
			"Who may read `GET /metrics`: tokens with the scope `read`, or also programs on the same machine without a token. Behind a "+
				"proxy on the same machine, choose `token`.").atStart(),
		setting("rate_limit", objectKind(rateTable), &s.RateLimit, "The limit of each token.").atStart(),
		setting("max_inflight_bytes", orZero(sizeKind(0, 1<<40), minInflight, "what the memory allows"), &s.MaxInflight,
			"The bytes of all requests under way: half for bodies over 64 KiB, an eighth for smaller ones, the remainder for answers with "+
				"events; one token has at most half of each. Beyond it requests wait 2 s and then get 503 with `Retry-After`. A body that "+
				"sends less than 64 KiB in 10 s gets 408. By default a 16th of the memory that `defaults.memory_total` leaves, `32MiB` to `1GiB`.",
		).atStart().zero("as the memory allows"),
		setting("shutdown_timeout", durationKind(0, time.Hour), &s.ShutdownTimeout,
			"How long requests and deliveries may take to finish when the host stops."),
	}}
}

func tlsTable(t *TLS) table {
	return table{[]field{
		setting("cert_file", textKind("path", anyText), &t.CertFile,
			"PEM: the certificate, followed by those that lead to its root; without it plain HTTP. It is read again when it changes."),
		setting("key_file", textKind("path", anyText), &t.KeyFile, "PEM: the private key, also read again."),
	}, []check{{"", func(v document.Value, _ map[string]document.Value) {
		if (t.CertFile == "") != (t.KeyFile == "") {
			v.Fail("needs both cert_file and key_file")
		}
	}}}}
}

func rateTable(r *RateLimit) table {
	return table{fields: []field{
		setting("requests_per_second", numberKind(0, 1_000_000), &r.RequestsPerSecond, "Of each token; 0: no limit."),
		setting("burst", numberKind(0, 1_000_000), &r.Burst, "Requests of a token at once; 0: as many as in a second."),
	}}
}

func busTable(b *Bus) table {
	return table{[]field{
		setting("engine", wordKind(EngineSQLite, EngineMemory, EnginePostgres), &b.Engine,
			"Where the event log is kept: in the data directory, in memory until the host stops, or in a PostgreSQL database, which several "+
				"hosts can share.").atStart(),
		setting("ring_size", numberKind(16, 1<<20), &b.RingSize, "The newest events, which are kept in memory for the handlers.").atStart(),
		setting("retention", durationKind(time.Minute, 3650*day), &b.Retention,
			"The age at which events that every handler has had are removed, with their idempotency keys and history, once a minute."),
		setting("max_size", orZero(sizeKind(0, 1<<50), minLog, "no bound"), &b.MaxSize,
			"The bytes of the log. Beyond it the oldest events that every handler has had are removed first, also within their retention; "+
				"if there are none, publishing gets 429 until handlers have caught up. Events that are not due yet have at most half of it: beyond "+
				"that they are refused with 507."),
		setting("max_age", durationKind(0, 3650*day), &b.MaxAge,
			"The age at which events are removed even if a handler has not had them, with an error in the log that names the handler and "+
				"the number; `0s`: never. It is at least `retention`, and follows a longer one where it is not set."),
		setting("dead_letters.retention", durationKind(0, 3650*day), &b.DeadLetters.Retention,
			"The age at which dead letters and their events are removed; `0s`: never."),
		setting("postgres.url", textKind("URL", parseDatabase), &b.Postgres.URL,
			"The database of the engine postgres, without a password: `postgres://berth@db.example.com:5432/berth?sslmode=verify-full`. Commas "+
				"separate several servers.").atStart(),
		setting("postgres.password", passwordKind(), &b.Postgres.Password,
			"Where the password is. Without it the server must not ask for one.").atStart().unset("{}"),
		setting("postgres.schema", textKind("name", parseSchema), &b.Postgres.Schema,
			"The schema of the tables, which is made if it is missing. Hosts with the same database and schema are one cluster.").atStart(),
		setting("postgres.max_connections", numberKind(4, 1000), &b.Postgres.MaxConnections, "The connections of this host to the database.").atStart(),
	}, []check{{"", func(v document.Value, keys map[string]document.Value) {
		if b.Engine == EnginePostgres && b.Postgres.URL == "" && v.Problems() == 0 {
			keys["engine"].Fail("is postgres, which needs bus.postgres.url, such as postgres://berth@db.example.com:5432/berth")
		}
		switch at, found := keys["max_age"]; {
		case !found:
			b.MaxAge = max(b.MaxAge, b.Retention)
		case b.MaxAge != 0 && b.MaxAge < b.Retention:
			at.Fail("is %s, but must be at least bus.retention (%s), or 0s for never", b.MaxAge, b.Retention)
		}
	}}}}
}

func vetTable(l *Vet) table {
	return table{fields: []field{
		setting("memory", sizeKind(64<<20, 1<<40), &l.Memory, "The memory of the process that checks and compiles a new module.").atStart(),
		setting("cpu", durationKind(time.Second, time.Hour), &l.CPU, "Its CPU time, in whole seconds.").atStart(),
		setting("wall", durationKind(time.Second, time.Hour), &l.Wall,
			"Its elapsed time. If CPU time is left at its end, the vet begins again with more, without a failure.").atStart(),
	}}
}

func marketplaceTable(m *Marketplace) table {
	return table{[]field{
		setting("enabled", boolKind(), &m.Enabled, "Without it the marketplace's calls answer 404."),
		setting("index_url", textKind("https URL", anyText), &m.IndexURL,
			"The directory of `root.json`; http is for hosts of `allow_private_hosts` only."),
		setting("trusted_keys", listKind("minisign public keys", 100, parseKey), &m.TrustedKeys,
			"The keys that may sign the index: `berth marketplace keygen` writes one; copy the line of the `.pub` file that starts with RW."),
		setting("allow_unsigned", boolKind(), &m.AllowUnsigned,
			"Accepts an index and releases without a signature. A wrong signature is refused all the same."),
		setting("allow_private_hosts", listKind("host names, addresses and CIDR ranges", 100, parsePrivateHost), &m.AllowPrivateHosts,
			"Sources of plugins that may have private addresses. A URL with such a host may be http."),
		setting("minimum_release_age", durationKind(0, 366*day), &m.MinimumReleaseAge,
			"The age that a release must have before it is installed: since its own date, or since this host first saw it in an index if "+
				"that is later. A tag of a registry has no date: with this set, name a digest (`oci://…@sha256:…`)."),
		setting("refresh", orZero(durationKind(0, 30*day), time.Minute, "never"), &m.Refresh,
			"How often the index is fetched in the background."),
		setting("credentials", credentialsKind(), &m.Credentials, "The credentials of private sources. A secret is sent to its host only."),
		setting("docker_config", textKind("path", anyText), &m.DockerConfig,
			"A config.json of docker with the credentials of OCI registries. Credential helpers are not run."),
	}, []check{{"", m.checkURL}}}
}

func (m *Marketplace) checkURL(_ document.Value, keys map[string]document.Value) {
	if m.IndexURL == "" {
		return
	}
	u, err := url.Parse(m.IndexURL)
	switch at := keys["index_url"]; {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		at.Fail("%s is not an https URL", document.Quote(m.IndexURL))
	case u.User != nil:
		at.Fail("must not hold a user or a password")
	case u.Scheme == "http" && !slices.Contains(m.AllowPrivateHosts, u.Hostname()):
		at.Fail("must be https (http is for hosts listed under allow_private_hosts only)")
	}
}

// credentialsKind is a list of credentials, at most one for a host. The file names a
// secret and never holds it.
func credentialsKind() kind[[]Credential] {
	read := func(v document.Value) (list []Credential) {
		seen := map[string]bool{}
		for _, item := range v.ItemsUpTo(100) {
			c := Credential{Type: "bearer"}
			credentialTable(&c).read(item)
			switch {
			case c.Host == "" || c.Secret == "":
				item.Fail("needs host and secret")
			case seen[c.Host]:
				item.Fail("%s is here twice", document.Quote(c.Host))
			}
			seen[c.Host] = true
			list = append(list, c)
		}
		return list
	}
	return kind[[]Credential]{read, jsonText[[]Credential], func() about {
		return about{label: "list of {host, secret, type}", schema: object{"type": "array"}, parts: credentialTable(new(Credential)).fields}
	}}
}

func credentialTable(c *Credential) table {
	return table{fields: []field{
		setting("host", textKind("host or host:port", parseServer), &c.Host, "The server, in lower case."),
		setting("secret", textKind("name of a secret", parseSecretFile), &c.Secret,
			"A file in `<data_dir>/secrets`, which holds a token or user:password."),
		setting("type", wordKind("bearer", "basic"), &c.Type, "bearer for a token, the default, or basic."),
	}}
}
