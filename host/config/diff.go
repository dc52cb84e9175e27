package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/berth-host/berth/host/spec"
)

// Diff says what changed, one line for each setting, in the file's words and
// sorted: "handlers.fraud-check.enabled: true → false". waiting are the paths,
// from Restarts, that take effect when the host starts again, and say so. A
// handler's config may hold what is not for everybody's eyes: it is named, not
// shown.
func Diff(old, new *Config, waiting []string) []string {
	before, after := flatten(old), flatten(new)
	keys := maps.Clone(before)
	maps.Copy(keys, after)
	var lines []string
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		was, had := before[key]
		is, has := after[key]
		var line string
		switch {
		case was == is && had == has:
			continue
		case strings.HasSuffix(key, ".config"):
			line = key + ": changed"
		case !had:
			line = fmt.Sprintf("%s: added, %s", key, is)
		case !has:
			line = fmt.Sprintf("%s: removed, was %s", key, was)
		default:
			line = fmt.Sprintf("%s: %s → %s", key, was, is)
		}
		if slices.Contains(waiting, key) {
			line += " (from the next start on)"
		}
		lines = append(lines, line)
	}
	if len(lines) > 0 || same(old, new) {
		return lines
	}
	for _, name := range slices.Sorted(maps.Keys(old.Handlers)) {
		if _, stays := new.Handlers[name]; !stays {
			lines = append(lines, "handlers."+name+": removed, had no settings")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(new.Handlers)) {
		if _, known := old.Handlers[name]; !known {
			lines = append(lines, "handlers."+name+": added, has no settings")
		}
	}
	if len(lines) == 0 {
		lines = append(lines, "the order of routes or lists changed")
	}
	return lines
}

// Restarts returns the settings, by path, that are read only when the host starts
// and are others in the file than in what it has begun with. Never nil.
func Restarts(begun, file *Config) []string {
	before, after := flatten(begun), flatten(file)
	keys := maps.Clone(before)
	maps.Copy(keys, after)
	paths := []string{}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if NeedsRestart(key) && before[key] != after[key] {
			paths = append(paths, key)
		}
	}
	return paths
}

// NeedsRestart reports whether a setting, by its path, is read only when the
// host starts.
func NeedsRestart(path string) bool {
	return slices.Contains([]string{"server.listen", "server.tls", "server.insecure", "server.rate_limit", "server.max_inflight_bytes", "data_dir", "bus.engine", "bus.ring_size", "auth.allowed_hosts", "vet.memory", "vet.cpu", "vet.wall", "defaults.memory_total"}, path)
}

// flatten turns a configuration into text by path.
func flatten(c *Config) map[string]string {
	m := map[string]string{
		"plugin_directories":              list(c.PluginDirectories),
		"hot_drop":                        string(c.HotDrop),
		"server.listen":                   c.Server.Listen,
		"server.shutdown_timeout":         span(c.Server.ShutdownTimeout),
		"server.tls":                      text(c.Server.TLS),
		"server.insecure":                 text(c.Server.Insecure),
		"server.rate_limit":               text(c.Server.RateLimit),
		"server.max_inflight_bytes":       sizeText(c.Server.MaxInflight),
		"data_dir":                        c.DataDir,
		"bus.engine":                      string(c.Bus.Engine),
		"bus.ring_size":                   text(c.Bus.RingSize),
		"bus.retention":                   span(c.Bus.Retention),
		"bus.dead_letters.retention":      span(c.Bus.DeadLetters.Retention),
		"bus.max_size":                    sizeText(c.Bus.MaxSize),
		"bus.max_age":                     span(c.Bus.MaxAge),
		"auth.allowed_hosts":              list(c.Auth.AllowedHosts),
		"vet.memory":                      sizeText(c.Vet.Memory),
		"vet.cpu":                         span(c.Vet.CPU),
		"vet.wall":                        span(c.Vet.Wall),
		"marketplace.enabled":             text(c.Marketplace.Enabled),
		"marketplace.index_url":           plain(c.Marketplace.IndexURL),
		"marketplace.trusted_keys":        list(c.Marketplace.TrustedKeys),
		"marketplace.allow_unsigned":      text(c.Marketplace.AllowUnsigned),
		"marketplace.allow_private_hosts": list(c.Marketplace.AllowPrivateHosts),
		"marketplace.credentials":         text(c.Marketplace.Credentials),
		"marketplace.docker_config":       plain(c.Marketplace.DockerConfig),
		"marketplace.minimum_release_age": span(c.Marketplace.MinimumReleaseAge),
		"marketplace.refresh":             span(c.Marketplace.Refresh),
	}
	for _, r := range c.Routes {
		m["routes."+r.Pattern] = routeText(r)
	}
	if c.Defaults.MemoryTotal != 0 {
		m["defaults.memory_total"] = sizeText(c.Defaults.MemoryTotal)
	}
	c.Defaults.flatten(m, "defaults.")
	for name, h := range c.Handlers {
		path := "handlers." + name + "."
		if h.Enabled != nil {
			m[path+"enabled"] = text(*h.Enabled)
		}
		if h.Start != (Start{}) {
			m[path+"start"] = h.Start.String()
		}
		if h.Paused {
			m[path+"paused"] = text(h.Paused)
		}
		if string(h.Config) != "{}" {
			m[path+"config"] = string(h.Config)
		}
		if h.Grants != nil {
			m[path+"grants"] = text(h.Grants)
		}
		h.Overrides.flatten(m, path)
	}
	return m
}

func routeText(r spec.Route) string {
	var parts []string
	if r.Handlers != nil {
		parts = append(parts, "handlers "+list(r.Handlers))
	}
	if r.Exclude != nil {
		parts = append(parts, "exclude "+list(r.Exclude))
	}
	if r.When != "" {
		parts = append(parts, "when "+r.When)
	}
	if len(parts) == 0 {
		return "every handler that subscribes"
	}
	return strings.Join(parts, ", ")
}

func (o Overrides) flatten(m map[string]string, prefix string) {
	for _, f := range []struct {
		path  string
		value any
	}{
		{"limits.timeout", o.Timeout},
		{"limits.concurrency", o.Concurrency},
		{"limits.fuel", o.Fuel},
		{"limits.isolation", o.Isolation},
		{"limits.recycle_after.events", o.RecycleEvents},
		{"limits.recycle_after.age", o.RecycleAge},
		{"retry.max_attempts", o.MaxAttempts},
		{"retry.backoff", o.Backoff},
		{"retry.max_backoff", o.MaxBackoff},
		{"breaker.failures", o.BreakerFailures},
		{"breaker.cooldown", o.BreakerCooldown},
		{"breaker.max_cooldown", o.BreakerMaxCooldown},
	} {
		v := reflect.ValueOf(f.value)
		if v.IsNil() {
			continue
		}
		if d, ok := f.value.(*time.Duration); ok {
			m[prefix+f.path] = span(*d)
			continue
		}
		m[prefix+f.path] = fmt.Sprint(v.Elem().Interface())
	}
	if o.Stack != nil {
		m[prefix+"limits.stack"] = sizeText(*o.Stack)
	}
	if o.Memory != nil {
		m[prefix+"limits.memory"] = sizeText(*o.Memory)
	}
	if o.OrderBy != nil {
		m[prefix+"order_by"] = text(*o.OrderBy)
	}
}

func list(texts []string) string { return "[" + strings.Join(texts, ", ") + "]" }

// span writes a duration as the file could hold it, without units of which there
// are none: 720h, not 720h0m0s.
func span(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// plain writes a text as it is, and none as "".
func plain(s string) string {
	if s == "" {
		return `""`
	}
	return s
}

// text writes a value as JSON, which is how the file could hold it.
func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}
