package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/host"
	"github.com/berth-host/berth/host/live"
)

func (a *app) serveCommand() *cobra.Command {
	var cfg host.Config
	var verbose bool
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the host until SIGTERM or Ctrl-C; SIGHUP reads the configuration again",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			level := slog.LevelInfo
			if verbose {
				level = slog.LevelDebug
			}
			cfg.Version = version
			cfg.Logger = slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: level}))
			return a.serve(cmd.Context(), cfg)
		},
	}
	cmd.Flags().StringVar(&cfg.ConfigPath, "config", "", "configuration file (default: "+live.DefaultPath+")")
	cmd.Flags().StringVar(&cfg.Listen, "listen", "", "host:port to listen on; overrides server.listen")
	cmd.Flags().StringVar(&cfg.DataDir, "data-dir", "", "data directory; overrides data_dir")
	cmd.Flags().BoolVar(&cfg.Insecure, "insecure", false, "listen beyond loopback although there is no TLS, as server.insecure")
	cmd.Flags().BoolVar(&cfg.AcceptDataLoss, "accept-data-loss", false, "start although the store is missing or lacks acknowledged events; the log says which")
	cmd.Flags().BoolVar(&cfg.Compact, "compact", false, "rewrite the store before it is used, so that it takes no more disk than it needs")
	cmd.Flags().BoolVar(&verbose, "verbose", false, "log debug lines as well")
	return cmd
}

// serve runs a host until ctx ends, and then shuts it down in order.
func (a *app) serve(ctx context.Context, cfg host.Config) error {
	h, err := host.New(cfg)
	if err != nil {
		return err
	}
	h.LimitMemory()
	hangups := make(chan os.Signal, 1) // one that comes during the start is answered after it
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	if err := h.Start(ctx); err != nil {
		return err
	}
	state, err := stateOf(h, cmp.Or(cfg.ConfigPath, live.DefaultPath))
	if err != nil {
		return errors.Join(err, a.shutDown(h))
	}
	defer state.remove()
	var again <-chan time.Time // to write the state; nil: it is written
	if err := state.write(); err != nil {
		again = time.Tick(stateRetry)
		cfg.Logger.Warn("commands on this machine do not find this host by its data directory: give them BERTH_URL; trying again", "error", err)
	}
	cfg.Logger.Info("berth is up", "url", h.URL(), "token", filepath.Join(h.DataDir(), tokenFile))
	for {
		select {
		case <-again:
			if state.write() == nil {
				again = nil
			}
		case <-hangups:
			_ = h.Hangup(ctx) // it says in the log what came of it
		case <-ctx.Done():
			cfg.Logger.Info("shutting down: finishing open events")
			return a.shutDown(h)
		case err := <-h.Failed():
			return errors.Join(err, a.shutDown(h))
		}
	}
}

func (a *app) shutDown(h *host.Host) error {
	ctx, cancel := context.WithTimeout(context.Background(), h.ShutdownTimeout())
	defer cancel()
	return h.Close(ctx)
}

// stateRetry is how often the state is tried to be written, such as on a full disk.
const stateRetry = 2 * time.Second

// stateOnDisk tells the commands on this machine where the host is.
type stateOnDisk struct {
	path string
	text []byte
}

func stateOf(h *host.Host, configPath string) (stateOnDisk, error) {
	certFile := h.CertFile()
	if certFile != "" { // a command may run in another directory
		abs, err := filepath.Abs(certFile)
		if err != nil {
			return stateOnDisk{}, fmt.Errorf("say where the host is: %w", err)
		}
		certFile = abs
	}
	configPath, err := filepath.Abs(configPath)
	if err != nil {
		return stateOnDisk{}, fmt.Errorf("say where the host is: %w", err)
	}
	directory, err := os.Getwd()
	if err != nil {
		return stateOnDisk{}, fmt.Errorf("say where the host is: %w", err)
	}
	text, err := json.Marshal(hostState{URL: h.URL(), PID: os.Getpid(), CertFile: certFile, Directory: directory, Config: configPath})
	return stateOnDisk{filepath.Join(h.DataDir(), stateFile), text}, err
}

// write replaces the file. When it fails there is none: one that a killed host has
// left would lead commands to an address that is nobody's, or another program's.
func (s stateOnDisk) write() error {
	temp := s.path + ".tmp"
	err := os.WriteFile(temp, s.text, 0o600)
	if err == nil {
		err = os.Rename(temp, s.path)
	}
	if err != nil {
		_ = os.Remove(temp)
		s.remove()
		return fmt.Errorf("say where the host is: %w", err)
	}
	return nil
}

func (s stateOnDisk) remove() { _ = os.Remove(s.path) }
