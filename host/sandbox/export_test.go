package sandbox

import "github.com/berth-host/berth/host/sandbox/callstack"

// MemoryUsed is what all instances have taken of the engine's memory.
func (e *Engine) MemoryUsed() int64 { return e.memory.Used() }

// MeasureStack returns an error when the call stack of a call of the engine cannot be measured.
func MeasureStack(call any) error { return new(callstack.Stack).Run(call) }
