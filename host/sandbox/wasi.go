package sandbox

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/fault"
)

// WASI is wazero's, but for the functions that do as much work as a guest's
// count or length says: millions of pieces, of subscriptions, or of bytes of a
// path. Theirs is unbounded, and no clock is looked at meanwhile. There are no
// files but stdin, stdout and stderr, so that ours are short.

// maxVector is the most pieces of one read or write, and the most subscriptions
// of one poll: IOV_MAX of Linux.
const maxVector = 1024

// Errors of WASI preview 1.
const (
	errnoBadf   = 8
	errnoFault  = 21
	errnoInval  = 28
	errnoIO     = 29
	errnoNotsup = 58
	errnoSpipe  = 70
)

// wasiCall is one of ours. It yields an error of WASI.
type wasiCall struct {
	params string // "i" for an i32, "I" for an i64
	call   func(in *instance, stack []uint64) uint64
}

func wasiCalls() map[string]wasiCall {
	calls := map[string]wasiCall{
		"fd_read":     {"iiii", (*instance).fdRead},
		"fd_write":    {"iiii", (*instance).fdWrite},
		"fd_pread":    {"iiiIi", noOffset},
		"fd_pwrite":   {"iiiIi", noOffset},
		"poll_oneoff": {"iiii", (*instance).poll},
	}
	for name, params := range map[string]string{
		"path_create_directory":   "iii",
		"path_filestat_get":       "iiiii",
		"path_filestat_set_times": "iiiiIIi",
		"path_link":               "iiiiiii",
		"path_open":               "iiiiiIIii",
		"path_readlink":           "iiiiii",
		"path_remove_directory":   "iii",
		"path_rename":             "iiiiii",
		"path_symlink":            "iiiii",
		"path_unlink_file":        "iii",
	} {
		calls[name] = wasiCall{params, noDirectory}
	}
	return calls
}

// linkWASI puts WASI preview 1 into the runtime, and refuses a guest that
// imports what is not a part of it.
func (m *Module) linkWASI(ctx context.Context) error {
	builder := m.code.Runtime.NewHostModuleBuilder(abi.WASIModuleName)
	wasi_snapshot_preview1.NewFunctionExporter().ExportFunctions(builder)
	for name, f := range wasiCalls() {
		exportWASI(builder, name, f)
	}
	host, err := builder.Instantiate(ctx)
	if err != nil {
		return fault.New(fault.Internal, "link %s: %w", abi.WASIModuleName, err)
	}
	there := host.ExportedFunctionDefinitions()
	for _, def := range m.code.Module.ImportedFunctions() {
		module, name, _ := def.Import()
		if module != abi.WASIModuleName {
			continue
		}
		has, ok := there[name]
		if !ok {
			return fault.New(fault.Invalid, "it imports %s.%s, which is not a function of WASI preview 1", module, name)
		}
		if string(has.ParamTypes()) != string(def.ParamTypes()) || string(has.ResultTypes()) != string(def.ResultTypes()) {
			return fault.New(fault.Invalid, "it imports %s.%s with another signature", module, name)
		}
	}
	return nil
}

func exportWASI(builder wazero.HostModuleBuilder, name string, f wasiCall) {
	params := make([]api.ValueType, len(f.params))
	for i, p := range f.params {
		params[i] = api.ValueTypeI32
		if p == 'I' {
			params[i] = api.ValueTypeI64
		}
	}
	call := hostFunction{func(in *instance, _ api.Module, stack []uint64) { stack[0] = f.call(in, stack) }}
	builder.NewFunctionBuilder().WithGoModuleFunction(call, params, i32s(1)).Export(name)
}

// noDirectory answers every call on a path: no descriptor is a directory.
func noDirectory(*instance, []uint64) uint64 { return errnoBadf }

// noOffset answers reads and writes at an offset: nothing here has one.
func noOffset(_ *instance, stack []uint64) uint64 {
	if uint32(stack[0]) <= 2 {
		return errnoSpipe
	}
	return errnoBadf
}

// fdRead is fd_read: (fd, pieces, count, result) -> errno.
func (in *instance) fdRead(stack []uint64) uint64 {
	if uint32(stack[0]) != 0 {
		return errnoBadf
	}
	return in.pieces(stack, func(p []byte) (int, error) {
		n, err := in.stdin.Read(p)
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return n, err
	})
}

// fdWrite is fd_write: (fd, pieces, count, result) -> errno.
func (in *instance) fdWrite(stack []uint64) uint64 {
	switch uint32(stack[0]) {
	case 1:
		return in.pieces(stack, in.output.stdout().Write)
	case 2:
		return in.pieces(stack, in.output.stderr.Write)
	}
	return errnoBadf
}

// pieces calls do for each piece of a vector, until one is not taken whole, and
// stores how many bytes were.
func (in *instance) pieces(stack []uint64, do func([]byte) (int, error)) uint64 {
	count := uint32(stack[2])
	if count > maxVector {
		return errnoInval
	}
	vector, ok := in.read(stack[1], count*8)
	if !ok {
		return errnoFault
	}
	in.charge(len(vector))
	total := uint32(0)
	for ; len(vector) > 0; vector = vector[8:] {
		size := binary.LittleEndian.Uint32(vector[4:])
		if size == 0 {
			continue
		}
		piece, ok := in.read(uint64(binary.LittleEndian.Uint32(vector)), size)
		if !ok {
			return errnoFault
		}
		n, err := do(piece)
		if err != nil {
			return errnoIO
		}
		in.charge(n)
		total += uint32(n)
		if n < len(piece) {
			break
		}
	}
	if !in.memory.WriteUint32Le(uint32(stack[3]), total) {
		return errnoFault
	}
	return 0
}

func (in *instance) read(ptr uint64, size uint32) ([]byte, bool) {
	if in.memory == nil {
		return nil, false
	}
	return in.memory.Read(uint32(ptr), size)
}

// Layout of a subscription and of an event, in bytes, and their types.
const (
	subscriptionSize = 48
	eventSize        = 32
	onClock          = 0
	onRead           = 1
	onWrite          = 2
)

// poll is poll_oneoff: (subscriptions, events, count, result) -> errno. stdin,
// stdout and stderr are always ready; the guest sleeps when it waits for the
// clock alone.
func (in *instance) poll(stack []uint64) uint64 {
	count := uint32(stack[2])
	if count == 0 || count > maxVector {
		return errnoInval
	}
	subs, ok := in.read(stack[0], count*subscriptionSize)
	events, ok2 := in.read(stack[1], count*eventSize)
	if !ok || !ok2 {
		return errnoFault
	}
	in.charge(len(subs) + len(events))
	subs = append([]byte(nil), subs...) // events may overlap them
	sleep, clocksOnly := uint64(math.MaxUint64), true
	for s := subs; len(s) > 0; s = s[subscriptionSize:] {
		switch s[8] {
		case onClock:
			if flags := binary.LittleEndian.Uint16(s[40:]); flags == 1 {
				return errnoNotsup // an absolute time
			} else if flags != 0 {
				return errnoInval
			}
			sleep = min(sleep, binary.LittleEndian.Uint64(s[24:]))
		case onRead, onWrite:
			clocksOnly = false
		default:
			return errnoInval
		}
	}
	if clocksOnly {
		in.sleep(int64(min(sleep, math.MaxInt64)))
	}
	clear(events)
	happened := uint32(0)
	for s := subs; len(s) > 0; s = s[subscriptionSize:] {
		errno := uint16(0)
		switch {
		case s[8] == onClock && (!clocksOnly || binary.LittleEndian.Uint64(s[24:]) > sleep):
			continue // its time has not come
		case s[8] != onClock && binary.LittleEndian.Uint32(s[16:]) > 2:
			errno = errnoBadf
		}
		e := events[happened*eventSize:]
		copy(e, s[:8]) // the guest's own mark
		binary.LittleEndian.PutUint16(e[8:], errno)
		e[10] = s[8]
		happened++
	}
	if !in.memory.WriteUint32Le(uint32(stack[3]), happened) {
		return errnoFault
	}
	return 0
}
