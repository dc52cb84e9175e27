package plugin

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/plugin/folder"
	"github.com/berth-host/berth/host/plugin/grants"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// NewFileRejected is in the reason of a plugin that runs on because its new file is
// rejected.
const NewFileRejected = "the new file is rejected"

// view is one plugin of List without its figures. It is immutable.
type view struct {
	key    viewKey
	plugin wire.Plugin
	target target    // sha256 is "" before the inspection
	live   []Running // the newest first
	totals Stats     // of the drained versions
}

// viewKey identifies a view: a plugin by its name, a file without a plugin by its path too.
type viewKey struct{ name, path string }

// shown is a view as it was published last.
type shown struct {
	plugin wire.Plugin
	seen   bool
}

// wire returns the view with the present figures. The caller owns it.
func (v view) wire() wire.Plugin {
	p := v.plugin
	p.Subscribes = slices.Clone(p.Subscribes)
	p.Capabilities = slices.Clone(p.Capabilities)
	if p.Pending != nil {
		pending := *p.Pending
		pending.Capabilities = slices.Clone(pending.Capabilities)
		p.Pending = &pending
	}
	p.Delivered, p.Failed, p.Fuel = v.totals.Delivered, v.totals.Failed, v.totals.Fuel
	for i, running := range v.live {
		s := running.Stats()
		p.Instances += s.Instances
		p.Delivered += s.Delivered
		p.Failed += s.Failed
		p.Fuel += s.Fuel
		if i == 0 {
			p.Lag = s.Lag
		}
	}
	return p
}

// describeWork shows how a running version gets its events.
func describeWork(p *wire.Plugin, s spec.Settings) {
	p.FairBy = s.Fair.By
	if s.State == spec.StateAtomic {
		p.StateMode = string(s.State)
	}
	if s.Batch.Enabled() {
		p.Batch = &wire.PluginBatch{MaxEvents: s.Batch.MaxEvents, MaxWaitMS: float64(s.Batch.MaxWait) / float64(time.Millisecond)}
	}
}

// current returns a plugin as publish would show it now.
func (l *loop) current(e *entry) wire.Plugin {
	v := l.entryView(e)
	if last, known := l.views[v.key]; known && v.plugin.Since.IsZero() && last.plugin.State == v.plugin.State {
		v.plugin.Since = last.plugin.Since
	}
	return v.wire()
}

// publish makes the state visible to List, then to OnChange, then to the callers of when.
func (l *loop) publish() {
	views := make([]view, 0, len(l.entries))
	for _, e := range l.entries {
		views = append(views, l.entryView(e))
	}
	for _, f := range l.files {
		if e := l.entries[f.name]; f.there() && (e == nil || e.owner != f.path) {
			views = append(views, l.fileView(f, e))
		}
	}
	slices.SortFunc(views, func(a, b view) int {
		if c := strings.Compare(a.key.name, b.key.name); c != 0 {
			return c
		}
		return strings.Compare(a.key.path, b.key.path)
	})
	l.publishes++
	l.published = time.Now()
	now := l.published.UTC()
	var changed []wire.Plugin
	for key, s := range l.views {
		s.seen = false
		l.views[key] = s
	}
	for i := range views {
		p := &views[i].plugin
		last, known := l.views[views[i].key]
		switch {
		case !p.Since.IsZero(): // set by the running version
		case !known || last.plugin.State != p.State:
			p.Since = now
		default:
			p.Since = last.plugin.Since
		}
		if !known || !reflect.DeepEqual(last.plugin, *p) {
			changed = append(changed, *p)
		}
		l.views[views[i].key] = shown{plugin: *p, seen: true}
	}
	for key, s := range l.views {
		if s.seen {
			continue
		}
		delete(l.views, key)
		gone := !slices.ContainsFunc(views, func(r view) bool { return r.key.name == key.name })
		if gone && s.plugin.State != wire.Draining {
			// It had nothing to drain; its end is reported all the same.
			s.plugin.State, s.plugin.Reason, s.plugin.Since = wire.Draining, "its file is gone", now
			changed = append(changed, s.plugin)
		}
	}
	l.m.mu.Lock()
	l.m.views = views
	l.m.mu.Unlock()
	for _, p := range changed {
		l.m.config.OnChange(view{plugin: p}.wire())
	}
	for _, answer := range l.answers {
		close(answer)
	}
	l.answers = nil
}

func (l *loop) entryView(e *entry) view {
	v := view{key: viewKey{name: e.name}, totals: e.totals}
	f := l.files[e.owner]
	if f != nil && f.name != e.name {
		f = nil
	}
	state, reason := e.state(f)
	v.plugin = wire.Plugin{Name: e.name, State: state, Reason: reason}
	if f != nil && f.pin == nil {
		v.plugin.File = f.path
	}
	var t target
	switch {
	case e.running != nil:
		t = e.running.target
		v.plugin.Style = e.running.style
		describeWork(&v.plugin, t.settings)
		v.live = append(v.live, e.running.running)
		conditioned(&v.plugin, e.running)
	case f != nil && f.SHA256 != "":
		t = target{sha256: f.SHA256, manifest: f.Manifest, settings: spec.Settings{Grants: e.grants}}
		if f.vetted != nil && f.vetted.sha256 == f.SHA256 {
			v.plugin.Style = f.vetted.style
		}
	case len(e.leaving) > 0:
		t = e.leaving[len(e.leaving)-1].target
	}
	for _, version := range slices.Backward(e.leaving) {
		v.live = append(v.live, version.running)
	}
	describe(&v.plugin, t)
	v.target = t
	if e.running != nil && e.verdict == needsApproval && f != nil && f.there() {
		v.plugin.Pending = &wire.PendingVersion{Version: f.Manifest.Version, SHA256: f.SHA256,
			Capabilities: grants.Capabilities(f.Manifest.Capabilities, e.grants)}
	}
	return v
}

// conditioned applies a running version's Condition to its view.
func conditioned(p *wire.Plugin, v *version) {
	c := v.running.Stats().Condition
	if c.State == "" {
		return
	}
	if c.Reason == "" && c.State == wire.Paused {
		c.Reason = "paused by the operator; its events wait"
	}
	if p.Reason != "" {
		c.Reason += "; " + p.Reason
	}
	p.State, p.Reason, p.Since = c.State, c.Reason, c.Since
}

// subscribes lists the event types of a manifest. It is never nil.
func subscribes(m abi.Manifest) []string {
	if m.Subscribes == nil {
		return []string{"*"} // every routed type
	}
	list := make([]string, 0, len(m.Subscribes))
	for _, s := range m.Subscribes {
		list = append(list, s.EventType)
	}
	return list
}

// describe fills in the fields of the manifest.
func describe(p *wire.Plugin, t target) {
	p.SHA256 = t.sha256
	p.Version = t.manifest.Version
	p.Subscribes = []string{}
	if t.sha256 != "" {
		p.Subscribes = subscribes(t.manifest)
	}
	p.Capabilities = grants.Capabilities(t.manifest.Capabilities, t.settings.Grants)
}

// state returns the plugin's state and the reason; f is the file that has its name, or nil.
func (e *entry) state(f *file) (wire.PluginState, string) {
	switch {
	case e.running != nil:
		return wire.Active, e.news(f)
	case e.ending:
		return wire.Draining, uninstalling
	case e.job != nil && (e.verdict != disabled || !e.job.vetOnly):
		return wire.Vetting, e.vettingReason(f)
	case f == nil:
		return wire.Draining, e.stopped
	case len(e.leaving) > 0 && (e.verdict == disabled || e.verdict == needsApproval):
		return wire.Draining, e.stopped
	}
	switch e.verdict {
	case rejected:
		return wire.Rejected, e.reason
	case disabled:
		return wire.Disabled, e.reason
	case onHold:
		return wire.Held, e.reason
	case needsApproval:
		return wire.NeedsApproval, e.reason
	}
	return wire.Discovered, e.reason
}

// vettingReason says why a file is vetted again or slowly; "" otherwise.
func (e *entry) vettingReason(f *file) string {
	if f != nil && f.retried != "" && e.job.sha256 == f.SHA256 {
		return "checked again after: " + f.retried
	}
	if e.job.slow(time.Now()) {
		return "waiting for processor"
	}
	return ""
}

// news says why the running version differs from the file; "" if it does not.
func (e *entry) news(f *file) string {
	v := e.running
	still := "still running " + label(v.target)
	switch {
	case f == nil || !f.there():
		return ""
	case f.SHA256 != "" && v.same(target{sha256: f.SHA256, manifest: f.Manifest}):
		switch {
		case e.verdict == rejected || e.verdict == incomplete:
			return still + " with its former settings: " + e.reason
		case v.failed != nil:
			return still + " with its former settings: " + v.failed.reason
		}
		return ""
	}
	switch e.verdict {
	case rejected:
		return still + "; " + NewFileRejected + ": " + e.reason
	case incomplete:
		return still + "; the new file is waited for: " + e.reason
	case needsApproval:
		return still + "; the new file needs approval: " + e.reason
	}
	if e.job != nil {
		return still + "; the new file is being checked"
	}
	return ""
}

// label names a version for people.
func label(t target) string {
	if t.manifest.Version != "" {
		return t.manifest.Version
	}
	return "the version with sha256 " + t.sha256[:min(12, len(t.sha256))]
}

// title returns a file's name in List, which need not be valid.
func (f *file) title() string {
	if f.name != "" {
		return f.name
	}
	if name := folder.NameOf(f.path); abi.ValidName(name) {
		return name
	}
	return strings.TrimSuffix(filepath.Base(f.path), ".wasm")
}

// fileView is the view of a file without a plugin: it is rejected, not inspected yet, or
// its name belongs to another file. e is the entry of its name, or nil.
func (l *loop) fileView(f *file, e *entry) view {
	name := f.title()
	v := view{key: viewKey{name: name, path: f.path}}
	v.plugin = wire.Plugin{Name: name, State: wire.Discovered, Reason: f.Incomplete, File: f.path}
	switch {
	case f.Refusal != "":
		v.plugin.State, v.plugin.Reason = wire.Rejected, f.Refusal
	case f.SHA256 != "" && e != nil && e.owner != "":
		v.plugin.State = wire.Rejected
		v.plugin.Reason = fmt.Sprintf("the name %s belongs to %s; %s is ignored as long as that is there", f.name, e.owner, f.path)
	}
	t := target{sha256: f.SHA256, manifest: f.Manifest}
	if e != nil {
		t.settings.Grants = e.grants
	}
	describe(&v.plugin, t)
	v.target = t
	return v
}
