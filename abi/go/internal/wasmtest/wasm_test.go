// Package wasmtest runs guests as WebAssembly on the Go SDK's host for tests. It is
// a module of its own, because the SDK requires no engine.
package wasmtest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/abi/go/berthtest"
	"github.com/berth-host/berth/abi/go/internal/exercise/cases"
	"github.com/berth-host/berth/abi/go/internal/wire"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"
)

// build compiles a command for wasip1 and returns the binary.
func build(t *testing.T, pkg string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "guest.wasm")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, pkg)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", pkg, err, text)
	}
	wasm, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// link makes the host that is in place (berthtest.Host.Serve) that of r's modules.
func link(ctx context.Context, r wazero.Runtime) error {
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, r); err != nil {
		return err
	}
	b := r.NewHostModuleBuilder(abi.ModuleName)
	for _, f := range abi.Functions() {
		function := func(_ context.Context, m api.Module, stack []uint64) {
			answer := call(f.Name, m.ExportedMemory(abi.MemoryExport), stack)
			if f.Results > 0 {
				stack[0] = api.EncodeI32(answer)
			}
		}
		params := bytes.Repeat([]byte{api.ValueTypeI32}, f.Params)
		results := bytes.Repeat([]byte{api.ValueTypeI32}, f.Results)
		b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(function), params, results).Export(f.Name)
	}
	_, err := b.Instantiate(ctx)
	return err
}

// call makes one call of a guest to the host.
func call(name string, mem api.Memory, p []uint64) int32 {
	raw := func(i int) []byte {
		b, ok := mem.Read(uint32(p[i]), uint32(p[i+1]))
		if !ok {
			panic("out of bounds")
		}
		return b
	}
	text := func(i int) string { return string(raw(i)) }
	switch name {
	case abi.FuncNext:
		return wire.Next(raw(0))
	case abi.FuncField:
		return wire.Field(text(0), raw(2))
	case abi.FuncFinish:
		return wire.Finish(int32(uint32(p[0])), text(1))
	case abi.FuncEmit:
		return wire.Emit(text(0))
	case abi.FuncLog:
		wire.Log(int32(uint32(p[0])), text(1))
		return 0
	case abi.FuncConfig:
		return wire.Config(raw(0))
	case abi.FuncSecret:
		return wire.Secret(text(0), raw(2))
	case abi.FuncKVGet:
		return wire.KVGet(text(0), raw(2))
	case abi.FuncKVSet:
		return wire.KVSet(text(0), raw(2))
	case abi.FuncKVCAS:
		if int32(uint32(p[3])) == -1 {
			return wire.KVCAS(text(0), nil, raw(4))
		}
		return wire.KVCAS(text(0), append([]byte{}, raw(2)...), raw(4))
	case abi.FuncKVDelete:
		return wire.KVDelete(text(0))
	case abi.FuncKVList:
		return wire.KVList(text(0), text(2), raw(4))
	case abi.FuncKVExpire:
		return wire.KVExpire(text(0), int32(uint32(p[2])))
	case abi.FuncTrace:
		return wire.Trace(raw(0))
	case abi.FuncHTTP:
		return wire.HTTP(text(0), raw(2))
	case abi.FuncAttempt:
		return wire.Attempt()
	case abi.FuncRemaining:
		return wire.Remaining()
	case abi.FuncLast:
		return wire.Last(raw(0))
	case abi.FuncError:
		return wire.Error(raw(0))
	}
	panic("no such function: " + name)
}

// guest is a compiled module.
type guest struct {
	runtime wazero.Runtime
	module  wazero.CompiledModule
}

func newGuest(t *testing.T, wasm []byte) *guest {
	t.Helper()
	ctx := context.Background() // the runtime outlives t.Context
	g := &guest{runtime: wazero.NewRuntime(ctx)}
	t.Cleanup(func() { g.runtime.Close(ctx) })
	if err := link(ctx, g.runtime); err != nil {
		t.Fatal(err)
	}
	var err error
	if g.module, err = g.runtime.CompileModule(ctx, wasm); err != nil {
		t.Fatal(err)
	}
	return g
}

// run has a new instance handle the envelopes. It returns the outcomes, whether
// the instance left an event open, and its output to stderr.
func (g *guest) run(t *testing.T, h *berthtest.Host, envelopes ...string) (outcomes []berthtest.Outcome, open bool, stderr string) {
	t.Helper()
	outcomes = h.Serve(func() {
		stderr = g.start(t)
		open = wire.Attempt() > 0
	}, envelopes...)
	return outcomes, open, stderr
}

func (g *guest) start(t *testing.T) string {
	t.Helper()
	ctx := t.Context()
	var stderr strings.Builder
	config := wazero.NewModuleConfig().WithName("").WithStartFunctions().WithStderr(&stderr)
	m, err := g.runtime.InstantiateModule(ctx, g.module, config)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close(ctx)
	entry := m.ExportedFunction(abi.RunExport)
	if entry == nil {
		entry = m.ExportedFunction(abi.StartExport)
	}
	// A command ends by exit; the cause is on stderr.
	_, _ = entry.Call(ctx)
	return stderr.String()
}

// TestSDKInWebAssembly builds package exercise as a guest, and proves that it does
// there the same as natively.
func TestSDKInWebAssembly(t *testing.T) {
	g := newGuest(t, build(t, "./internal/exercise/guest"))
	for _, tt := range cases.All() {
		t.Run(tt.Name, func(t *testing.T) {
			h := cases.NewHost()
			outcomes, open, stderr := g.run(t, h, berthtest.Event("order_status_changed", tt.Data))
			if tt.Trap != "" {
				if !open || !strings.Contains(stderr, tt.Trap) {
					t.Errorf("event open: %v, stderr %q; want it open, and %q", open, stderr, tt.Trap)
				}
				return
			}
			if stderr != "" || len(outcomes) != 1 {
				t.Fatalf("%d outcomes, stderr %s", len(outcomes), stderr)
			}
			tt.Check(t, h, outcomes[0])
		})
	}
	t.Run("allocations", func(t *testing.T) {
		// The handler's own: the string of one Field, and the result.
		const events, allowed = 50, 2
		var envelopes []string
		for range events {
			envelopes = append(envelopes, berthtest.Event("x", `{"do":"mallocs","int":7}`))
		}
		outcomes, _, stderr := g.run(t, cases.NewHost(), envelopes...)
		if stderr != "" || len(outcomes) != events {
			t.Fatalf("%d outcomes, stderr %s", len(outcomes), stderr)
		}
		for i, out := range outcomes {
			n, err := strconv.Atoi(out.Result)
			if err != nil {
				t.Fatal(err)
			}
			if i > 1 && n > allowed {
				t.Errorf("event %d: %d allocations, want at most %d", i, n, allowed)
			}
		}
	})
}

// runStdio runs a plugin of the stdio style.
func runStdio(t *testing.T, wasm []byte, envelope string) (stdout, stderr string, code uint32) {
	t.Helper()
	ctx := t.Context()
	r := wazero.NewRuntime(ctx)
	defer r.Close(ctx)
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, r); err != nil {
		t.Fatal(err)
	}
	var out, errs strings.Builder
	config := wazero.NewModuleConfig().WithName("").WithStdin(strings.NewReader(envelope)).WithStdout(&out).WithStderr(&errs)
	_, err := r.InstantiateWithConfig(ctx, wasm, config)
	if exit, ok := errors.AsType[*sys.ExitError](err); ok {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), code
}
