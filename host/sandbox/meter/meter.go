package meter

import (
	"errors"
	"fmt"

	"github.com/berth-host/berth/host/sandbox/wasmbin"
)

// Default names of Config.
const (
	DefaultModule = "berth_meter"
	DefaultName   = "refill"
	DefaultGlobal = "berth:fuel"
	DefaultStack  = "berth:stack"
)

// Version changes with Rewrite's output: code compiled from the output of an earlier
// version is out of date.
const Version = 6

// DefaultMaxNesting is how deep blocks may nest by default.
const DefaultMaxNesting = 8192

// Config has the parameters of Rewrite. The zero value is usable.
type Config struct {
	// Module and Name of the refill import. A guest that imports anything from
	// Module is refused. Defaults: DefaultModule, DefaultName.
	Module string
	Name   string
	// Global is the name under which the counter is exported. A guest that
	// exports that name is refused. Default: DefaultGlobal.
	Global string
	// Stack is the name under which the stack left is exported, likewise.
	// Default: DefaultStack.
	Stack string
	// MaxNesting is how deep blocks, loops and ifs may nest in one function.
	// Default: DefaultMaxNesting. 64 bytes of working memory each.
	MaxNesting int
}

func (c Config) withDefaults() Config {
	if c.Module == "" {
		c.Module = DefaultModule
	}
	if c.Name == "" {
		c.Name = DefaultName
	}
	if c.Global == "" {
		c.Global = DefaultGlobal
	}
	if c.Stack == "" {
		c.Stack = DefaultStack
	}
	if c.MaxNesting <= 0 {
		c.MaxNesting = DefaultMaxNesting
	}
	return c
}

// Report describes a rewrite.
type Report struct {
	BytesIn, BytesOut int

	Functions int   // functions the guest defines
	Helpers   int   // functions added behind them
	Entries   int   // function entries that charge
	Loops     int   // loop heads that charge
	Folded    int   // small leaf functions that their callers pay for
	Merged    int   // function entries that lead straight to a loop, whose head checks for both
	Jumps     int   // branches to a loop's head that go where its switch would have sent them
	Bulk      int   // bulk memory and table instructions charged by their length
	MaxCharge int64 // largest constant charge, in fuel

	StackEntries int   // function entries that charge the stack
	StackCalls   int   // call_indirects that do
	MaxFrame     int32 // largest bound of a function's frame, in bytes

	RefillIndex uint32 // function index of refill in the output; the guest's own functions from here on moved up by one
	GlobalIndex uint32 // global index of the counter in the output

	Traceable bool // stack traces of the output have offsets: see TraceOffset

	DroppedCustom int  // custom sections dropped
	DroppedNames  bool // the name section was malformed and dropped
	DroppedBytes  int  // size of the custom sections dropped
}

// Error is the reason why a module cannot be rewritten.
type Error struct {
	Offset  int    // from the start of the module, in bytes
	Section string // the specification's name of the section, or "header"
	Reason  string // of the refusal
	Feature string // the WebAssembly feature that is not supported, if that is the reason
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s (%s section, byte %d)", e.Reason, e.Section, e.Offset)
}

// Rewrite returns a module equivalent to wasm that counts fuel; see the
// package's documentation. wasm is not modified and not retained. Errors are
// *Error.
func Rewrite(wasm []byte, cfg Config) ([]byte, Report, error) {
	m := &module{cfg: cfg.withDefaults(), wasm: wasm, section: "header"}
	out, err := m.rewrite()
	if err != nil {
		return nil, Report{}, m.located(err)
	}
	m.report.BytesIn, m.report.BytesOut = len(wasm), len(out)
	return out, m.report, nil
}

func (m *module) rewrite() ([]byte, error) {
	if err := m.scan(); err != nil {
		return nil, err
	}
	return m.emit()
}

// located adds the section to an error of the reader.
func (m *module) located(err error) error {
	e := &Error{Section: m.section, Reason: err.Error()}
	var be *wasmbin.Error
	if errors.As(err, &be) {
		e.Offset, e.Reason, e.Feature = be.Offset, be.Reason, be.Feature
	}
	return e
}
