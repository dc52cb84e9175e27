package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/berth-host/berth/host/api/stream"
	"github.com/berth-host/berth/host/api/traffic"
	"github.com/berth-host/berth/host/audit"
	"github.com/berth-host/berth/host/bus/retention"
	"github.com/berth-host/berth/host/cluster"
	"github.com/berth-host/berth/host/engine"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/install"
	"github.com/berth-host/berth/host/issues"
	"github.com/berth-host/berth/host/live"
	"github.com/berth-host/berth/host/marketplace"
	"github.com/berth-host/berth/host/member"
	"github.com/berth-host/berth/host/member/feed"
	"github.com/berth-host/berth/host/member/remote"
	"github.com/berth-host/berth/host/operations"
	"github.com/berth-host/berth/host/pathguard"
	"github.com/berth-host/berth/host/plugin"
	"github.com/berth-host/berth/host/run"
	"github.com/berth-host/berth/host/run/guestlog"
	"github.com/berth-host/berth/host/sources"
	"github.com/berth-host/berth/host/telemetry/metrics"
	"github.com/berth-host/berth/host/telemetry/trace"
)

// Config configures a Host.
type Config struct {
	// ConfigPath is the YAML file, which must exist; "" is live.DefaultPath, which may
	// be missing: the defaults apply then.
	ConfigPath string
	Listen     string // host:port; overrides server.listen
	DataDir    string // overrides data_dir
	Insecure   bool   // allows listening beyond loopback without TLS, as server.insecure
	// AcceptDataLoss starts although the store is missing or lacks acknowledged
	// events, and logs which.
	AcceptDataLoss bool
	Compact        bool         // rewrites the store at the start, without free pages
	Version        string       // of the program
	Logger         *slog.Logger // nil: discard

	// For tests: the fetchers' roots, resolver and timeouts, the timer between refreshes of
	// the marketplace list, the tracer, and shards.Coordinator.Steady.
	fetch    marketplace.Config
	newTimer func(time.Duration) (fired <-chan time.Time, stop func() bool)
	tracer   *trace.Tracer
	steady   time.Duration
}

// Host is one running Berth. Make it with New, Start it once, and Close it. Its methods
// are safe for concurrent use.
type Host struct {
	cfg    Config
	logger *slog.Logger
	live   *live.Live
	audit  *audit.Log
	feed   *stream.Feed  // activities on the event stream
	shown  *feed.Feed    // takes them, for the streams of all hosts
	tracer *trace.Tracer // nil: none

	engine        *engine.Engine
	jobs          map[string]func(context.Context) error // of the cluster; see once
	cluster       atomic.Pointer[cluster.Cluster]        // nil: before it starts, and if the engine is this host's alone
	issues        *issues.Tracker
	operations    *operations.Runner
	checked       run.CheckedBus // refuses events that do not fit their types
	schedules     *member.Schedules
	runner        *run.Runner
	actions       *remote.Actions // of operators, on the handlers of all hosts
	kept          *remote.State   // of plugins
	reports       *run.Reports
	logs          *guestlog.Logs
	counts        counts
	sources       *sources.Sources
	install       *install.Installer
	plugins       *plugin.Manager
	pluginsLoaded atomic.Bool // every plugin found at the start is active or refused

	addr      string
	secure    bool                   // the API uses TLS
	loginLink func() (string, error) // path of a link to the console that logs in once

	cleanups []cleanup  // of Start, run by Close, the last one first
	failed   chan error // the failure of a part that serves
	closing  sync.Once
	closed   chan struct{}
	closeErr error
}

type cleanup struct {
	part string
	do   func(context.Context) error
}

// New reads and checks the configuration (see live.Open), and starts nothing.
func New(cfg Config) (*Host, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	h := &Host{cfg: cfg, logger: cfg.Logger, feed: stream.NewFeed(0), closed: make(chan struct{}), failed: make(chan error, 1),
		jobs:   make(map[string]func(context.Context) error),
		counts: counts{published: metrics.NewPublished(), requests: traffic.New()}}
	var err error
	h.live, err = live.Open(live.Config{Path: cfg.ConfigPath, Listen: cfg.Listen, DataDir: cfg.DataDir, Logger: cfg.Logger,
		Audit: func(r audit.Record) error { return h.audit.Append(r) }})
	if err != nil {
		return nil, err
	}
	h.audit = audit.New(audit.Config{Path: h.dataFile(audit.File), Host: h.live.Started().HostName()})
	return h, nil
}

// dataFile returns the path of a file in the data directory.
func (h *Host) dataFile(name string) string { return filepath.Join(h.live.DataDir(), name) }

// makePrivate creates a directory, and refuses one that other users can change.
func makePrivate(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return pathguard.Check(dir)
}

// Start starts every part. When it returns nil the API serves, and every event published
// from now on waits for the plugins found, which become active in the background (see
// Ready). When it fails, every part is closed again.
func (h *Host) Start(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, h.Close(context.WithoutCancel(ctx)))
		}
	}()
	if err := makePrivate(h.live.DataDir()); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	for _, dir := range pathguard.Trusted() {
		h.logger.Warn("owner and mode of a directory are not checked, because "+pathguard.TrustedEnv+" lists it", "path", dir)
	}
	h.startTracer(ctx)
	if err := h.openEngine(ctx); err != nil {
		return err
	}
	events, err := h.startBus()
	if err != nil {
		return err
	}
	if err := h.startIssues(ctx); err != nil {
		return err
	}
	h.checked = run.NewCheckedBus(events, h.live.EventTypes, h.engine, h.logger)
	if err := h.startRunner(events); err != nil {
		return err
	}
	h.startSources()
	if err := h.startInstalls(ctx); err != nil {
		return err
	}
	h.sources.Load()
	if err := h.startPlugins(ctx); err != nil {
		return err
	}
	if err := h.startOperations(ctx); err != nil {
		return err
	}
	h.once("retention", h.engine.Retention.Run)
	h.once("dead-letters", retention.DeadLetters{Now: member.Clock(h.cluster.Load), Purge: h.actions.Purge, Logger: h.logger,
		Retention: func() time.Duration { return h.live.Config().Bus.DeadLetters.Retention }}.Run)
	h.background("the refresh of the marketplace list", h.sources.Run)
	if err := h.startSchedules(ctx); err != nil {
		return err
	}
	h.background("the watch of the configuration", h.live.Run)
	verifier, err := h.startTokens(ctx)
	if err != nil {
		return err
	}
	if err := h.startAPI(ctx, verifier); err != nil {
		return err
	}
	return h.startCluster(verifier)
}

// onClose registers the function that closes a part that has started.
func (h *Host) onClose(part string, do func(context.Context) error) {
	h.cleanups = append(h.cleanups, cleanup{part, do})
}

// background runs f until the host closes.
func (h *Host) background(part string, f func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(ctx)
	}()
	h.onClose(part, func(context.Context) error {
		cancel()
		<-done
		return nil
	})
}

// closeGrace is the time for a part that is closed after the deadline: a handler that
// does not end must not prevent other parts from flushing.
const closeGrace = time.Second

func (c cleanup) run(ctx context.Context) error {
	if ctx.Err() != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), closeGrace)
		defer cancel()
	}
	if err := c.do(ctx); err != nil {
		return fmt.Errorf("close %s: %w", c.part, err)
	}
	return nil
}

// Close closes the parts in reverse order: intake stops, open events finish, and the
// store is closed last. When ctx ends, open events are stopped; the next start delivers
// them again. Further calls wait for the first and return its error.
func (h *Host) Close(ctx context.Context) error {
	h.closing.Do(func() {
		defer close(h.closed)
		var errs []error
		for i := len(h.cleanups) - 1; i >= 0; i-- {
			if err := h.cleanups[i].run(ctx); err != nil {
				errs = append(errs, err)
			}
		}
		h.closeErr = errors.Join(errs...)
	})
	<-h.closed
	return h.closeErr
}

// Failed receives an error when the host can no longer serve. Close it then.
func (h *Host) Failed() <-chan error { return h.failed }

// URL returns the base URL of the API for programs on this machine.
func (h *Host) URL() string {
	scheme, at := "http://", h.addr
	if h.secure {
		scheme = "https://"
	}
	if addr, err := netip.ParseAddrPort(at); err == nil && addr.Addr().IsUnspecified() {
		at = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), addr.Port()).String()
		if addr.Addr().Is6() { // it may not accept IPv4
			at = netip.AddrPortFrom(netip.IPv6Loopback(), addr.Port()).String()
		}
	}
	return scheme + at
}

// LoginLink returns a URL of the console that logs a browser in once, within ten minutes,
// with the rights of the admin token. The error is fault.Unavailable while there is none.
func (h *Host) LoginLink() (string, error) {
	path, err := h.loginLink()
	if err != nil {
		return "", err
	}
	return h.URL() + path, nil
}

// CertFile returns the certificate file of the API; "" for plain HTTP.
func (h *Host) CertFile() string {
	if !h.secure {
		return ""
	}
	return h.live.Started().Server.TLS.CertFile
}

// ShutdownTimeout returns the configured timeout of Close.
func (h *Host) ShutdownTimeout() time.Duration { return h.live.Config().Server.ShutdownTimeout }

// DataDir returns the directory of the data and the admin token.
func (h *Host) DataDir() string { return h.live.DataDir() }

// Hangup reloads the configuration for a signal; the outcome is logged and audited.
func (h *Host) Hangup(ctx context.Context) error { return h.live.Hangup(ctx) }

// Ready waits until every plugin found at the start is active or refused.
func (h *Host) Ready(ctx context.Context) error { return h.plugins.WaitReady(ctx) }

// ready answers /readyz: nil when every plugin found at the start is active or refused,
// the store accepts writes and no handler is stuck. Clients need no token to read it.
func (h *Host) ready() error {
	if err := h.engine.Health(); err != nil {
		return err
	}
	if c := h.cluster.Load(); c != nil {
		if err := c.Ready(); err != nil {
			return err
		}
	}
	if err := h.runner.Ready(); err != nil {
		return err
	}
	if !h.pluginsLoaded.Load() {
		return fault.New(fault.Unavailable, "plugins are still being loaded")
	}
	return nil
}
