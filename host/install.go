package host

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/config/lockfile"
	"github.com/berth-host/berth/host/install"
	"github.com/berth-host/berth/host/live"
	"github.com/berth-host/berth/host/plugin"
	"github.com/berth-host/berth/host/secret"
	"github.com/berth-host/berth/host/sources"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// tidyTimeout bounds what is still to be done when a plugin is gone.
const tidyTimeout = 30 * time.Second

// marketFile is the file of the marketplace's last list in the data directory.
const marketFile = "marketplace.json"

// secretSource reads the operator's secrets: files of the data directory, then the
// environment.
func (h *Host) secretSource() secret.Source {
	return secret.Source{Directory: secret.Directory(h.dataFile("secrets")), Env: os.LookupEnv}
}

// startSources makes the sources of plugins, which start nothing yet.
func (h *Host) startSources() {
	h.sources = sources.New(sources.Config{
		Settings:  func() config.Marketplace { return h.live.Config().Marketplace },
		Installed: func() (map[string]install.Entry, error) { return h.install.Installed() },
		Secret:    h.secretSource().Read,
		State:     h.dataFile(marketFile),
		Fetch:     h.cfg.fetch,
		NewTimer:  h.cfg.newTimer,
		Logger:    h.logger,
	})
	h.live.OnChange(func(former, now *config.Config) { h.sources.Reconfigure(former.Marketplace, now.Marketplace) })
	h.onClose("the sources of plugins", func(context.Context) error { h.sources.Close(); return nil })
}

// startInstalls opens the store of installed plugins, and finishes or undoes what
// a crash left half done. It needs no network.
func (h *Host) startInstalls(ctx context.Context, log engine) error {
	i, err := install.New(install.Config{
		Dir:        h.live.DataDir(),
		Source:     h.sources,
		Vetter:     vetting{h},
		Plugins:    installed{h, log},
		Settings:   live.Handlers{Live: h.live},
		State:      handlerState{log},
		Codec:      lockfile.Codec{Header: install.LockHeader},
		MinimumAge: func() time.Duration { return h.live.Config().Marketplace.MinimumReleaseAge },
		Revoked:    h.sources.Revocation,
		Logger:     h.logger,
	})
	if err != nil {
		return fmt.Errorf("installed plugins: %w", err)
	}
	h.onClose("the installed plugins", func(context.Context) error { return i.Close() })
	h.install = i
	ctx, cancel := context.WithTimeout(ctx, tidyTimeout) // another process may be installing
	defer cancel()
	if err := i.Recover(ctx); err != nil {
		// What is installed runs all the same, as the lock has it.
		h.logger.Error("nothing can be installed until this is mended", "error", err)
	}
	return nil
}

// lockEvery is how often the lock is looked at while it cannot be used.
const lockEvery = time.Second

// awaitLock has the installed plugins run, which are refused for now, once their
// lock is mended.
func (h *Host) awaitLock() {
	h.background("the wait for the lock of the installed plugins", func(ctx context.Context) {
		tick := time.NewTicker(lockEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			err := h.install.Repaired(ctx, func(pins []spec.Pin) error { return h.plugins.Repin(ctx, pins) })
			if err == nil {
				h.logger.Info("the lock of the installed plugins is mended; they are run", "plugins", len(h.install.Pins()))
				return
			}
		}
	})
}

// installer puts plugins in and takes them out. Package install holds its own
// turn while it waits for the plugin manager, which itself takes Host.reload (see
// setEnabled).
type installer struct{ *install.Installer }

// Install implements api.Installer.
func (i installer) Install(ctx context.Context, in wire.Install, report func(wire.Progress)) (wire.Plugin, error) {
	return i.Installer.Install(ctx, install.Request{Name: in.Name, Version: in.Version, URL: in.URL, SHA256: in.SHA256, Ref: in.Ref}, in.Approve, report)
}

// Upgrade implements api.Installer.
func (i installer) Upgrade(ctx context.Context, name string, in wire.Upgrade, precondition func(wire.Plugin) error, report func(wire.Progress)) (wire.Plugin, error) {
	return i.Installer.Upgrade(ctx, name, install.Request{Version: in.Version, URL: in.URL, SHA256: in.SHA256, Ref: in.Ref, Precondition: precondition}, in.Approve, report)
}

// Rollback implements api.Installer.
func (i installer) Rollback(ctx context.Context, name, version string, precondition func(wire.Plugin) error, report func(wire.Progress)) (wire.Plugin, error) {
	return i.Installer.Rollback(ctx, name, version, precondition, report)
}

// Uninstall implements api.Installer.
func (i installer) Uninstall(ctx context.Context, name string, force, purge bool, precondition func(wire.Plugin) error) error {
	return i.Installer.Uninstall(ctx, name, install.UninstallOptions{Force: force, Purge: purge, Precondition: precondition})
}

// vetting has a module checked as the sandbox has it checked.
type vetting struct{ h *Host }

// Vet implements install.Vetter.
func (v vetting) Vet(ctx context.Context, module spec.Artifact) error {
	_, err := v.h.reports.Vet(ctx, module)
	return err
}

// installed runs installed plugins in the plugin manager.
type installed struct {
	h   *Host
	log engine
}

// Free implements install.Plugins.
func (p installed) Free(ctx context.Context, name string) error { return p.h.plugins.Free(ctx, name) }

// Prepare implements install.Plugins.
func (p installed) Prepare(ctx context.Context, name string, module spec.Artifact, approved []abi.Capability) (install.Candidate, error) {
	c, err := p.h.plugins.Prepare(ctx, name, module, approved)
	if err != nil {
		return nil, err
	}
	return candidate{c, p, name}, nil
}

// candidate is a version on trial in the plugin manager.
type candidate struct {
	*plugin.Candidate
	plugins installed
	name    string
}

// Promote implements install.Candidate.
func (c candidate) Promote(ctx context.Context, path string) (wire.Plugin, error) {
	return c.plugins.start(ctx, c.name, func() (wire.Plugin, error) { return c.Candidate.Promote(ctx, path) })
}

// Pin implements install.Plugins.
func (p installed) Pin(ctx context.Context, pin spec.Pin) (wire.Plugin, error) {
	return p.start(ctx, pin.Name, func() (wire.Plugin, error) { return p.h.plugins.Pin(ctx, pin) })
}

// start starts a plugin. If that fails and the name has no plugin, it drops the position
// in the log that the start has given the handler.
func (p installed) start(ctx context.Context, name string, start func() (wire.Plugin, error)) (wire.Plugin, error) {
	backlog, err := p.log.LoadBacklog(ctx, name)
	if err != nil {
		return wire.Plugin{}, fmt.Errorf("install %s: %w", name, err)
	}
	shown, err := start()
	if err != nil && !backlog.Found {
		// A later plugin of the name then begins with its own time.
		if _, missing := p.h.plugins.Plugin(name); missing != nil {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTimeout)
			defer cancel()
			if tidy := p.log.ForgetHandler(ctx, name); tidy != nil {
				p.h.logger.Warn("the place in the log of a plugin that was not installed stays", "plugin", name, "error", tidy)
			}
		}
	}
	return shown, err
}

// Unpin implements install.Plugins.
func (p installed) Unpin(ctx context.Context, name string) error {
	return p.h.plugins.Unpin(ctx, name)
}

// Uninstall implements install.Plugins.
func (p installed) Uninstall(ctx context.Context, name string, commit func() error) error {
	return p.h.plugins.Uninstall(ctx, name, commit)
}

// Plugin implements install.Plugins.
func (p installed) Plugin(name string) (wire.Plugin, error) { return p.h.plugins.Plugin(name) }

// handlerState is what the host keeps for a handler.
type handlerState struct{ log engine }

// Forget implements install.State.
func (s handlerState) Forget(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, tidyTimeout)
	defer cancel()
	if err := s.log.ForgetHandler(ctx, name); err != nil {
		return fmt.Errorf("its place in the log and its outcomes stay: %w", err)
	}
	return nil
}

// Purge implements install.State.
func (s handlerState) Purge(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, tidyTimeout)
	defer cancel()
	if err := s.log.KVClear(ctx, name); err != nil {
		return fmt.Errorf("what it has stored stays: %w", err)
	}
	return nil
}
