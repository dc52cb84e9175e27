package live

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"time"

	"github.com/berth-host/berth/host/audit"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/config/document"
	"github.com/berth-host/berth/host/config/file"
	"github.com/berth-host/berth/host/plugin"
	"github.com/berth-host/berth/host/wire"
)

// debounce is the time without a change after which the file is read.
const debounce = 200 * time.Millisecond

// The actors of reloads in the audit log that did not come by the API. The author of
// a changed file is unknown.
const (
	byFile   = "the file"
	bySignal = "SIGHUP"
	// byCluster is the API of another host.
	byCluster = "the cluster"
)

// Run reloads the file when it changes, until ctx ends.
func (l *Live) Run(ctx context.Context) {
	file.Watch(ctx, l.path, debounce, l.editor.Edits, func(err error) {
		if err != nil {
			l.cfg.Logger.Warn("configuration file cannot be watched; polling it and retrying", "error", err)
		} else {
			l.cfg.Logger.Info("configuration file is watched again")
		}
	}, func() {
		if err := l.fileChanged(ctx); err != nil {
			l.cfg.Logger.Error("configuration not reloaded; the former one stays in force", "error", err)
		}
	})
}

// Hangup reloads for a signal, and logs and audits the outcome.
func (l *Live) Hangup(ctx context.Context) error {
	result, err := l.Reload(ctx)
	l.audit(bySignal, result, err)
	if err != nil {
		l.cfg.Logger.Error("SIGHUP: configuration not reloaded; the former one stays in force", "error", err)
		return err
	}
	l.cfg.Logger.Info("SIGHUP: configuration reloaded", "changed", result.Changed, "needs_restart", result.NeedsRestart)
	return nil
}

// audit records the outcome of a reload.
func (l *Live) audit(who string, result wire.ReloadResult, failed error) {
	rec := audit.Record{ID: rand.Text()[:16], Stage: audit.End, Action: "reload-config", Who: who, Target: l.path, Result: "ok"}
	var err error
	if failed != nil {
		rec.Result, rec.Error = "failed", failed.Error()
	} else {
		rec.After, err = json.Marshal(result)
	}
	if err == nil {
		err = l.cfg.Audit(rec)
	}
	if err != nil {
		l.cfg.Logger.Error("reload is missing in the audit log", "error", err)
	}
}

// Reload reads the file again and returns the changes. Everything is checked before
// anything is applied: the YAML, the conditions, and each handler's config against its
// plugin's schema. An invalid or missing file changes nothing. Settings that only a
// start applies (data_dir, server.listen, bus.engine) are listed in NeedsRestart while
// the file differs from their values in force.
func (l *Live) Reload(ctx context.Context) (wire.ReloadResult, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := l.read()
	if err != nil {
		return wire.ReloadResult{}, err
	}
	if n == nil {
		return wire.ReloadResult{Changed: []string{}, NeedsRestart: []string{}}, nil
	}
	return l.apply(ctx, n)
}

// loaded is a configuration that has been read and is not in force yet.
type loaded struct {
	inForce
	text []byte // of the file; nil if it was not read
}

// changes reports whether the configuration differs from another.
func (n *loaded) changes(from *config.Config) bool {
	return n.config != from && len(config.Diff(from, n.config, nil)) > 0
}

// read reads the file. It returns nil when the file does not exist and never did.
func (l *Live) read() (*loaded, error) {
	c, text, err := l.editor.Read()
	switch {
	case errors.Is(err, fs.ErrNotExist) && !l.editor.Expecting():
		return nil, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, config.Gone(l.path)
	case err != nil:
		return nil, err
	}
	n, err := l.compile(c)
	return &loaded{n, text}, err
}

// readUnasked is read for a change that no client has requested. It refuses an empty
// file, which a program leaves before it writes the content or on a full disk.
func (l *Live) readUnasked() (*loaded, error) {
	n, err := l.read()
	if err == nil && n != nil && len(bytes.TrimSpace(n.text)) == 0 && n.changes(l.Config()) {
		return nil, document.NewError(document.Problem{File: l.path, Line: 1,
			Reason: "the file is empty; the configuration read before stays in force. " +
				"Write the file again, or run berth config reload to return to the defaults"})
	}
	return n, err
}

// fileChanged applies a changed file, also after an edit: what an edit read and put in
// force may include a change by hand, of which it informed one plugin only.
func (l *Live) fileChanged(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := l.readUnasked()
	if err != nil || n == nil || n.config == l.Config() && n.config == l.applied {
		return err
	}
	return l.applyFile(ctx, n)
}

// applyFile applies what was written to the file by hand, and logs and audits it. It
// requires l.mu.
func (l *Live) applyFile(ctx context.Context, n *loaded) error {
	result, err := l.apply(ctx, n)
	if err != nil {
		return err
	}
	if len(result.Changed) > 0 {
		l.cfg.Logger.Info("configuration reloaded", "changed", result.Changed)
		l.audit(byFile, result, nil)
	}
	return nil
}

// apply checks a configuration and puts it in force. It requires l.mu.
func (l *Live) apply(ctx context.Context, n *loaded) (wire.ReloadResult, error) {
	if err := l.check(ctx, n); err != nil {
		return wire.ReloadResult{}, err
	}
	result, err := l.enforce(ctx, n.inForce)
	if err == nil && n.text != nil {
		l.editor.Expect()
	}
	return result, err
}

// enforce puts a configuration that has been checked in force, and runs the plugins with
// it. It requires l.mu.
func (l *Live) enforce(ctx context.Context, n inForce) (wire.ReloadResult, error) {
	former := l.activate(n)
	// The rest is done even if the caller has gone; it fails only while the host is
	// closing.
	if err := (*l.plugins.Load()).Reload(context.WithoutCancel(ctx), n.config.PluginDirectories); err != nil {
		l.now.Store(former)
		return wire.ReloadResult{}, err
	}
	l.applied = n.config
	l.changed(former.config)
	restart := config.Restarts(l.started, n.config)
	return wire.ReloadResult{Changed: diff(former, n, restart), NeedsRestart: restart}, nil
}

// diff returns what changed, with the schemas whose files have changed.
func diff(former *inForce, n inForce, waiting []string) []string {
	lines := config.Diff(former.config, n.config, waiting)
	for _, typ := range n.events.changedFiles(former.events) {
		lines = append(lines, "event_types."+typ+".schema: the file has changed")
	}
	return lines
}

// changed calls the registered functions. It requires l.mu.
func (l *Live) changed(former *config.Config) {
	for _, f := range l.onChange {
		f(former, l.Config())
	}
}

// problem is why the settings of a plugin cannot be resolved.
func (l *Live) problem(n *loaded, m plugin.Misfit) document.Problem {
	keys, reason := []string{"handlers", m.Name}, m.Err.Error()
	if refusal, ok := errors.AsType[*config.Refusal](m.Err); ok {
		keys, reason = append(keys, refusal.Key), refusal.Reason
	}
	return document.Problem{File: l.path, Line: document.Locate(n.text, keys...), Path: strings.Join(keys, "."), Reason: reason}
}

// check returns the problems that the plugins have with a configuration.
func (l *Live) check(ctx context.Context, n *loaded) error {
	misfits, err := (*l.plugins.Load()).Check(ctx, settingsUnder(n.config))
	if err != nil {
		return err
	}
	var problems []document.Problem
	for _, m := range misfits {
		for _, v := range m.Violations {
			keys := append([]string{"handlers", m.Name, "config"}, v.Way()...)
			problems = append(problems, document.Problem{File: l.path, Line: document.Locate(n.text, keys...),
				Path: "handlers." + m.Name + ".config" + v.Pointer, Reason: v.Reason})
		}
		if m.Violations == nil {
			problems = append(problems, l.problem(n, m))
		}
	}
	if problems == nil {
		return nil
	}
	return document.NewError(problems...)
}
