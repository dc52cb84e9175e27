package live

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/audit"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/config/document"
	"github.com/berth-host/berth/host/config/overlay"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/plugin"
	"github.com/berth-host/berth/host/route"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// DefaultPath is the configuration file when none is named.
const DefaultPath = "config/event_handlers.yaml"

// Plugins are the plugins that run under the configuration.
type Plugins interface {
	Check(context.Context, plugin.SettingsFunc) ([]plugin.Misfit, error)
	Reload(ctx context.Context, directories []string) error
	List() []wire.Plugin
	Manifest(name string) (m abi.Manifest, known bool)
}

// noPlugins are the plugins of a host that is starting.
type noPlugins struct{}

func (noPlugins) Check(context.Context, plugin.SettingsFunc) ([]plugin.Misfit, error) {
	return nil, nil
}
func (noPlugins) Reload(context.Context, []string) error    { return nil }
func (noPlugins) List() []wire.Plugin                       { return nil }
func (noPlugins) Manifest(string) (m abi.Manifest, ok bool) { return m, false }

// Config configures a Live. Audit and Logger are required.
type Config struct {
	// Path is the configuration file, which must exist; "" is DefaultPath, which may
	// be missing.
	Path    string
	Listen  string // overrides server.listen
	DataDir string // overrides data_dir
	Audit   func(audit.Record) error
	Logger  *slog.Logger
}

// Live is the configuration in force. It is safe for concurrent use.
type Live struct {
	cfg     Config
	path    string
	editor  *config.Editor
	started *config.Config // read by Open: restart-only settings keep its values
	now     atomic.Pointer[inForce]
	plugins atomic.Pointer[Plugins]

	mu       sync.Mutex     // one reload or edit at a time
	shared   decisions      // of the cluster
	compiled inForce        // the configuration compiled last
	applied  *config.Config // checked with the plugins, which were reloaded under it; nil before the first time
	onChange []func(former, now *config.Config)
}

// inForce is a configuration with what is compiled from it.
type inForce struct {
	config *config.Config
	table  *route.Table
	events *compiledEvents
	since  time.Time // when it was put in force; zero before

	file    *config.Config   // what the file says, without the decisions of the cluster
	overlay *overlay.Overlay // these decisions, which config has; nil: none
}

// Open reads the configuration, with the file's former text restored after a crash
// during an edit. It returns a fault.Invalid error that lists every problem of the file
// as file:line: path: reason.
func Open(cfg Config) (*Live, error) {
	l := &Live{cfg: cfg, path: cfg.Path}
	named := l.path != ""
	if !named {
		l.path = DefaultPath
	}
	l.Attach(noPlugins{})
	l.editor = config.NewEditor(l.path)
	l.editor.Check = func(c *config.Config) error {
		_, err := l.compile(c)
		return err
	}
	restored, err := config.Recover(l.path, cfg.DataDir)
	if err != nil {
		return nil, err
	}
	if restored {
		cfg.Logger.Warn("configuration edit was interrupted; former text restored", "path", l.path)
	}
	c, _, err := l.editor.Read()
	switch {
	case err == nil:
		l.editor.Expect()
	case named || !errors.Is(err, fs.ErrNotExist):
		return nil, err
	default:
		c = config.Default()
		cfg.Logger.Info("no configuration file; defaults apply and no event is routed to a handler: create it with routes", "path", l.path)
	}
	n, err := l.compile(c)
	if err != nil {
		return nil, err
	}
	l.started = c
	l.activate(n)
	l.editor.KeepCopies(l.DataDir())
	return l, nil
}

// Read reads and checks a configuration file, as Open does.
func Read(path string) (*config.Config, error) {
	c, err := config.Load(path)
	if err == nil {
		_, err = compile(path, c)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// DataDirOf returns the data directory of a configuration file, "" for DefaultPath; the
// default one when the file is invalid or missing.
func DataDirOf(path string) string {
	if path == "" {
		path = DefaultPath
	}
	c, err := Read(path)
	if err != nil {
		c = config.Default()
	}
	return c.DataDir
}

// activate puts a configuration in force, and returns the former one. It requires l.mu,
// except in Open.
func (l *Live) activate(n inForce) (former *inForce) {
	n.since = time.Now()
	if now := l.now.Load(); now != nil && now.config == n.config {
		n.since = now.since
	}
	return l.now.Swap(&n)
}

// Attach sets the plugins that changes are checked against and applied to. Until then
// a change is applied without plugins.
func (l *Live) Attach(p Plugins) { l.plugins.Store(&p) }

// OnChange registers a function that is called after each change, one call at a time.
func (l *Live) OnChange(f func(former, now *config.Config)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.onChange = append(l.onChange, f)
}

// Path returns the path of the configuration file.
func (l *Live) Path() string { return l.path }

// Config returns the configuration in force. Treat it as immutable.
func (l *Live) Config() *config.Config { return l.now.Load().config }

// Table returns the route table in force.
func (l *Live) Table() *route.Table { return l.now.Load().table }

// Started returns the configuration at the start, whose restart-only settings are in
// force.
func (l *Live) Started() *config.Config { return l.started }

// DataDir returns the data directory.
func (l *Live) DataDir() string {
	if l.cfg.DataDir != "" {
		return l.cfg.DataDir
	}
	return l.started.DataDir
}

// Listen returns the address to listen on.
func (l *Live) Listen() string {
	if l.cfg.Listen != "" {
		return l.cfg.Listen
	}
	return l.started.Server.Listen
}

// Settings implements plugin.SettingsFunc under the configuration in force, and with the shards
// in force.
func (l *Live) Settings(name string, m abi.Manifest) (spec.Settings, error) {
	s, err := settingsUnder(l.Config())(name, m)
	l.shared.shard(name, &s)
	return s, err
}

// settingsUnder resolves settings under a configuration.
func settingsUnder(c *config.Config) plugin.SettingsFunc {
	return func(name string, m abi.Manifest) (spec.Settings, error) {
		s, _ := c.Resolve(name, m)
		return s, c.Check(name, m)
	}
}

// InForce returns the settings in force: of one handler, or for "" those of the host,
// with the values in use from its start. It returns fault.NotFound for a handler that
// is neither configured nor installed.
func (l *Live) InForce(handler string, started config.Started) (wire.Settings, error) {
	c := l.Config()
	var list []wire.Setting
	if handler == "" {
		list = started.InForce(c)
	} else {
		plugins := *l.plugins.Load()
		_, configured := c.Handlers[handler]
		if !configured && !slices.ContainsFunc(plugins.List(), func(p wire.Plugin) bool { return p.Name == handler }) {
			return wire.Settings{}, fault.New(fault.NotFound, "no handler %s is configured in %s or installed", handler, l.path)
		}
		m, _ := plugins.Manifest(handler) // without a manifest it requests nothing
		list = config.SettingsOf(c, handler, m)
	}
	decided := l.now.Load().overlay
	for i, s := range list {
		if decided.Decides(s.Path) {
			list[i].Source = wire.FromDatabase
		}
	}
	return wire.Settings{File: l.path, Items: list, NeedsRestart: config.Restarts(l.started, c)}, nil
}

// compile returns the configuration of a file, with the decisions of the cluster, and with
// what is compiled from it. The one compiled last is not compiled again, unless a schema file
// has changed. It requires l.mu, except in Open.
func (l *Live) compile(file *config.Config) (inForce, error) {
	return l.compileUnder(l.shared.overlay, file)
}

// compileUnder is compile with these decisions.
func (l *Live) compileUnder(decided *overlay.Overlay, file *config.Config) (inForce, error) {
	c := decided.On(file)
	if c == l.compiled.config && l.compiled.events.upToDate() {
		l.compiled.file, l.compiled.overlay = file, decided
		return l.compiled, nil
	}
	n, err := compile(l.path, c)
	if err != nil {
		return inForce{}, err
	}
	n.file, n.overlay = file, decided
	l.compiled = n
	return l.compiled, nil
}

// compile compiles the routes, schemas and schedules of a configuration. What is wrong with
// them are problems of the file, like those that the parser finds.
func compile(path string, c *config.Config) (inForce, error) {
	return compileUntil(func() error { return nil }, path, c)
}

// compileUntil is compile until ended returns an error.
func compileUntil(ended func() error, path string, c *config.Config) (inForce, error) {
	table, problems, err := compileRoutes(path, c)
	if err != nil {
		return inForce{}, err
	}
	events, more := compileEvents(ended, path, c)
	if err := ended(); err != nil {
		return inForce{}, err
	}
	if problems = append(problems, more...); problems != nil {
		return inForce{}, document.NewError(problems...)
	}
	return inForce{config: c, table: table, events: events}, nil
}

func compileRoutes(path string, c *config.Config) (*route.Table, []document.Problem, error) {
	table, err := route.New(c.Routes)
	var wrong route.Errors
	if !errors.As(err, &wrong) {
		return table, nil, err
	}
	problems := make([]document.Problem, len(wrong))
	for i, w := range wrong {
		setting := "routes." + w.Pattern
		if w.Key != "" {
			setting += "." + w.Key
		}
		problems[i] = document.Problem{File: path, Line: c.Routes[w.Index].Line, Path: setting, Reason: w.Reason}
	}
	return nil, problems, nil
}
