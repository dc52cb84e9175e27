package config

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/berth-host/berth/host/spec"
)

const (
	day = 24 * time.Hour

	// maxNamed bounds the routes, and the handlers, that a file may name.
	maxNamed = 10_000
	// maxMemory is one page below the whole address space: a module that requests
	// 65,536 pages is refused.
	maxMemory = 1<<32 - 1<<16
	// minStack and maxStack bound a call stack: enough for any guest to start, and
	// below the depth at which the engine itself ends a call.
	minStack = 64 << 10
	maxStack = 32 << 20
	// minLog is the smallest bound of the log: below it an event of the largest size
	// would never fit.
	minLog = 2 << 20
	// minInflight is room for one batch of the largest size beside other requests.
	minInflight = 32 << 20
)

// configFields are all settings, in the order of the documentation.
var configFields = sync.OnceValue(func() []field[Config] {
	return slices.Concat([]field[Config]{
		setting("plugin_directories", listKind("directories", 64, readDirectory), func(c *Config) *[]string { return &c.PluginDirectories },
			"The watched directories. Berth runs the modules in them. A missing directory is watched for."),
		setting("hot_drop", wordKind(HotDropEnable, HotDropHold), func(c *Config) *HotDrop { return &c.HotDrop },
			"What happens to a dropped module whose handler has no `enabled`: after the vet it is enabled, or it is held until an operator enables it."),
		routesField(), handlersField(),
	}, defaultsFields(), []field[Config]{
		setting("server.listen", textKind("host:port", readAddress), func(c *Config) *string { return &c.Server.Listen },
			"The address of the API. Addresses other than loopback require `tls` or `insecure`.").atStart(),
		setting("server.shutdown_timeout", durationKind(0, time.Hour), func(c *Config) *time.Duration { return &c.Server.ShutdownTimeout },
			"How long requests and deliveries may take to finish when the host stops."),
		setting("server.tls", objectKind([]field[TLS]{
			setting("cert_file", textKind("path", value.text), func(t *TLS) *string { return &t.CertFile }, "PEM: the certificate and its chain."),
			setting("key_file", textKind("path", value.text), func(t *TLS) *string { return &t.KeyFile }, "PEM: the private key."),
		}, check[TLS]{run: func(t *TLS, v value, _ map[string]value) {
			if (t.CertFile == "") != (t.KeyFile == "") {
				v.fail("needs both cert_file and key_file")
			}
		}}), func(c *Config) *TLS { return &c.Server.TLS }, "The certificate and key of the API, both or neither. Changed files are read again by themselves.").atStart(),
		setting("server.insecure", boolKind(), func(c *Config) *bool { return &c.Server.Insecure },
			"Allows `listen` beyond loopback without TLS.").atStart(),
		setting("server.rate_limit", objectKind([]field[RateLimit]{
			setting("requests_per_second", numberKind(0, 1_000_000), func(r *RateLimit) *int { return &r.RequestsPerSecond }, "0: no limit."),
			setting("burst", numberKind(0, 1_000_000), func(r *RateLimit) *int { return &r.Burst }, "Requests at once; 0: as many as in a second."),
		}), func(c *Config) *RateLimit { return &c.Server.RateLimit }, "The requests of each token; 0 for no limit.").atStart(),
		setting("server.max_inflight_bytes", orZero(sizeKind(0, 1<<40), minInflight, "what the memory allows"), func(c *Config) *int64 { return &c.Server.MaxInflight },
			"The bytes of all requests under way.").atStart().zero("as the memory allows"),
		setting("data_dir", textKind("path", value.text), func(c *Config) *string { return &c.DataDir },
			"The directory of everything durable.").atStart(),
		setting("bus.engine", wordKind(EngineSQLite, EngineMemory), func(c *Config) *Engine { return &c.Bus.Engine },
			"Where the event log is kept: in one file of the data directory, or in memory until the host stops.").atStart(),
		setting("bus.ring_size", numberKind(16, 1<<20), func(c *Config) *int { return &c.Bus.RingSize },
			"Newest events kept in memory for the handlers.").atStart(),
		setting("bus.retention", durationKind(time.Minute, 3650*day), func(c *Config) *time.Duration { return &c.Bus.Retention },
			"How long the log keeps an event and its idempotency key. Events that a handler has not received stay longer."),
		setting("bus.max_size", orZero(sizeKind(0, 1<<50), minLog, "no bound"), func(c *Config) *int64 { return &c.Bus.MaxSize },
			"The size of the log at which publishers are refused (429)."),
		setting("bus.max_age", durationKind(0, 3650*day), func(c *Config) *time.Duration { return &c.Bus.MaxAge },
			"The age at which events are removed although a handler has not received them, at least `retention`; 0s for never. "+
				"Without it a `retention` above the default applies here too."),
		setting("bus.dead_letters.retention", durationKind(0, 3650*day), func(c *Config) *time.Duration { return &c.Bus.DeadLetters.Retention },
			"How long dead letters are kept, with their events; 0s for ever."),
		setting("auth.allowed_hosts", listKind("host names", 100, readHostName), func(c *Config) *[]string { return &c.Auth.AllowedHosts },
			"Host names of the API besides loopback and `server.listen`.").atStart(),
		setting("vet.memory", sizeKind(64<<20, 1<<40), func(c *Config) *int64 { return &c.Vet.Memory },
			"The memory of the process that checks and compiles a module.").atStart(),
		setting("vet.cpu", durationKind(time.Second, time.Hour), func(c *Config) *time.Duration { return &c.Vet.CPU },
			"Its CPU time, in whole seconds.").atStart(),
		setting("vet.wall", durationKind(time.Second, time.Hour), func(c *Config) *time.Duration { return &c.Vet.Wall },
			"Its time by the clock.").atStart(),
	}, within("marketplace.", marketplaceFields(), func(c *Config) *Marketplace { return &c.Marketplace }))
})

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

func marketplaceFields() []field[Marketplace] {
	return []field[Marketplace]{
		setting("enabled", boolKind(), func(m *Marketplace) *bool { return &m.Enabled }, "Whether plugins can be installed from a marketplace."),
		setting("index_url", textKind("https URL", value.text), func(m *Marketplace) *string { return &m.IndexURL },
			"The directory of the marketplace's root.json. http is for hosts of `allow_private_hosts` only."),
		setting("trusted_keys", listKind("minisign public keys", 100, readKey), func(m *Marketplace) *[]string { return &m.TrustedKeys },
			"The keys that may sign the index: lines of .pub files."),
		setting("allow_unsigned", boolKind(), func(m *Marketplace) *bool { return &m.AllowUnsigned }, "Whether plugins without a signature may be installed."),
		setting("allow_private_hosts", listKind("host names, addresses and ranges", 100, readPrivateHost), func(m *Marketplace) *[]string { return &m.AllowPrivateHosts },
			"Sources that may have private addresses, and be reached by plain http."),
		setting("minimum_release_age", durationKind(0, 366*day), func(m *Marketplace) *time.Duration { return &m.MinimumReleaseAge },
			"The age a release must have before it is installed."),
		setting("refresh", orZero(durationKind(0, 30*day), time.Minute, "never"), func(m *Marketplace) *time.Duration { return &m.Refresh },
			"How often the index is fetched without a request for it."),
		setting("credentials", credentialsKind(), func(m *Marketplace) *[]Credential { return &m.Credentials },
			"The secrets for private sources. A secret is a file in `<data_dir>/secrets`; a basic one holds user:password."),
		setting("docker_config", textKind("path", value.text), func(m *Marketplace) *string { return &m.DockerConfig },
			"A docker config.json with the credentials of OCI registries."),
	}
}

// routesField is the allow-list of events, by patterns of their types.
func routesField() field[Config] {
	fields := routeFields()
	return field[Config]{
		description: description{path: "routes", label: "mapping", parts: describe(fields), key: "<event type>",
			doc: "The event types that reach handlers, the operator's allow-list. A key may be a glob (`order_*`, `\"*\"`); the most specific key decides."},
		read: func(c *Config, v value) {
			for _, e := range v.limitedEntries("routes") {
				checkGlob(e.value, e.key)
				r := spec.Route{Pattern: e.key, Line: e.node.Line}
				readTable(e.value, &r, fields, []check[spec.Route]{{run: checkExclude}})
				c.Routes = append(c.Routes, r)
			}
		},
		show: func(c *Config, emit func(string, state)) {
			for _, r := range c.Routes {
				emit("routes."+r.Pattern, state{text: routeText(r), shown: routeText(r)})
			}
		},
	}
}

func routeFields() []field[spec.Route] {
	names := listKind("handlers", maxNamed, readName)
	return []field[spec.Route]{
		setting("handlers", names, func(r *spec.Route) *[]string { return &r.Handlers }, "Only these handlers; `[]` for none. Without it, every enabled handler that subscribes."),
		setting("exclude", names, func(r *spec.Route) *[]string { return &r.Exclude }, "All handlers except these."),
		setting("when", textKind("CEL expression", value.text), func(r *spec.Route) *string { return &r.When },
			"A condition over event_type, data and metadata."),
	}
}

func checkExclude(r *spec.Route, _ value, keys map[string]value) {
	for _, name := range r.Exclude {
		if slices.Contains(r.Handlers, name) {
			keys["exclude"].fail("%s is under handlers too; leave it out of one", name)
		}
	}
}

// routeText is a route in a line of Diff and Settings.
func routeText(r spec.Route) string {
	var parts []string
	if r.Handlers != nil {
		parts = append(parts, "handlers "+listText(r.Handlers))
	}
	if r.Exclude != nil {
		parts = append(parts, "exclude "+listText(r.Exclude))
	}
	if r.When != "" {
		parts = append(parts, "when "+r.When)
	}
	if len(parts) == 0 {
		return "every handler that subscribes"
	}
	return strings.Join(parts, ", ")
}

// handlersField is the settings of each handler, by its name.
func handlersField() field[Config] {
	fields := handlerFields()
	checks := checksWithin("", overrideChecks(), func(h *Handler) *Overrides { return &h.Overrides })
	return field[Config]{
		description: description{path: "handlers", label: "mapping", parts: describe(fields), key: "<name>",
			doc: "The settings of single handlers. The API's enable, pause and approve write `enabled`, `paused` and `grants` here and change nothing else in the file."},
		read: func(c *Config, v value) {
			for _, e := range v.limitedEntries("handlers") {
				checkName(e.value, e.key)
				h := Handler{Config: []byte("{}")}
				readTable(e.value, &h, fields, checks)
				c.Handlers[e.key] = h
			}
		},
		show: func(c *Config, emit func(string, state)) {
			for name, h := range c.Handlers {
				for path, s := range states(&h, fields) {
					if s.text != "" {
						emit("handlers."+name+"."+path, s)
					}
				}
			}
		},
	}
}

var handlerFields = sync.OnceValue(func() []field[Handler] {
	return slices.Concat([]field[Handler]{
		optional("enabled", boolKind(), func(h *Handler) **bool { return &h.Enabled }, "Whether the handler runs. Without it `hot_drop` decides."),
		setting("paused", boolKind(), func(h *Handler) *bool { return &h.Paused }, "Keeps the handler loaded and its events waiting.").unset("false"),
		setting("start", startKind(), func(h *Handler) *Start { return &h.Start },
			"The first event of a handler that is new: those published from now on, all that the log has, or those since a time.").unset("now"),
		setting("config", jsonKind(), func(h *Handler) *json.RawMessage { return &h.Config },
			"The object that the plugin reads as its configuration, checked against its manifest's config_schema. Numbers keep every digit.").
			unset("{}").with(func(s *state) { s.shown, s.secret = keysOf(s.shown), true }),
		setting("grants", grantsKind(), func(h *Handler) *[]spec.Grant { return &h.Grants },
			"The capabilities that the handler may use: `[kv, {name: http, hosts: [api.example.com]}]`. http needs `hosts`, secret needs `names`, emit takes `event_types`.").unset("[]"),
	}, within("", overrideFields(), func(h *Handler) *Overrides { return &h.Overrides }))
})

// defaultsFields are the overrides of all handlers. Where the file sets none the
// built-in defaults are shown.
func defaultsFields() []field[Config] {
	settings := builtin()
	base := states(overridesOf(&settings), overrideFields())
	fields := within("defaults.", overrideFields(), func(c *Config) *Overrides { return &c.Defaults.Overrides })
	for i, f := range fields {
		fallback := base[strings.TrimPrefix(f.path, "defaults.")].shown
		fields[i].show = func(c *Config, emit func(string, state)) {
			s := state{shown: fallback}
			f.show(c, func(_ string, set state) { s = set })
			emit(f.path, s)
		}
	}
	return append(fields, setting("defaults.memory_total", sizeKind(1<<20, 1<<50), func(c *Config) *int64 { return &c.Defaults.MemoryTotal },
		"The memory of all instances together.").atStart().unset("0").zero("half of the machine's"))
}

// override is a setting that exists under defaults and under each handler.
type override struct {
	field[Overrides]
	apply func(Overrides, *spec.Settings)  // sets the resolved setting, where there is an override
	copy  func(*Overrides, *spec.Settings) // makes the resolved setting the override
}

func newOverride[T any](path string, k kind[T], from func(*Overrides) **T, to func(*spec.Settings) *T, doc string) override {
	return override{optional(path, k, from, doc),
		func(o Overrides, s *spec.Settings) {
			if p := *from(&o); p != nil {
				*to(s) = *p
			}
		},
		func(o *Overrides, s *spec.Settings) { *from(o) = to(s) }}
}

// overrides are the settings that every handler has; a handler's own come last.
var overrides = sync.OnceValue(func() []override {
	return []override{
		newOverride("limits.timeout", durationKind(time.Millisecond, time.Hour), func(o *Overrides) **time.Duration { return &o.Timeout },
			func(s *spec.Settings) *time.Duration { return &s.Limits.Timeout }, "Time for one event."),
		newOverride("limits.memory", sizeKind(1<<16, maxMemory), func(o *Overrides) **int64 { return &o.Memory },
			func(s *spec.Settings) *int64 { return &s.Limits.Memory }, "Linear memory of one instance."),
		newOverride("limits.stack", sizeKind(minStack, maxStack), func(o *Overrides) **int64 { return &o.Stack },
			func(s *spec.Settings) *int64 { return &s.Limits.Stack }, "Call stack of one instance; counts in `memory_total` as it grows."),
		newOverride("limits.concurrency", numberKind(1, 1024), func(o *Overrides) **int { return &o.Concurrency },
			func(s *spec.Settings) *int { return &s.Limits.Concurrency }, "Instances at work at the same time."),
		newOverride("limits.fuel", numberKind[uint64](0, 1<<62), func(o *Overrides) **uint64 { return &o.Fuel },
			func(s *spec.Settings) *uint64 { return &s.Limits.Fuel }, "Fuel for one event; 0: only `timeout` bounds it."),
		newOverride("limits.isolation", wordKind(spec.IsolationShared, spec.IsolationEvent), func(o *Overrides) **spec.Isolation { return &o.Isolation },
			func(s *spec.Settings) *spec.Isolation { return &s.Limits.Isolation }, "One instance for many events, or a new one for each event."),
		newOverride("limits.recycle_after.events", numberKind[uint64](0, 1<<62), func(o *Overrides) **uint64 { return &o.RecycleEvents },
			func(s *spec.Settings) *uint64 { return &s.Limits.RecycleEvents }, "Events after which an instance is replaced; 0: never."),
		newOverride("limits.recycle_after.age", durationKind(0, 366*day), func(o *Overrides) **time.Duration { return &o.RecycleAge },
			func(s *spec.Settings) *time.Duration { return &s.Limits.RecycleAge }, "Age at which an instance is replaced; 0s: never."),
		newOverride("retry.max_attempts", numberKind(1, 1000), func(o *Overrides) **int { return &o.MaxAttempts },
			func(s *spec.Settings) *int { return &s.Retry.MaxAttempts }, "Attempts before an event becomes a dead letter, including the first."),
		newOverride("retry.backoff", durationKind(time.Millisecond, day), func(o *Overrides) **time.Duration { return &o.Backoff },
			func(s *spec.Settings) *time.Duration { return &s.Retry.Backoff }, "Wait before the second attempt, doubled before each further one."),
		newOverride("retry.max_backoff", durationKind(time.Millisecond, day), func(o *Overrides) **time.Duration { return &o.MaxBackoff },
			func(s *spec.Settings) *time.Duration { return &s.Retry.MaxBackoff }, "Upper bound of the backoff."),
		newOverride("breaker.failures", numberKind(0, 1_000_000), func(o *Overrides) **int { return &o.BreakerFailures },
			func(s *spec.Settings) *int { return &s.Breaker.Failures }, "Consecutive failed attempts, of at least two events, that open the breaker; 0: never."),
		newOverride("breaker.cooldown", durationKind(time.Millisecond, day), func(o *Overrides) **time.Duration { return &o.BreakerCooldown },
			func(s *spec.Settings) *time.Duration { return &s.Breaker.Cooldown }, "Wait before an open breaker probes with one event, doubled after each failed probe."),
		newOverride("breaker.max_cooldown", durationKind(time.Millisecond, day), func(o *Overrides) **time.Duration { return &o.BreakerMaxCooldown },
			func(s *spec.Settings) *time.Duration { return &s.Breaker.MaxCooldown }, "Upper bound of the cooldown."),
		newOverride("order_by", pointerKind(), func(o *Overrides) **string { return &o.OrderBy },
			func(s *spec.Settings) *string { return &s.OrderBy }, "JSON Pointer into the envelope: events with the same value there are delivered one at a time, in order. \"\": no order."),
	}
})

func overrideFields() []field[Overrides] {
	var fields []field[Overrides]
	for _, o := range overrides() {
		fields = append(fields, o.field)
	}
	return fields
}

func overrideChecks() []check[Overrides] {
	return []check[Overrides]{
		{"retry", func(o *Overrides, v value, _ map[string]value) {
			if o.Backoff != nil && o.MaxBackoff != nil && *o.Backoff > *o.MaxBackoff {
				v.fail("backoff is %s, which is longer than max_backoff, %s", *o.Backoff, *o.MaxBackoff)
			}
		}},
		{"breaker", func(o *Overrides, v value, _ map[string]value) {
			if o.BreakerCooldown != nil && o.BreakerMaxCooldown != nil && *o.BreakerCooldown > *o.BreakerMaxCooldown {
				v.fail("cooldown is %s, which is longer than max_cooldown, %s", *o.BreakerCooldown, *o.BreakerMaxCooldown)
			}
		}},
	}
}

func (o Overrides) apply(s *spec.Settings) {
	for _, one := range overrides() {
		one.apply(o, s)
	}
}

// overridesOf returns the overrides that set every setting, to those of s.
func overridesOf(s *spec.Settings) *Overrides {
	o := new(Overrides)
	for _, one := range overrides() {
		one.copy(o, s)
	}
	return o
}
