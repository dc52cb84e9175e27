package sandbox

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/berth-host/berth/host/fault"
)

// Config says how an Engine compiles. The zero value compiles without a cache
// on disk and logs nowhere.
type Config struct {
	// CacheDir keeps compiled code between starts. Its content is executed, so
	// it must be writable by this user only; it is created with mode 0700.
	CacheDir string
	Logger   *slog.Logger
}

// Engine loads modules. It is safe for concurrent use.
type Engine struct {
	cfg Config
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
	return &Engine{cfg: cfg}, nil
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
	// Memory is the most linear memory of one instance, in bytes. It is rounded
	// down to pages of 64 KiB; 0 means 64 MiB.
	Memory int64
}

const pageSize = 64 << 10

func (o Options) pages() uint32 {
	if o.Memory <= 0 {
		o.Memory = 64 << 20
	}
	return uint32(min(o.Memory/pageSize, 65535))
}

// Load checks and compiles a module. It keeps no reference to wasm. A module
// that will never run is a fault.Invalid error that says what to build instead.
// The caller closes the Module.
func (e *Engine) Load(ctx context.Context, wasm []byte, opts Options) (_ *Module, err error) {
	if err := checkHeader(wasm); err != nil {
		return nil, err
	}
	rc := wazero.NewRuntimeConfigCompiler().
		WithCoreFeatures(api.CoreFeaturesV2).
		WithMemoryLimitPages(opts.pages()).
		WithMemoryCapacityFromMax(false).
		WithDebugInfoEnabled(false).
		WithCustomSections(false).
		WithCloseOnContextDone(true)
	var cache wazero.CompilationCache
	if e.cfg.CacheDir != "" {
		// A cache per module: closing it closes its engine and frees the code,
		// while the directory is shared.
		if cache, err = wazero.NewCompilationCacheWithDir(e.cfg.CacheDir); err != nil {
			return nil, fault.New(fault.Unavailable, "compilation cache: %w", err)
		}
		rc = rc.WithCompilationCache(cache)
	}
	m := &Module{runtime: wazero.NewRuntimeWithConfig(ctx, rc), cache: cache, logger: e.cfg.Logger}
	defer func() {
		// CompileModule can panic on a damaged module.
		if r := recover(); r != nil {
			err = fault.New(fault.Invalid, "the compiler gave up on the module: %v", r)
		}
		if err != nil {
			_ = m.Close(context.WithoutCancel(ctx))
		}
	}()
	compiled, err := m.runtime.CompileModule(ctx, wasm)
	if err != nil {
		return nil, fault.New(fault.Invalid, "not a module this host runs: %w", err)
	}
	m.compiled = compiled
	if m.shape, err = inspect(compiled); err != nil {
		return nil, err
	}
	if err := m.linkHost(ctx); err != nil {
		return nil, fault.New(fault.Internal, "link the host functions: %w", err)
	}
	return m, nil
}
