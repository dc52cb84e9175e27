package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// engine is the validator of the engine that runs the modules.
type engine struct{ r wazero.Runtime }

// newEngine uses the engine's interpreter, whose modules are validated by the same code
// and compiled faster.
func newEngine(ctx context.Context) engine {
	return engine{wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(api.CoreFeaturesV2))}
}

func (e engine) close(ctx context.Context) error { return e.r.Close(ctx) }

// accepts is nil if the engine accepts the module.
func (e engine) accepts(ctx context.Context, wasm []byte) (err error) {
	defer func() { // it panics on some invalid modules
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	m, err := e.r.CompileModule(ctx, wasm)
	if err == nil {
		err = m.Close(ctx)
	}
	return err
}

// unknownOpcodes are undefined for the engine.
var unknownOpcodes = []byte{0x27, 0x1d, 0x1e, 0xc5, 0xc6, 0xc7, 0xc8, 0xe0, 0xe1, 0xe2, 0xf0, 0xf1, 0xf8}

// begins reports whether the engine sees an instruction begin at an offset of a module that
// it accepts. probe must be an unknown opcode that is not in the function's code.
func (e engine) begins(ctx context.Context, wasm []byte, at int, probe byte) bool {
	old := wasm[at]
	wasm[at] = probe
	err := e.accepts(ctx, wasm)
	wasm[at] = old
	return err != nil && strings.Contains(err.Error(), fmt.Sprintf("invalid instruction %#x", probe))
}

// probeOf returns an unknown opcode that code does not contain.
func probeOf(code []byte) (byte, error) {
	for _, op := range unknownOpcodes {
		if bytes.IndexByte(code, op) < 0 {
			return op, nil
		}
	}
	return 0, errors.New("the code contains all opcodes that could be probes")
}
