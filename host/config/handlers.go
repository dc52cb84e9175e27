package config

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

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

// routesField is the allow-list of events, by patterns of their types.
func routesField() field[Config] {
	fields := routeFields()
	return field[Config]{
		description: description{path: "routes", parts: describe(fields), key: "<type>", schema: object{"propertyNames": object{"pattern": globPattern.String()}},
			doc: "Which events may reach handlers: by event type, or by a glob such as `order_*` or `\"*\"`. `{}` is every enabled handler " +
				"that subscribes. The most specific key decides. An event that no key matches reaches no handler: the publisher's answer says " +
				"so, and the host's log at most every 10 minutes."},
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
		setting("handlers", names, func(r *spec.Route) *[]string { return &r.Handlers }, "Only these handlers; `[]` for none."),
		setting("exclude", names, func(r *spec.Route) *[]string { return &r.Exclude }, "All handlers except these."),
		setting("when", textKind("CEL expression", value.text), func(r *spec.Route) *string { return &r.When },
			"A condition over `event_type`, `data` and `metadata`. If it cannot be evaluated, the event is skipped, and the host's log says so."),
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
		description: description{path: "handlers", parts: describe(fields), key: "<name>", schema: object{"propertyNames": object{"pattern": namePattern.String()}},
			doc: "The settings of one handler. Enabling, pausing and approving through the API write `enabled`, `paused` and `grants` here, " +
				"and leave everything else as it is."},
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
		setting("paused", boolKind(), func(h *Handler) *bool { return &h.Paused },
			"Its events wait; it stays loaded and keeps its position.").unset("false"),
		setting("start", startKind(), func(h *Handler) *Start { return &h.Start },
			"Where the handler begins if it has no position in the log yet.").unset("now"),
		setting("config", jsonKind(), func(h *Handler) *json.RawMessage { return &h.Config },
			"The object that the plugin reads, checked against its manifest's config_schema. Numbers keep every digit.",
		).unset("{}").with(func(s *state) { s.shown, s.secret = keysOf(s.shown), true }),
		setting("grants", grantsKind(), func(h *Handler) *[]spec.Grant { return &h.Grants },
			"The capabilities: `[kv, {name: http, hosts: [api.example.com]}]`. `http` needs `hosts`, `secret` needs `names`, `emit` takes "+
				"`event_types`. A plugin may do what its manifest asks for and this grants; everything else answers DENIED.").unset("[]"),
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
		"The memory of all instances of all handlers, with their call stacks; by default half of the machine's, or of the cgroup's limit.",
	).atStart().unset("0").zero("half of the machine's"))
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
		newOverride("limits.timeout", durationKind(time.Millisecond, time.Hour),
			func(o *Overrides) **time.Duration { return &o.Timeout }, func(s *spec.Settings) *time.Duration { return &s.Limits.Timeout }, "For one event."),
		newOverride("limits.memory", sizeKind(1<<16, maxMemory),
			func(o *Overrides) **int64 { return &o.Memory }, func(s *spec.Settings) *int64 { return &s.Limits.Memory }, "The linear memory of one instance."),
		newOverride("limits.stack", sizeKind(minStack, maxStack),
			func(o *Overrides) **int64 { return &o.Stack }, func(s *spec.Settings) *int64 { return &s.Limits.Stack },
			"The call stack of one instance, in bytes of the engine's stack; deeper calls fail with the class `stack`. "+
				"It counts in `memory_total` as it grows."),
		newOverride("limits.concurrency", numberKind(1, 1024),
			func(o *Overrides) **int { return &o.Concurrency }, func(s *spec.Settings) *int { return &s.Limits.Concurrency }, "The instances of a handler."),
		newOverride("limits.fuel", numberKind[uint64](0, 1<<62),
			func(o *Overrides) **uint64 { return &o.Fuel }, func(s *spec.Settings) *uint64 { return &s.Limits.Fuel },
			"Units of work for one event, about one simple instruction each; 0: only the timeout bounds it."),
		newOverride("limits.isolation", wordKind(spec.IsolationShared, spec.IsolationEvent),
			func(o *Overrides) **spec.Isolation { return &o.Isolation }, func(s *spec.Settings) *spec.Isolation { return &s.Limits.Isolation },
			"An instance handles many events, or each event gets a new instance."),
		newOverride("limits.recycle_after.events", numberKind[uint64](0, 1<<62),
			func(o *Overrides) **uint64 { return &o.RecycleEvents }, func(s *spec.Settings) *uint64 { return &s.Limits.RecycleEvents },
			"The events after which an instance is replaced; 0: never."),
		newOverride("limits.recycle_after.age", durationKind(0, 366*day),
			func(o *Overrides) **time.Duration { return &o.RecycleAge }, func(s *spec.Settings) *time.Duration { return &s.Limits.RecycleAge },
			"The age at which an instance is replaced; `0s`: never."),
		newOverride("retry.max_attempts", numberKind(1, 1000),
			func(o *Overrides) **int { return &o.MaxAttempts }, func(s *spec.Settings) *int { return &s.Retry.MaxAttempts },
			"The attempts after which an event is a dead letter, including the first."),
		newOverride("retry.backoff", durationKind(time.Millisecond, day),
			func(o *Overrides) **time.Duration { return &o.Backoff }, func(s *spec.Settings) *time.Duration { return &s.Retry.Backoff },
			"The wait before the second attempt; it doubles with each further attempt."),
		newOverride("retry.max_backoff", durationKind(time.Millisecond, day),
			func(o *Overrides) **time.Duration { return &o.MaxBackoff }, func(s *spec.Settings) *time.Duration { return &s.Retry.MaxBackoff },
			"The longest wait, at least `backoff`."),
		newOverride("breaker.failures", numberKind(0, 1_000_000),
			func(o *Overrides) **int { return &o.BreakerFailures }, func(s *spec.Settings) *int { return &s.Breaker.Failures },
			"The consecutive failed attempts, of at least two events, that open the breaker; 0: no breaker."),
		newOverride("breaker.cooldown", durationKind(time.Millisecond, day),
			func(o *Overrides) **time.Duration { return &o.BreakerCooldown }, func(s *spec.Settings) *time.Duration { return &s.Breaker.Cooldown },
			"The wait before the first probe; it doubles with each probe that fails."),
		newOverride("breaker.max_cooldown", durationKind(time.Millisecond, day),
			func(o *Overrides) **time.Duration { return &o.BreakerMaxCooldown }, func(s *spec.Settings) *time.Duration { return &s.Breaker.MaxCooldown },
			"The longest wait between probes, at least `cooldown`."),
		newOverride("order_by", pointerKind(),
			func(o *Overrides) **string { return &o.OrderBy }, func(s *spec.Settings) *string { return &s.OrderBy },
			"A JSON Pointer into the envelope: events with the same value there are delivered one at a time, in order. `\"\"`: no order."),
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
