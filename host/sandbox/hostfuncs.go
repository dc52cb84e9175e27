package sandbox

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"strings"

	"github.com/tetratelabs/wazero/api"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/abi/strictjson"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox/guesttext"
	"github.com/berth-host/berth/host/sandbox/source"
	"github.com/berth-host/berth/host/spec"
)

// hostFunction is one function of the ABI as wazero calls it. The arguments are
// i32 in the low half of each stack slot; the result goes into the first one.
type hostFunction struct {
	call func(in *instance, mod api.Module, stack []uint64)
}

// Call implements api.GoModuleFunction.
func (f hostFunction) Call(ctx context.Context, mod api.Module, stack []uint64) {
	in := instanceOf(ctx)
	if in.memory == nil {
		in.memory = mod.ExportedMemory(abi.MemoryExport)
	}
	f.call(in, mod, stack)
}

func instanceOf(ctx context.Context) *instance {
	if c, ok := ctx.(callContext); ok {
		return c.in
	}
	return ctx.Value(instanceKey{}).(*instance)
}

// hostCalls returns the functions of abi.Functions by name.
func hostCalls() map[string]func(*instance, api.Module, []uint64) {
	calls := map[string]func(*instance, api.Module, []uint64){
		abi.FuncNext:      (*instance).next,
		abi.FuncField:     (*instance).field,
		abi.FuncFinish:    (*instance).finish,
		abi.FuncLog:       (*instance).logLine,
		abi.FuncConfig:    (*instance).config,
		abi.FuncAttempt:   (*instance).attemptNumber,
		abi.FuncRemaining: (*instance).remaining,
		abi.FuncTrace:     (*instance).trace,
		abi.FuncLast:      (*instance).last,
		abi.FuncError:     (*instance).lastError,
	}
	maps.Copy(calls, capabilityCalls())
	return calls
}

// next waits for an event: (buf, cap) -> n.
func (in *instance) next(_ api.Module, stack []uint64) {
	buf, size := stack[0], stack[1]
	in.view(buf, size)
	if in.ended {
		in.trap(event.ClassTrap, "it called next after END")
	}
	if in.open {
		if in.refused != "" {
			in.done(event.Outcome{Verdict: event.Failed, Class: event.ClassBadResult, Message: in.refused})
		} else {
			in.succeed(nil)
		}
	}
	if !in.take() {
		stack[0] = in.code(abi.End)
		return
	}
	stack[0] = in.yield(buf, size, in.envelope())
}

// field yields one value of the open event: (ptr, len, buf, cap) -> n.
func (in *instance) field(_ api.Module, stack []uint64) {
	ptr := in.view(stack[0], stack[1])
	in.view(stack[2], stack[3])
	if !in.open {
		stack[0] = in.refuse(abi.Invalid, "no event is open")
		return
	}
	envelope, pointer, fits := in.fieldOf(ptr)
	in.charge(len(ptr) + len(envelope))
	if !fits {
		stack[0] = in.refuse(abi.NotFound, "the event has no such field")
		return
	}
	if !abi.ValidPointer(pointer) {
		stack[0] = in.refuse(abi.Invalid, "not a JSON Pointer (RFC 6901)")
		return
	}
	value, found := strictjson.Get(envelope, pointer)
	if !found {
		stack[0] = in.refuse(abi.NotFound, "the event has no such field")
		return
	}
	stack[0] = in.yield(stack[2], stack[3], value)
}

// finish completes the open event: (status, ptr, len) -> 0.
func (in *instance) finish(_ api.Module, stack []uint64) {
	bytes := in.view(stack[1], stack[2])
	if !in.open {
		stack[0] = in.refuse(abi.Invalid, "no event is open")
		return
	}
	switch abi.Status(stack[0]) {
	case abi.StatusOK:
		if in.batches.open != nil {
			stack[0] = in.finishBatch(bytes)
			return
		}
		if len(bytes) > abi.MaxResult {
			in.trap(event.ClassBadResult, fmt.Sprintf("its result is %d bytes; the limit is %d", len(bytes), abi.MaxResult))
		}
		in.charge(len(bytes))
		if reason := in.results.Bad(bytes); reason != "" {
			in.refused = "its result " + reason
			stack[0] = in.refuse(abi.Invalid, in.refused)
			return
		}
		in.succeed(bytes)
	case abi.StatusRetry:
		in.done(event.Outcome{Verdict: event.Retry, Class: event.ClassRetry, Message: guesttext.Line(bytes)})
	case abi.StatusReject:
		in.done(event.Outcome{Verdict: event.Reject, Class: event.ClassRejected, Message: guesttext.Line(bytes)})
	default:
		stack[0] = in.refuse(abi.Invalid, "finish takes the status 0, 1 or 2")
		return
	}
	stack[0] = 0
}

// logLine writes a line: (level, ptr, len).
func (in *instance) logLine(_ api.Module, stack []uint64) {
	text := in.view(stack[1], stack[2])
	in.charge(min(len(text), abi.MaxLogLine))
	level := slog.LevelError
	switch abi.Level(stack[0]) {
	case abi.LevelDebug:
		level = slog.LevelDebug
	case abi.LevelInfo:
		level = slog.LevelInfo
	case abi.LevelWarn:
		level = slog.LevelWarn
	}
	in.log(level, text)
}

// log keeps a line of the guest for the open attempt, and publishes it.
func (in *instance) log(level slog.Level, text []byte) {
	if level < in.pool.logLevel.Level() {
		return
	}
	kept := guesttext.Line(text)
	if in.open {
		in.lines.Add(in.wallNow(), string(spec.LogLevelOf(level)), kept)
	}
	in.publish(level, kept)
}

// publish writes a line of the guest to the plugin's log and the host's, within its quota. In
// the host's it has source=guest: the text is the guest's, the keys are not.
func (in *instance) publish(level slog.Level, text string) {
	p := in.pool
	if level < p.logLevel.Level() {
		return
	}
	if !p.lines.Allow(len(text)) {
		p.cfg.Log.Discarded()
		return
	}
	written := LogLine{Level: level, Text: text}
	if in.open {
		written.EventID, written.Attempt = in.attempt.Event.ID(), in.attempt.Number
	}
	p.cfg.Log.Write(written)
	in.beforeWait() // writing may take long
	if n := p.lines.Missed(); n > 0 {
		p.cfg.Logger.Warn("guest log lines dropped", "lines", n)
	}
	if in.open {
		p.cfg.Logger.Log(context.Background(), level, text, "source", "guest", "event_id", written.EventID, "attempt", written.Attempt)
		return
	}
	p.cfg.Logger.Log(context.Background(), level, text, "source", "guest")
}

// config yields the handler's configuration: (buf, cap) -> n.
func (in *instance) config(_ api.Module, stack []uint64) {
	in.view(stack[0], stack[1])
	stack[0] = in.yield(stack[0], stack[1], in.pool.cfg.Settings)
}

// attemptNumber is 1 on the first delivery: () -> n.
func (in *instance) attemptNumber(_ api.Module, stack []uint64) {
	if !in.open {
		stack[0] = in.refuse(abi.Invalid, "no event is open")
		return
	}
	stack[0] = uint64(uint32(in.attempt.Number))
}

// remaining is the time until the deadline: () -> ms.
func (in *instance) remaining(_ api.Module, stack []uint64) {
	if !in.open {
		stack[0] = in.refuse(abi.Invalid, "no event is open")
		return
	}
	left := in.deadline - in.now()
	if in.sim != nil {
		left = in.sim.Left(in.span)
	}
	stack[0] = uint64(min(max(0, left.Milliseconds()), 1<<31-1))
}

// trace yields the traceparent of the open attempt's span: (buf, cap) -> n.
func (in *instance) trace(_ api.Module, stack []uint64) {
	in.view(stack[0], stack[1])
	if !in.open {
		stack[0] = in.refuse(abi.Invalid, "no event is open")
		return
	}
	text := in.lease.TraceParent()
	if text == "" {
		stack[0] = in.refuse(abi.NotFound, "the host does not trace this attempt")
		return
	}
	stack[0] = in.yield(stack[0], stack[1], text)
}

// last yields the text of the latest yielding call again: (buf, cap) -> n.
func (in *instance) last(_ api.Module, stack []uint64) {
	in.view(stack[0], stack[1])
	if !in.hasLast {
		stack[0] = in.refuse(abi.Invalid, "nothing was yielded yet")
		return
	}
	stack[0] = in.yield(stack[0], stack[1], in.lastText)
}

// lastError yields the text of the most recent error: (buf, cap) -> n.
func (in *instance) lastError(_ api.Module, stack []uint64) {
	in.view(stack[0], stack[1])
	stack[0] = in.yield(stack[0], stack[1], in.errorText)
}

// abort is AssemblyScript's: (message, file, line, column), strings as UTF-16
// with their length in bytes four bytes before them.
func (in *instance) abort(_ api.Module, stack []uint64) {
	text := strings.ReplaceAll(in.utf16(uint32(stack[0])), "\n", " ") // one line, as the first says why an attempt failed
	at := source.Frame{File: in.utf16(uint32(stack[1])), Line: int(uint32(stack[2])), Column: int(uint32(stack[3]))}.Clean()
	text = "abort: " + text
	if at.File != "" {
		text += fmt.Sprintf(" (%s:%d:%d)", at.File, at.Line, at.Column)
	}
	in.trapped = &trap{event.ClassTrap, text, at}
	panic(in.trapped)
}

// view returns guest memory, which is valid until the guest runs again. It traps for a
// range outside the memory.
func (in *instance) view(ptr, size uint64) []byte {
	from := uint64(uint32(ptr))
	to := from + uint64(uint32(size))
	if in.memory != nil && to <= uint64(len(in.linear.Bytes())) {
		in.charge(0)
		return in.linear.Bytes()[from:to:to]
	}
	in.trap(event.ClassTrap, fmt.Sprintf("out of bounds: the range at %d of %d bytes is not inside the memory", uint32(ptr), uint32(size)))
	return nil
}

// yield copies text to the guest if it fits, and returns its length. The caller has checked
// the buffer.
func (in *instance) yield(buf, size uint64, text string) uint64 {
	in.lastText, in.hasLast = text, true
	if len(text) <= int(uint32(size)) {
		in.charge(len(text))
		copy(in.linear.Bytes()[uint32(buf):], text)
	}
	return uint64(len(text))
}

// refuse returns a code, and keeps the text for the function error.
func (in *instance) refuse(code abi.Code, text string) uint64 {
	in.errorText = text
	return in.code(code)
}

func (in *instance) code(code abi.Code) uint64 { return uint64(uint32(code)) }

// trap traps the guest. It does not return.
func (in *instance) trap(class event.Class, text string) {
	in.trapped = &trap{class: class, text: text}
	panic(in.trapped)
}

func (in *instance) utf16(ptr uint32) string {
	const maxBytes = 2048
	if ptr < 4 || in.memory == nil {
		return ""
	}
	size, ok := in.memory.ReadUint32Le(ptr - 4)
	if !ok {
		return ""
	}
	b, ok := in.memory.Read(ptr, min(size, maxBytes)&^1)
	if !ok {
		return ""
	}
	return guesttext.DecodeUTF16(b)
}
