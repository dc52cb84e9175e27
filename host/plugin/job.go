package plugin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/plugin/folder"
	"github.com/berth-host/berth/host/spec"
)

// job loads and starts a target. It is cancelled when another target replaces it; a
// version that it has started by then is drained again.
type job struct {
	target
	path      string
	pin       *spec.Pin  // the file at path
	candidate *Candidate // owned by the job; nil: load the file, or start module again
	module    *module    // to start again with other settings
	cancel    context.CancelFunc
	loading   atomic.Bool
	slowAt    time.Time // when a load that has not ended is slow
}

// slow reports whether the load takes so long that the processor must be busy.
func (j *job) slow(now time.Time) bool { return j.loading.Load() && !now.Before(j.slowAt) }

// module is a Module with the number of versions and jobs that use it, which the loop counts.
type module struct {
	Module
	users int
}

// result is the result of a job.
type result struct {
	stale    bool // the file has changed
	late     bool // the load timed out for lack of processor time
	loaded   Module
	style    string
	prepared Prepared // until it is promoted
	running  Running
	err      error
}

// cancel cancels the current job, if there is one.
func (l *loop) cancel(e *entry) {
	if e.job != nil {
		e.job.cancel()
		e.job = nil
	}
}

func (l *loop) start(e *entry, j *job) {
	ctx, cancel := context.WithTimeout(l.m.work, l.m.config.LoadTimeout)
	j.cancel = cancel
	e.job = j
	e.jobs++
	if j.module != nil {
		j.module.users++
	}
	m := l.m
	slow := m.config.slowLoad()
	j.slowAt = time.Now().Add(slow)
	l.spawn(func() func() {
		defer cancel()
		defer time.AfterFunc(slow, m.ConditionChanged).Stop() // shows it
		r := m.run(ctx, e, j)
		return func() { l.finish(e, j, r) }
	})
}

// run loads what is to be loaded, starts it and makes it live.
func (m *Manager) run(ctx context.Context, e *entry, j *job) (r result) {
	use := Module(nil)
	switch c := j.candidate; {
	case c != nil:
		r = result{loaded: c.module, style: c.style, prepared: c.prepared}
		if !c.target.equal(j.target) || c.target.settings.Paused != j.settings.Paused { // started with other settings
			r.prepared.Discard()
			r.prepared = nil
		}
		use = c.module
	case j.module != nil:
		use, r.style = j.module.Module, j.module.Style()
	default:
		j.loading.Store(true)
		r = m.load(ctx, e.name, j)
		j.loading.Store(false)
		if r.err != nil || r.stale || j.vetOnly {
			return r
		}
		use = r.loaded
	}
	if r.prepared == nil {
		r.prepared, r.err = m.config.Runner.Prepare(ctx, Spec{Name: e.name, Module: use, SHA256: j.sha256, Manifest: j.manifest, Settings: j.settings})
	}
	if r.err == nil {
		if r.running, r.err = e.promote(ctx, r.prepared); r.err != nil {
			r.running = nil
			r.prepared.Discard()
		}
	}
	if r.err != nil {
		r.err = fmt.Errorf("start: %w", r.err)
	}
	return r
}

// promote makes a version live. A job that was cancelled does not promote its version
// after that of the job that replaced it.
func (e *entry) promote(ctx context.Context, p Prepared) (Running, error) {
	select {
	case e.promoting <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-e.promoting }()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return p.Promote(ctx)
}

// load reads the file again and loads it, if its contents are those that were
// inspected. The bytes are in memory only while a slot is occupied.
func (m *Manager) load(ctx context.Context, name string, j *job) result {
	path := j.path
	if j.pin != nil {
		path = j.pin.Path
	}
	size := int64(0)
	if info, err := os.Stat(path); err == nil {
		size = info.Size()
	}
	release, err := slot(ctx, m.slotsFor(size))
	if err != nil {
		return result{err: fault.New(fault.Unavailable, "wait for the modules before it: %w", err), late: errors.Is(err,
			context.DeadlineExceeded)}
	}
	defer release()
	var c folder.Content
	if j.pin != nil {
		c, err = folder.ReadAlone(j.pin.Path, m.config.MaxSize)
	} else {
		c, err = folder.Read(j.path, m.config.MaxSize, abi.MaxManifest)
	}
	if err != nil || c.SHA256() != j.sha256 {
		return result{stale: true} // the next inspection finds the reason
	}
	loaded, err := m.config.Loader.Load(ctx, name, c.Artifact, j.settings.Limits.Memory)
	if err != nil {
		late := fault.Is(err, fault.Unavailable) && errors.Is(err, context.DeadlineExceeded)
		return result{err: err, late: late}
	}
	return result{loaded: loaded, style: loaded.Style()}
}

// slotsFor returns the slots for loading a module of size bytes. Large modules have
// their own, so that few of them are in memory and small ones do not wait for them.
func (m *Manager) slotsFor(size int64) chan struct{} {
	if size >= large {
		return m.larges
	}
	return m.loading
}

// slot occupies one of the slots until release is called, or for slotTimeout: slow work
// must not block the others.
func slot(ctx context.Context, slots chan struct{}) (release func(), err error) {
	select {
	case slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	late := time.AfterFunc(slotTimeout, func() { <-slots })
	return func() {
		if late.Stop() {
			<-slots
		}
	}, nil
}

// finish applies a job's result.
func (l *loop) finish(e *entry, j *job, r result) {
	e.jobs--
	wanted := e.job == j && !l.closing
	if e.job == j {
		e.job = nil
	}
	used := j.module
	if r.loaded != nil {
		used = &module{Module: r.loaded, users: 1}
	}
	switch {
	case r.running != nil:
		l.serial++
		v := &version{target: j.target, module: used, style: r.style, running: r.running, serial: l.serial}
		if !wanted {
			l.retire(e, v)
			break
		}
		former := e.running
		e.running = v
		if former != nil {
			l.retire(e, former)
		}
	case used != nil:
		l.release(used)
	}
	if wanted {
		l.conclude(e, j, r)
	}
	l.decide(e.name)
	l.forgetUnused(e)
}

// conclude records a job's result in its file or version.
func (l *loop) conclude(e *entry, j *job, r result) {
	now := time.Now()
	f := l.files[j.path]
	if f != nil && (f.SHA256 != j.sha256 || f.name != e.name) {
		f = nil // it has other contents now
	}
	var failed *failure
	if r.err != nil {
		failed = &failure{target: j.target, reason: fault.Public(r.err.Error(), r.err), code: fault.CodeOf(r.err)}
		switch {
		case r.late:
			failed.reason = fmt.Sprintf("waiting for processor: it was not checked and compiled within %v", l.m.config.LoadTimeout)
		case errors.Is(r.err, context.DeadlineExceeded):
			failed.reason = fmt.Sprintf("it was not ready within %v: %s", l.m.config.LoadTimeout, failed.reason)
		}
		if code := fault.CodeOf(r.err); f != nil && (code == fault.Unavailable || code == fault.Exhausted) {
			failed.retries = f.retries + 1
			failed.retryAt = now.Add(min(time.Second<<min(f.retries, 6), time.Minute))
		}
		level, text := slog.LevelWarn, "plugin not started"
		if r.late {
			level, text = slog.LevelInfo, "plugin waiting for processor"
		}
		l.log.Log(context.Background(), level, text, "plugin", e.name, "path", j.path, "sha256", j.sha256,
			"error", event.Headline(r.err.Error(), 1000)) // in full in the plugin's state
	}
	switch {
	case r.stale && f != nil:
		f.markDirty(now)
		l.scanBy(now)
	case j.module != nil:
		if v := e.running; v != nil && v.module == j.module {
			v.failed = failed // nil if v is the new version
		}
	case f == nil:
	case failed != nil:
		f.failed = failed
	case j.vetOnly:
		f.vetted = &vetted{sha256: j.sha256, memory: j.settings.Limits.Memory, style: r.style}
	default:
		f.vetted = &vetted{sha256: j.sha256, memory: j.settings.Limits.Memory, style: r.style}
		f.retries, f.retried = 0, ""
		l.log.Info("plugin active", "plugin", e.name, "version", j.manifest.Version, "path", j.path, "sha256", j.sha256)
	}
}

// retire drains a version and releases its module.
func (l *loop) retire(e *entry, v *version) {
	e.leaving = append(e.leaving, v)
	m := l.m
	l.spawn(func() func() {
		ctx, cancel := context.WithTimeout(m.drains, m.config.DrainTimeout)
		defer cancel()
		err := v.running.Drain(ctx)
		stats := v.running.Stats()
		return func() {
			if err != nil {
				l.log.Warn("plugin stopped before it was drained", "plugin", e.name, "version", v.manifest.Version, "error", err)
			}
			e.left(v, stats)
			l.release(v.module)
			l.decide(e.name)
			l.forgetUnused(e)
		}
	})
}

func (e *entry) left(v *version, stats Stats) {
	for i, other := range e.leaving {
		if other == v {
			e.leaving = append(e.leaving[:i:i], e.leaving[i+1:]...)
			break
		}
	}
	e.totals.Delivered += stats.Delivered
	e.totals.Failed += stats.Failed
	e.totals.Fuel += stats.Fuel
}

// release closes a module after its last user.
func (l *loop) release(used *module) {
	if used.users--; used.users > 0 {
		return
	}
	m := l.m
	l.spawn(func() func() {
		ctx, cancel := context.WithTimeout(m.drains, m.config.DrainTimeout)
		defer cancel()
		err := used.Close(ctx)
		return func() {
			if err != nil {
				l.log.Warn("close module", "error", err)
			}
		}
	})
}
