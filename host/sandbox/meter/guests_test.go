package meter

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"
)

const testdata = "../../../testdata/meter"

// order is the input of the JSON guests.
const order = `{"event_type":"order_status_changed","data":{"id":"ord_1029","customer_id":"cus_77","currency":"EUR",` +
	`"items":[{"sku":"SKU-1","quantity":2,"unit_price_cents":1999},{"sku":"SKU-7","quantity":1,"unit_price_cents":49900},` +
	`{"sku":"SKU-3","quantity":10,"unit_price_cents":150}],"total_cents":55398,"status":"confirmed","previous_status":"pending",` +
	`"version":2},"metadata":{"event_id":"0197a3c2-0000-7000-8000-000000000001","idempotency_key":"order:ord_1029:v2",` +
	`"source":"orders","subject":"ord_1029","time":"2025-01-01T00:00:00Z","correlation_id":"c-1","hops":0}}`

func readGuest(t testing.TB, name string) []byte {
	t.Helper()
	wasm, err := os.ReadFile(filepath.Join(testdata, name))
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

var builtGo struct {
	sync.Mutex
	wasm map[string][]byte
}

// buildGo compiles the Go guest in a directory of testdata, once in a test run.
func buildGo(t testing.TB, name string, flags ...string) []byte {
	t.Helper()
	builtGo.Lock()
	defer builtGo.Unlock()
	if wasm := builtGo.wasm[name]; wasm != nil {
		return wasm
	}
	out := filepath.Join(t.TempDir(), "guest.wasm")
	cmd := exec.Command("go", append(append([]string{"build", "-trimpath", "-o", out}, flags...), "./"+filepath.Join(testdata, name))...)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, text)
	}
	wasm, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if builtGo.wasm == nil {
		builtGo.wasm = map[string][]byte{}
	}
	builtGo.wasm[name] = wasm
	return wasm
}

func goJSON(t testing.TB) []byte { return buildGo(t, "gojson", "-buildmode=c-shared") }

// start instantiates a module in a runtime of its own, with WASI and k linked.
func start(t testing.TB, wasm []byte, k *tank, cfg wazero.RuntimeConfig) api.Module {
	t.Helper()
	ctx := context.Background()
	r := newRuntime(t, cfg)
	wasi_snapshot_preview1.MustInstantiate(ctx, r)
	k.link(t, r)
	mod, err := r.InstantiateWithConfig(ctx, wasm, wazero.NewModuleConfig().WithStartFunctions("_initialize"))
	if err != nil {
		t.Fatal(err)
	}
	return mod
}

// guests are the checked-in modules of testdata.
func guests(t testing.TB) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(testdata, "*", "*.wasm"))
	if err != nil || len(paths) < 2 {
		t.Fatalf("guests: %v, %v", paths, err)
	}
	out := map[string][]byte{}
	for _, p := range paths {
		out[filepath.Base(p)] = readGuest(t, filepath.Join(filepath.Base(filepath.Dir(p)), filepath.Base(p)))
	}
	return out
}

// TestGuests: real guests give the same results and leave the same memory.
func TestGuests(t *testing.T) {
	cfg := wazero.NewRuntimeConfigCompiler()
	for _, w := range workloads {
		t.Run(w.name, func(t *testing.T) {
			wasm := w.wasm(t)
			out, rep, err := Rewrite(wasm, Config{})
			if err != nil {
				t.Fatal(err)
			}
			if w.name == "go-json" && rep.Jumps < 1000 { // its compiler writes jumps as dispatches: if it stops, this is of no use
				t.Errorf("%d jumps go straight to their case", rep.Jumps)
			}
			if float64(len(out)) > 1.35*float64(len(wasm)) {
				t.Errorf("grew from %d to %d bytes", len(wasm), len(out))
			}
			plain := newRunner(t, w, wasm, &tank{}, cfg)
			metered := newRunner(t, w, out, &tank{slice: 1 << 20}, cfg)
			for range 3 {
				if want, got := plain.call(t), metered.call(t); got != want {
					t.Fatalf("got %d; want %d", got, want)
				}
			}
			a, _ := plain.mod.Memory().Read(0, plain.mod.Memory().Size())
			b, _ := metered.mod.Memory().Read(0, metered.mod.Memory().Size())
			if w.name == "go-json" { // its heap's layout draws on time and randomness: compare the result only
				from := uint32(plain.stackOf(t, "input"))
				a, _ = plain.mod.Memory().Read(from, 300)
				from = uint32(metered.stackOf(t, "input"))
				b, _ = metered.mod.Memory().Read(from, 300)
			}
			if !bytes.Equal(a, b) {
				t.Error("memories differ")
			}
			t.Logf("%+v", rep)
		})
	}
}

// TestGoCommand runs a whole Go program both ways: its standard output, with
// goroutines, maps, panics recovered and garbage collections.
func TestGoCommand(t *testing.T) {
	wasm := buildGo(t, "gocommand")
	var outputs [2]bytes.Buffer
	for i, wasm := range [][]byte{wasm, mustRewrite(t, wasm)} {
		ctx := context.Background()
		r := newRuntime(t, wazero.NewRuntimeConfigCompiler())
		wasi_snapshot_preview1.MustInstantiate(ctx, r)
		(&tank{slice: 1 << 20}).link(t, r)
		_, err := r.InstantiateWithConfig(ctx, wasm, wazero.NewModuleConfig().WithStdout(&outputs[i]).WithStderr(&outputs[i]).WithStdin(strings.NewReader(order)))
		var exit *sys.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 7 {
			t.Fatalf("run %d: %v\n%s", i, err, outputs[i].String())
		}
	}
	if want, got := outputs[0].String(), outputs[1].String(); got != want || len(want) < 100 {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}
