package live

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/config/overlay"
	"github.com/berth-host/berth/host/spec"
)

// revertTimeout bounds the wait for the plugins after a revert.
const revertTimeout = 30 * time.Second

// SetEnabled writes handlers.<name>.enabled and applies it. In a cluster it and the others
// write a decision for all hosts instead (see Join).
func (l *Live) SetEnabled(ctx context.Context, name string, enabled bool) error {
	if l.Joined() {
		return l.decide(ctx, name, "enabled", func(s *overlay.Section) { s.Enabled = &enabled })
	}
	return l.edit(func(e *config.Editor) (*config.Config, error) { return e.SetHandlerEnabled(name, enabled) })
}

// SetPaused writes handlers.<name>.paused and applies it.
func (l *Live) SetPaused(ctx context.Context, name string, paused bool) error {
	if l.Joined() {
		return l.decide(ctx, name, "paused", func(s *overlay.Section) { s.Paused = &paused })
	}
	return l.edit(func(e *config.Editor) (*config.Config, error) { return e.SetHandlerPaused(name, paused) })
}

// SetGrants writes handlers.<name>.grants and applies it.
func (l *Live) SetGrants(ctx context.Context, name string, grants []spec.Grant) error {
	if l.Joined() {
		return l.decide(ctx, name, "grants", func(s *overlay.Section) { s.Grants = &grants })
	}
	return l.edit(func(e *config.Editor) (*config.Config, error) { return e.SetHandlerGrants(name, grants) })
}

// edit changes the file and puts the result in force. A change of the file by hand is
// applied first, as by a reload: an edit must not apply what a reload refuses.
func (l *Live) edit(change func(*config.Editor) (*config.Config, error)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.adopt(); err != nil {
		return err
	}
	c, err := change(l.editor)
	if err != nil {
		return err
	}
	edited, err := l.compile(c) // by the editor's check already
	if err != nil {
		return err
	}
	former := l.activate(edited)
	l.changed(former.config) // c may include a change by hand after the read
	return nil
}

// adopt applies a change of the file by hand, before an edit. It requires l.mu.
func (l *Live) adopt() error {
	if err := l.editor.AwaitWriters(); err != nil {
		return err
	}
	n, err := l.readUnasked()
	if err == nil && n != nil && n.changes(l.Config()) {
		err = l.applyFile(context.Background(), n)
	}
	return err
}

// revert undoes an edit of the handlers, in the configuration in force by memory and in
// the file by file. The former does not depend on the file, which may have become empty
// or invalid meanwhile. The plugins then run under the reverted settings.
func (l *Live) revert(file func(*config.Editor) error, memory func(map[string]config.Handler)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := *l.now.Load()
	c := *n.config
	c.Handlers = maps.Clone(c.Handlers)
	memory(c.Handlers)
	n.config = &c
	l.now.Store(&n)
	err := file(l.editor) // other changes of the file are applied by Run
	ctx, cancel := context.WithTimeout(context.Background(), revertTimeout)
	defer cancel()
	return errors.Join(err, (*l.plugins.Load()).Reload(ctx, c.PluginDirectories))
}
