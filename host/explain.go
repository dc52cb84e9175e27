package host

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/route"
	"github.com/berth-host/berth/host/wire"
)

// Explain implements api.Explainer: it says for every plugin there is whether it
// would get this event now.
func (h *Host) Explain(_ context.Context, ev *event.Event) (wire.Explanation, error) {
	table := h.table.Load()
	answer := explainRoute(table, ev)
	for _, p := range h.plugins.List() {
		line := wire.ExplainedHandler{Plugin: p.Name, State: p.State}
		manifest, known := h.plugins.Manifest(p.Name)
		if p.State == wire.Rejected || !known {
			line.Reason = stands(p)
			answer.Handlers = append(answer.Handlers, line)
			continue
		}
		filter, err := route.FilterOf(p.Name, manifest)
		if err != nil {
			return wire.Explanation{}, err
		}
		found := table.Explain(p.Name, filter, ev)
		line.Takes, line.Reason = found.Takes && p.State == wire.Active, found.Reason
		if found.Takes && !line.Takes {
			line.Reason = fmt.Sprintf("%s; the event would wait for it, because %s", stands(p), found.Reason)
		}
		answer.Handlers = append(answer.Handlers, line)
	}
	return answer, nil
}

// Routed implements api.Router.
func (h *Host) Routed(ev *event.Event) bool { return h.table.Load().TakesEvent(ev) }

// stands says where a plugin is that gets nothing now.
func stands(p wire.Plugin) string {
	if p.Reason == "" {
		return "it is " + string(p.State)
	}
	return fmt.Sprintf("it is %s: %s", p.State, p.Reason)
}

func explainRoute(table *route.Table, ev *event.Event) wire.Explanation {
	found := table.ExplainRoute(ev)
	answer := wire.Explanation{EventType: string(ev.Type()), Reason: found.Reason, Handlers: []wire.ExplainedHandler{}}
	if found.Route != "" {
		answer.Route = &found.Route
	}
	return answer
}

// ExplainRoutes says without a host what the routes of a configuration file
// make of an event: for every handler that the file names, as if it subscribed
// to every type. Errors are those of New.
func ExplainRoutes(path string, ev *event.Event) (wire.Explanation, error) {
	c, err := config.Load(path)
	if err != nil {
		return wire.Explanation{}, err
	}
	table, err := compile(path, c)
	if err != nil {
		return wire.Explanation{}, err
	}
	names := make(map[string]bool)
	for name := range c.Handlers {
		names[name] = true
	}
	for _, r := range c.Routes {
		for _, name := range slices.Concat(r.Handlers, r.Exclude) {
			names[name] = true
		}
	}
	answer := explainRoute(table, ev)
	for _, name := range slices.SortedFunc(maps.Keys(names), cmp.Compare[string]) {
		line := wire.ExplainedHandler{Plugin: name}
		found := table.Explain(name, nil, ev)
		line.Takes, line.Reason = found.Takes, found.Reason
		if found.Takes {
			line.Reason = "if its manifest subscribes to the type"
		}
		if on := c.Handlers[name].Enabled; found.Takes && on != nil && !*on {
			line.Takes, line.Reason = false, "it is disabled in the file (enabled: false); the event would wait for it"
		}
		answer.Handlers = append(answer.Handlers, line)
	}
	return answer, nil
}
