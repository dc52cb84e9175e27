package install

import (
	"context"
	"fmt"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// change makes a version the current one of a plugin.
type change struct {
	name    string
	version Version
	module  spec.Artifact
	added   bool             // the module is a finished download, not in the store yet
	admit   []abi.Capability // approved by the operator in this request
	left    []string         // digests of the versions that a rollback leaves
	lock    Lock             // before the change
	raw     []byte           // its text; nil if there is no file
}

// apply makes a change completely or not at all, in this order: the journal, so that
// everything after it can be undone; the module; the candidate, started without events;
// the settings; the lock, which is the commit; and the promotion of the candidate. The
// former version runs undisturbed until the last step.
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
		{"lock", "commit", func() error {
			if err := i.share(ctx, c.version.SHA256, after); err != nil {
				return err
			}
			return i.store.write(LockFile, after)
		}},
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
			return wire.Plugin{}, i.undoAfter(ctx, err, r)
		}
	}
	i.pinned[c.name] = c.version.SHA256
	i.keepLast(after)
	i.dropModules(ctx, next)
	// The change is made. A journal that stays agrees with the lock.
	if err := i.step("finish", func() error { return i.store.remove(journalFile) }); err != nil {
		i.cfg.Logger.Warn("journal of a finished installation not removed", "plugin", c.name, "error", err)
	}
	i.sweep()
	i.cfg.Logger.Info("plugin installed", "plugin", c.name, "version", c.version.Version, "sha256", c.version.SHA256, "origin",
		c.version.Source)
	return answer, nil
}

// rejected wraps the error of vetting or starting a module. An error of the module is
// fault.Invalid; a temporary one of the host keeps its code and does not reject the module.
func rejected(name string, err error) error {
	switch code := fault.CodeOf(err); {
	case err == nil:
		return nil
	case code == fault.Unavailable, code == fault.Exhausted, code == fault.Timeout, code == fault.Conflict:
		return fault.New(code, "install %s: the module cannot be checked or started for now: %w", name, err)
	}
	return fault.New(fault.Invalid, "install %s: the module is rejected: %w", name, err)
}

// restore runs the former version again after a failed promotion.
func (i *Installer) restore(ctx context.Context, c change) {
	var err error
	if was, ok := c.lock.Plugins[c.name]; ok {
		_, err = i.pin(ctx, c.name, was.SHA256)
	} else if err = i.cfg.Plugins.Unpin(ctx, c.name); fault.Is(err, fault.NotFound) {
		err = nil
	}
	if err != nil {
		i.cfg.Logger.Error("former version not restored before the next start", "plugin", c.name, "error", err)
	}
}

// Report gets the progress of an installation. nil: no reports.
type Report func(wire.Progress)

func (r Report) say(step string, done, total int64) {
	if r != nil {
		r(wire.Progress{Step: step, Done: done, Total: total})
	}
}
