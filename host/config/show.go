package config

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
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
	builtin().override().flatten(m, "defaults.")
	c.Defaults.flatten(m, "defaults.")
	return sorted(m)
}

// SettingsOf returns what one handler runs with, as long as its manifest asks
// for nothing else, sorted by path.
func SettingsOf(c *Config, name string) []Setting {
	s := c.Resolve(name, ManifestLimits{})
	prefix := "handlers." + name + "."
	m := map[string]string{
		prefix + "enabled": strconv.FormatBool(s.Enabled),
		prefix + "paused":  strconv.FormatBool(s.Paused),
		prefix + "config":  keysOf(s.Config),
		prefix + "grants":  "[]",
	}
	if s.Held {
		m[prefix+"enabled"] = "not decided (hot_drop: hold)"
	}
	if s.Grants != nil {
		m[prefix+"grants"] = text(s.Grants)
	}
	s.override().flatten(m, prefix)
	return sorted(m)
}

// override returns the settings as if somebody had written all of them down.
func (s HandlerSettings) override() Overrides {
	return Overrides{
		Timeout: &s.Limits.Timeout, Memory: &s.Limits.Memory, Stack: &s.Limits.Stack, Concurrency: &s.Limits.Concurrency, Fuel: &s.Limits.Fuel,
		Isolation: &s.Limits.Isolation, RecycleEvents: &s.Limits.RecycleEvents, RecycleAge: &s.Limits.RecycleAge,
		MaxAttempts: &s.Retry.MaxAttempts, Backoff: &s.Retry.Backoff, MaxBackoff: &s.Retry.MaxBackoff, OrderBy: &s.OrderBy,
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
