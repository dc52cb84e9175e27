package vet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/berth-host/berth/host/fault"
)

// Code is a module compiled in a runtime of its own.
type Code struct {
	Runtime wazero.Runtime
	Module  wazero.CompiledModule
	Shape   Shape
	cache   wazero.CompilationCache
}

// Close frees the code and everything else of the runtime.
func (c *Code) Close(ctx context.Context) error {
	err := c.Runtime.Close(ctx)
	if c.cache != nil {
		err = errors.Join(err, c.cache.Close(ctx))
	}
	return err
}

// Compile compiles a metered module and inspects its shape. It takes the code from
// the cache in dir, or stores it there; "" uses no cache. traceable is what the Report says:
// stack traces have the offsets of the code, which takes memory. The error is a *Refusal if
// the module is at fault, otherwise fault.Unavailable.
//
// The child and the host both compile with this function, so that the host finds
// the code that the child stored.
func Compile(ctx context.Context, metered []byte, dir string, traceable bool) (_ *Code, err error) {
	rc := wazero.NewRuntimeConfigCompiler().
		WithCoreFeatures(api.CoreFeaturesV2).
		WithMemoryLimitPages(65535). // an instance's memory is bounded where it grows
		WithMemoryCapacityFromMax(false).
		WithDebugInfoEnabled(traceable).
		WithCustomSections(false).
		WithCloseOnContextDone(false) // fuel stops a guest at a tenth of the cost
	c := &Code{}
	if err := c.open(ctx, rc, dir); err != nil {
		return nil, err
	}
	defer func() {
		// CompileModule can panic on a damaged module.
		if r := recover(); r != nil {
			err = &Refusal{Code: CodeCrash, Reason: fmt.Sprintf("the compiler panicked on the module: %v", r)}
		}
		if err != nil {
			_ = c.Close(context.WithoutCancel(ctx))
		}
	}()
	if c.Module, err = c.Runtime.CompileModule(ctx, metered); err != nil {
		var errno syscall.Errno
		if errors.As(err, &errno) { // a full disk, no descriptors
			return nil, fault.New(fault.Unavailable, "compile: %w", err)
		}
		return nil, &Refusal{Code: CodeMalformed, Reason: "not a module this host runs: " + err.Error()}
	}
	if c.Shape, err = inspect(c.Module); err != nil {
		return nil, err
	}
	return c, nil
}

// opening is held while a cache and a runtime are created: wazero 1.12 then writes
// its version to an unguarded variable (internal/version).
var opening sync.Mutex

// open creates the runtime, with a cache if dir is set.
func (c *Code) open(ctx context.Context, rc wazero.RuntimeConfig, dir string) (err error) {
	opening.Lock()
	defer opening.Unlock()
	if dir != "" {
		// One cache for each module: closing it closes its engine and frees the code.
		if c.cache, err = wazero.NewCompilationCacheWithDir(dir); err != nil {
			return fault.New(fault.Unavailable, "compilation cache: %w", err)
		}
		readInBlocks(c.cache)
		rc = rc.WithCompilationCache(c.cache)
	}
	c.Runtime = wazero.NewRuntimeWithConfig(ctx, rc)
	return nil
}
