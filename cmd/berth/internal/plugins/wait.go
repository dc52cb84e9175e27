package plugins

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/cmd/berth/internal/client"
	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/host/plugin"
	"github.com/berth-host/berth/host/wire"
)

// Exit codes of plugin wait and plugin add, besides the usual.
const (
	exitNotActive = 3 // the plugin will not become active by itself
	exitTimeout   = 4
)

const waitCodes = `Exit codes:
  0  the plugin is active
  1  the host cannot be asked, or nothing was added
  2  the command line makes no sense
  3  it does not become active by itself: it is rejected, held, disabled, paused, waits
     for approval, or its breaker is open; the reason is on standard error
  4  it was not active within --timeout`

const (
	waitPoll = 200 * time.Millisecond
	// finalAfter is the time after which a state that will not change by itself is final. The
	// host may still show the state of the former file.
	finalAfter = 3 * time.Second
)

func (a app) wait() *cobra.Command {
	var timeout time.Duration
	var digest string
	cmd := a.Remote("wait NAME", "Wait until a plugin is active, or say why it will not be", func(ctx context.Context, args []string) error {
		if timeout <= 0 {
			return command.Usage("--timeout must be above zero")
		}
		c, err := a.Connect()
		if err != nil {
			return err
		}
		return a.await(ctx, c, awaited{name: args[0], sha256: strings.ToLower(digest)}, timeout)
	})
	cmd.Long = `Waits until a plugin is active, at most --timeout. A plugin that the host does not know yet is waited
for as well. With --sha256 only that module counts, and not an older one that runs until it is ready.

` + waitCodes
	cmd.Flags().DurationVar(&timeout, "timeout", 2*time.Minute, "wait no longer")
	cmd.Flags().StringVar(&digest, "sha256", "", "wait for the module with this digest")
	return cmd
}

// awaited is the plugin that a command waits for.
type awaited struct{ name, sha256 string }

// await polls the host until the plugin is active, and prints it.
func (a app) await(ctx context.Context, c *client.Client, w awaited, timeout time.Duration) error {
	p, raw, err := w.active(ctx, c, timeout)
	switch {
	case err != nil:
		return err
	case a.JSON:
		return a.PrintJSON(raw)
	}
	return a.print(p)
}

// active polls the host until the plugin is active, and returns it, and its JSON.
func (w awaited) active(ctx context.Context, c *client.Client, timeout time.Duration) (wire.Plugin, json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	tick := time.NewTicker(waitPoll)
	defer tick.Stop()
	last, since := "", time.Now()
	said := "the host does not know it"
	for {
		p, raw, err := pluginNow(ctx, c, w.name)
		if err != nil && ctx.Err() == nil {
			return p, nil, err
		}
		if err == nil {
			why, final := w.evaluate(p)
			if why == "" {
				return p, raw, nil
			}
			said = why
			if why != last {
				last, since = why, time.Now()
			}
			if final && (w.rejected(p) || time.Since(since) >= finalAfter) {
				return p, nil, command.NewExitError(fmt.Errorf("plugin %s is not active: %s", w.name, why), exitNotActive)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return p, nil, command.NewExitError(fmt.Errorf("plugin %s was not active within %v: %s", w.name, timeout, said), exitTimeout)
			}
			return p, nil, ctx.Err()
		}
	}
}

// pluginNow returns a plugin; the zero Plugin when the host does not know it.
func pluginNow(ctx context.Context, c *client.Client, name string) (p wire.Plugin, raw json.RawMessage, err error) {
	raw, err = c.Call(ctx, "GET", pluginPath(name), nil, &p)
	var answer client.Problem
	if errors.As(err, &answer) && answer.Status == 404 {
		return wire.Plugin{}, nil, nil
	}
	if err == nil {
		err = named(name)(p)
	}
	return p, raw, err
}

// rejected reports whether the host has rejected the module that the command waits for: this
// is final until the file changes. A name that no plugin can have is never known.
func (w awaited) rejected(p wire.Plugin) bool {
	return p.Name == "" || w.sha256 != "" && p.SHA256 == w.sha256 && p.State == wire.Rejected
}

// evaluate returns why a plugin is not active with the module, "" if it is. final means that
// this will not change by itself.
func (w awaited) evaluate(p wire.Plugin) (why string, final bool) {
	if p.Name == "" {
		why = "the host does not know it"
		if err := abi.CheckName(w.name); err != nil {
			return why + ", and no plugin can have the name: " + err.Error(), true
		}
		return why, false
	}
	why = string(p.State)
	if p.Reason != "" {
		why += ": " + p.Reason
	}
	ours := w.sha256 == "" || p.SHA256 == w.sha256
	switch next := p.Pending; {
	case ours && (p.State == wire.Active || p.State == wire.Standby):
		return "", false
	case next != nil && next.SHA256 == w.sha256:
		return why + "; see 'berth plugin approve " + p.Name + "'", true
	case !ours:
		return why, strings.Contains(p.Reason, plugin.NewFileRejected)
	}
	switch p.State {
	case wire.Rejected, wire.BreakerOpen:
		return why, true
	case wire.Paused:
		return why + "; it has this version, and 'berth plugin resume " + p.Name + "' lets it go on", true
	case wire.Held, wire.Disabled:
		return why + "; see 'berth plugin enable " + p.Name + "'", true
	case wire.NeedsApproval:
		return why + "; see 'berth plugin approve " + p.Name + "'", true
	}
	return why, false
}
