package plugin

import (
	"reflect"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/plugin/grants"
	"github.com/berth-host/berth/host/plugin/schema"
	"github.com/berth-host/berth/host/spec"
)

// entry is a plugin name with its file, versions and job.
type entry struct {
	name      string
	owner     string        // the path of the file that has the name
	promoting chan struct{} // one slot: promotions of the name are one after the other

	running *version
	leaving []*version // being drained
	job     *job       // under way
	jobs    int        // goroutines of jobs, cancelled ones too
	totals  Stats      // of all drained versions
	stopped string     // why the last running version was stopped
	ending  bool       // it is being uninstalled, and must not run

	// The result of evaluate.
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

// version is a running version of a plugin.
type version struct {
	target
	module  *module
	style   string
	running Running
	serial  uint64   // grows with every version that is started
	failed  *failure // of starting it with other settings
}

// target is a module with the settings to run it with.
type target struct {
	sha256   string
	manifest abi.Manifest
	schema   *schema.Schema // of the manifest
	settings spec.Settings
	vetOnly  bool // load it without starting it
}

func (t target) equal(u target) bool {
	t.settings.Paused, t.settings.Logs, t.settings.Fair = u.settings.Paused, u.settings.Logs, u.settings.Fair // need no restart, see decide
	return t.vetOnly == u.vetOnly && t.same(u) && reflect.DeepEqual(t.settings, u.settings)
}

// same reports whether they are the same module and manifest, under any settings.
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

// retry retries a load that failed temporarily.
func (l *loop) retry(f *file) {
	retries := f.failed.retries
	f.retried = f.failed.reason
	f.failed = nil
	f.retries = retries
	l.decide(f.name)
}

// pick returns the file that gets the name: its present owner while that is usable,
// otherwise the first usable one; nil for none. A pin precedes all files, except for one
// that runs under the name already.
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

// decide compares the plugin of a name with its file and settings, and starts or stops
// what differs. It is called after every change of the name, and may be called at any
// time.
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
		return // it may have been renamed
	}
	fresh := l.evaluate(e, f)
	keepRunning, why := l.keepRunning(e)
	if keepRunning != nil {
		e.running.running.Apply(keepRunning.settings)
		e.running.settings.Fair = keepRunning.settings.Fair
	}
	switch {
	case e.running != nil && e.verdict == runnable && fresh.same(e.running.target) && keepRunning != nil:
		l.reconcile(e, f, keepRunning)
	case e.verdict == runnable, fresh.vetOnly && (f.vetted == nil || f.vetted.sha256 != fresh.sha256 ||
		f.vetted.memory != fresh.settings.Limits.Memory):
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

// evaluate sets the verdict on a file's contents, and returns their target.
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
			return t // its vetting stays valid
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
	case e.verdict == disabled: // the failure does not matter now
	case f.failed.temporary():
		set(incomplete, "it is retried automatically: "+f.failed.reason)
	default:
		set(rejected, f.failed.reason)
	}
	return target{}
}

// keepRunning returns the target of the running version under the present settings; nil
// if none runs or it must stop, and why.
func (l *loop) keepRunning(e *entry) (t *target, why string) {
	v := e.running
	if v == nil {
		return nil, ""
	}
	now := v.target
	s, err := l.settings(e, now)
	if err != nil {
		return &now, "" // with its former settings, until the operator repairs them
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

// reconcile makes the plugin run t, by a job if it does not yet.
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
			// The memory bound needs another load, which is impossible: the file has other
			// contents now, or its load has failed. All other settings are applied.
			t.settings.Limits.Memory = v.settings.Limits.Memory
			l.reconcile(e, f, t)
			return
		}
	}
	l.cancel(e)
	if j.module == nil && j.candidate == nil && f.dirty {
		return // the file has changed; its inspection decides
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
