package sandbox

import (
	"context"
	"log/slog"
	"runtime"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox/memory"
	"github.com/berth-host/berth/host/sandbox/source"
	"github.com/berth-host/berth/host/sandbox/vet"
	"github.com/berth-host/berth/host/spec"
)

// Vetter vets modules before the Engine loads them; package vet implements it. It must be
// safe for concurrent use.
type Vetter interface {
	// Vet returns the verdict on a module that passed, with the metered module and the
	// directory of its compiled code. It keeps no reference to the module's bytes.
	Vet(ctx context.Context, module spec.Artifact) (vet.Verdict, error)
	// Forget deletes the compiled code, so that the next Vet compiles again.
	Forget(vet.Verdict) error
	// Lines answers a query about the source of a vetted module.
	Lines(ctx context.Context, module vet.Original, q source.Query) (source.Answer, error)
}

// Config configures an Engine. Vetter is required.
type Config struct {
	Vetter Vetter
	// MemoryTotal bounds the memory of all instances together, in bytes; 0 for no bound.
	MemoryTotal int64
	Logger      *slog.Logger // default nowhere
	// LinesWait is how long a failed attempt waits for the source lines of its stack;
	// default source.DefaultWait.
	LinesWait time.Duration
}

// Engine loads modules. It is safe for concurrent use.
type Engine struct {
	cfg    Config
	memory *memory.Budget
	slots  *cpuSlots
	lines  *source.Limits
}

// New returns an Engine.
func New(cfg Config) (*Engine, error) {
	if cfg.Vetter == nil {
		return nil, fault.New(fault.Internal, "sandbox.New: Vetter is required")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Engine{cfg: cfg, memory: memory.NewBudget(cfg.MemoryTotal), slots: newCPUSlots(runtime.GOMAXPROCS(0)),
		lines: source.NewLimits(cfg.LinesWait)}, nil
}

// Options configure one module.
type Options struct {
	// Memory bounds the linear memory of one instance, in bytes; default 64 MiB.
	Memory int64
}

const defaultMemory = 64 << 20

// Load vets a module and loads its compiled code. It keeps no reference to the module's
// bytes, which must not change meanwhile. The error of a rejected module is fault.Invalid
// and says what to build instead; fault.Unavailable means that the module could not be
// vetted. The caller closes the Module.
func (e *Engine) Load(ctx context.Context, module spec.Artifact, opts Options) (*Module, error) {
	if opts.Memory <= 0 {
		opts.Memory = defaultMemory
	}
	code, verdict, err := e.compile(ctx, module)
	if err != nil {
		return nil, err
	}
	m := &Module{code: code, shape: code.Shape, report: verdict.Report, memory: e.memory, slots: e.slots, limit: opts.Memory, logger: e.cfg.Logger}
	for _, imported := range m.report.Imports {
		if imported.Kind == "func" {
			m.imports++
		}
	}
	original := verdict.Original()
	m.locator = source.NewLocator(func(ctx context.Context, q source.Query) (source.Answer, error) {
		return e.cfg.Vetter.Lines(ctx, original, q)
	}, e.lines)
	if m.shape.Memory > opts.Memory {
		err = fault.New(fault.Invalid, "its memory is %d bytes from the start; its limit is %d (limits.memory)", m.shape.Memory, opts.Memory)
	} else if err = m.linkWASI(ctx); err == nil {
		err = m.linkHost(ctx)
	}
	if err != nil {
		_ = m.Close(context.WithoutCancel(ctx))
		return nil, err
	}
	return m, nil
}

// compile compiles a vetted module from the cache. If that fails, the code in the cache is
// damaged, and compile vets the module once again.
func (e *Engine) compile(ctx context.Context, module spec.Artifact) (*vet.Code, vet.Verdict, error) {
	for again := false; ; again = true {
		verdict, err := e.cfg.Vetter.Vet(ctx, module)
		if err != nil {
			return nil, vet.Verdict{}, err
		}
		code, err := vet.Compile(ctx, verdict.Metered, verdict.CodeDir, verdict.Report.Traceable)
		if err == nil {
			return code, verdict, nil
		}
		if again {
			return nil, vet.Verdict{}, fault.New(fault.Internal, "a vetted module does not compile: %w", err)
		}
		e.cfg.Logger.Warn("vetted module does not compile; vetting again", "sha256", verdict.Report.SHA256, "error", err)
		if err := e.cfg.Vetter.Forget(verdict); err != nil {
			return nil, vet.Verdict{}, fault.New(fault.Unavailable, "compilation cache: %w", err)
		}
	}
}
