package config

import (
	"encoding/json"
	"fmt"
	"time"
)

// HandlerSettings are the settings one handler runs with.
type HandlerSettings struct {
	Name    string
	Enabled bool            // may run
	Held    bool            // not enabled only because hot_drop is hold and nobody has decided yet
	Paused  bool            // gets no events for now
	Config  json.RawMessage // a JSON object
	Grants  []Grant
	Limits  Limits
	Retry   Retry
	Breaker Breaker
	OrderBy string   // JSON Pointer into the envelope; "" for no order
	Capped  []string // what the manifest asked for and did not get, one line each
}

// Limits bound one handler.
type Limits struct {
	Timeout       time.Duration // for one event
	Memory        int64         // bytes of one instance's linear memory
	Stack         int64         // bytes of one instance's call stack
	Concurrency   int           // instances that work at the same time
	Fuel          uint64        // for one event; 0 when the deadline is the only bound
	Isolation     Isolation
	RecycleEvents uint64        // a fresh instance after so many events; 0 for never
	RecycleAge    time.Duration // likewise by age
}

// Retry says what happens after a failed attempt.
type Retry struct {
	MaxAttempts int           // the first included
	Backoff     time.Duration // before the second attempt; doubles with each one
	MaxBackoff  time.Duration // at least Backoff
}

// Breaker says when a handler that keeps failing is left alone for a while.
type Breaker struct {
	Failures    int           // attempts that fail one after another, of two events at least; 0 for never
	Cooldown    time.Duration // before one event is tried again; doubles with each time that fails
	MaxCooldown time.Duration // at least Cooldown
}

// ManifestLimits is what a plugin's manifest asks for. Zero values ask for
// nothing, and so do negative ones.
type ManifestLimits struct {
	Timeout     time.Duration
	Memory      int64
	Stack       int64
	Concurrency int
	MaxAttempts int
	Backoff     time.Duration
	MaxBackoff  time.Duration
	OrderBy     string
}

// What a manifest may ask for where the operator has not said anything: room for
// a garbage-collected guest or a slow partner, and no more. Beyond it the
// operator has to agree, under handlers.<name>.
const (
	ceilingTimeout     = time.Minute
	ceilingMemory      = 256 << 20
	ceilingStack       = 8 << 20
	ceilingConcurrency = 16
	ceilingAttempts    = 20
	floorBackoff       = 10 * time.Millisecond
	ceilingBackoff     = time.Hour
)

func builtin() HandlerSettings {
	return HandlerSettings{
		Config:  json.RawMessage("{}"),
		Limits:  Limits{Timeout: 5 * time.Second, Memory: 64 << 20, Stack: 1 << 20, Concurrency: 4, Isolation: IsolationShared},
		Retry:   Retry{MaxAttempts: 5, Backoff: 200 * time.Millisecond, MaxBackoff: time.Minute},
		Breaker: Breaker{Failures: 10, Cooldown: time.Second, MaxCooldown: time.Minute},

		OrderBy: "/metadata/subject",
	}
}

// Resolve returns the settings of a handler: the built-in ones, under what
// `defaults:` says, under what the manifest asks for, under what
// `handlers.<name>:` says.
//
// A manifest is written by a stranger, so it only ever gets less than the
// operator allows: what `defaults:` says is the most it can get of timeout,
// memory, stack, concurrency and attempts (and the least of backoff); where
// `defaults:` is silent the built-in ceilings hold (1m, 256MiB, 8MiB, 16, 20, and
// 10ms to 1h of backoff). Capped says what was cut.
func (c *Config) Resolve(name string, m ManifestLimits) HandlerSettings {
	s := builtin()
	s.Name = name
	s.apply(c.Defaults.Overrides)
	s.applyManifest(m, c.Defaults.Overrides)
	h, said := c.Handlers[name]
	s.Enabled = c.HotDrop == HotDropEnable
	s.Held = !s.Enabled
	if said {
		s.apply(h.Overrides)
		s.Paused, s.Config, s.Grants = h.Paused, h.Config, h.Grants
		if h.Enabled != nil {
			s.Enabled, s.Held = *h.Enabled, false
		}
	}
	// The two may come from different layers; a backoff that was raised alone means it.
	s.Retry.MaxBackoff = max(s.Retry.MaxBackoff, s.Retry.Backoff)
	s.Breaker.MaxCooldown = max(s.Breaker.MaxCooldown, s.Breaker.Cooldown)
	return s
}

func (s *HandlerSettings) apply(o Overrides) {
	set(&s.Limits.Timeout, o.Timeout)
	set(&s.Limits.Memory, o.Memory)
	set(&s.Limits.Stack, o.Stack)
	set(&s.Limits.Concurrency, o.Concurrency)
	set(&s.Limits.Fuel, o.Fuel)
	set(&s.Limits.Isolation, o.Isolation)
	set(&s.Limits.RecycleEvents, o.RecycleEvents)
	set(&s.Limits.RecycleAge, o.RecycleAge)
	set(&s.Retry.MaxAttempts, o.MaxAttempts)
	set(&s.Retry.Backoff, o.Backoff)
	set(&s.Retry.MaxBackoff, o.MaxBackoff)
	set(&s.Breaker.Failures, o.BreakerFailures)
	set(&s.Breaker.Cooldown, o.BreakerCooldown)
	set(&s.Breaker.MaxCooldown, o.BreakerMaxCooldown)
	set(&s.OrderBy, o.OrderBy)
}

func set[T any](to *T, said *T) {
	if said != nil {
		*to = *said
	}
}

func (s *HandlerSettings) applyManifest(m ManifestLimits, operator Overrides) {
	text := time.Duration.String
	ask(s, "timeout", &s.Limits.Timeout, m.Timeout, time.Millisecond, or(operator.Timeout, ceilingTimeout), text)
	ask(s, "memory", &s.Limits.Memory, m.Memory, 1<<16, or(operator.Memory, ceilingMemory), sizeText)
	ask(s, "stack", &s.Limits.Stack, m.Stack, minStack, or(operator.Stack, ceilingStack), sizeText)
	ask(s, "concurrency", &s.Limits.Concurrency, m.Concurrency, 1, or(operator.Concurrency, ceilingConcurrency), number)
	ask(s, "max_attempts", &s.Retry.MaxAttempts, m.MaxAttempts, 1, or(operator.MaxAttempts, ceilingAttempts), number)
	floor := or(operator.Backoff, floorBackoff)
	ask(s, "backoff", &s.Retry.Backoff, m.Backoff, floor, max(floor, ceilingBackoff), text)
	ask(s, "max_backoff", &s.Retry.MaxBackoff, m.MaxBackoff, floor, max(floor, ceilingBackoff), text)
	if m.OrderBy != "" {
		s.OrderBy = m.OrderBy
	}
}

func number(n int) string { return fmt.Sprint(n) }

func or[T any](said *T, otherwise T) T {
	if said != nil {
		return *said
	}
	return otherwise
}

// ask gives the manifest what it asks for, cut to least and most.
func ask[T int | int64 | time.Duration](s *HandlerSettings, name string, to *T, asked, least, most T, text func(T) string) {
	if asked <= 0 {
		return
	}
	*to = min(max(asked, least), most)
	if *to != asked {
		s.Capped = append(s.Capped, fmt.Sprintf("%s: the manifest asks for %s and gets %s", name, text(asked), text(*to)))
	}
}
