package plugin

import (
	"fmt"
	"slices"
	"strings"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/wire"
)

// missing says which required capability is not granted, "" when none is.
func missing(m abi.Manifest, grants []Grant) string {
	for _, asked := range m.Capabilities {
		if asked.Required && !granted(asked, grants) {
			return fmt.Sprintf("it requires the capability %s, which is not granted", asked.Name)
		}
	}
	return ""
}

func granted(asked abi.Capability, grants []Grant) bool {
	return slices.ContainsFunc(grants, func(g Grant) bool {
		return g.Name == asked.Name &&
			covers(g.Hosts, asked.Hosts, coversHost) &&
			covers(g.EventTypes, asked.EventTypes, abi.MatchEventType) &&
			covers(g.Names, asked.Names, equal)
	})
}

func covers(given, asked []string, match func(given, asked string) bool) bool {
	if len(given) == 0 {
		return true
	}
	return !slices.ContainsFunc(asked, func(a string) bool {
		return !slices.ContainsFunc(given, func(g string) bool { return match(g, a) })
	})
}

func equal(a, b string) bool { return a == b }

// coversHost takes a name below "*." in, and an address of version 6 with or
// without brackets.
func coversHost(given, asked string) bool {
	if below, ok := strings.CutPrefix(given, "*"); ok {
		return strings.HasSuffix(asked, below)
	}
	return given == asked || "["+given+"]" == asked
}

// capabilities shows what is asked for and what of it is granted. Never nil.
func capabilities(m abi.Manifest, grants []Grant) []wire.Capability {
	list := make([]wire.Capability, 0, len(m.Capabilities))
	for _, asked := range m.Capabilities {
		list = append(list, wire.Capability{Name: asked.Name, Granted: granted(asked, grants), Reason: asked.Reason})
	}
	return list
}

// subscribes shows the event types. Never nil.
func subscribes(m abi.Manifest) []string {
	if m.Subscribes == nil {
		return []string{"*"} // every type that is routed
	}
	list := make([]string, 0, len(m.Subscribes))
	for _, s := range m.Subscribes {
		list = append(list, s.EventType)
	}
	return list
}
