package config

import (
	"encoding/base64"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/berth-host/berth/host/spec"
)

// read fills the configuration from the file's root.
func (c *Config) read(root value) {
	root.fields(map[string]func(value){
		"plugin_directories": func(v value) { c.PluginDirectories = v.list(64, readDirectory) },
		"hot_drop":           func(v value) { c.HotDrop = oneOf(v, HotDropEnable, HotDropHold) },
		"routes":             c.readRoutes,
		"handlers":           c.readHandlers,
		"defaults":           c.Defaults.read,
		"server":             c.Server.read,
		"data_dir":           func(v value) { c.DataDir = v.text() },
		"bus":                c.Bus.read,
		"auth":               c.Auth.read,
		"vet":                c.Vet.read,
		"marketplace":        c.Marketplace.read,
	})
}

func readDirectory(v value) string {
	s := v.text()
	if s == "" {
		return ""
	}
	return filepath.Clean(s)
}

// maxNamed bounds how many routes, and how many handlers, a file may name.
const maxNamed = 10_000

var (
	globPattern   = regexp.MustCompile(`^[a-z0-9_.*-]{1,128}$`)
	namePattern   = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	secretPattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
)

func checkGlob(v value, glob string) {
	if !globPattern.MatchString(glob) {
		v.fail("%s is not an event type or a glob: it may hold a-z 0-9 _ . - and *, and is at most 128 long", quoted(glob))
	}
}

func checkName(v value, name string) {
	if !namePattern.MatchString(name) {
		v.fail("%s is not a handler's name: it must match %s", quoted(name), namePattern)
	}
}

func readName(v value) string {
	name := v.text()
	if name != "" {
		checkName(v, name)
	}
	return name
}

func (c *Config) readRoutes(v value) {
	entries := v.entries()
	if len(entries) > maxNamed {
		v.fail("has %d routes; the limit is %d", len(entries), maxNamed)
		return
	}
	for _, e := range entries {
		checkGlob(e.value, e.key)
		r := spec.Route{Pattern: e.key, Line: e.node.Line}
		var exclude value
		e.value.fields(map[string]func(value){
			"handlers": func(v value) { r.Handlers = v.list(maxNamed, readName) },
			"exclude":  func(v value) { r.Exclude, exclude = v.list(maxNamed, readName), v },
			"when":     func(v value) { r.When = v.text() },
		})
		for _, name := range r.Exclude {
			if slices.Contains(r.Handlers, name) {
				exclude.fail("%s is under handlers too; leave it out of one", name)
			}
		}
		c.Routes = append(c.Routes, r)
	}
}

func (c *Config) readHandlers(v value) {
	entries := v.entries()
	if len(entries) > maxNamed {
		v.fail("has %d handlers; the limit is %d", len(entries), maxNamed)
		return
	}
	for _, e := range entries {
		checkName(e.value, e.key)
		h := Handler{Config: []byte("{}")}
		e.value.fields(map[string]func(value){
			"enabled":  func(v value) { h.Enabled = new(v.bool()) },
			"paused":   func(v value) { h.Paused = v.bool() },
			"start":    func(v value) { h.Start = readStart(v) },
			"config":   func(v value) { h.Config = v.object() },
			"grants":   func(v value) { h.Grants = readGrants(v) },
			"limits":   h.Overrides.readLimits,
			"retry":    h.Overrides.readRetry,
			"breaker":  h.Overrides.readBreaker,
			"order_by": h.Overrides.readOrderBy,
		})
		c.Handlers[e.key] = h
	}
}

func (d *Defaults) read(v value) {
	v.fields(map[string]func(value){
		"limits":       d.Overrides.readLimits,
		"retry":        d.Overrides.readRetry,
		"breaker":      d.Overrides.readBreaker,
		"order_by":     d.Overrides.readOrderBy,
		"memory_total": func(v value) { d.MemoryTotal = v.size(1<<20, 1<<50) },
	})
}

// maxMemory is one page less than everything: a module that asks for 65,536
// pages is refused.
const maxMemory = 1<<32 - 1<<16

// What a call stack may have: enough for any guest to start, and less than where the
// engine ends one by itself.
const (
	minStack = 64 << 10
	maxStack = 32 << 20
)

func (o *Overrides) readLimits(v value) {
	v.fields(map[string]func(value){
		"timeout":     func(v value) { o.Timeout = new(v.duration(time.Millisecond, time.Hour)) },
		"memory":      func(v value) { o.Memory = new(v.size(1<<16, maxMemory)) },
		"stack":       func(v value) { o.Stack = new(v.size(minStack, maxStack)) },
		"concurrency": func(v value) { o.Concurrency = new(int(v.integer(1, 1024))) },
		"fuel":        func(v value) { o.Fuel = new(uint64(v.integer(0, 1<<62))) },
		"isolation":   func(v value) { o.Isolation = new(oneOf(v, spec.IsolationShared, spec.IsolationEvent)) },
		"recycle_after": func(v value) {
			v.fields(map[string]func(value){
				"events": func(v value) { o.RecycleEvents = new(uint64(v.integer(0, 1<<62))) },
				"age":    func(v value) { o.RecycleAge = new(v.duration(0, 366*24*time.Hour)) },
			})
		},
	})
}

func (o *Overrides) readRetry(v value) {
	v.fields(map[string]func(value){
		"max_attempts": func(v value) { o.MaxAttempts = new(int(v.integer(1, 1000))) },
		"backoff":      func(v value) { o.Backoff = new(v.duration(time.Millisecond, 24*time.Hour)) },
		"max_backoff":  func(v value) { o.MaxBackoff = new(v.duration(time.Millisecond, 24*time.Hour)) },
	})
	if o.Backoff != nil && o.MaxBackoff != nil && *o.Backoff > *o.MaxBackoff {
		v.fail("backoff is %s, which is longer than max_backoff, %s", *o.Backoff, *o.MaxBackoff)
	}
}

func (o *Overrides) readBreaker(v value) {
	v.fields(map[string]func(value){
		"failures":     func(v value) { o.BreakerFailures = new(int(v.integer(0, 1_000_000))) },
		"cooldown":     func(v value) { o.BreakerCooldown = new(v.duration(time.Millisecond, 24*time.Hour)) },
		"max_cooldown": func(v value) { o.BreakerMaxCooldown = new(v.duration(time.Millisecond, 24*time.Hour)) },
	})
	if o.BreakerCooldown != nil && o.BreakerMaxCooldown != nil && *o.BreakerCooldown > *o.BreakerMaxCooldown {
		v.fail("cooldown is %s, which is longer than max_cooldown, %s", *o.BreakerCooldown, *o.BreakerMaxCooldown)
	}
}

// readOrderBy reads a JSON Pointer (RFC 6901), or "" for no order at all.
func (o *Overrides) readOrderBy(v value) {
	o.OrderBy = new("")
	if v.tag() == "!!str" && v.node.Value == "" {
		return
	}
	s := v.text()
	if s == "" {
		return
	}
	if !validPointer(s) {
		v.fail(`%s is not a JSON Pointer; write one like /metadata/subject, or "" for no order`, quoted(s))
	}
	*o.OrderBy = s
}

func validPointer(s string) bool {
	if len(s) > 256 || s[0] != '/' {
		return false
	}
	for i := range len(s) {
		if s[i] == '~' && (i+1 == len(s) || s[i+1] != '0' && s[i+1] != '1') {
			return false
		}
	}
	return true
}

func (s *Server) read(v value) {
	v.fields(map[string]func(value){
		"listen":           func(v value) { s.Listen = readAddress(v) },
		"shutdown_timeout": func(v value) { s.ShutdownTimeout = v.duration(0, time.Hour) },
		"tls":              s.TLS.read,
		"insecure":         func(v value) { s.Insecure = v.bool() },
		"max_inflight_bytes": func(v value) {
			const least = 32 << 20 // one batch of the largest size, and what the others have
			if s.MaxInflight = v.size(0, 1<<40); s.MaxInflight != 0 && s.MaxInflight < least {
				v.fail("is %s; it must be at least %s, or 0 for what the memory allows", sizeText(s.MaxInflight), sizeText(least))
			}
		},
		"rate_limit": func(v value) {
			v.fields(map[string]func(value){
				"requests_per_second": func(v value) { s.RateLimit.RequestsPerSecond = int(v.integer(0, 1_000_000)) },
				"burst":               func(v value) { s.RateLimit.Burst = int(v.integer(0, 1_000_000)) },
			})
		},
	})
}

func (t *TLS) read(v value) {
	v.fields(map[string]func(value){
		"cert_file": func(v value) { t.CertFile = v.text() },
		"key_file":  func(v value) { t.KeyFile = v.text() },
	})
	if (t.CertFile == "") != (t.KeyFile == "") {
		v.fail("needs both cert_file and key_file")
	}
}

func readAddress(v value) string {
	s := v.text()
	if s == "" {
		return ""
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil || strings.ContainsAny(host, "/ ") {
		v.fail("%s is not an address; write host:port, such as 127.0.0.1:8080", quoted(s))
		return ""
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		v.fail("the port %s is not a number from 0 to 65535", quoted(port))
	}
	return s
}

func (b *Bus) read(v value) {
	var maxAge value
	said := false
	v.fields(map[string]func(value){
		"engine":    func(v value) { b.Engine = oneOf(v, EngineSQLite, EngineMemory) },
		"ring_size": func(v value) { b.RingSize = int(v.integer(16, 1<<20)) },
		"retention": func(v value) { b.Retention = v.duration(time.Minute, 3650*24*time.Hour) },
		"dead_letters": func(v value) {
			v.fields(map[string]func(value){
				"retention": func(v value) { b.DeadLetters.Retention = v.duration(0, 3650*24*time.Hour) },
			})
		},
		"max_age": func(v value) { b.MaxAge, maxAge, said = v.duration(0, 3650*24*time.Hour), v, true },
		"max_size": func(v value) {
			// Below it not every event would ever fit.
			const least = 2 << 20
			if b.MaxSize = v.size(0, 1<<50); b.MaxSize != 0 && b.MaxSize < least {
				v.fail("is %s; it must be at least %s, or 0 for no bound", sizeText(b.MaxSize), sizeText(least))
			}
		},
	})
	switch {
	case !said:
		b.MaxAge = max(b.MaxAge, b.Retention)
	case b.MaxAge != 0 && b.MaxAge < b.Retention:
		maxAge.fail("is %s, but must be at least bus.retention (%s), or 0s for never", b.MaxAge, b.Retention)
	}
}

func (l *Vet) read(v value) {
	v.fields(map[string]func(value){
		"memory": func(v value) { l.Memory = v.size(64<<20, 1<<40) },
		"cpu":    func(v value) { l.CPU = v.duration(time.Second, time.Hour) },
		"wall":   func(v value) { l.Wall = v.duration(time.Second, time.Hour) },
	})
}

func (a *Auth) read(v value) {
	v.fields(map[string]func(value){
		"allowed_hosts": func(v value) { a.AllowedHosts = v.list(100, readHostName) },
	})
}

// readHostName reads a name or address that requests may carry as their Host,
// without a port.
func readHostName(v value) string {
	s := v.text()
	if strings.Contains(s, "*") { // which a reader might take for "every name", and would be none
		v.fail("%s is not a host name: each one is listed, as it is", quoted(s))
		return s
	}
	if strings.ContainsAny(s, "/ @") || strings.Contains(s, ":") && net.ParseIP(s) == nil {
		v.fail("%s is not a host name; write it without scheme and port, such as berth.example.com", quoted(s))
	}
	return s
}

func (m *Marketplace) read(v value) {
	var index value
	v.fields(map[string]func(value){
		"enabled":             func(v value) { m.Enabled = v.bool() },
		"index_url":           func(v value) { m.IndexURL, index = v.text(), v },
		"trusted_keys":        func(v value) { m.TrustedKeys = v.list(100, readKey) },
		"allow_unsigned":      func(v value) { m.AllowUnsigned = v.bool() },
		"allow_private_hosts": func(v value) { m.AllowPrivateHosts = v.list(100, readPrivateHost) },
		"credentials":         m.readCredentials,
		"docker_config":       func(v value) { m.DockerConfig = v.text() },
		"minimum_release_age": func(v value) { m.MinimumReleaseAge = v.duration(0, 366*24*time.Hour) },
		"refresh":             m.readRefresh,
	})
	if m.IndexURL == "" {
		return
	}
	u, err := url.Parse(m.IndexURL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		index.fail("%s is not an https URL", quoted(m.IndexURL))
	case u.User != nil:
		index.fail("must not hold a user or a password")
	case u.Scheme == "http" && !slices.Contains(m.AllowPrivateHosts, u.Hostname()):
		index.fail("must be https (http is for hosts listed under allow_private_hosts only)")
	}
}

// readKey reads a minisign public key: the algorithm "Ed", 8 bytes of key id,
// 32 of key (minisign's format description).
func readKey(v value) string {
	s := v.text()
	if s == "" {
		return ""
	}
	raw, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(raw) != 42 || string(raw[:2]) != "Ed" {
		v.fail("%s is not a minisign public key; copy the line of the .pub file that starts with RW", quoted(s))
	}
	return s
}

func readPrivateHost(v value) string {
	s := v.text()
	if s == "" {
		return ""
	}
	if _, err := netip.ParsePrefix(s); err == nil {
		return s
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return s
	}
	if !hostPattern.MatchString(s) {
		v.fail("%s is not a host name, an address or a range such as 10.0.0.0/8", quoted(s))
	}
	return s
}
