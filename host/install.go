package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/plugin"
	"github.com/berth-host/berth/host/wire"
)

// tidyTimeout bounds what is still to be done when a plugin's file is gone.
const tidyTimeout = 30 * time.Second

// installer puts plugins in and takes them out. It holds no lock while it
// waits for the plugin manager, which itself takes Host.reload (see setEnabled).
type installer struct {
	h   *Host
	log engine
}

// Install implements api.Installer.
func (i installer) Install(ctx context.Context, in wire.Install) (wire.Plugin, error) {
	fetcher, err := i.h.fetcher(nil)
	if err != nil {
		return wire.Plugin{}, err
	}
	wasm, err := fetcher.Fetch(ctx, in.URL, in.SHA256)
	if err != nil {
		return wire.Plugin{}, err
	}
	name, err := plugin.InstallName(wasm, in.Name)
	if err != nil {
		return wire.Plugin{}, err
	}
	backlog, err := i.log.LoadBacklog(ctx, name)
	if err != nil {
		return wire.Plugin{}, fmt.Errorf("install %s: %w", name, err)
	}
	p, err := i.h.plugins.Install(ctx, wasm, name)
	if err != nil && !backlog.Found {
		// Checking the module has given it a place in the log. Without a plugin
		// that goes again, so that a later one begins with its own time.
		if _, missing := i.h.plugins.Plugin(name); missing != nil {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTimeout)
			defer cancel()
			if tidy := i.log.ForgetHandler(ctx, name); tidy != nil {
				i.h.logger.Warn("the place in the log of a plugin that was not installed stays", "plugin", name, "error", tidy)
			}
		}
	}
	return p, err
}

// Uninstall implements api.Installer. Once the file is gone the rest is done
// even if the caller has gone as well; what cannot be done is said in the error.
func (i installer) Uninstall(ctx context.Context, name string) error {
	if err := i.h.plugins.Uninstall(ctx, name); err != nil {
		return err
	}
	if !abi.ValidName(name) {
		return nil // a file that never was a plugin: nothing is kept for it
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTimeout)
	defer cancel()
	var problems []error
	if err := i.h.removeHandler(name); err != nil {
		problems = append(problems, fmt.Errorf("handlers.%s stays in %s, remove it by hand: %w", name, i.h.path, err))
	}
	if err := i.log.ForgetHandler(ctx, name); err != nil {
		problems = append(problems, fmt.Errorf("its place in the log and its outcomes stay: %w", err))
	}
	if err := i.log.KVClear(ctx, name); err != nil {
		problems = append(problems, fmt.Errorf("what it has stored stays: %w", err))
	}
	if err := errors.Join(problems...); err != nil {
		return fault.New(fault.CodeOf(problems[0]), "%s is uninstalled, but not everything of it is gone: %w", name, err)
	}
	return nil
}

// removeHandler takes the handler's section out of the configuration, if there
// is one, and takes that over.
func (h *Host) removeHandler(name string) error {
	return h.edit(func() (*config.Config, error) { return h.editor.RemoveHandler(name) })
}
