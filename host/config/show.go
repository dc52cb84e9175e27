package config

import (
	"encoding/json"
	"strings"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/config/document"
)

// Setting is one setting that is in force, in the file's words.
type Setting struct {
	Path  string // "server.listen"
	Value string // never what a handler's config holds, only its keys
}

// Settings returns all settings of a configuration, sorted by path. What handlers run
// with where neither the file nor their manifest says otherwise is under defaults.
func Settings(c *Config) []Setting { return sorted(shown(c)) }

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
	m, begun := shown(c), shown(s.Config)
	for path := range startSettings() {
		m[path] = begun[path]
	}
	m["server.listen"], m["data_dir"] = plainText(s.Listen), plainText(s.DataDir)
	m["defaults.memory_total"] = "no bound"
	if s.MemoryTotal > 0 {
		m["defaults.memory_total"] = document.SizeText(s.MemoryTotal)
	}
	m["server.max_inflight_bytes"] = document.SizeText(s.MaxInflight)
	return sorted(m)
}

// SettingsOf returns what one handler with this manifest runs with, sorted by path.
func SettingsOf(c *Config, name string, manifest abi.Manifest) []Setting {
	s, _ := c.Resolve(name, manifest)
	h := Handler{Enabled: &s.Enabled, Paused: s.Paused, Start: c.Handlers[name].Start, Config: s.Config, Grants: s.Grants, Overrides: *overridesOf(s)}
	m := make(map[string]string)
	for path, one := range handlerTable(&h).states() {
		m["handlers."+name+"."+path] = one.shown
	}
	if s.Hold {
		m["handlers."+name+".enabled"] = "not decided (hot_drop: hold)"
	}
	return sorted(m)
}

func sorted(m map[string]string) []Setting {
	list := make([]Setting, 0, len(m))
	for _, path := range sortedKeys(m) {
		list = append(list, Setting{path, m[path]})
	}
	return list
}

// keysOf names what is in a JSON object, and not what it is.
func keysOf(object string) string {
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(object), &m); err != nil || len(m) == 0 {
		return "{}"
	}
	return "{" + strings.Join(sortedKeys(m), ": …, ") + ": …}"
}
