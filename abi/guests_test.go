package abi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/abi/strictjson"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

const guestsDir = "../testdata/guests"

// bareHost is a minimal host for the guests of testdata: enough of the ABI to check
// the binaries, without the real host's limits.
type bareHost struct {
	events  []string // envelopes yet to be delivered
	attempt int
	config  string

	open     string // the open event's envelope
	ended    bool   // next has answered END
	last     []byte
	outcomes []string // "<status> <bytes>"
}

// define links every function of the ABI with its declared signature.
func (h *bareHost) define(ctx context.Context, r wazero.Runtime) error {
	b := r.NewHostModuleBuilder(abi.ModuleName)
	i32s := func(n int) []api.ValueType {
		types := make([]api.ValueType, n)
		for i := range types {
			types[i] = api.ValueTypeI32
		}
		return types
	}
	for _, f := range abi.Functions() {
		call := func(_ context.Context, m api.Module, stack []uint64) {
			code := h.call(f.Name, m.ExportedMemory(abi.MemoryExport), stack)
			if f.Results == 1 {
				stack[0] = api.EncodeI32(code)
			}
		}
		b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(call), i32s(f.Params), i32s(f.Results)).Export(f.Name)
	}
	_, err := b.Instantiate(ctx)
	return err
}

func (h *bareHost) call(name string, mem api.Memory, p []uint64) int32 {
	read := func(i int) string { return string(view(mem, uint32(p[i]), uint32(p[i+1]))) }
	yield := func(i int, content []byte) int32 {
		buf := view(mem, uint32(p[i]), uint32(p[i+1]))
		h.last = content
		if len(content) <= len(buf) {
			copy(buf, content)
		}
		return int32(len(content))
	}
	switch name {
	case abi.FuncNext:
		if h.ended {
			panic("next after END")
		}
		if h.open != "" {
			h.outcomes = append(h.outcomes, "ok ")
			h.open = ""
		}
		if len(h.events) == 0 {
			h.ended = true
			return int32(abi.End)
		}
		h.open, h.events = h.events[0], h.events[1:]
		return yield(0, []byte(h.open))
	case abi.FuncField:
		pointer := read(0)
		text, found := strictjson.Get(h.open, pointer)
		if !abi.ValidPointer(pointer) || !found {
			view(mem, uint32(p[2]), uint32(p[3]))
			return int32(abi.NotFound)
		}
		return yield(2, []byte(text))
	case abi.FuncFinish:
		result := string(view(mem, uint32(p[1]), uint32(p[2])))
		if h.open == "" {
			return int32(abi.Invalid)
		}
		status := abi.Status(uint32(p[0]))
		if status == abi.StatusOK && result != "" && !json.Valid([]byte(result)) {
			return int32(abi.Invalid)
		}
		h.outcomes = append(h.outcomes, []string{"ok", "retry", "reject"}[status]+" "+result)
		h.open = ""
		return 0
	case abi.FuncLog:
		view(mem, uint32(p[1]), uint32(p[2]))
		return 0
	case abi.FuncConfig:
		return yield(0, []byte(h.config))
	case abi.FuncAttempt:
		return int32(h.attempt)
	case abi.FuncRemaining:
		return 1234
	case abi.FuncLast:
		return yield(0, h.last)
	}
	return int32(abi.Denied)
}

// view returns n bytes of the guest's memory at p, or traps.
func view(mem api.Memory, p, n uint32) []byte {
	b, ok := mem.Read(p, n)
	if !ok {
		panic("out of bounds")
	}
	return b
}

// run delivers events to a guest until it returns, and returns its error.
func (h *bareHost) run(t *testing.T, guest string) error {
	t.Helper()
	ctx := t.Context()
	wasm, err := os.ReadFile(filepath.Join(guestsDir, guest+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithMemoryLimitPages(64))
	defer r.Close(ctx)
	if err := h.define(ctx, r); err != nil {
		t.Fatal(err)
	}
	m, err := r.InstantiateWithConfig(ctx, wasm, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		t.Fatal(err)
	}
	if f := m.ExportedFunction(abi.InitializeExport); f != nil {
		if _, err := f.Call(ctx); err != nil {
			return err
		}
	}
	entry := m.ExportedFunction(abi.RunExport)
	if entry == nil {
		entry = m.ExportedFunction(abi.StartExport)
	}
	_, err = entry.Call(ctx)
	return err
}

// envelope is an event with the given data.
func envelope(data string) string {
	return `{"event_type":"order_status_changed","data":` + data + `,"metadata":{"event_id":"e1","subject":"o1","hops":0}}`
}

func TestGuests(t *testing.T) {
	big := envelope(`"` + strings.Repeat("x", 200_000) + `"`)
	tests := []struct {
		guest string
		host  bareHost
		want  []string
		trap  string // part of the error, "" for none
	}{
		{guest: "echo", host: bareHost{events: []string{
			envelope(`{"status":"shipped"}`), envelope(`{"status":"a\"\\\u0001é"}`), envelope(`{}`)}},
			want: []string{`ok {"echo":"shipped"}`, `ok {"echo":"a\"\\\u0001é"}`, "reject the event has no /data/status of at most 512 bytes"}},
		{guest: "retry_once", host: bareHost{attempt: 1, events: []string{envelope("1")}}, want: []string{"retry not on the first attempt"}},
		{guest: "retry_once", host: bareHost{attempt: 2, events: []string{envelope("1")}}, want: []string{`ok {"attempt":2}`}},
		{guest: "reject", host: bareHost{events: []string{envelope("1")}}, want: []string{"reject this handler rejects everything"}},
		{guest: "trap_on_event", host: bareHost{events: []string{envelope("{}"), envelope(`{"trap":true}`)}}, want: []string{"ok {}"}, trap: "unreachable"},
		{guest: "spin_on_event", host: bareHost{events: []string{envelope(`{"spin":false}`)}}, want: []string{"ok {}"}},
		{guest: "config_echo", host: bareHost{config: `{"a":1}`, events: []string{envelope("1")}}, want: []string{`ok {"a":1}`}},
		{guest: "no_finish", host: bareHost{events: []string{envelope("1"), envelope("2")}}, want: []string{"ok ", "ok "}},
		{guest: "bad_json", host: bareHost{events: []string{envelope(`{"recover":true}`)}}, want: []string{`ok {"refused":-2}`}},
		{guest: "next_after_end", host: bareHost{events: []string{envelope("1")}}, want: []string{"ok {}"}, trap: "next after END"},
		{guest: "start_only", host: bareHost{events: []string{envelope("1")}}, want: []string{`ok {"entry":"_start"}`}},
		{guest: "initialize", host: bareHost{events: []string{envelope("1")}}, want: []string{`ok {"initialized":1}`}},
		{guest: "oob_pointer", host: bareHost{events: []string{envelope("{}"), envelope(`{"call":"log"}`)}}, want: []string{"ok {}"}, trap: "out of bounds"},
		{guest: "oob_pointer", host: bareHost{events: []string{envelope(`{"call":"wrap"}`)}}, trap: "out of bounds"},
		{guest: "oob_pointer", host: bareHost{events: []string{envelope(`{"call":"edge"}`)}}, trap: "out of bounds"},
		{guest: "oob_pointer", host: bareHost{events: []string{envelope(`{"call":"result"}`)}}, trap: "out of bounds"},
		{guest: "oob_pointer", host: bareHost{events: []string{envelope(`{"call":"buffer"}`)}}, trap: "out of bounds"},
		{guest: "oob_pointer", host: bareHost{events: []string{envelope(`{"call":"empty"}`)}}, trap: "out of bounds"},
		{guest: "big_envelope", host: bareHost{events: []string{big}}, want: []string{fmt.Sprintf(`ok {"bytes":%d,"copied":%[1]d}`, len(big))}},
		{guest: "count", host: bareHost{events: []string{envelope("1"), envelope("2")}}, want: []string{`ok {"count":1}`, `ok {"count":2}`}},
		{guest: "derive", host: bareHost{config: `{"salt":1000}`, events: []string{
			envelope(`{"number":7}`), envelope(`{"number":123456,"size":5}`), envelope(`{}`), envelope(`{"number":7,"size":1001}`)}},
			want: []string{`ok {"salt":1000,"sum":1618156615}`, `ok {"salt":1000,"sum":949953435,"text":"eoduu"}`,
				"reject no /data/number, a /data/size over 1000, or no salt in the configuration",
				"reject no /data/number, a /data/size over 1000, or no salt in the configuration"}},
		{guest: "slow", host: bareHost{events: []string{envelope(`{"rounds":20}`)}}, want: []string{`ok {"count":1,"remaining_ms":1234}`}},
	}
	for _, tt := range tests {
		t.Run(tt.guest, func(t *testing.T) {
			err := tt.host.run(t, tt.guest)
			if got, want := fmt.Sprint(tt.host.outcomes), fmt.Sprint(tt.want); got != want {
				t.Errorf("outcomes\n got %s\nwant %s", got, want)
			}
			if tt.trap == "" && err != nil || tt.trap != "" && (err == nil || !strings.Contains(err.Error(), tt.trap)) {
				t.Errorf("ended with %v, want an error with %q in it", err, tt.trap)
			}
		})
	}
}

// TestGuestShapes proves of every checked-in binary that it is a module the
// ABI allows: its imports with their signatures, its memory and its entry.
func TestGuestShapes(t *testing.T) {
	signatures := make(map[string]abi.Function)
	for _, f := range abi.Functions() {
		signatures[f.Name] = f
	}
	sources, err := filepath.Glob(filepath.Join(guestsDir, "*.c"))
	if err != nil || len(sources) == 0 {
		t.Fatalf("no guests found: %v", err)
	}
	for _, source := range sources {
		name := strings.TrimSuffix(filepath.Base(source), ".c")
		if name == "stdio" || strings.HasPrefix(name, "refused_") {
			continue // of another style, or of a wrong shape on purpose
		}
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			wasm, err := os.ReadFile(strings.TrimSuffix(source, ".c") + ".wasm")
			if err != nil {
				t.Fatal(err)
			}
			r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
			defer r.Close(ctx)
			m, err := r.CompileModule(ctx, wasm)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range m.ImportedFunctions() {
				module, function, _ := f.Import()
				if (name == "log_and_end" || name == "batch_parts") && module == abi.WASIModuleName && function == "fd_write" {
					continue // it writes to stderr, too: the loop for batches of the SDK does when a result is refused
				}
				want, ok := signatures[function]
				if module != abi.ModuleName || !ok {
					t.Errorf("imports %s.%s", module, function)
					continue
				}
				if len(f.ParamTypes()) != want.Params || len(f.ResultTypes()) != want.Results {
					t.Errorf("imports %s as %v -> %v", function, f.ParamTypes(), f.ResultTypes())
				}
			}
			if m.ExportedMemories()[abi.MemoryExport] == nil {
				t.Error("exports no memory")
			}
			_, run := m.ExportedFunctions()[abi.RunExport]
			_, start := m.ExportedFunctions()[abi.StartExport]
			if run == start {
				t.Errorf("exports run: %v, _start: %v; want one of them", run, start)
			}
		})
	}
}
