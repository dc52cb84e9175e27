package sandbox

import (
	"context"
	"log/slog"
	"runtime"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox/vet"
	"github.com/berth-host/berth/host/spec"
)

// Vetter judges modules before the Engine touches them; package vet has the real
// one. It must be safe for concurrent use.
type Vetter interface {
	// Vet returns nil only for a module that passed, with what to compile and where
	// its compiled code is. It keeps no reference to the module's bytes.
	Vet(ctx context.Context, module spec.Artifact) (vet.Verdict, error)
	// Forget drops the compiled code, so that the next Vet compiles again.
	Forget(vet.Verdict) error
}

// Config says how an Engine works. Vetter is required.
type Config struct {
	Vetter Vetter
	// MemoryTotal is what all instances may have together, in bytes; 0 for no bound.
	MemoryTotal int64
	Logger      *slog.Logger // default nowhere
}

// Engine loads modules. It is safe for concurrent use.
type Engine struct {
	cfg    Config
	memory *budget
	turns  *turns
}

// New returns an Engine.
func New(cfg Config) (*Engine, error) {
	if cfg.Vetter == nil {
		return nil, fault.New(fault.Internal, "sandbox.New: Vetter is required")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Engine{cfg: cfg, memory: newBudget(cfg.MemoryTotal), turns: newTurns(runtime.GOMAXPROCS(0))}, nil
}

// Options are what a module is loaded with.
type Options struct {
	// Memory is the most linear memory of one instance, in bytes; 0 means 64 MiB.
	Memory int64
}

const defaultMemory = 64 << 20

// Load vets a module and loads its compiled code. It keeps no reference to wasm,
// which must not change meanwhile. A module that will never run is a
// fault.Invalid error that says what to build instead; fault.Unavailable is no
// verdict. The caller closes the Module.
func (e *Engine) Load(ctx context.Context, module spec.Artifact, opts Options) (*Module, error) {
	if opts.Memory <= 0 {
		opts.Memory = defaultMemory
	}
	code, report, err := e.compile(ctx, module)
	if err != nil {
		return nil, err
	}
	m := &Module{code: code, shape: code.Shape, report: report, memory: e.memory, turns: e.turns, limit: opts.Memory, logger: e.cfg.Logger}
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

// compile compiles what has passed, out of the cache. What cannot be compiled
// although it passed is vetted once again: its code in the cache is damaged.
func (e *Engine) compile(ctx context.Context, module spec.Artifact) (*vet.Code, vet.Report, error) {
	for again := false; ; again = true {
		verdict, err := e.cfg.Vetter.Vet(ctx, module)
		if err != nil {
			return nil, vet.Report{}, err
		}
		code, err := vet.Compile(ctx, verdict.Metered, verdict.CodeDir)
		if err == nil {
			return code, verdict.Report, nil
		}
		if again {
			return nil, vet.Report{}, fault.New(fault.Internal, "it was vetted, but does not compile: %w", err)
		}
		e.cfg.Logger.Warn("a module that passed does not compile; it is vetted again", "sha256", verdict.Report.SHA256, "error", err)
		if err := e.cfg.Vetter.Forget(verdict); err != nil {
			return nil, vet.Report{}, fault.New(fault.Unavailable, "compilation cache: %w", err)
		}
	}
}
