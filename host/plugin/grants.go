package plugin

import (
	"fmt"
	"slices"
	"strings"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/plugin/folder"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// missing says which required capabilities are not granted, "" when all are.
func missing(m abi.Manifest, grants []spec.Grant) string {
	var lacks []string
	for _, asked := range m.Capabilities {
		if asked.Required && !spec.Granted(grants, asked) {
			lacks = append(lacks, asksFor(asked))
		}
	}
	switch len(lacks) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("it requires the capability %s, which is not granted", lacks[0])
	}
	return fmt.Sprintf("it requires the capabilities %s, which are not granted", strings.Join(lacks, " and "))
}

// widened says for what a new version asks beyond the grants where the running
// one has all that it asks for, "" when there is nothing of the kind. What the
// running one does not have either, the operator has seen and decided about.
func widened(running, next abi.Manifest, grants []spec.Grant) string {
	var more []string
	for _, asked := range next.Capabilities {
		had := slices.ContainsFunc(running.Capabilities, func(c abi.Capability) bool { return c.Name == asked.Name && spec.Granted(grants, c) })
		if had && !spec.Granted(grants, asked) {
			more = append(more, asksFor(asked))
		}
	}
	if more == nil {
		return ""
	}
	return "it asks for more than is granted: " + strings.Join(more, " and ")
}

// asksFor names a capability and whom or what it is for.
func asksFor(c abi.Capability) string {
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

// some lists the first few.
func listFirst(list []string) string {
	const limit = 10
	if len(list) > limit {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:limit], ", "), len(list)-limit)
	}
	return strings.Join(list, ", ")
}

// approval works out what a plugin's grants are with what is approved. none
// says that they are that already.
func (l *loop) approval(e *entry, in wire.Approval, shown bool) (grants []spec.Grant, none bool, err error) {
	doing := "approve " + e.name
	var t target
	beside := false // its manifest may lie beside the module
	switch f := l.files[e.owner]; {
	case f != nil && f.name == e.name && f.SHA256 != "":
		t = target{sha256: f.SHA256, manifest: f.Manifest}
		beside = f.pin == nil && f.state.Sidecar != (folder.Stamp{})
	case e.running != nil:
		t = e.running.target
	default:
		return nil, false, fault.New(fault.Conflict, "%s: what it asks for is not known yet; try again", doing)
	}
	if in.SHA256 != "" && in.SHA256 != t.sha256 {
		return nil, false, fault.New(fault.Precondition, "%s: its file has another sha256 by now, %s; look at what that asks for first", doing, t.sha256)
	}
	if in.SHA256 != "" && beside && !shown {
		return nil, false, fault.New(fault.Precondition, "%s: sha256 does not say what it asks for, since a manifest lies beside the module; send its ETag as If-Match", doing)
	}
	s, err := l.m.config.Settings(e.name, t.manifest)
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", doing, err)
	}
	grants = slices.Clone(s.Grants)
	for i, name := range in.Capabilities {
		if !slices.ContainsFunc(t.manifest.Capabilities, func(c abi.Capability) bool { return c.Name == name }) {
			return nil, false, fault.Field(fmt.Sprintf("capabilities[%d]", i), "%q is not a capability that %s asks for", name, e.name)
		}
	}
	none = true
	for _, asked := range t.manifest.Capabilities {
		if in.Capabilities != nil && !slices.Contains(in.Capabilities, asked.Name) || spec.Granted(grants, asked) {
			continue
		}
		grants, none = spec.AddGrant(grants, asked), false
	}
	return grants, none, nil
}

// capabilities shows what is asked for and what of it is granted. Never nil.
func capabilities(m abi.Manifest, grants []spec.Grant) []wire.Capability {
	list := make([]wire.Capability, 0, len(m.Capabilities))
	for _, asked := range m.Capabilities {
		list = append(list, wire.Capability{Name: asked.Name, Granted: spec.Granted(grants, asked), Reason: asked.Reason,
			Required: asked.Required, Targets: spec.TargetsOf(asked)})
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
