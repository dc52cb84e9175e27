package live

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

// Explain implements ports.Router: it reports for every plugin whether it would take an
// event now, and why.
func (l *Live) Explain(_ context.Context, ev *event.Event) (wire.Explanation, error) {
	plugins := *l.plugins.Load()
	table := l.Table()
	answer := explainRoute(table, ev)
	for _, p := range plugins.List() {
		line := wire.ExplainedHandler{Plugin: p.Name, State: p.State}
		manifest, known := plugins.Manifest(p.Name)
		if p.State == wire.Rejected || !known {
			line.Reason = stateText(p)
			answer.Handlers = append(answer.Handlers, line)
			continue
		}
		filter, err := route.FilterOf(p.Name, manifest)
		if err != nil {
			return wire.Explanation{}, err
		}
		found := table.Explain(p.Name, filter, ev)
		line.Takes, line.Reason = found.Takes && (p.State == wire.Active || p.State == wire.Standby), found.Reason
		if !ev.IsFor(p.Name) {
			line.Takes, line.Reason = false, "the event is for "+ev.Origin().Only+" only"
		} else if found.Takes && !line.Takes {
			line.Reason = fmt.Sprintf("%s; the event would wait for it, because %s", stateText(p), found.Reason)
		}
		answer.Handlers = append(answer.Handlers, line)
	}
	return answer, nil
}

// Routed implements ports.Router.
func (l *Live) Routed(ev *event.Event) bool { return l.Table().TakesEvent(ev) }

// Selection implements ports.Router.
func (l *Live) Selection(pattern, when string) (func(*event.Event) bool, error) {
	s, err := route.NewSelection(pattern, when)
	if err != nil {
		return nil, err
	}
	return s.Selects, nil
}

// stateText describes the state of a plugin that takes no events now.
func stateText(p wire.Plugin) string {
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

// ExplainRoutes reports how the routes of a configuration file route an event, without
// a host: for every handler that the file names, as if it subscribed to every type. Its
// errors are those of Open.
func ExplainRoutes(path string, ev *event.Event) (wire.Explanation, error) {
	c, err := config.Load(path)
	if err != nil {
		return wire.Explanation{}, err
	}
	compiled, err := compile(path, c)
	if err != nil {
		return wire.Explanation{}, err
	}
	table := compiled.table
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
