package meter

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

const testdata = "../../../testdata/meter"

// order is what the JSON guests read.
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
