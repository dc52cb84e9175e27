package install

import (
	"context"
	"fmt"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// change is a version on its way to be a plugin's current one.
type change struct {
	name    string
	version Version
	module  spec.Artifact
	added   bool             // its module is a finished download, not in the store yet
	admit   []abi.Capability // what the operator has agreed to just now
	left    []string         // digests of what a rollback goes back from
	lock    Lock             // as it is
	raw     []byte           // likewise; nil when there is no file
}

// apply makes a change: all of it, or nothing.
//
// The order: the journal, so that everything after it can be undone; the module;
// a start on trial, which the events do not see; the settings; the lock, which is
// the commit; and the version that runs. Until the last step whatever ran goes on
// undisturbed.
func (i *Installer) apply(ctx context.Context, c change, report Report) (wire.Plugin, error) {
	next := c.lock.with(c.name, c.version, c.left)
	after, err := i.cfg.Codec.Marshal(next)
	if err != nil {
		return wire.Plugin{}, fault.New(fault.Internal, "write the lock of %s: %w", c.name, err)
	}
	section, err := i.cfg.Settings.Snapshot(c.name, c.admit)
	if err != nil {
		return wire.Plugin{}, fmt.Errorf("install %s: %w", c.name, err)
	}
	r := record{Op: opInstall, Name: c.name, Section: section, Before: text(c.raw), After: string(after)}
	if c.added {
		r.Added = c.version.SHA256
	}
	var candidate Candidate
	defer func() {
		if candidate != nil {
			candidate.Discard()
		}
	}()
	var answer wire.Plugin
	steps := []struct {
		name, shown string
		do          func() error
	}{
		{"journal", "store", func() error { return i.writeJournal(r) }},
		{"store", "store", func() error {
			if !c.added {
				return nil
			}
			return i.store.adopt(c.version.SHA256)
		}},
		{"prepare", "probe", func() (err error) {
			candidate, err = i.cfg.Plugins.Prepare(ctx, c.name, c.module, c.admit)
			return rejected(c.name, err)
		}},
		{"settings", "commit", func() error { return i.cfg.Settings.Admit(c.name, c.admit) }},
		{"lock", "commit", func() error { return i.store.write(LockFile, after) }},
		{"promote", "start", func() (err error) {
			answer, err = candidate.Promote(ctx, i.store.file(c.version.SHA256))
			return err
		}},
	}
	for n, s := range steps {
		if n == 0 || steps[n-1].shown != s.shown {
			report.say(s.shown, 0, 0)
		}
		if err := i.step(s.name, s.do); err != nil {
			if s.name == "promote" {
				i.restore(context.WithoutCancel(ctx), c)
			}
			if back := i.undo(r); back != nil {
				err = fmt.Errorf("%w; and what was begun is not all undone, which is tried again at the next start: %w", err, back)
			}
			return wire.Plugin{}, err
		}
	}
	i.keepLast(after)
	// It is done. A journal that stays says nothing else: the lock is what it says.
	if err := i.step("finish", func() error { return i.store.remove(journalFile) }); err != nil {
		i.cfg.Logger.Warn("the journal of a finished installation stays until the next", "plugin", c.name, "error", err)
	}
	i.sweep()
	i.cfg.Logger.Info("a plugin was installed", "plugin", c.name, "version", c.version.Version, "sha256", c.version.SHA256, "source", c.version.Source)
	return answer, nil
}

// rejected says of a module's failure that it is why it is not installed. What a
// module does wrong is the caller's input; what the host lacks for now is not, and
// says nothing about the module.
func rejected(name string, err error) error {
	switch code := fault.CodeOf(err); {
	case err == nil:
		return nil
	case code == fault.Unavailable, code == fault.Exhausted, code == fault.Timeout, code == fault.Conflict:
		return fault.New(code, "install %s: the module cannot be checked or started for now: %w", name, err)
	}
	return fault.New(fault.Invalid, "install %s: the module is rejected: %w", name, err)
}

// restore has the former version run again, where the new one took its place
// although that was said to have failed.
func (i *Installer) restore(ctx context.Context, c change) {
	var err error
	if was, ok := c.lock.Plugins[c.name]; ok {
		_, err = i.cfg.Plugins.Pin(ctx, i.pinOf(c.name, was.SHA256))
	} else if err = i.cfg.Plugins.Unpin(ctx, c.name); fault.Is(err, fault.NotFound) {
		err = nil
	}
	if err != nil {
		i.cfg.Logger.Error("the former version is run again only after the next start", "plugin", c.name, "error", err)
	}
}

// Report is told how far an installation is. nil: nobody wants to know.
type Report func(wire.Progress)

func (r Report) say(step string, done, total int64) {
	if r != nil {
		r(wire.Progress{Step: step, Done: done, Total: total})
	}
}
