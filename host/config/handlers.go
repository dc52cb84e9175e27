package config

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/berth-host/berth/host/config/document"
	"github.com/berth-host/berth/host/spec"
)

const (
	// maxNamed bounds the routes, and the handlers, that a file may name.
	maxNamed = 10_000
	// maxMemory is one page below the whole address space: a module that requests
	// 65,536 pages is refused.
	maxMemory = 1<<32 - 1<<16
	// minStack and maxStack bound a call stack: enough for any guest to start, and
	// below the depth at which the engine itself ends a call.
	minStack = 64 << 10
	maxStack = 32 << 20
)

// routesField is the routes, by patterns of event types.
func routesField(c *Config) field {
	return field{path: "routes",
		doc: "Which events may reach handlers: by event type, or by a glob such as `order_*` or `\"*\"`. `{}` is every enabled handler " +
			"that subscribes. The most specific key decides. An event that no key matches reaches no handler: the publisher's answer says " +
			"so, and the host's log at most every 10 minutes.",
		about: func() about {
			return about{key: "<type>", schema: object{"propertyNames": object{"pattern": globPattern.String()}},
				parts: routeTable(new(spec.Route)).fields}
		},
		read: func(v document.Value) {
			var r spec.Route
			t := routeTable(&r)
			for _, e := range v.EntriesUpTo(maxNamed, "routes") {
				if _, err := parseGlob(e.Key); err != nil {
					e.Value.Fail("%v", err)
				}
				r = spec.Route{Pattern: e.Key, Line: e.Line}
				t.read(e.Value)
				c.Routes = append(c.Routes, r)
			}
		},
		each: func(emit func(string, state)) {
			for _, r := range c.Routes {
				emit("routes."+r.Pattern, state{text: routeText(r), shown: routeText(r)})
			}
		},
	}
}

func routeTable(r *spec.Route) table {
	names := listKind("handlers", maxNamed, parseName)
	return table{[]field{
		setting("handlers", names, &r.Handlers, "Only these handlers; `[]` for none."),
		setting("exclude", names, &r.Exclude, "All handlers except these."),
		setting("when", textKind("CEL expression", anyText), &r.When,
			"A condition over `event_type`, `data` and `metadata`. If it cannot be evaluated, the event is skipped, and the host's log says so."),
	}, []check{{"", func(_ document.Value, keys map[string]document.Value) {
		for _, name := range r.Exclude {
			if slices.Contains(r.Handlers, name) {
				keys["exclude"].Fail("%s is under handlers too; leave it out of one", name)
			}
		}
	}}}}
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

// handlersField is the settings of each handler, by its name. It adds the numbers of shards that
// need several hosts to sharded.
func handlersField(c *Config, sharded *[]document.Value) field {
	return field{path: "handlers",
		doc: "The settings of one handler. Enabling, pausing, approving and configuring through the API write `enabled`, `paused`, `grants` " +
			"and `config` here, and leave everything else as it is.",
		about: func() about {
			return about{key: "<name>", schema: object{"propertyNames": object{"pattern": "^[a-z0-9][a-z0-9-]{0,62}$"}},
				parts: handlerTable(newHandler()).fields}
		},
		read: func(v document.Value) {
			var h Handler
			t := handlerTable(&h)
			for _, e := range v.EntriesUpTo(maxNamed, "handlers") {
				if _, err := parseName(e.Key); err != nil {
					e.Value.Fail("%v", err)
				}
				h = *newHandler()
				keys := t.read(e.Value)
				if h.Shards > 1 {
					*sharded = append(*sharded, keys["shards"])
				}
				c.Handlers[e.Key] = h
			}
		},
		each: func(emit func(string, state)) {
			var h Handler
			t := handlerTable(&h)
			for name := range c.Handlers {
				h = c.Handlers[name]
				for path, s := range t.states() {
					if s.text != "" {
						emit("handlers."+name+"."+path, s)
					}
				}
			}
		},
	}
}

// newHandler returns the settings of a handler for which the file has none.
func newHandler() *Handler { return &Handler{Config: json.RawMessage("{}")} }

func handlerTable(h *Handler) (t table) {
	t.fields = append(make([]field, 0, 32), []field{
		optional("enabled", boolKind(), &h.Enabled, "Whether the handler runs. Without it `hot_drop` decides."),
		setting("paused", boolKind(), &h.Paused, "Its events wait; it stays loaded and keeps its position.").unset("false"),
		setting("start", startKind(), &h.Start,
			"Where the handler begins if it has no position in the log yet.").unset("now"),
		setting("config", jsonKind(), &h.Config,
			"The object that the plugin reads, checked against its manifest's config_schema. Numbers keep every digit.",
		).unset("{}").with(func(s *state) { s.shown, s.secret = keysOf(s.shown), true }),
		setting("grants", grantsKind(), &h.Grants,
			"The capabilities: `[kv, {name: http, hosts: [api.example.com]}]`. `http` needs `hosts`, `secret` needs `names`, `emit` takes "+
				"`event_types`. A plugin may do what its manifest asks for and this grants; everything else answers DENIED.").unset("[]"),
	}...)
	t.add("", overrideTable(&h.Overrides))
	t.add("", workTable(h))
	return t
}

// defaultsTable are the overrides of all handlers. Where the file sets none the
// built-in default is shown.
func defaultsTable(d *Defaults) table {
	t, builtin := overrideTable(&d.Overrides), overrideTable(overridesOf(builtin()))
	for i, f := range t.fields {
		t.fields[i] = f.with(func(s *state) {
			if s.text == "" {
				s.shown = builtin.fields[i].state().shown
			}
		})
	}
	t.fields = append(t.fields, setting("memory_total", sizeKind(1<<20, 1<<50), &d.MemoryTotal,
		"The memory of all instances of all handlers, with their call stacks; by default half of the machine's, or of the cgroup's limit.",
	).atStart().unset("0").zero("half of the machine's"))
	return t
}

// override is a setting that both defaults and a handler can have.
type override struct {
	field
	apply func() // sets the resolved setting to the override, where there is one
	copy  func() // sets the override to the resolved setting
}

func newOverride[T any](path string, k kind[T], from **T, to *T, doc string) override {
	return override{optional(path, k, from, doc), func() {
		if *from != nil {
			*to = **from
		}
	}, func() { *from = to }}
}

// overrides binds the overrides to the resolved settings.
func overrides(o *Overrides, s *spec.Settings) []override {
	l, r, b := &s.Limits, &s.Retry, &s.Breaker
	const ms = time.Millisecond
	return []override{
		newOverride("limits.timeout", durationKind(ms, time.Hour), &o.Timeout, &l.Timeout, "For one event."),
		newOverride("limits.memory", sizeKind(1<<16, maxMemory), &o.Memory, &l.Memory, "The linear memory of one instance."),
		newOverride("limits.stack", sizeKind(minStack, maxStack), &o.Stack, &l.Stack, "The call stack of one instance, in bytes of the "+
			"engine's stack; deeper calls fail with the class `stack`. It counts in `memory_total` as it grows."),
		newOverride("limits.concurrency", numberKind(1, 1024), &o.Concurrency, &l.Concurrency, "The instances of a handler."),
		newOverride("limits.fuel", numberKind[uint64](0, 1<<62), &o.Fuel, &l.Fuel,
			"Units of work for one event, about one simple instruction each; 0: only the timeout bounds it."),
		newOverride("limits.isolation", wordKind(spec.IsolationShared, spec.IsolationEvent), &o.Isolation, &l.Isolation,
			"An instance handles many events, or each event gets a new instance."),
		newOverride("limits.recycle_after.events", numberKind[uint64](0, 1<<62), &o.RecycleEvents, &l.RecycleEvents,
			"The events after which an instance is replaced; 0: never."),
		newOverride("limits.recycle_after.age", durationKind(0, 366*day), &o.RecycleAge, &l.RecycleAge,
			"The age at which an instance is replaced; `0s`: never."),
		newOverride("retry.max_attempts", numberKind(1, 1000), &o.MaxAttempts, &r.MaxAttempts,
			"The attempts after which an event is a dead letter, including the first."),
		newOverride("retry.backoff", durationKind(ms, day), &o.Backoff, &r.Backoff,
			"The wait before the second attempt; it doubles with each further attempt."),
		newOverride("retry.max_backoff", durationKind(ms, day), &o.MaxBackoff, &r.MaxBackoff, "The longest wait, at least `backoff`."),
		newOverride("breaker.failures", numberKind(0, 1_000_000), &o.BreakerFailures, &b.Failures,
			"The consecutive failed attempts, of at least two events, that open the breaker; 0: no breaker."),
		newOverride("breaker.cooldown", durationKind(ms, day), &o.BreakerCooldown, &b.Cooldown,
			"The wait before the first probe; it doubles with each probe that fails."),
		newOverride("breaker.max_cooldown", durationKind(ms, day), &o.BreakerMaxCooldown, &b.MaxCooldown,
			"The longest wait between probes, at least `cooldown`."),
		newOverride("order_by", pointerKind(parsePointer), &o.OrderBy, &s.OrderBy,
			"A JSON Pointer into the envelope: events with the same value there are delivered one at a time, in order. `\"\"`: no order."),
		newOverride("logs", wordKind(spec.LogsOfFailures, spec.LogsOfAll), &o.Logs, &s.Logs.Kept,
			"Of which attempts the plugin's log lines are kept with the event: of failed ones, or with `keep` also of successful ones. Up "+
				"to 8 KiB of an attempt, and the newest 64 MiB of a handler."),
		newOverride("log_level", wordKind(spec.LevelDebug, spec.LevelInfo, spec.LevelWarn, spec.LevelError), &o.LogLevel, &s.Logs.Level,
			"The level from which on the plugin's lines are kept and passed to the host's log, which has a level of its own. Other output of "+
				"the plugin has the level `info`."),
	}
}

func overrideTable(o *Overrides) (t table) {
	for _, one := range overrides(o, new(spec.Settings)) {
		t.fields = append(t.fields, one.field)
	}
	t.checks = []check{{"retry", func(v document.Value, _ map[string]document.Value) {
		if o.Backoff != nil && o.MaxBackoff != nil && *o.Backoff > *o.MaxBackoff {
			v.Fail("backoff is %s, which is longer than max_backoff, %s", *o.Backoff, *o.MaxBackoff)
		}
	}}, {"breaker", func(v document.Value, _ map[string]document.Value) {
		if o.BreakerCooldown != nil && o.BreakerMaxCooldown != nil && *o.BreakerCooldown > *o.BreakerMaxCooldown {
			v.Fail("cooldown is %s, which is longer than max_cooldown, %s", *o.BreakerCooldown, *o.BreakerMaxCooldown)
		}
	}}}
	return t
}

// apply changes the settings that have an override.
func (o Overrides) apply(s *spec.Settings) {
	if o == (Overrides{}) {
		return
	}
	for _, one := range overrides(&o, s) {
		one.apply()
	}
}

// overridesOf returns the overrides that set every setting.
func overridesOf(s spec.Settings) *Overrides {
	o := new(Overrides)
	for _, one := range overrides(o, &s) {
		one.copy()
	}
	return o
}
