// Package grants compares the capabilities that a plugin's manifest requests with the
// grants of its settings. Its functions have no state.
package grants

import (
	"fmt"
	"slices"
	"strings"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// Missing names the required capabilities that are not granted; "" for none.
func Missing(requested []abi.Capability, grants []spec.Grant) string {
	var missing []string
	for _, c := range requested {
		if c.Required && !spec.Granted(grants, c) {
			missing = append(missing, describe(c))
		}
	}
	switch len(missing) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("it requires the capability %s, which is not granted", missing[0])
	}
	return fmt.Sprintf("it requires the capabilities %s, which are not granted", strings.Join(missing, " and "))
}

// Widened names the capabilities that the running version has in full and of which the
// next one requests more than is granted; "" for none. About capabilities that the
// running version lacks the operator has decided already.
func Widened(running, next []abi.Capability, grants []spec.Grant) string {
	var wider []string
	for _, c := range next {
		had := slices.ContainsFunc(running, func(r abi.Capability) bool { return r.Name == c.Name && spec.Granted(grants, r) })
		if had && !spec.Granted(grants, c) {
			wider = append(wider, describe(c))
		}
	}
	if wider == nil {
		return ""
	}
	return "it asks for more than is granted: " + strings.Join(wider, " and ")
}

// Extend returns the grants extended by the requested capabilities of these names, nil
// for all. unchanged means that they are granted already. The error, fault.Invalid,
// names a capability that is not requested.
func Extend(requested []abi.Capability, granted []spec.Grant, names []string) (grants []spec.Grant, unchanged bool, err error) {
	for i, name := range names {
		if !slices.ContainsFunc(requested, func(c abi.Capability) bool { return c.Name == name }) {
			return nil, false, fault.Field(fmt.Sprintf("capabilities[%d]", i), "%q is not a capability that the plugin requests", name)
		}
	}
	grants, unchanged = slices.Clone(granted), true
	for _, c := range requested {
		if (names == nil || slices.Contains(names, c.Name)) && !spec.Granted(grants, c) {
			grants, unchanged = spec.AddGrant(grants, c), false
		}
	}
	return grants, unchanged, nil
}

// Capabilities lists the requested capabilities and whether they are granted. It is
// never nil.
func Capabilities(requested []abi.Capability, grants []spec.Grant) []wire.Capability {
	list := make([]wire.Capability, 0, len(requested))
	for _, c := range requested {
		list = append(list, wire.Capability{Name: c.Name, Granted: spec.Granted(grants, c), Reason: c.Reason,
			Required: c.Required, Targets: spec.TargetsOf(c)})
	}
	return list
}

// describe names a capability and its targets.
func describe(c abi.Capability) string {
	switch {
	case c.Hosts != nil:
		return c.Name + " (hosts " + listFirst(c.Hosts) + ")"
	case c.EventTypes != nil:
		return c.Name + " (event types " + listFirst(c.EventTypes) + ")"
	case c.Names != nil:
		return c.Name + " (names " + listFirst(c.Names) + ")"
	}
	return c.Name
}

// listFirst lists at most ten texts.
func listFirst(list []string) string {
	const limit = 10
	if len(list) > limit {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:limit], ", "), len(list)-limit)
	}
	return strings.Join(list, ", ")
}
