package config

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/spec"
)

// Setting is one setting that is in force, in the file's words.
type Setting struct {
	Path  string // "server.listen"
	Value string // never what a handler's config holds, only its keys
}

// Settings returns all that holds with a configuration, sorted by path. What
// handlers run with where neither the file nor their manifest says otherwise is
// under defaults.
func Settings(c *Config) []Setting {
	m := flatten(c)
	for path := range m {
		if name, ok := strings.CutSuffix(strings.TrimPrefix(path, "handlers."), ".config"); ok {
			m[path] = keysOf(c.Handlers[name].Config)
		}
	}
	overridesOf(builtin()).flatten(m, "defaults.")
	c.Defaults.flatten(m, "defaults.")
	if c.Defaults.MemoryTotal == 0 {
		m["defaults.memory_total"] = "half of the machine's"
	}
	if c.Server.MaxInflight == 0 {
		m["server.max_inflight_bytes"] = "as the memory allows"
	}
	return sorted(m)
}

// Started is what a host that runs has begun with.
type Started struct {
	Config      *Config // what only a start can change is as it says
	Listen      string  // host:port
	DataDir     string
	MemoryTotal int64 // bytes; 0 for no bound
	MaxInflight int64 // bytes
}

// InForce returns what holds in a host that runs with c, sorted by path.
func (s Started) InForce(c *Config) []Setting {
	m := make(map[string]string)
	for _, now := range Settings(c) {
		if !NeedsRestart(now.Path) {
			m[now.Path] = now.Value
		}
	}
	for _, begun := range Settings(s.Config) {
		if NeedsRestart(begun.Path) {
			m[begun.Path] = begun.Value
		}
	}
	m["server.listen"], m["data_dir"] = plain(s.Listen), plain(s.DataDir)
	m["defaults.memory_total"] = "no bound"
	if s.MemoryTotal > 0 {
		m["defaults.memory_total"] = sizeText(s.MemoryTotal)
	}
	m["server.max_inflight_bytes"] = sizeText(s.MaxInflight)
	return sorted(m)
}

// SettingsOf returns the settings of one handler with this manifest, sorted by path.
func SettingsOf(c *Config, name string, manifest abi.Manifest) []Setting {
	s, _ := c.Resolve(name, manifest)
	prefix := "handlers." + name + "."
	m := map[string]string{
		prefix + "enabled": strconv.FormatBool(s.Enabled),
		prefix + "paused":  strconv.FormatBool(s.Paused),
		prefix + "config":  keysOf(s.Config),
		prefix + "grants":  "[]",
	}
	if s.Hold {
		m[prefix+"enabled"] = "not decided (hot_drop: hold)"
	}
	if s.Grants != nil {
		m[prefix+"grants"] = text(s.Grants)
	}
	overridesOf(s).flatten(m, prefix)
	return sorted(m)
}

// overridesOf returns the overrides that set every setting.
func overridesOf(s spec.Settings) Overrides {
	return Overrides{
		Timeout: &s.Limits.Timeout, Memory: &s.Limits.Memory, Stack: &s.Limits.Stack, Concurrency: &s.Limits.Concurrency, Fuel: &s.Limits.Fuel,
		Isolation: &s.Limits.Isolation, RecycleEvents: &s.Limits.RecycleEvents, RecycleAge: &s.Limits.RecycleAge,
		MaxAttempts: &s.Retry.MaxAttempts, Backoff: &s.Retry.Backoff, MaxBackoff: &s.Retry.MaxBackoff, OrderBy: &s.OrderBy,
		BreakerFailures: &s.Breaker.Failures, BreakerCooldown: &s.Breaker.Cooldown, BreakerMaxCooldown: &s.Breaker.MaxCooldown,
	}
}

func sorted(m map[string]string) []Setting {
	list := make([]Setting, 0, len(m))
	for _, path := range slices.Sorted(maps.Keys(m)) {
		list = append(list, Setting{path, m[path]})
	}
	return list
}

// keysOf names what is in a JSON object, and not what it is.
func keysOf(object json.RawMessage) string {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(object, &m); err != nil || len(m) == 0 {
		return "{}"
	}
	return "{" + strings.Join(slices.Sorted(maps.Keys(m)), ": …, ") + ": …}"
}
