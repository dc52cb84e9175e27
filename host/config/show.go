package config

import (
	"encoding/json"
	"strings"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/config/document"
	"github.com/berth-host/berth/host/wire"
)

// Settings returns all settings of a configuration, sorted by path, with the values as
// the file could hold them. Of a handler's config they have the keys only. The built-in
// settings of handlers are under defaults.
func Settings(c *Config) []wire.Setting { return sorted(shown(c)) }

// shown returns the settings in force by path.
func shown(c *Config) map[string]string {
	m := make(map[string]string)
	for path, s := range configTable(c).states() {
		if s.shown != "" {
			m[path] = s.shown
		}
	}
	return m
}

// Started is what a running host was started with.
type Started struct {
	Config      *Config // has the settings that are read only at the start
	Listen      string  // host:port
	DataDir     string
	MemoryTotal int64 // bytes; 0 for no bound
	MaxInflight int64 // bytes
}

// InForce returns the settings of a running host whose file is c, sorted by path.
func (s Started) InForce(c *Config) []wire.Setting {
	m, started := shown(c), shown(s.Config)
	for path := range startSettings() {
		m[path] = started[path]
	}
	m["server.listen"], m["data_dir"] = plainText(s.Listen), plainText(s.DataDir)
	m["defaults.memory_total"] = "no bound"
	if s.MemoryTotal > 0 {
		m["defaults.memory_total"] = document.SizeText(s.MemoryTotal)
	}
	m["server.max_inflight_bytes"] = document.SizeText(s.MaxInflight)
	return sorted(m)
}

// SettingsOf returns the settings of one handler with this manifest, sorted by path.
func SettingsOf(c *Config, name string, manifest abi.Manifest) []wire.Setting {
	s, _ := c.Resolve(name, manifest)
	h := Handler{Enabled: &s.Enabled, Paused: s.Paused, Start: c.Handlers[name].Start, Config: s.Config, Grants: s.Grants,
		State: &s.State, Batch: shownBatch(s.Batch), Fair: s.Fair, Shards: s.Shards,
		Overrides: *overridesOf(s)}
	m := make(map[string]string)
	for path, one := range handlerTable(&h).states() {
		m["handlers."+name+"."+path] = one.shown
	}
	if s.Hold {
		m["handlers."+name+".enabled"] = "not decided (hot_drop: hold)"
	}
	return sorted(m)
}

func sorted(m map[string]string) []wire.Setting {
	list := make([]wire.Setting, 0, len(m))
	for _, path := range sortedKeys(m) {
		list = append(list, wire.Setting{Path: path, Value: m[path]})
	}
	return list
}

// keysOf returns the keys of a JSON object without their values.
func keysOf(object string) string {
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(object), &m); err != nil || len(m) == 0 {
		return "{}"
	}
	return "{" + strings.Join(sortedKeys(m), ": …, ") + ": …}"
}
