package berthtest

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-host/berth/abi"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
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

// link makes d the host of the modules of r.
func link(ctx context.Context, r wazero.Runtime, d *delivery) error {
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, r); err != nil {
		return err
	}
	b := r.NewHostModuleBuilder(abi.ModuleName)
	for _, f := range abi.Functions() {
		call := func(_ context.Context, m api.Module, stack []uint64) {
			answer := d.call(f.Name, m.ExportedMemory(abi.MemoryExport), stack)
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

// TestWebAssembly builds package exercise as a guest and proves that it does
// there what it does natively.
func TestWebAssembly(t *testing.T) {
	wasm := build(t, "../internal/exercise/guest")
	ctx := t.Context()
	cache := wazero.NewCompilationCache()
	defer cache.Close(ctx)
	for _, tt := range exercises() {
		t.Run(tt.name, func(t *testing.T) {
			r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithCompilationCache(cache))
			defer r.Close(ctx)
			h := exerciseHost()
			d := &delivery{host: h, waiting: true, envelope: Event("order_status_changed", tt.data)}
			if err := link(ctx, r, d); err != nil {
				t.Fatal(err)
			}
			var stderr strings.Builder
			m, err := r.InstantiateWithConfig(ctx, wasm, wazero.NewModuleConfig().WithName("").WithStartFunctions().WithStderr(&stderr))
			if err != nil {
				t.Fatal(err)
			}
			_, err = m.ExportedFunction(abi.StartExport).Call(ctx)
			if tt.trap != "" {
				if !d.open || !strings.Contains(stderr.String(), tt.trap) {
					t.Errorf("event open: %v, stderr %q; want it open, and %q", d.open, stderr.String(), tt.trap)
				}
				return
			}
			if stderr.Len() > 0 {
				t.Errorf("ended with %v and wrote %s", err, stderr.String())
			}
			tt.check(t, h, d.outcome)
		})
	}
}
