package config

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/config/document"
	"github.com/berth-host/berth/host/spec"
)

// The bounds of a manifest's requests where `defaults:` sets none: enough for a
// garbage-collected guest or a slow upstream. More requires handlers.<name>.
const (
	ceilingTimeout     = time.Minute
	ceilingMemory      = 256 << 20
	ceilingStack       = 8 << 20
	ceilingConcurrency = 16
	ceilingAttempts    = 20
	floorBackoff       = 10 * time.Millisecond
	ceilingBackoff     = time.Hour
)

func builtin() spec.Settings {
	return spec.Settings{
		Config:  json.RawMessage("{}"),
		Limits:  spec.Limits{Timeout: 5 * time.Second, Memory: 64 << 20, Stack: 1 << 20, Concurrency: 4, Isolation: spec.IsolationShared},
		Retry:   spec.RetryPolicy{}.WithDefaults(),
		Breaker: spec.BreakerPolicy{Failures: 10}.WithDefaults(),
		OrderBy: "/metadata/subject",
		Logs:    spec.LogPolicy{Kept: spec.LogsOfFailures, Level: spec.LevelDebug},
		State:   spec.StateDirect,
		Shards:  1,
	}
}

// Resolve returns the settings of a handler: the built-in defaults, overridden by
// `defaults:`, by the manifest's requests, and by `handlers.<name>:`, in this order.
// capped has one line for every request of the manifest that was reduced.
//
// A manifest is not trusted: what `defaults:` sets is its maximum of timeout, memory,
// stack, concurrency and attempts, and its minimum of backoff. Where `defaults:` sets
// nothing the built-in bounds apply (1m, 256MiB, 8MiB, 16, 20, and 10ms to 1h of backoff).
// Zero and negative values in a manifest request nothing.
func (c *Config) Resolve(name string, m abi.Manifest) (s spec.Settings, capped []string) {
	s = builtin()
	c.Defaults.apply(&s)
	capped = applyManifest(&s, m, c.Defaults.Overrides)
	h, found := c.Handlers[name]
	s.Enabled = c.HotDrop == HotDropEnable
	s.Hold = !s.Enabled
	if found {
		h.Overrides.apply(&s)
		s.Paused, s.Config, s.Grants = h.Paused, h.Config, h.Grants
		h.applyWork(&s)
		if h.Enabled != nil {
			s.Enabled, s.Hold = *h.Enabled, false
		}
	}
	// The two can come from different layers: a larger backoff raises the maximum.
	s.Retry.MaxBackoff = max(s.Retry.MaxBackoff, s.Retry.Backoff)
	s.Breaker.MaxCooldown = max(s.Breaker.MaxCooldown, s.Breaker.Cooldown)
	return s, capped
}

// applyManifest applies the requests of a manifest within the operator's bounds.
func applyManifest(s *spec.Settings, m abi.Manifest, operator Overrides) (capped []string) {
	duration, size := time.Duration.String, document.SizeText
	l, r, retry := &s.Limits, &s.Retry, m.Retry
	request(&capped, "timeout", &l.Timeout, time.Duration(m.Limits.Timeout), time.Millisecond, or(operator.Timeout, ceilingTimeout), duration)
	request(&capped, "memory", &l.Memory, int64(m.Limits.Memory), 1<<16, or(operator.Memory, ceilingMemory), size)
	request(&capped, "stack", &l.Stack, int64(m.Limits.Stack), minStack, or(operator.Stack, ceilingStack), size)
	request(&capped, "concurrency", &l.Concurrency, m.Limits.Concurrency, 1, or(operator.Concurrency, ceilingConcurrency), strconv.Itoa)
	request(&capped, "max_attempts", &r.MaxAttempts, retry.MaxAttempts, 1, or(operator.MaxAttempts, ceilingAttempts), strconv.Itoa)
	floor := or(operator.Backoff, floorBackoff)
	request(&capped, "backoff", &r.Backoff, time.Duration(retry.Backoff), floor, max(floor, ceilingBackoff), duration)
	request(&capped, "max_backoff", &r.MaxBackoff, time.Duration(retry.MaxBackoff), floor, max(floor, ceilingBackoff), duration)
	if m.OrderBy != "" {
		s.OrderBy = m.OrderBy
	}
	if m.State != "" {
		s.State = spec.StateMode(m.State)
	}
	if m.Batch != nil {
		s.Batch = spec.BatchPolicy{MaxEvents: m.Batch.MaxEvents, MaxWait: time.Duration(m.Batch.MaxWait)}
	}
	return capped
}

func or[T any](value *T, fallback T) T {
	if value != nil {
		return *value
	}
	return fallback
}

// request applies what a manifest requests within the bounds.
func request[T int | int64 | time.Duration](capped *[]string, name string, to *T, requested, low, high T, text func(T) string) {
	if requested <= 0 {
		return
	}
	*to = min(max(requested, low), high)
	if *to != requested {
		*capped = append(*capped, fmt.Sprintf("%s: the manifest asks for %s and gets %s", name, text(requested), text(*to)))
	}
}
