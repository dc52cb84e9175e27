package spec

import (
	"slices"
	"strings"

	"github.com/berth-host/berth/abi"
)

// Grant gives a handler one capability.
type Grant struct {
	Name string `json:"name"` // one of abi's capabilities
	Targets
}

// Targets restrict a capability. In a grant an empty list allows everything the
// manifest requests.
type Targets struct {
	Hosts      []string `json:"hosts,omitempty"`       // of http: host, host:port or *.domain
	EventTypes []string `json:"event_types,omitempty"` // of emit: globs
	Names      []string `json:"names,omitempty"`       // of secret: names of secrets
}

// TargetsOf returns the targets of a requested capability.
func TargetsOf(c abi.Capability) Targets { return Targets{c.Hosts, c.EventTypes, c.Names} }

// List returns all targets.
func (t Targets) List() []string { return slices.Concat(t.Hosts, t.EventTypes, t.Names) }

// GrantOf returns the grant of exactly what a manifest requests.
func GrantOf(c abi.Capability) Grant { return Grant{c.Name, TargetsOf(c)} }

// GrantsOf returns the grants of exactly what a manifest requests; nil for nothing.
func GrantsOf(requested []abi.Capability) []Grant {
	var grants []Grant
	for _, c := range requested {
		grants = append(grants, GrantOf(c))
	}
	return grants
}

// Granted reports whether one of the grants covers the requested capability with
// all of its targets.
func Granted(grants []Grant, c abi.Capability) bool {
	return slices.ContainsFunc(grants, func(g Grant) bool {
		return g.Name == c.Name &&
			covers(g.Hosts, c.Hosts, coversHost) &&
			covers(g.EventTypes, c.EventTypes, abi.MatchEventType) &&
			covers(g.Names, c.Names, equal)
	})
}

// AddGrant returns the grants extended by the requested capability. Lists are
// extended by the targets they do not cover. The elements of grants may be changed.
func AddGrant(grants []Grant, c abi.Capability) []Grant {
	i := slices.IndexFunc(grants, func(g Grant) bool { return g.Name == c.Name })
	if i < 0 {
		return append(grants, GrantOf(c))
	}
	g := &grants[i]
	g.Hosts = extend(g.Hosts, c.Hosts, coversHost)
	g.EventTypes = extend(g.EventTypes, c.EventTypes, abi.MatchEventType)
	g.Names = extend(g.Names, c.Names, equal)
	return grants
}

// extend adds the targets that are not covered. An empty list covers everything.
func extend(given, requested []string, match func(given, requested string) bool) []string {
	if len(given) == 0 {
		return given
	}
	given = slices.Clone(given)
	for _, target := range requested {
		if !covers(given, []string{target}, match) {
			given = append(given, target)
		}
	}
	return given
}

func covers(given, requested []string, match func(given, requested string) bool) bool {
	if len(given) == 0 {
		return true
	}
	return !slices.ContainsFunc(requested, func(target string) bool {
		return !slices.ContainsFunc(given, func(g string) bool { return match(g, target) })
	})
}

func equal(a, b string) bool { return a == b }

// coversHost matches names below "*.", and addresses of version 6 with or without brackets.
func coversHost(given, requested string) bool {
	if below, ok := strings.CutPrefix(given, "*"); ok {
		return strings.HasSuffix(requested, below)
	}
	return given == requested || "["+given+"]" == requested
}
