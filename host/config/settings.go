package config

import (
	"net/url"
	"slices"
	"sync"
	"time"
)

const (
	day = 24 * time.Hour

	// minLog is the smallest bound of the log: below it an event of the largest size
	// would never fit.
	minLog = 2 << 20
	// minInflight holds one batch of the largest size beside other requests.
	minInflight = 32 << 20
)

// configFields are all settings, in the order of the documentation.
var configFields = sync.OnceValue(func() []field[Config] {
	return slices.Concat(
		[]field[Config]{
			setting("plugin_directories", listKind("directories", 64, readDirectory), func(c *Config) *[]string { return &c.PluginDirectories },
				"Directories that are watched for `.wasm` files. A missing directory is waited for."),
			setting("hot_drop", wordKind(HotDropEnable, HotDropHold), func(c *Config) *HotDrop { return &c.HotDrop },
				"What happens to a dropped file whose handler has no `enabled`: it runs after the vet, or waits until an operator enables it."),
			setting("data_dir", textKind("path", value.text), func(c *Config) *string { return &c.DataDir },
				"The directory of everything durable. Also `--data-dir`.").atStart(),
			routesField(),
			handlersField(),
		},
		defaultsFields(),
		within("server.", serverFields(), func(c *Config) *Server { return &c.Server }),
		within("bus.", busFields(), func(c *Config) *Bus { return &c.Bus }),
		within("vet.", vetFields(), func(c *Config) *Vet { return &c.Vet }),
		[]field[Config]{
			setting("auth.allowed_hosts", listKind("host names", 100, readHostName), func(c *Config) *[]string { return &c.Auth.AllowedHosts },
				"Names of the API in requests, besides loopback and `server.listen`.").atStart(),
		},
		within("marketplace.", marketplaceFields(), func(c *Config) *Marketplace { return &c.Marketplace }),
	)
})

func serverFields() []field[Server] {
	return []field[Server]{
		setting("listen", textKind("host:port", readAddress), func(s *Server) *string { return &s.Listen },
			"The address of the API. Also `--listen`. Beyond loopback it requires `tls` or `insecure`.").atStart(),
		setting("tls", objectKind([]field[TLS]{
			setting("cert_file", textKind("path", value.text), func(t *TLS) *string { return &t.CertFile },
				"PEM: the certificate, followed by those that lead to its root; without it plain HTTP. It is read again when it changes."),
			setting("key_file", textKind("path", value.text), func(t *TLS) *string { return &t.KeyFile }, "PEM: the private key, also read again."),
		}, check[TLS]{run: checkTLS}), func(s *Server) *TLS { return &s.TLS },
			"The certificate and its key, both or neither.").atStart(),
		setting("insecure", boolKind(), func(s *Server) *bool { return &s.Insecure },
			"Allows an address beyond loopback without TLS. Also `--insecure`.").atStart(),
		setting("rate_limit", objectKind([]field[RateLimit]{
			setting("requests_per_second", numberKind(0, 1_000_000), func(r *RateLimit) *int { return &r.RequestsPerSecond },
				"Of each token; 0: no limit."),
			setting("burst", numberKind(0, 1_000_000), func(r *RateLimit) *int { return &r.Burst },
				"Requests of a token at once; 0: as many as in a second."),
		}), func(s *Server) *RateLimit { return &s.RateLimit }, "The limit of each token.").atStart(),
		setting("max_inflight_bytes", orZero(sizeKind(0, 1<<40), minInflight, "what the memory allows"),
			func(s *Server) *int64 { return &s.MaxInflight },
			"The bytes of all requests under way: half for bodies over 64 KiB, an eighth for smaller ones, the remainder for answers with "+
				"events; one token has at most half of each. Beyond it requests wait 2 s and then get 503 with `Retry-After`. A body that "+
				"sends less than 64 KiB in 10 s gets 408. By default a 16th of the memory that `defaults.memory_total` leaves, `32MiB` to `1GiB`.",
		).atStart().zero("as the memory allows"),
		setting("shutdown_timeout", durationKind(0, time.Hour), func(s *Server) *time.Duration { return &s.ShutdownTimeout },
			"How long requests and deliveries may take to finish when the host stops."),
	}
}

func checkTLS(t *TLS, v value, _ map[string]value) {
	if (t.CertFile == "") != (t.KeyFile == "") {
		v.fail("needs both cert_file and key_file")
	}
}

func busFields() []field[Bus] {
	return []field[Bus]{
		setting("engine", wordKind(EngineSQLite, EngineMemory), func(b *Bus) *Engine { return &b.Engine },
			"Where the event log is kept: in the data directory, or in memory until the host stops.").atStart(),
		setting("ring_size", numberKind(16, 1<<20), func(b *Bus) *int { return &b.RingSize },
			"The newest events, which are kept in memory for the handlers.").atStart(),
		setting("retention", durationKind(time.Minute, 3650*day), func(b *Bus) *time.Duration { return &b.Retention },
			"The age at which events that every handler has had are removed, with their idempotency keys and history."),
		setting("max_size", orZero(sizeKind(0, 1<<50), minLog, "no bound"), func(b *Bus) *int64 { return &b.MaxSize },
			"The bytes of the log. Beyond it the oldest events that every handler has had are removed first, also within their retention; "+
				"if there are none, publishing gets 429 until handlers have caught up."),
		setting("max_age", durationKind(0, 3650*day), func(b *Bus) *time.Duration { return &b.MaxAge },
			"The age at which events are removed even if a handler has not had them, with an error in the log that names the handler and "+
				"the number; `0s`: never. It is at least `retention`, and follows a longer one where it is not set."),
		setting("dead_letters.retention", durationKind(0, 3650*day), func(b *Bus) *time.Duration { return &b.DeadLetters.Retention },
			"The age at which dead letters and their events are removed; `0s`: never."),
	}
}

func vetFields() []field[Vet] {
	return []field[Vet]{
		setting("memory", sizeKind(64<<20, 1<<40), func(l *Vet) *int64 { return &l.Memory },
			"The memory of the process that checks and compiles a new module.").atStart(),
		setting("cpu", durationKind(time.Second, time.Hour), func(l *Vet) *time.Duration { return &l.CPU },
			"Its CPU time, in whole seconds.").atStart(),
		setting("wall", durationKind(time.Second, time.Hour), func(l *Vet) *time.Duration { return &l.Wall },
			"Its elapsed time. If CPU time is left at its end, the vet begins again with more, without a failure.").atStart(),
	}
}

func marketplaceFields() []field[Marketplace] {
	return []field[Marketplace]{
		setting("enabled", boolKind(), func(m *Marketplace) *bool { return &m.Enabled },
			"Without it the marketplace's calls answer 404."),
		setting("index_url", textKind("https URL", value.text), func(m *Marketplace) *string { return &m.IndexURL },
			"The directory of `root.json`; http is for hosts of `allow_private_hosts` only."),
		setting("trusted_keys", listKind("minisign public keys", 100, readKey), func(m *Marketplace) *[]string { return &m.TrustedKeys },
			"The keys that may sign the index: `berth marketplace keygen` writes one; copy the line of the `.pub` file that starts with RW."),
		setting("allow_unsigned", boolKind(), func(m *Marketplace) *bool { return &m.AllowUnsigned },
			"Accepts an index and releases without a signature. A wrong signature is refused all the same."),
		setting("allow_private_hosts", listKind("host names, addresses and CIDR ranges", 100, readPrivateHost),
			func(m *Marketplace) *[]string { return &m.AllowPrivateHosts },
			"Sources of plugins that may have private addresses. A URL with such a host may be http."),
		setting("minimum_release_age", durationKind(0, 366*day), func(m *Marketplace) *time.Duration { return &m.MinimumReleaseAge },
			"The age that a release must have before it is installed: since its own date, or since this host first saw it in an index if "+
				"that is later. A tag of a registry has no date: with this set, name a digest (`oci://…@sha256:…`)."),
		setting("refresh", orZero(durationKind(0, 30*day), time.Minute, "never"), func(m *Marketplace) *time.Duration { return &m.Refresh },
			"How often the index is fetched in the background."),
		setting("credentials", credentialsKind(), func(m *Marketplace) *[]Credential { return &m.Credentials },
			"The credentials of private sources. A secret is sent to its host only."),
		setting("docker_config", textKind("path", value.text), func(m *Marketplace) *string { return &m.DockerConfig },
			"A config.json of docker with the credentials of OCI registries. Credential helpers are not run."),
	}
}

// configChecks are the rules about several settings.
func configChecks() []check[Config] {
	return append(checksWithin("defaults.", overrideChecks(), func(c *Config) *Overrides { return &c.Defaults.Overrides }), []check[Config]{
		{"bus", func(c *Config, _ value, keys map[string]value) {
			at, found := keys["max_age"]
			switch b := &c.Bus; {
			case !found:
				b.MaxAge = max(b.MaxAge, b.Retention)
			case b.MaxAge != 0 && b.MaxAge < b.Retention:
				at.fail("is %s, but must be at least bus.retention (%s), or 0s for never", b.MaxAge, b.Retention)
			}
		}},
		{"marketplace", func(c *Config, _ value, keys map[string]value) {
			m, at := &c.Marketplace, keys["index_url"]
			if m.IndexURL == "" {
				return
			}
			u, err := url.Parse(m.IndexURL)
			switch {
			case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
				at.fail("%s is not an https URL", quoted(m.IndexURL))
			case u.User != nil:
				at.fail("must not hold a user or a password")
			case u.Scheme == "http" && !slices.Contains(m.AllowPrivateHosts, u.Hostname()):
				at.fail("must be https (http is for hosts listed under allow_private_hosts only)")
			}
		}},
	}...)
}
