// Package daemon has the commands that run a host, and the child process that vets a module.
package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/cmd/berth/internal/client"
	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/cmd/berth/internal/console"
	"github.com/berth-host/berth/host"
	"github.com/berth-host/berth/host/auth"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/live"
	"github.com/berth-host/berth/host/telemetry/logging"
)

// Command returns the command serve.
func Command(env *command.Env) *cobra.Command {
	var cfg host.Config
	var format, level string
	var verbose bool
	cmd := command.New("serve", "Run the host until SIGTERM or Ctrl-C; SIGHUP reads the configuration again",
		func(ctx context.Context, _ []string) error {
			if verbose {
				level = "debug"
			}
			if format == "" {
				format = logging.JSON
				if console.IsTerminal(env.Err) {
					format = logging.Text
				}
			}
			logger, err := logging.New(env.Err, format, level)
			if err != nil {
				return command.Usage("%w", err)
			}
			cfg.Version, cfg.Logger = env.Version, logger
			return run(ctx, cfg, func(h *host.Host) { greet(env, h) })
		})
	cmd.Flags().StringVar(&cfg.ConfigPath, "config", "", "configuration file (default: "+live.DefaultPath+")")
	cmd.Flags().StringVar(&cfg.Listen, "listen", "", "host:port to listen on; overrides server.listen")
	cmd.Flags().StringVar(&cfg.DataDir, "data-dir", "", "data directory; overrides data_dir")
	cmd.Flags().BoolVar(&cfg.Insecure, "insecure", false, "listen beyond loopback although there is no TLS, as server.insecure")
	cmd.Flags().BoolVar(&cfg.AcceptDataLoss, "accept-data-loss", false,
		"start although the store is missing or lacks acknowledged events; the log says which")
	cmd.Flags().BoolVar(&cfg.Compact, "compact", false, "rewrite the store before it is used, so that it takes no more disk than it needs")
	cmd.Flags().StringVar(&format, "log-format", "", "text or json (default: text on a terminal, otherwise json)")
	cmd.Flags().StringVar(&level, "log-level", "info", "the least level that is logged: debug, info, warn or error")
	cmd.Flags().BoolVar(&verbose, "verbose", false, "log debug lines as well, as --log-level debug")
	return cmd
}

// greet prints a link to the console when a person starts the host. No other place may have
// it: a log is read by others.
func greet(env *command.Env, h *host.Host) {
	if !console.IsTerminal(env.Err) {
		return
	}
	if link, err := h.LoginLink(); err == nil { // without an admin token there is none
		env.Note("\nconsole  %s\n         logs a browser in once, within 10 minutes; another link: berth console\n\n", link)
	}
}

// run runs a host until ctx ends, and then shuts it down in order. started is called once the
// host is up.
func run(ctx context.Context, cfg host.Config, started func(*host.Host)) error {
	h, err := host.New(cfg)
	if err != nil {
		return err
	}
	h.LimitMemory()
	hangups := make(chan os.Signal, 1) // one during the start is handled after it
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	if err := h.Start(ctx); err != nil {
		if fault.Full(err) {
			return fmt.Errorf("%w; the host has ended: start it again when there is space", err)
		}
		return err
	}
	state, err := stateOf(h, cmp.Or(cfg.ConfigPath, live.DefaultPath))
	if err != nil {
		return errors.Join(err, shutDown(h))
	}
	defer client.RemoveState(h.DataDir())
	var again <-chan time.Time // to write the state; nil when it is written
	if err := state.Write(h.DataDir()); err != nil {
		again = time.Tick(stateRetry)
		cfg.Logger.Warn("commands on this machine do not find this host by its data directory: give them BERTH_URL; trying again", "error", err)
	}
	cfg.Logger.Info("berth is up", "url", h.URL(), "token", filepath.Join(h.DataDir(), auth.TokenFile))
	started(h)
	for {
		select {
		case <-again:
			if state.Write(h.DataDir()) == nil {
				again = nil
			}
		case <-hangups:
			_ = h.Hangup(ctx) // it logs the result
		case <-ctx.Done():
			cfg.Logger.Info("shutting down: finishing open events")
			return shutDown(h)
		case err := <-h.Failed():
			return errors.Join(err, shutDown(h))
		}
	}
}

func shutDown(h *host.Host) error {
	ctx, cancel := context.WithTimeout(context.Background(), h.ShutdownTimeout())
	defer cancel()
	return h.Close(ctx)
}

// stateRetry is the interval between attempts to write the state, such as on a full disk.
const stateRetry = 2 * time.Second

// stateOf returns the state by which the commands on this machine find the host. Its paths
// are absolute: commands run in other directories.
func stateOf(h *host.Host, configPath string) (state client.State, err error) {
	state = client.State{URL: h.URL(), PID: os.Getpid(), CertFile: h.CertFile()}
	if state.CertFile != "" {
		state.CertFile, err = filepath.Abs(state.CertFile)
	}
	if err == nil {
		state.Config, err = filepath.Abs(configPath)
	}
	if err == nil {
		state.Directory, err = os.Getwd()
	}
	if err != nil {
		err = fmt.Errorf("find the host's directory: %w", err)
	}
	return state, err
}
