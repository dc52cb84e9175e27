package plugin

import (
	"context"
	"log/slog"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// Loader vets and compiles modules.
type Loader interface {
	// Load vets and compiles a module, and keeps no reference to its bytes. memory bounds
	// an instance's memory in bytes, 0 for the default. A Module returned after ctx has
	// ended is closed. The Manager retries errors of the codes fault.Unavailable and
	// fault.Exhausted with a backoff, all others after a change.
	Load(ctx context.Context, name string, a spec.Artifact, memory int64) (Module, error)
}

// Module is a compiled module. Several versions of a plugin, with different settings,
// may run from one Module at the same time.
type Module interface {
	Style() string // loop, stdio or extism
	// Close is called once, after every Running of the Module is drained and every
	// Prepared discarded.
	Close(ctx context.Context) error
}

// Runner runs loaded plugins.
type Runner interface {
	// Claim reserves the handler's start position durably: from now on its events wait
	// for it. It is called repeatedly, before the module is vetted, so it must be cheap
	// and idempotent. The Manager never revokes a claim. After fault.Exhausted a later
	// Claim must count from the time of the first one.
	Claim(ctx context.Context, name string) error
	// Prepare starts the first instance and returns when it waits for its first event,
	// of which it gets none before Promote. ctx bounds the start only.
	Prepare(ctx context.Context, s Spec) (Prepared, error)
}

// Prepared is a version whose first instance is started and parked. The Manager calls
// Promote or Discard once, and Discard after a Promote that failed.
type Prepared interface {
	// Promote lets the version receive events. While an older version of the name runs,
	// both receive events until the older one is drained. The Manager promotes one version
	// of a name at a time.
	Promote(ctx context.Context) (Running, error)
	// Discard ends the instance within seconds.
	Discard()
}

// Spec describes a version of a plugin to Runner.Prepare.
type Spec struct {
	Name     string
	Module   Module
	SHA256   string       // of the module, hex
	Manifest abi.Manifest // Name is filled in
	Settings spec.Settings
}

// Running is a running version of a plugin.
type Running interface {
	// Drain ends the instances and waits for their open events. When ctx ends it stops
	// them; their events are delivered again. After it nothing uses the Module.
	Drain(ctx context.Context) error
	// Stats returns this version's counts. It is safe for concurrent use, also after
	// Drain.
	Stats() Stats
	// Apply applies the settings that need no restart: Paused, Logs and Fair. The Manager's
	// loop calls it repeatedly, also without a change: it must be quick. A start uses those of
	// its Spec.
	Apply(s spec.Settings)
}

// Stats are the counts of a Running.
type Stats struct {
	Instances int    // live now
	Delivered uint64 // since its start
	Failed    uint64 // failed attempts since its start
	Fuel      uint64 // spent since its start
	Lag       uint64 // events without a final outcome of the handler
	// Condition is why the handler receives no events now. After a change call
	// Manager.ConditionChanged.
	Condition Condition
}

// Condition is a state of the handler itself, such as an open breaker.
type Condition struct {
	State  wire.PluginState // Paused, Stuck or BreakerOpen; "" when it receives events
	Reason string
	Since  time.Time
}

// SettingsFunc resolves the settings of a plugin. An error becomes the reason for which
// the plugin is rejected. The Manager's loop calls it often: it must be quick, and must
// not call SetEnabled, Pin, Uninstall, Reload or Close.
type SettingsFunc func(name string, m abi.Manifest) (spec.Settings, error)

// FileChange is a change of a module's file in a watched directory.
type FileChange struct {
	Path          string
	Name          string // of the plugin, or derived from the file's name
	Before, After *FileState
}

// FileState is a module's file with its sidecar; nil if there is no file.
type FileState struct {
	SHA256   string // "" if it is refused
	Manifest abi.Manifest
	Refusal  string // "" if it is not refused
}

// Config configures a Manager. Loader and Runner are required.
type Config struct {
	// Directories to watch, made absolute by New. They need not exist. If two files that
	// were unchanged before Start claim one name, the earlier directory wins, then the
	// earlier path; afterwards the name keeps its file.
	Directories []string
	// Pins are the installed plugins, one for a name. See Manager.Pin.
	Pins   []spec.Pin
	Loader Loader
	Runner Runner
	// Settings resolves settings. nil: everything is enabled and nothing granted.
	Settings SettingsFunc
	// SetEnabled, SetPaused and SetGrants persist the operator's decisions. When one of
	// them returns, Settings returns what it has set. Required for the methods of the
	// Manager that call them: SetEnabled, SetPaused and Approve.
	SetEnabled func(ctx context.Context, name string, enabled bool) error
	SetPaused  func(ctx context.Context, name string, paused bool) error
	SetGrants  func(ctx context.Context, name string, grants []spec.Grant) error
	// OnChange gets every plugin of List after a change of a field other than its counts;
	// the last state of a plugin is draining. The Manager's loop calls it, in order: it
	// must be quick, and must not call SetEnabled, Pin, Uninstall, Reload or Close.
	OnChange func(wire.Plugin)
	// OnFile gets the module files in the watched directories, first those present at the
	// start, then every change, once the file is unchanged for Debounce. Files removed by
	// Uninstall are not reported. The Manager's loop calls it, as it calls OnChange. nil:
	// no reports.
	OnFile func(FileChange)
	Logger *slog.Logger // nil: discard

	Debounce     time.Duration // a file must be unchanged for so long before it is judged. 0: 150ms
	Quiet        time.Duration // before an incomplete file is rejected. 0: 2s
	Rescan       time.Duration // between scans without a change. 0: 10s, and 1s where watching fails
	LoadTimeout  time.Duration // of one load and start. 0: 1m
	DrainTimeout time.Duration // of a drain, before open events are stopped. 0: 30s
	MaxSize      int64         // of a module's file, in bytes. 0: 64 MiB
}

func (c Config) withDefaults() Config {
	if c.Settings == nil {
		c.Settings = func(string, abi.Manifest) (spec.Settings, error) { return spec.Settings{Enabled: true}, nil }
	}
	if c.OnChange == nil {
		c.OnChange = func(wire.Plugin) {}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Debounce = orDefault(c.Debounce, 150*time.Millisecond)
	c.Quiet = max(orDefault(c.Quiet, 2*time.Second), c.Debounce)
	c.Rescan = orDefault(c.Rescan, 10*time.Second)
	c.LoadTimeout = orDefault(c.LoadTimeout, time.Minute)
	c.DrainTimeout = orDefault(c.DrainTimeout, 30*time.Second)
	c.MaxSize = orDefault(c.MaxSize, 64<<20)
	return c
}

// slowLoad is after how long a load is shown as waiting for processor: longer than
// vetting and compiling take on a processor of their own.
func (c Config) slowLoad() time.Duration { return min(10*time.Second, c.LoadTimeout/2) }

func orDefault[T ~int64](v, fallback T) T {
	if v <= 0 {
		return fallback
	}
	return v
}
