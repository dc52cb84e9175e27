package config_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/spec"
)

func TestResolveDefaults(t *testing.T) {
	got, capped := config.Default().Resolve("x", abi.Manifest{})
	want := spec.Settings{
		Enabled: true, Config: []byte("{}"),
		Limits:  spec.Limits{Timeout: 5 * time.Second, Memory: 64 << 20, Stack: 1 << 20, Concurrency: 4, Isolation: spec.IsolationShared},
		Retry:   spec.RetryPolicy{MaxAttempts: 5, Backoff: 200 * time.Millisecond, MaxBackoff: time.Minute},
		Breaker: spec.BreakerPolicy{Failures: 10, Cooldown: time.Second, MaxCooldown: time.Minute},
		OrderBy: "/metadata/subject",
		Logs:    spec.LogPolicy{Kept: spec.LogsOfFailures, Level: spec.LevelDebug},
		State:   spec.StateDirect,
		Shards:  1,
	}
	if !reflect.DeepEqual(got, want) || capped != nil {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestResolveMergesLayers(t *testing.T) {
	greedy := abi.Manifest{
		Limits:  abi.Limits{Timeout: abi.Duration(time.Hour), Memory: 4 * abi.GiB, Concurrency: 500},
		Retry:   abi.Retry{MaxAttempts: 900, Backoff: abi.Duration(time.Microsecond), MaxBackoff: abi.Duration(48 * time.Hour)},
		OrderBy: "/data/id",
	}
	modest := abi.Manifest{
		Limits: abi.Limits{Timeout: abi.Duration(time.Second), Memory: abi.MiB, Concurrency: 1},
		Retry:  abi.Retry{MaxAttempts: 2, Backoff: abi.Duration(time.Second), MaxBackoff: abi.Duration(2 * time.Second)},
	}
	type settings struct {
		timeout     time.Duration
		memory      int64
		concurrency int
		attempts    int
		backoff     time.Duration
		maxBackoff  time.Duration
		orderBy     string
		capped      int
	}
	const defaults = "defaults: {limits: {timeout: 10s, memory: 32MiB, concurrency: 2}, retry: {max_attempts: 3, backoff: 5s}, order_by: /a}\n"
	tests := []struct {
		name, text string
		manifest   abi.Manifest
		want       settings
	}{
		{"a manifest asks for less", "", modest, settings{time.Second, 1 << 20, 1, 2, time.Second, 2 * time.Second, "/metadata/subject", 0}},
		{"a manifest asks for too much", "", greedy, settings{time.Minute, 256 << 20, 16, 20, 10 * time.Millisecond, time.Hour, "/data/id", 6}},
		{"defaults", defaults, abi.Manifest{}, settings{10 * time.Second, 32 << 20, 2, 3, 5 * time.Second, time.Minute, "/a", 0}},
		{"defaults are the manifest's ceiling", defaults, greedy, settings{10 * time.Second, 32 << 20, 2, 3, 5 * time.Second, time.Hour, "/data/id", 6}},
		{"a manifest below the defaults", defaults, modest, settings{time.Second, 1 << 20, 1, 2, 5 * time.Second, 5 * time.Second, "/a", 2}},
		{"the handler's own word is last", defaults + "handlers: {x: {limits: {timeout: 30m, memory: 1GiB, concurrency: 64}, retry: {max_attempts: 50, backoff: 1ms, max_backoff: 2s}, order_by: ''}}\n",
			modest, settings{30 * time.Minute, 1 << 30, 64, 50, time.Millisecond, 2 * time.Second, "", 2}},
		{"a backoff raised alone", "handlers: {x: {retry: {backoff: 5m}}}\n", abi.Manifest{}, settings{5 * time.Second, 64 << 20, 4, 5, 5 * time.Minute, 5 * time.Minute, "/metadata/subject", 0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := config.Parse("f", []byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			s, capped := c.Resolve("x", tt.manifest)
			got := settings{s.Limits.Timeout, s.Limits.Memory, s.Limits.Concurrency, s.Retry.MaxAttempts, s.Retry.Backoff, s.Retry.MaxBackoff, s.OrderBy, len(capped)}
			if got != tt.want {
				t.Errorf("got %+v, want %+v (%q)", got, tt.want, capped)
			}
		})
	}
}

func TestHotDropHoldsUndecidedHandlers(t *testing.T) {
	tests := []struct {
		text          string
		enabled, hold bool
	}{
		{"", true, false},
		{"hot_drop: hold\n", false, true},
		{"hot_drop: hold\nhandlers: {x: {order_by: /a}}\n", false, true},
		{"hot_drop: hold\nhandlers: {x: {enabled: true}}\n", true, false},
		{"handlers: {x: {enabled: false}}\n", false, false},
	}
	for _, tt := range tests {
		c, err := config.Parse("f", []byte(tt.text))
		if err != nil {
			t.Fatal(err)
		}
		if s, _ := c.Resolve("x", abi.Manifest{}); s.Enabled != tt.enabled || s.Hold != tt.hold {
			t.Errorf("%q: got enabled %v, hold %v; want %v, %v", tt.text, s.Enabled, s.Hold, tt.enabled, tt.hold)
		}
	}
}

func TestResolveBreakerAndPause(t *testing.T) {
	tests := []struct {
		name, text string
		want       spec.BreakerPolicy
		paused     bool
	}{
		{"built in", "", spec.BreakerPolicy{Failures: 10, Cooldown: time.Second, MaxCooldown: time.Minute}, false},
		{"none", "defaults: {breaker: {failures: 0}}\n", spec.BreakerPolicy{Failures: 0, Cooldown: time.Second, MaxCooldown: time.Minute}, false},
		{"the handler's own word is last", "defaults: {breaker: {failures: 0, cooldown: 2s}}\nhandlers: {x: {paused: true, breaker: {failures: 3, max_cooldown: 5s}}}\n",
			spec.BreakerPolicy{Failures: 3, Cooldown: 2 * time.Second, MaxCooldown: 5 * time.Second}, true},
		{"a cooldown raised alone", "handlers: {x: {breaker: {cooldown: 5m}}, y: {paused: true}}\n", spec.BreakerPolicy{Failures: 10, Cooldown: 5 * time.Minute, MaxCooldown: 5 * time.Minute}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := config.Parse("f", []byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			if s, _ := c.Resolve("x", abi.Manifest{}); s.Breaker != tt.want || s.Paused != tt.paused {
				t.Errorf("got %+v, paused %v; want %+v, %v", s.Breaker, s.Paused, tt.want, tt.paused)
			}
		})
	}
}

// TestManifestStackIsBounded by the built-in bound or the defaults; the handler's own
// setting comes last.
func TestManifestStackIsBounded(t *testing.T) {
	for _, tt := range []struct {
		text       string
		asks, want int64
	}{
		{"", 0, 1 << 20},
		{"", 64 << 10, 64 << 10},
		{"", 64<<10 - 1, 64 << 10},
		{"", 8 << 20, 8 << 20},
		{"", 8<<20 + 1, 8 << 20},
		{"defaults: {limits: {stack: 2MiB}}\n", 0, 2 << 20},
		{"defaults: {limits: {stack: 2MiB}}\n", 4 << 20, 2 << 20},
		{"handlers: {x: {limits: {stack: 32MiB}}}\n", 64 << 10, 32 << 20},
		{"handlers: {x: {limits: {stack: 64KiB}}}\n", 0, 64 << 10},
	} {
		c, err := config.Parse("f", []byte(tt.text))
		if err != nil {
			t.Fatal(err)
		}
		s, _ := c.Resolve("x", abi.Manifest{Limits: abi.Limits{Stack: abi.Size(tt.asks)}})
		if got := s.Limits.Stack; got != tt.want {
			t.Errorf("%q, the manifest asks for %d: got %d, want %d", tt.text, tt.asks, got, tt.want)
		}
	}
}

// TestManifestRequestsHaveFloors: a request below what can work is raised, and one at the
// floor is granted as it is.
func TestManifestRequestsHaveFloors(t *testing.T) {
	for _, tt := range []struct {
		memory, wantMemory   int64
		timeout, wantTimeout time.Duration
		backoff, wantBackoff time.Duration
		capped               int
	}{
		{1, 1 << 16, time.Nanosecond, time.Millisecond, time.Nanosecond, 10 * time.Millisecond, 3},
		{1<<16 - 1, 1 << 16, time.Millisecond - 1, time.Millisecond, 10*time.Millisecond - 1, 10 * time.Millisecond, 3},
		{1 << 16, 1 << 16, time.Millisecond, time.Millisecond, 10 * time.Millisecond, 10 * time.Millisecond, 0},
		{1<<16 + 1, 1<<16 + 1, time.Millisecond + 1, time.Millisecond + 1, 10*time.Millisecond + 1, 10*time.Millisecond + 1, 0},
		{-1, 64 << 20, -1, 5 * time.Second, -1, 200 * time.Millisecond, 0},
	} {
		var m abi.Manifest
		m.Limits.Memory = abi.Size(tt.memory)
		m.Limits.Timeout, m.Retry.Backoff = abi.Duration(tt.timeout), abi.Duration(tt.backoff)
		got, capped := config.Default().Resolve("x", m)
		if got.Limits.Memory != tt.wantMemory || got.Limits.Timeout != tt.wantTimeout || got.Retry.Backoff != tt.wantBackoff ||
			len(capped) != tt.capped {
			t.Errorf("%d, %s, %s: got %d, %s, %s and %q", tt.memory, tt.timeout, tt.backoff, got.Limits.Memory, got.Limits.Timeout,
				got.Retry.Backoff, capped)
		}
	}
}
