package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/berth-host/berth/host/api/stream"
	"github.com/berth-host/berth/host/audit"
	"github.com/berth-host/berth/host/bus/retention"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/install"
	"github.com/berth-host/berth/host/marketplace"
	"github.com/berth-host/berth/host/pathguard"
	"github.com/berth-host/berth/host/plugin"
	"github.com/berth-host/berth/host/route"
	"github.com/berth-host/berth/host/run"
	"github.com/berth-host/berth/host/sources"
)

// Config says where a Host finds its configuration and what overrides it.
type Config struct {
	// ConfigPath is the YAML file. "" means config/event_handlers.yaml, which
	// may be absent: the host then runs with the defaults. A file that was named
	// must exist.
	ConfigPath string
	Listen     string // host:port; overrides server.listen
	DataDir    string // overrides data_dir
	Insecure   bool   // may listen beyond loopback without TLS, as server.insecure
	// AcceptDataLoss starts although the store is missing or lacks acknowledged
	// events, and logs which.
	AcceptDataLoss bool
	Compact        bool         // rewrite the store at the start, so that it has no free pages
	Version        string       // of the program
	Logger         *slog.Logger // default nowhere
}

// DefaultConfigPath is read when no configuration is named.
const DefaultConfigPath = "config/event_handlers.yaml"

// Host is one running Berth. Make it with New, then Start it once and Close it.
// Its methods are safe for concurrent use.
type Host struct {
	cfg    Config
	logger *slog.Logger
	path   string // of the configuration file
	editor *config.Editor

	begun   *config.Config // what New read: what only a start can change is as it says
	current atomic.Pointer[config.Config]
	table   atomic.Pointer[route.Table]
	feed    *stream.Feed // what the event stream shows besides what is published

	plugins       *plugin.Manager
	install       *install.Installer
	sources       *sources.Sources
	fetchConfig   marketplace.Config                                             // in tests: whom fetches trust, ask for addresses and wait for
	newTimer      func(time.Duration) (fired <-chan time.Time, stop func() bool) // nil: a timer. Set in tests
	pluginsLoaded atomic.Bool                                                    // every plugin found at the start is active or refused
	reports       *run.Reports                                                   // what vetting found, for the API
	audit         *audit.Log                                                     // who changed what
	addr          string
	secure        bool // the API speaks TLS

	retention   *retention.Retention
	storeHealth func() error // nil without a file
	runner      *run.Runner

	reload   sync.Mutex // one Reload or edit of the configuration at a time
	cleanups []cleanup  // of Start, undone by Close, last in first out
	failed   chan error // a part that serves has ended by itself
	closing  sync.Once
	closed   chan struct{}
	closeErr error
}

type cleanup struct {
	what string
	do   func(context.Context) error
}

// New reads and checks the configuration. A file that is wrong is a
// fault.Invalid error that lists every problem as file:line: path: reason.
func New(cfg Config) (*Host, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	h := &Host{cfg: cfg, logger: cfg.Logger, path: cfg.ConfigPath, feed: stream.NewFeed(0), closed: make(chan struct{}), failed: make(chan error, 1)}
	named := h.path != ""
	if !named {
		h.path = DefaultConfigPath
	}
	h.editor = config.NewEditor(h.path)
	h.editor.Check = func(c *config.Config) error {
		_, err := compile(h.path, c)
		return err
	}
	recovered, err := config.Recover(h.path, cfg.DataDir)
	if err != nil {
		return nil, err
	}
	if recovered {
		h.logger.Warn("an edit of the configuration was broken off; its former text was put back", "path", h.path)
	}
	c, table, _, err := load(h.path)
	switch {
	case err == nil:
		h.editor.Expect()
	case named || !errors.Is(err, fs.ErrNotExist):
		return nil, err
	default:
		c = config.Default()
		if table, err = compile(h.path, c); err != nil {
			return nil, err
		}
		h.logger.Info("there is no configuration, so the defaults hold and no event reaches a handler: write one with routes", "path", h.path)
	}
	h.begun = c
	h.editor.KeepCopies(h.dataDir())
	h.current.Store(c)
	h.table.Store(table)
	return h, nil
}

// load reads the configuration and compiles its routes. The text is what the
// lines of further problems are looked up in.
func load(path string) (*config.Config, *route.Table, []byte, error) {
	text, err := config.Read(path)
	if err != nil {
		return nil, nil, nil, err
	}
	c, err := config.Parse(path, text)
	if err != nil {
		return nil, nil, nil, err
	}
	table, err := compile(path, c)
	return c, table, text, err
}

// ReadConfig reads and checks a configuration as New does, and starts nothing.
func ReadConfig(path string) (*config.Config, error) {
	c, _, _, err := load(path)
	return c, err
}

// compile builds the route table; what is wrong with a condition is reported
// like every other problem of the file.
func compile(path string, c *config.Config) (*route.Table, error) {
	table, err := route.New(c.Routes)
	var wrong route.Errors
	if !errors.As(err, &wrong) {
		return table, err
	}
	problems := make([]config.Problem, len(wrong))
	for i, w := range wrong {
		where := "routes." + w.Pattern
		if w.Key != "" {
			where += "." + w.Key
		}
		problems[i] = config.Problem{File: path, Line: c.Routes[w.Index].Line, Path: where, Reason: w.Reason}
	}
	return nil, config.NewError(problems...)
}

// makePrivate makes a directory that no other user can change, or refuses the one
// that is there.
func makePrivate(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return pathguard.Check(dir)
}

// dataDir is where everything durable is.
func (h *Host) dataDir() string {
	if h.cfg.DataDir != "" {
		return h.cfg.DataDir
	}
	return h.begun.DataDir
}

// listen is the address to listen on.
func (h *Host) listen() string {
	if h.cfg.Listen != "" {
		return h.cfg.Listen
	}
	return h.begun.Server.Listen
}

// Start brings everything up. When it returns nil the API answers, and every
// event published from now on waits for the plugins that are there; they become
// active in the background (see Ready). When it fails, everything is down again.
func (h *Host) Start(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, h.Close(context.WithoutCancel(ctx)))
		}
	}()
	if err := makePrivate(h.dataDir()); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	for _, dir := range pathguard.Trusted() {
		h.logger.Warn("the host does not check who can change this directory, because "+pathguard.TrustedEnv+" names it", "path", dir)
	}
	h.audit = audit.New(audit.Config{Path: filepath.Join(h.dataDir(), audit.File)})
	log, err := h.openLog(ctx)
	if err != nil {
		return err
	}
	feed, err := h.startBus(log)
	if err != nil {
		return err
	}
	runner, err := h.startRunner(feed, log)
	if err != nil {
		return err
	}
	h.startSources()
	if err := h.startInstalls(ctx, log); err != nil {
		return err
	}
	h.sources.Load()
	if err := h.startPlugins(ctx, runner); err != nil {
		return err
	}
	h.background("the retention", h.retention.Run)
	h.background("the dead letters' retention", retention.DeadLetters{
		Retention: func() time.Duration { return h.current.Load().Bus.DeadLetters.Retention }, Purge: runner.Dispatcher.Purge, Logger: h.logger}.Run)
	h.background("the refresh of the marketplace list", h.sources.Run)
	h.startWatch()
	return h.startAPI(ctx, log, feed, runner)
}

// undo registers what takes down the part that was just started.
func (h *Host) undo(what string, do func(context.Context) error) {
	h.cleanups = append(h.cleanups, cleanup{what, do})
}

// background runs f until the host closes.
func (h *Host) background(what string, f func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(ctx)
	}()
	h.undo(what, func(context.Context) error {
		cancel()
		<-done
		return nil
	})
}

// closeGrace is what a part has whose turn comes after the time for closing: a
// handler that does not end must not cost what others have yet to write down.
const closeGrace = time.Second

func (c cleanup) run(ctx context.Context) error {
	if ctx.Err() != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), closeGrace)
		defer cancel()
	}
	if err := c.do(ctx); err != nil {
		return fmt.Errorf("close %s: %w", c.what, err)
	}
	return nil
}

// Close stops intake, lets open events finish and closes everything. When ctx
// ends, open events are stopped and delivered again at the next start. Further
// calls wait for the first and answer the same.
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

// Failed yields an error when the host can no longer serve. Close it then.
func (h *Host) Failed() <-chan error { return h.failed }

// Addr is the address the API listens on, host:port, once Start has returned.
func (h *Host) Addr() string { return h.addr }

// URL is where programs on this machine reach the API.
func (h *Host) URL() string {
	scheme, at := "http://", h.addr
	if h.secure {
		scheme = "https://"
	}
	if addr, err := netip.ParseAddrPort(at); err == nil && addr.Addr().IsUnspecified() {
		at = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), addr.Port()).String()
		if addr.Addr().Is6() { // on some machines it does not take IPv4 as well
			at = netip.AddrPortFrom(netip.IPv6Loopback(), addr.Port()).String()
		}
	}
	return scheme + at
}

// CertFile is the certificate that the API shows; "" when it speaks plain HTTP.
func (h *Host) CertFile() string {
	if !h.secure {
		return ""
	}
	return h.begun.Server.TLS.CertFile
}

// ShutdownTimeout is how long the configuration gives Close.
func (h *Host) ShutdownTimeout() time.Duration { return h.current.Load().Server.ShutdownTimeout }

// DataDir is where the host keeps its data and the admin token.
func (h *Host) DataDir() string { return h.dataDir() }

// Ready waits until every plugin that was there at the start is active or has
// been refused.
func (h *Host) Ready(ctx context.Context) error { return h.plugins.WaitReady(ctx) }

// storeFault is why the store takes no writes; nil when it does, or has no file.
func (h *Host) storeFault() error {
	if h.storeHealth == nil {
		return nil
	}
	return h.storeHealth()
}

// ready answers /readyz: nil when every plugin found at the start is settled, the
// store takes writes and no handler is stuck. Callers need no token to see it.
func (h *Host) ready() error {
	if err := h.storeFault(); err != nil {
		return err
	}
	if err := h.runner.Ready(); err != nil {
		return err
	}
	if !h.pluginsLoaded.Load() {
		return fault.New(fault.Unavailable, "plugins are still being loaded")
	}
	return nil
}

func (h *Host) cacheDir() string { return filepath.Join(h.dataDir(), "cache") }
