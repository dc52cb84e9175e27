package plugin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/plugin/internal/folder"
	"github.com/berth-host/berth/host/spec"
)

// job brings a target about. It may be cancelled when something else is
// wanted; what it has brought about by then is put away again.
type job struct {
	target
	path   string
	pin    *spec.Pin // what lies at path is this
	module *module   // to start again with other settings; nil: load the file
	cancel context.CancelFunc
}

// module is a Module and how many versions and jobs use it. The loop counts.
type module struct {
	Module
	users int
}

// result is what a job came to.
type result struct {
	stale   bool // the file is not what it was
	late    bool // its load was not done in time, which is no fault of its own
	loaded  Module
	style   string
	running Running
	err     error
}

// cancel gives up the job under way, if there is one.
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
	l.spawn(func() func() {
		defer cancel()
		r := m.run(ctx, e, j)
		return func() { l.finish(e, j, r) }
	})
}

// run does a job's work.
func (m *Manager) run(ctx context.Context, e *entry, j *job) (r result) {
	var use Module
	if j.module != nil {
		use, r.style = j.module.Module, j.module.Style()
	} else {
		r = m.load(ctx, e.name, j)
		if r.err != nil || r.stale || j.vetOnly {
			return r
		}
		use = r.loaded
	}
	select {
	case e.starting <- struct{}{}:
	case <-ctx.Done():
		r.err = ctx.Err()
		return r
	}
	defer func() { <-e.starting }()
	spec := Spec{Name: e.name, Module: use, Manifest: j.manifest, Settings: j.settings}
	if r.running, r.err = m.config.Runner.Start(ctx, spec); r.err != nil {
		r.running = nil
		r.err = fmt.Errorf("start: %w", r.err)
	}
	return r
}

// load reads the file again and loads what it read, if that still is what was
// inspected. The buffer lives in one of the few slots only.
func (m *Manager) load(ctx context.Context, name string, j *job) result {
	path := j.path
	if j.pin != nil {
		path = j.pin.Path
	}
	release, err := slot(ctx, m.slotsFor(path))
	if err != nil {
		return result{err: fault.New(fault.Unavailable, "wait for the modules before it: %w", err), late: errors.Is(err, context.DeadlineExceeded)}
	}
	defer release()
	var c folder.Content
	if j.pin != nil {
		c, err = folder.ReadAlone(j.pin.Path, m.config.MaxSize)
	} else {
		c, err = folder.Read(j.path, m.config.MaxSize, abi.MaxManifest)
	}
	if err != nil || c.SHA256 != j.sha256 {
		return result{stale: true} // whatever is wrong, the inspection will tell
	}
	loaded, err := m.config.Loader.Load(ctx, name, c.Wasm, j.settings.Limits.Memory)
	if err != nil {
		late := fault.Is(err, fault.Unavailable) && errors.Is(err, context.DeadlineExceeded)
		return result{err: err, late: late}
	}
	return result{loaded: loaded, style: loaded.Style()}
}

// slotsFor are the slots for loading a file: large ones have their own, so that
// few of them are in memory and the others do not wait for them.
func (m *Manager) slotsFor(path string) chan struct{} {
	if info, err := os.Stat(path); err == nil && info.Size() >= large {
		return m.larges
	}
	return m.loading
}

// slot takes one of the slots. It is given back by release, or by itself after
// a while: what takes that long, or hangs, must not keep the others waiting.
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

// finish takes in what a job came to.
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
	l.resolveWaiters(e)
}

// conclude notes what a job's outcome says about the file or the version.
func (l *loop) conclude(e *entry, j *job, r result) {
	now := time.Now()
	f := l.files[j.path]
	if f != nil && (f.sha256 != j.sha256 || f.name != e.name) {
		f = nil // it holds something else by now
	}
	var failed *failure
	if r.err != nil {
		failed = &failure{target: j.target, reason: r.err.Error(), code: fault.CodeOf(r.err)}
		switch {
		case r.late:
			failed.reason = fmt.Sprintf("waiting for processor: it was not checked and compiled within %v", l.m.config.LoadTimeout)
		case errors.Is(r.err, context.DeadlineExceeded):
			failed.reason = fmt.Sprintf("it was not ready within %v: %v", l.m.config.LoadTimeout, r.err)
		}
		if code := fault.CodeOf(r.err); f != nil && (code == fault.Unavailable || code == fault.Exhausted) {
			failed.retries = f.retries + 1
			failed.retryAt = now.Add(min(time.Second<<min(f.retries, 6), time.Minute))
		}
		level, text := slog.LevelWarn, "a plugin cannot be started"
		if r.late {
			level, text = slog.LevelInfo, "a plugin is waiting for processor"
		}
		l.log.Log(context.Background(), level, text, "plugin", e.name, "path", j.path, "sha256", j.sha256,
			"error", event.Headline(r.err.Error(), 1000)) // its state has the whole
	}
	switch {
	case r.stale && f != nil:
		f.markDirty(now)
		l.scanBy(now)
	case j.module != nil:
		if v := e.running; v != nil && v.module == j.module {
			v.failed = failed // nil when it is the new one
		}
	case f == nil:
	case failed != nil:
		f.failed = failed
	case j.vetOnly:
		f.vetted = &vetted{sha256: j.sha256, memory: j.settings.Limits.Memory, style: r.style}
	default:
		f.vetted = &vetted{sha256: j.sha256, memory: j.settings.Limits.Memory, style: r.style}
		f.retries, f.retried = 0, ""
		l.log.Info("a plugin is active", "plugin", e.name, "version", j.manifest.Version, "path", j.path, "sha256", j.sha256)
	}
}

// retire drains a version and gives its module back.
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
				l.log.Warn("a plugin was stopped before it had drained", "plugin", e.name, "version", v.manifest.Version, "error", err)
			}
			e.left(v, stats)
			l.release(v.module)
			l.decide(e.name)
			l.resolveWaiters(e)
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

// release closes a module that nobody uses any more.
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
				l.log.Warn("close a module", "error", err)
			}
		}
	})
}
