package plugin

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/plugin/folder"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

const (
	readers     = 2                // files read at a time
	loaders     = 16               // modules loaded at a time; the Loader chooses their order
	large       = 8 << 20          // bytes from which on a module takes a slot for large ones
	larges      = 2                // large modules loaded at a time
	slotTimeout = 3 * time.Second  // after which a read or load releases its slot
	leftover    = 10 * time.Minute // age from which on a temporary file is removed
	overtime    = 2 * time.Second  // that Close waits after its context has ended
)

// Manager watches directories and runs the plugins in them. All its methods
// are safe for concurrent use.
type Manager struct {
	config  Config
	watcher *folder.Watcher

	reading chan struct{}
	loading chan struct{}
	larges  chan struct{}

	calls      chan func(*loop) // functions that the loop runs
	conditions chan struct{}    // wake-ups of ConditionChanged, at most one
	done       chan struct{}    // closed when the loop has ended

	work       context.Context // ends when the Manager closes: reading, loading, starting
	stopWork   context.CancelFunc
	drains     context.Context // ends when Close's context does
	stopDrains context.CancelFunc

	mu      sync.RWMutex
	started bool
	closed  bool
	views   []view // immutable; replaced by publish
}

// New returns a Manager, which does nothing before Start.
func New(config Config) (*Manager, error) {
	if config.Loader == nil || config.Runner == nil {
		return nil, fault.New(fault.Internal, "plugin.New: Loader and Runner are required")
	}
	dirs, err := clean(config.Directories)
	if err != nil {
		return nil, err
	}
	for i, p := range config.Pins {
		if err := checkPin(p); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(config.Pins[:i], func(o spec.Pin) bool { return o.Name == p.Name }) {
			return nil, fault.New(fault.Internal, "plugin.New: %s is pinned twice", p.Name)
		}
	}
	config = config.withDefaults()
	config.Directories = dirs
	m := &Manager{
		config:  config,
		reading: make(chan struct{}, readers),
		loading: make(chan struct{}, loaders),
		larges:  make(chan struct{}, larges),
		calls:   make(chan func(*loop)),

		conditions: make(chan struct{}, 1),
		done:       make(chan struct{}),
	}
	m.work, m.stopWork = context.WithCancel(context.Background())
	m.drains, m.stopDrains = context.WithCancel(context.Background())
	return m, nil
}

// clean makes directories absolute and drops duplicates.
func clean(dirs []string) ([]string, error) {
	var list []string
	for _, dir := range dirs {
		path, err := filepath.Abs(dir)
		if err != nil {
			return nil, fault.New(fault.Internal, "find plugin directory %s: %w", dir, err)
		}
		if !slices.Contains(list, path) {
			list = append(list, path)
		}
	}
	return list, nil
}

// Start scans the directories, and returns when the name of every complete module is
// claimed: from then on its events wait for it. The modules are loaded afterwards; see
// WaitReady. A claim that a full disk refuses (fault.Exhausted) is retried; any other
// error of a claim, or the end of ctx, closes the Manager. ctx bounds the call only. Start
// may be called once.
func (m *Manager) Start(ctx context.Context) error {
	m.mu.Lock()
	if m.started || m.closed {
		m.mu.Unlock()
		return fault.New(fault.Conflict, "start the plugin manager: it was started or closed before")
	}
	m.started = true
	m.watcher = folder.NewWatcher()
	m.mu.Unlock()

	claimed := make(chan error, 1)
	go newLoop(m, claimed).run()
	var err error
	select {
	case err = <-claimed:
	case <-ctx.Done():
		err = fault.New(fault.Timeout, "look for plugins: %w", ctx.Err())
	}
	if err == nil {
		return nil
	}
	// Nothing runs yet, so an expired context stops nothing.
	expired, cancel := context.WithCancel(context.Background())
	cancel()
	return errors.Join(err, m.Close(expired))
}

// WaitReady waits until every file is inspected, and every plugin that is to run is started
// or rejected.
func (m *Manager) WaitReady(ctx context.Context) error {
	return m.when(ctx, "wait for the plugins", func(l *loop) bool { return l.claimed == nil && !l.judging() && !l.working() })
}

// List returns the plugins with their counts, sorted by name. A file whose name belongs to
// another file is a plugin of its own, after that.
func (m *Manager) List() []wire.Plugin {
	views := m.snapshot()
	list := make([]wire.Plugin, len(views))
	for i, r := range views {
		list[i] = r.wire()
	}
	return list
}

// Plugin returns the plugin of the name, or fault.NotFound.
func (m *Manager) Plugin(name string) (wire.Plugin, error) {
	for _, r := range m.snapshot() {
		if r.plugin.Name == name {
			return r.wire(), nil
		}
	}
	return wire.Plugin{}, notFound(name)
}

// Manifest returns the manifest of the plugin of the name; false if there is none, or its
// file is not inspected yet. The caller must not change it.
func (m *Manager) Manifest(name string) (abi.Manifest, bool) {
	for _, r := range m.snapshot() {
		if r.plugin.Name == name && r.target.sha256 != "" {
			return r.target.manifest, true
		}
	}
	return abi.Manifest{}, false
}

// Reload sets the directories and resolves all settings again. It returns before plugins
// with changed settings are replaced, each after its new version has started.
func (m *Manager) Reload(ctx context.Context, directories []string) error {
	dirs, err := clean(directories)
	if err != nil {
		return err
	}
	const doing = "reload the plugins"
	generation := 0
	if err := m.ask(ctx, doing, func(l *loop) {
		l.reload(dirs)
		generation = l.generation
	}); err != nil {
		return err
	}
	return m.when(ctx, doing, func(l *loop) bool { return l.scanned >= generation })
}

// Close stops watching and loading, and drains all plugins at the same time, the last
// started first. When ctx ends, open events are stopped. It returns when every goroutine
// has ended, or fault.Timeout if one does not end. It may be called more than once.
func (m *Manager) Close(ctx context.Context) error {
	m.mu.Lock()
	m.closed = true
	started := m.started
	m.mu.Unlock()
	m.stopWork()
	if !started {
		m.stopDrains()
		return nil
	}
	defer context.AfterFunc(ctx, m.stopDrains)()
	select {
	case <-m.done:
		return nil
	case <-ctx.Done():
	}
	late := time.NewTimer(overtime)
	defer late.Stop()
	select {
	case <-m.done:
		return nil
	case <-late.C:
		return fault.New(fault.Timeout, "close the plugin manager: a load or a drain does not end: %w", ctx.Err())
	}
}

func (m *Manager) snapshot() []view {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.views
}

func notFound(name string) error {
	return fault.New(fault.NotFound, "there is no plugin %q", name)
}

// ask makes the loop run fn, and waits for it.
func (m *Manager) ask(ctx context.Context, doing string, fn func(*loop)) error {
	m.mu.RLock()
	started := m.started
	m.mu.RUnlock()
	if !started {
		return fault.New(fault.Unavailable, "%s: the plugin manager is not started", doing)
	}
	ran := make(chan struct{})
	select {
	case m.calls <- func(l *loop) { fn(l); close(ran) }:
		<-ran // soon: the loop does not block
		return nil
	case <-ctx.Done():
		return fault.New(fault.Timeout, "%s: %w", doing, ctx.Err())
	case <-m.work.Done():
		return fault.New(fault.Unavailable, "%s: the plugin manager is closed", doing)
	}
}

func (m *Manager) await(ctx context.Context, doing string, answer <-chan struct{}) error {
	select {
	case <-answer:
		return nil
	case <-ctx.Done():
		return fault.New(fault.Timeout, "%s: %w", doing, ctx.Err())
	case <-m.work.Done():
		return fault.New(fault.Unavailable, "%s: the plugin manager is closed", doing)
	}
}
