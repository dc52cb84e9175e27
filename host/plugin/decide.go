package plugin

import (
	"reflect"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/plugin/grants"
	"github.com/berth-host/berth/host/plugin/schema"
	"github.com/berth-host/berth/host/spec"
)

// entry is a plugin name and everything that goes by it.
type entry struct {
	name      string
	owner     string        // the path of the file that has the name
	promoting chan struct{} // one slot: promotions of the name are one after the other

	running *version
	leaving []*version // being drained
	job     *job       // what is being brought about
	jobs    int        // goroutines of jobs that have not answered, superseded ones too
	totals  Stats      // of all that have left
	stopped string     // why the last running version was stopped
	ending  bool       // it is being uninstalled, and is not to run

	// How things stand with the holder's contents; see assess.
	verdict verdict
	reason  string
	grants  []spec.Grant
}

// verdict classifies the contents of a file.
type verdict int

const (
	notInspected  verdict = iota
	incomplete            // not all of it is there, or it is retried
	rejected              // never loaded
	disabled              // by the operator
	onHold                // until the operator enables it (wire.Held)
	needsApproval         // a required capability is not granted
	runnable
)

// version is a plugin at work.
type version struct {
	target
	module  *module
	style   string
	running Running
	serial  uint64   // grows with every version that is started
	failed  *failure // of putting it to work with other settings
}

// target is what a plugin is to be.
type target struct {
	sha256   string
	manifest abi.Manifest
	schema   *schema.Schema // of the manifest
	settings spec.Settings
	vetOnly  bool // check, and leave it at that
}

func (t target) equal(u target) bool {
	t.settings.Paused = u.settings.Paused // needs no new start, see decide
	return t.vetOnly == u.vetOnly && t.same(u) && reflect.DeepEqual(t.settings, u.settings)
}

// same reports whether they are the same plugin, with whatever settings.
func (t target) same(u target) bool {
	return t.sha256 == u.sha256 && reflect.DeepEqual(t.manifest, u.manifest)
}

func (l *loop) entry(name string) *entry {
	e := l.entries[name]
	if e == nil {
		e = &entry{name: name, promoting: make(chan struct{}, 1), ending: l.changing[name] == beingUninstalled}
		l.entries[name] = e
	}
	return e
}

// reload sets the directories and resolves all settings again.
func (l *loop) reload(dirs []string) {
	l.dirs, l.order = dirs, nil
	l.rescan()
	for name := range l.entries {
		l.decide(name)
	}
}

// retry tries again what failed for a passing reason.
func (l *loop) retry(f *file) {
	retries := f.failed.retries
	f.retried = f.failed.reason
	f.failed = nil
	f.retries = retries
	l.decide(f.name)
}

// pick returns the file that has the name: the one that had it, as long as
// that is any use, or else the first that is. nil: there is none. A pin's name
// is no other file's, except for one that had it when the pin came.
func (l *loop) pick(e *entry) *file {
	if pin := l.files[pinKey(e.name)]; pin != nil && (e.running == nil || e.owner == pin.path) {
		return pin
	}
	had := l.files[e.owner]
	if had != nil && had.name != e.name {
		had = nil
	}
	if had != nil && had.there() && (e.running != nil || !had.bad()) {
		return had
	}
	var first *file
	for _, f := range l.inOrder() {
		if f.name != e.name || !f.there() {
			continue
		}
		if !f.bad() {
			return f
		}
		if first == nil {
			first = f
		}
	}
	if had != nil && had.there() || first == nil {
		return had
	}
	return first
}

func (f *file) bad() bool { return f.SHA256 == "" || f.failed != nil }

// decide compares what a plugin is with what it is to be, and starts what is
// needed to get there. It is called when anything about the name has changed,
// and may be called at any time.
func (l *loop) decide(name string) {
	if l.closing || l.claimed != nil || name == "" {
		return
	}
	e := l.entry(name)
	if e.ending {
		l.cancel(e)
		l.stop(e, uninstalling)
		l.forgetUnused(e)
		return
	}
	f := l.pick(e)
	if f == nil {
		l.cancel(e)
		l.stop(e, "its file is gone")
		l.forgetUnused(e)
		return
	}
	e.owner = f.path
	if !f.there() {
		return // perhaps it was only renamed
	}
	fresh := l.evaluate(e, f)
	keepRunning, why := l.keepRunning(e)
	if keepRunning != nil {
		e.running.running.SetPaused(keepRunning.settings.Paused)
	}
	switch {
	case e.running != nil && e.verdict == runnable && fresh.same(e.running.target) && keepRunning != nil:
		l.reconcile(e, f, keepRunning)
	case e.verdict == runnable, fresh.vetOnly && (f.vetted == nil || f.vetted.sha256 != fresh.sha256 || f.vetted.memory != fresh.settings.Limits.Memory):
		if keepRunning == nil && e.running != nil {
			l.stop(e, why)
		}
		l.reconcile(e, f, &fresh)
	case keepRunning != nil:
		l.reconcile(e, f, keepRunning)
	default:
		l.cancel(e)
		l.stop(e, why)
	}
	l.forgetUnused(e)
}

// assess sets the verdict on a file's contents, and returns what they would be.
func (l *loop) evaluate(e *entry, f *file) target {
	set := func(v verdict, reason string) { e.verdict, e.reason = v, reason }
	switch {
	case f.Refusal != "":
		set(rejected, f.Refusal)
		return target{}
	case f.SHA256 == "":
		set(incomplete, f.Incomplete)
		return target{}
	}
	t := target{sha256: f.SHA256, manifest: f.Manifest, schema: f.Schema}
	var err error
	if t.settings, err = l.settings(e, t); err != nil {
		set(rejected, "its settings: "+err.Error())
		return target{}
	}
	e.grants = t.settings.Grants
	hold := t.settings.Hold
	lacks := grants.Missing(t.manifest.Capabilities, t.settings.Grants)
	if lacks == "" && e.running != nil {
		lacks = grants.Widened(e.running.manifest.Capabilities, t.manifest.Capabilities, t.settings.Grants)
	}
	switch {
	case !t.settings.Enabled && !hold:
		set(disabled, switchedOff)
		if e.running != nil {
			return t // what is known of its module stays known
		}
		t.vetOnly = true
	case lacks != "":
		set(needsApproval, lacks)
		t.vetOnly = true
	case hold && e.running == nil:
		set(onHold, "waits to be enabled by the operator")
		t.vetOnly = true
	default:
		set(runnable, "")
	}
	t.settings.Enabled, t.settings.Hold = true, false
	if f.failed == nil {
		return t
	}
	if !f.failed.target.equal(t) {
		f.failed = nil
		return t
	}
	switch {
	case e.verdict == disabled: // whatever it is worth, it does not run
	case f.failed.passing():
		set(incomplete, "it is tried again by itself: "+f.failed.reason)
	default:
		set(rejected, f.failed.reason)
	}
	return target{}
}

// stay returns what the running version is to be if it goes on running: itself
// with the settings of now. nil: there is none, or it may not, and why.
func (l *loop) keepRunning(e *entry) (t *target, why string) {
	v := e.running
	if v == nil {
		return nil, ""
	}
	now := v.target
	s, err := l.settings(e, now)
	if err != nil {
		return &now, "" // with what it has, until the operator has mended it
	}
	if !s.Enabled && !s.Hold {
		return nil, switchedOff
	}
	if lacks := grants.Missing(now.manifest.Capabilities, s.Grants); lacks != "" {
		return nil, lacks
	}
	now.settings = s
	now.settings.Enabled, now.settings.Hold = true, false
	return &now, ""
}

const (
	switchedOff  = "switched off by the operator"
	uninstalling = "it is being uninstalled"
)

// pursue sees to it that the plugin becomes t, by a job if it is not.
func (l *loop) reconcile(e *entry, f *file, t *target) {
	v := e.running
	if v != nil && v.target.equal(*t) {
		l.cancel(e)
		v.failed = nil
		return
	}
	if e.job != nil && e.job.target.equal(*t) {
		return
	}
	j := &job{target: *t, path: f.path, pin: f.pin}
	if c := f.candidate; c != nil && c.loadedFor(*t) && c.take() {
		j.candidate = c
	} else if v != nil && v.same(*t) {
		if v.failed != nil && v.failed.target.equal(*t) {
			l.cancel(e)
			return
		}
		switch {
		case v.settings.Limits.Memory == t.settings.Limits.Memory:
			j.module = v.module // only the settings differ
		case f.SHA256 != t.sha256, f.failed != nil && f.failed.target.equal(*t):
			// The bound of memory belongs to the module, which cannot be loaded
			// again: its file is another now, or would not. All else can be had.
			t.settings.Limits.Memory = v.settings.Limits.Memory
			l.reconcile(e, f, t)
			return
		}
	}
	l.cancel(e)
	if j.module == nil && j.candidate == nil && f.dirty {
		return // it has changed: what to load is decided when it was looked into again
	}
	l.start(e, j)
}

// stop drains the running version, if there is one.
func (l *loop) stop(e *entry, reason string) {
	if v := e.running; v != nil {
		e.stopped = reason
		e.running = nil
		l.retire(e, v)
	}
}

// forgetUnused forgets a name without a file, a version or a job.
func (l *loop) forgetUnused(e *entry) {
	if l.fileOf(e) == nil && e.running == nil && len(e.leaving) == 0 && e.jobs == 0 && l.entries[e.name] == e {
		delete(l.entries, e.name)
	}
}

// fileOf returns the file that has an entry's name, nil for none.
func (l *loop) fileOf(e *entry) *file {
	if f := l.files[e.owner]; f != nil && f.name == e.name {
		return f
	}
	return nil
}

// stable reports whether the plugin of a name is what its file and settings say. To be
// disabled it must have drained; to be enabled, the former version may still drain.
func (l *loop) stable(name string, enabled bool) bool {
	e := l.entries[name]
	if e == nil {
		return true
	}
	f := l.fileOf(e)
	idle := e.job == nil && !(f != nil && f.dirty && enabled)
	vetting := e.verdict == disabled && e.job != nil && e.job.vetOnly
	return (idle || vetting) && (enabled || len(e.leaving) == 0)
}
