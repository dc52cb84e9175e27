package meter

import (
	"context"
	"errors"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

var errOutOfFuel = errors.New("out of fuel")

// tank is the host's side of the contract, for one instance.
type tank struct {
	slice   int64 // granted by each refill
	budget  int64 // 0: none
	stack   int64 // granted by each measurement of the stack; 0: measure at every charge
	granted int64
	refills int
	looks   int // at the stack
}

// refill grants fuel and stack.
func (k *tank) refill(_ context.Context, mod api.Module, stack []uint64) {
	mod.ExportedGlobal(DefaultStack).(api.MutableGlobal).Set(uint64(k.stack))
	if int64(stack[0]) >= 0 {
		k.looks++
		return
	}
	k.refills++
	grant := k.slice
	if k.budget != 0 {
		if grant = min(grant, k.budget-k.granted); grant <= 0 {
			panic(errOutOfFuel)
		}
	}
	k.granted += grant
	stack[0] += uint64(grant)
}

// used is the fuel used so far.
func (k *tank) used(mod api.Module) int64 {
	return k.granted - int64(mod.ExportedGlobal(DefaultGlobal).Get())
}

// link makes refill importable in the runtime.
func (k *tank) link(t testing.TB, r wazero.Runtime) {
	t.Helper()
	_, err := r.NewHostModuleBuilder(DefaultModule).NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(k.refill), []api.ValueType{api.ValueTypeI64}, []api.ValueType{api.ValueTypeI64}).
		Export(DefaultName).Instantiate(context.Background())
	if err != nil {
		t.Fatal(err)
	}
}

// newRuntime is a compiler runtime that the test closes.
func newRuntime(t testing.TB, cfg wazero.RuntimeConfig) wazero.Runtime {
	t.Helper()
	r := wazero.NewRuntimeWithConfig(context.Background(), cfg.WithCoreFeatures(api.CoreFeaturesV2))
	t.Cleanup(func() { r.Close(context.Background()) })
	return r
}

func mustRewrite(t testing.TB, wasm []byte) []byte {
	t.Helper()
	out, _, err := Rewrite(wasm, Config{})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
