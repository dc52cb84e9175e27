package berthtest

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

// link makes *d, whatever it is at the time of a call, the host of r's modules.
func link(ctx context.Context, r wazero.Runtime, d **delivery) error {
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, r); err != nil {
		return err
	}
	b := r.NewHostModuleBuilder(abi.ModuleName)
	for _, f := range abi.Functions() {
		call := func(_ context.Context, m api.Module, stack []uint64) {
			answer := (*d).call(f.Name, m.ExportedMemory(abi.MemoryExport), stack)
			if f.Results > 0 {
				stack[0] = api.EncodeI32(answer)
			}
		}
		params := bytes.Repeat([]byte{api.ValueTypeI32}, f.Params)
		results := bytes.Repeat([]byte{api.ValueTypeI32}, f.Results)
		b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(call), params, results).Export(f.Name)
	}
	_, err := b.Instantiate(ctx)
	return err
}

// call does what the guest asks for.
func (d *delivery) call(name string, mem api.Memory, p []uint64) int32 {
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
		return d.Next(raw(0))
	case abi.FuncField:
		return d.Field(text(0), raw(2))
	case abi.FuncFinish:
		return d.Finish(int32(uint32(p[0])), text(1))
	case abi.FuncEmit:
		return d.Emit(text(0))
	case abi.FuncLog:
		d.Log(int32(uint32(p[0])), text(1))
		return 0
	case abi.FuncConfig:
		return d.Config(raw(0))
	case abi.FuncSecret:
		return d.Secret(text(0), raw(2))
	case abi.FuncKVGet:
		return d.KVGet(text(0), raw(2))
	case abi.FuncKVSet:
		return d.KVSet(text(0), raw(2))
	case abi.FuncKVCAS:
		if int32(uint32(p[3])) == -1 {
			return d.KVCAS(text(0), nil, raw(4))
		}
		return d.KVCAS(text(0), append([]byte{}, raw(2)...), raw(4))
	case abi.FuncKVDelete:
		return d.KVDelete(text(0))
	case abi.FuncHTTP:
		return d.HTTP(text(0), raw(2))
	case abi.FuncAttempt:
		return d.Attempt()
	case abi.FuncRemaining:
		return d.Remaining()
	case abi.FuncLast:
		return d.Last(raw(0))
	case abi.FuncError:
		return d.Error(raw(0))
	}
	panic("no such function: " + name)
}

// guest is a module ready to be run often.
type guest struct {
	runtime wazero.Runtime
	module  wazero.CompiledModule
	host    *delivery
}

func newGuest(t *testing.T, wasm []byte) *guest {
	t.Helper()
	ctx := context.Background() // the runtime outlives t.Context
	g := &guest{runtime: wazero.NewRuntime(ctx)}
	t.Cleanup(func() { g.runtime.Close(ctx) })
	if err := link(ctx, g.runtime, &g.host); err != nil {
		t.Fatal(err)
	}
	var err error
	if g.module, err = g.runtime.CompileModule(ctx, wasm); err != nil {
		t.Fatal(err)
	}
	return g
}

// run has a new instance serve d, and returns what it wrote to stderr.
func (g *guest) run(t *testing.T, d *delivery) string {
	t.Helper()
	ctx := t.Context()
	g.host = d
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
	// A command leaves by exit, so that an error says little: stderr does.
	_, _ = entry.Call(ctx)
	return stderr.String()
}

// TestWebAssembly builds package exercise as a guest and proves that it does
// there what it does natively.
func TestWebAssembly(t *testing.T) {
	g := newGuest(t, build(t, "../internal/exercise/guest"))
	for _, tt := range exercises() {
		t.Run(tt.name, func(t *testing.T) {
			h := exerciseHost()
			d := &delivery{host: h, waiting: []string{Event("order_status_changed", tt.data)}}
			stderr := g.run(t, d)
			if tt.trap != "" {
				if !d.open || !strings.Contains(stderr, tt.trap) {
					t.Errorf("event open: %v, stderr %q; want it open, and %q", d.open, stderr, tt.trap)
				}
				return
			}
			if stderr != "" || len(d.outcomes) != 1 {
				t.Fatalf("%d outcomes, stderr %s", len(d.outcomes), stderr)
			}
			tt.check(t, h, d.outcomes[0])
		})
	}
	t.Run("allocations", func(t *testing.T) {
		// The handler's own: the string of one Field, and the result.
		const events, allowed = 50, 2
		d := &delivery{host: exerciseHost()}
		for range events {
			d.waiting = append(d.waiting, Event("x", `{"do":"mallocs","int":7}`))
		}
		if stderr := g.run(t, d); stderr != "" || len(d.outcomes) != events {
			t.Fatalf("%d outcomes, stderr %s", len(d.outcomes), stderr)
		}
		for i, out := range d.outcomes {
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
