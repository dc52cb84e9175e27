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

// opening is held while a cache is opened: wazero then keeps its own version in
// a variable that it does not guard (1.12, internal/version).
var opening sync.Mutex

// Compile compiles a module that was made metered, and looks at its shape. The
// code is taken from dir, or put there; "" keeps none. What the module is to
// blame for is a *Refusal; anything else is fault.Unavailable.
//
// The child and the host both compile with this function: the code that the one
// leaves is what the other looks for.
func Compile(ctx context.Context, metered []byte, dir string) (_ *Code, err error) {
	rc := wazero.NewRuntimeConfigCompiler().
		WithCoreFeatures(api.CoreFeaturesV2).
		WithMemoryLimitPages(65535). // an instance's memory is bounded where it grows
		WithMemoryCapacityFromMax(false).
		WithDebugInfoEnabled(false).
		WithCustomSections(false).
		WithCloseOnContextDone(false) // fuel stops a guest, at a tenth of the cost
	c := &Code{}
	if dir != "" {
		// A cache per module: closing it closes its engine and frees the code.
		opening.Lock()
		c.cache, err = wazero.NewCompilationCacheWithDir(dir)
		opening.Unlock()
		if err != nil {
			return nil, fault.New(fault.Unavailable, "compilation cache: %w", err)
		}
		rc = rc.WithCompilationCache(c.cache)
	}
	c.Runtime = wazero.NewRuntimeWithConfig(ctx, rc)
	defer func() {
		// CompileModule can panic on a damaged module.
		if r := recover(); r != nil {
			err = &Refusal{Code: CodeCrash, Reason: fmt.Sprintf("the compiler gave up on the module: %v", r)}
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
