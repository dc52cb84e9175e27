package sandbox

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox/meter"
	"github.com/berth-host/berth/host/sandbox/prescan"
)

// Config says how an Engine compiles. The zero value compiles without a cache
// on disk and logs nowhere.
type Config struct {
	// CacheDir keeps compiled code between starts. Its content is executed, so
	// it must be writable by this user only; it is created with mode 0700.
	CacheDir string
	// MemoryTotal is what all instances may have together, in bytes; 0 for no bound.
	MemoryTotal int64
	Logger      *slog.Logger
}

// Engine loads modules. It is safe for concurrent use.
type Engine struct {
	cfg    Config
	memory *budget
}

// New returns an Engine.
func New(cfg Config) (*Engine, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.CacheDir != "" {
		if err := privateDir(cfg.CacheDir); err != nil {
			return nil, fmt.Errorf("compilation cache: %w", err)
		}
	}
	return &Engine{cfg: cfg, memory: &budget{limit: cfg.MemoryTotal}}, nil
}

// privateDir makes sure that nobody else can put code into dir.
func privateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fault.New(fault.Invalid, "%s is not a directory", dir)
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return fault.New(fault.Denied, "%s has mode %04o: others could put code there that Berth would run; chmod 700 it", dir, mode)
	}
	return nil
}

// Options are what a module is loaded with.
type Options struct {
	// Memory is the most linear memory of one instance, in bytes; 0 means 64 MiB.
	Memory int64
}

const (
	pageSize      = 64 << 10
	defaultMemory = 64 << 20
)

// Load checks and compiles a module. It keeps no reference to wasm. A module
// that will never run is a fault.Invalid error that says what to build instead.
// The caller closes the Module.
func (e *Engine) Load(ctx context.Context, wasm []byte, opts Options) (_ *Module, err error) {
	if _, err := prescan.Scan(wasm, prescan.Limits{}); err != nil {
		return nil, fault.New(fault.Invalid, "%w", err)
	}
	metered, _, err := meter.Rewrite(wasm, meter.Config{})
	if err != nil {
		return nil, fault.New(fault.Invalid, "%w", err)
	}
	if opts.Memory <= 0 {
		opts.Memory = defaultMemory
	}
	rc := wazero.NewRuntimeConfigCompiler().
		WithCoreFeatures(api.CoreFeaturesV2).
		WithMemoryLimitPages(65535). // linearMemory holds the limit
		WithMemoryCapacityFromMax(false).
		WithDebugInfoEnabled(false).
		WithCustomSections(false).
		WithCloseOnContextDone(false) // fuel stops a guest, at a tenth of the cost
	var cache wazero.CompilationCache
	if e.cfg.CacheDir != "" {
		// A cache per module: closing it closes its engine and frees the code,
		// while the directory is shared.
		if cache, err = wazero.NewCompilationCacheWithDir(e.cfg.CacheDir); err != nil {
			return nil, fault.New(fault.Unavailable, "compilation cache: %w", err)
		}
		rc = rc.WithCompilationCache(cache)
	}
	m := &Module{runtime: wazero.NewRuntimeWithConfig(ctx, rc), cache: cache, memory: e.memory, limit: opts.Memory, logger: e.cfg.Logger}
	defer func() {
		// CompileModule can panic on a damaged module.
		if r := recover(); r != nil {
			err = fault.New(fault.Invalid, "the compiler gave up on the module: %v", r)
		}
		if err != nil {
			_ = m.Close(context.WithoutCancel(ctx))
		}
	}()
	compiled, err := m.runtime.CompileModule(ctx, metered)
	if err != nil {
		return nil, fault.New(fault.Invalid, "not a module this host runs: %w", err)
	}
	m.compiled = compiled
	if m.shape, err = inspect(compiled); err != nil {
		return nil, err
	}
	if m.shape.memory > opts.Memory {
		return nil, fault.New(fault.Invalid, "its memory is %d bytes from the start; its limit is %d (limits.memory)", m.shape.memory, opts.Memory)
	}
	if err := m.linkWASI(ctx); err != nil {
		return nil, err
	}
	if err := m.linkHost(ctx); err != nil {
		return nil, fault.New(fault.Internal, "link the host functions: %w", err)
	}
	return m, nil
}
