package sandbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/sandbox/extism"
	"github.com/berth-host/berth/host/sandbox/guestnet"
	. "github.com/berth-host/berth/host/sandbox/wasmbin/wasmtest"
	"github.com/berth-host/berth/host/spec"
)

// extismGuests are the plugins of testdata/extism, which all do the same.
func extismGuests(t *testing.T) map[string][]byte {
	t.Helper()
	guests := map[string][]byte{"Go": buildExtismGo(t)}
	for _, name := range []string{"c", "assemblyscript"} {
		wasm, err := os.ReadFile(filepath.Join("..", "..", "testdata", "extism", name+".wasm"))
		if err != nil {
			t.Fatal(err)
		}
		guests[name] = wasm
	}
	return guests
}

func buildExtismGo(t *testing.T) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "go.wasm")
	cmd := exec.Command("go", "build", "-trimpath", "-buildmode=c-shared", "-o", out, ".")
	cmd.Dir = filepath.Join("..", "..", "testdata", "extism", "go")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	wasm, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// messages is a slog.Handler that keeps levels and messages.
type messages struct {
	mu   sync.Mutex
	list []string
}

func (*messages) Enabled(context.Context, slog.Level) bool { return true }
func (m *messages) WithAttrs([]slog.Attr) slog.Handler     { return m }
func (m *messages) WithGroup(string) slog.Handler          { return m }

func (m *messages) Handle(_ context.Context, r slog.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.list = append(m.list, r.Level.String()+" "+r.Message)
	return nil
}

func (m *messages) all() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.Join(m.list, "\n")
}

// TestExtismGuests runs the same events through plugins of three languages.
func TestExtismGuests(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, 4)
		_, _ = r.Body.Read(body)
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprintf(w, "%s %s of %s", r.Method, body, r.Header.Get("Content-Type"))
	}))
	defer server.Close()
	network := guestnet.New(guestnet.Config{})
	defer network.Close()
	client, err := network.Client([]string{server.Listener.Addr().String()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, wasm := range extismGuests(t) {
		t.Run(name, func(t *testing.T) {
			m := load(t, wasm)
			if m.Style() != "extism" {
				t.Fatalf("the style is %q", m.Style())
			}
			var log messages
			_, q := start(t, m, sandbox.PoolConfig{Logger: slog.New(&log), Settings: `{"currency":"EUR","a/b~c":{"d":1}}`,
				Capabilities: sandbox.Capabilities{HTTP: client}, Limits: spec.Limits{Concurrency: 1, Timeout: testTimeout}})
			for _, tt := range []struct {
				data    string
				verdict event.Verdict
				class   event.Class
				want    string // the result as JSON, or a part of the message
			}{
				{`{"order_id":"o-1","status":"shipped"}`, event.OK, "", `{"order":"o-1","status":"shipped","currency":"EUR","seen":1}`},
				{`{"order_id":"o-22","status":"delivered"}`, event.OK, "", `{"order":"o-22","status":"delivered","currency":"EUR","seen":2}`},
				{`{"order_id":"o-2"}`, event.Retry, event.ClassRetry, "no status"},
				{`{"url":"` + server.URL + `/x"}`, event.OK, "", `{"http":202,"body":"POST ping of text/plain"}`},
				{`{"url":"http://elsewhere.example/"}`, event.Retry, event.ClassRetry, "it returned 1: http_request: the host elsewhere.example is not granted to this plugin"},
				{`{"order_id":"o-3","status":"boom"}`, event.Failed, event.ClassTrap, ""},
				{`{"order_id":"o-4","status":"paid"}`, event.OK, "", `{"order":"o-4","status":"paid","currency":"EUR","seen":1}`},
			} {
				q.push(attempt(t, 1, tt.data))
				d := q.await(t)
				switch o := d.outcome; {
				case o.Verdict != tt.verdict || o.Class != tt.class:
					t.Errorf("%s: got %d %s %s %s", tt.data, o.Verdict, o.Class, o.Message, d.result)
				case tt.verdict != event.OK && !strings.Contains(o.Message, tt.want):
					t.Errorf("%s: says %q", tt.data, o.Message)
				case tt.verdict == event.OK && !sameJSON(t, d.result, tt.want):
					t.Errorf("%s: got %s, want %s", tt.data, d.result, tt.want)
				}
				if tt.class == event.ClassTrap && name == "Go" && !strings.HasPrefix(d.outcome.Message, "panic: boom (go/main.go:") {
					t.Errorf("the panic reads %s", d.outcome.Message)
				}
				if d.outcome.Fuel == 0 {
					t.Errorf("%s: used no fuel", tt.data)
				}
			}
			for _, want := range []string{"INFO an order", "ERROR http_request: the host elsewhere.example is not granted"} {
				if !strings.Contains(log.all(), want) {
					t.Errorf("the log lacks %q:\n%s", want, log.all())
				}
			}
		})
	}
}

func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	var x, y any
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		return false
	}
	ax, _ := json.Marshal(x)
	by, _ := json.Marshal(y)
	return string(ax) == string(by)
}

// TestExtismFlatMemory: thousands of events on one instance, with blocks that the guest does
// not free.
func TestExtismFlatMemory(t *testing.T) {
	for name, wasm := range extismGuests(t) {
		t.Run(name, func(t *testing.T) {
			engine := newEngine(t, 0)
			m, err := engine.Load(t.Context(), spec.NewArtifact(wasm), sandbox.Options{Memory: 16 << 20})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close(context.Background()) //nolint:errcheck // only the test
			_, q := start(t, m, sandbox.PoolConfig{Settings: `{"currency":"EUR"}`, Limits: spec.Limits{Concurrency: 1, Timeout: testTimeout}})
			var last done
			for range 1000 {
				q.push(attempt(t, 1, `{"order_id":"o-1","status":"shipped"}`))
				last = q.await(t)
			}
			if !sameJSON(t, last.result, `{"order":"o-1","status":"shipped","currency":"EUR","seen":1000}`) {
				t.Errorf("got %s %+v", last.result, last.outcome)
			}
		})
	}
}

// With the capability kv variables are the plugin's state, which all instances share.
func TestExtismVarsAreKV(t *testing.T) {
	state := newKV(t, 1<<20)
	wasm, err := os.ReadFile(filepath.Join("..", "..", "testdata", "extism", "c.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	m := load(t, wasm)
	for n := range 3 {
		_, q := start(t, m, sandbox.PoolConfig{Name: "p", Settings: `{"currency":"EUR"}`, Capabilities: sandbox.Capabilities{KV: state}})
		q.push(attempt(t, 1, `{"order_id":"o-1","status":"paid"}`))
		if d := q.await(t); !strings.Contains(d.result, fmt.Sprintf(`"seen":%d`, n+1)) {
			t.Errorf("got %s %+v", d.result, d.outcome)
		}
	}
	if value, found, err := state.Get(t.Context(), "seen"); string(value) != "3" || !found || err != nil {
		t.Errorf("the state has %q, %v, %v", value, found, err)
	}
	_, q := start(t, m, sandbox.PoolConfig{Settings: `{"currency":"EUR"}`, Capabilities: sandbox.Capabilities{KV: brokenKV{err: fault.New(fault.Unavailable, "/var/lib/x")}}})
	q.push(attempt(t, 1, `{"order_id":"o-1","status":"paid"}`))
	if d := q.await(t); d.outcome.Class != event.ClassTrap || !strings.Contains(d.outcome.Message, "var_get: the plugin's state failed") {
		t.Errorf("a broken state gives %+v", d.outcome)
	}
}

// extismModule assembles a plugin with these imports and exports.
type extismModule struct {
	types, imports, functions, exports, bodies [][]byte
	index                                      map[string]int
	memory                                     bool
}

func newExtism(imports ...string) *extismModule {
	m := &extismModule{index: make(map[string]int), memory: true}
	for _, name := range imports {
		f := extism.Functions()[name]
		m.index[name] = len(m.imports)
		m.imports = append(m.imports, Import(extism.ModuleName, name, 0, U(m.signature(f.Params, f.Results))))
	}
	return m
}

func (m *extismModule) signature(params, results string) int {
	wasm := strings.NewReplacer("i", "\x7f", "I", "\x7e")
	m.types = append(m.types, FuncType(wasm.Replace(params), wasm.Replace(results)))
	return len(m.types) - 1
}

// exits adds the function proc_exit of WASI, and returns a call of it.
func (m *extismModule) exits(code int64) []byte {
	m.index["proc_exit"] = len(m.imports)
	m.imports = append(m.imports, Import("wasi_snapshot_preview1", "proc_exit", 0, U(m.signature("i", ""))))
	return B(0x41, S(code), 0x10, U(m.index["proc_exit"]))
}

// export defines and exports a function with locals of i64.
func (m *extismModule) export(name, params, results string, code ...any) *extismModule {
	m.functions = append(m.functions, U(m.signature(params, results)))
	m.exports = append(m.exports, Export(name, 0, len(m.imports)+len(m.functions)-1))
	m.bodies = append(m.bodies, BodyLocals(Vec(B(U(4), 0x7e)), B(code...), end))
	return m
}

func (m *extismModule) call(name string, args ...int64) []byte {
	var code []byte
	for i, arg := range args {
		if extism.Functions()[name].Params[i] == 'i' {
			code = append(code, B(0x41, S(arg))...)
		} else {
			code = append(code, B(0x42, S(arg))...)
		}
	}
	return append(code, B(0x10, U(m.index[name]))...)
}

func (m *extismModule) bytes() []byte {
	sections := [][]byte{Section(1, Vec(m.types...)), Section(2, Vec(m.imports...)), Section(3, Vec(m.functions...))}
	exports := m.exports
	if m.memory {
		sections = append(sections, Section(5, Vec(B(0, 1))))
		exports = append(exports, Export("memory", 2, 0))
	}
	return Module(append(sections, Section(7, Vec(exports...)), Section(10, Vec(m.bodies...)))...)
}

const (
	drop = 0x1a
	br   = 0x0c
	loop = 0x03
	void = 0x40
	end  = 0x0b
)

// forever repeats code that leaves nothing on the stack.
func forever(code ...any) []byte { return B(loop, void, B(code...), br, U(0), end) }

// TestExtismOutcomes: how a call ends, and what its output is.
func TestExtismOutcomes(t *testing.T) {
	echo := func() *extismModule {
		return newExtism("input_offset", "input_length", "output_set", "error_set", "alloc", "reset", "store_u64", "log_info", "var_set")
	}
	all := func(m *extismModule) []byte {
		return B(m.call("input_offset"), m.call("input_length"), m.call("output_set"))
	}
	for _, tt := range []struct {
		name    string
		module  func() *extismModule
		verdict event.Verdict
		class   event.Class
		want    string
	}{
		{"the input as output", func() *extismModule {
			m := echo()
			return m.export("handle", "", "i", all(m), B(0x41, 0))
		}, event.OK, "", `"data":{"n":1}`},
		{"without a result and a memory", func() *extismModule {
			m := echo()
			m.memory = false
			return m.export("handle", "", "", all(m))
		}, event.OK, "", `"data":{"n":1}`},
		{"no output", func() *extismModule { return echo().export("handle", "", "i", B(0x41, 0)) }, event.OK, "", ""},
		{"another code", func() *extismModule {
			m := echo()
			return m.export("handle", "", "i", all(m), B(0x41, S(-7)))
		}, event.Retry, event.ClassRetry, "it returned -7"},
		{"an error", func() *extismModule {
			m := echo()
			return m.export("handle", "", "i", m.call("input_offset"), m.call("error_set"), B(0x41, 1))
		}, event.Retry, event.ClassRetry, `{"event_type"`},
		{"an error and the code 0", func() *extismModule {
			m := echo()
			return m.export("handle", "", "", m.call("input_offset"), m.call("error_set"))
		}, event.Retry, event.ClassRetry, `{"event_type"`},
		{"an exit with the code 0", func() *extismModule {
			m := echo()
			exit := m.exits(0)
			return m.export("handle", "", "i", all(m), exit, B(0x41, 1))
		}, event.OK, "", `"data":{"n":1}`},
		{"an exit with another code", func() *extismModule {
			m := echo()
			exit := m.exits(75)
			return m.export("handle", "", "", all(m), exit)
		}, event.Failed, event.ClassExit, "it exited with code 75"},
		{"an output that is no JSON", func() *extismModule {
			m := echo()
			return m.export("handle", "", "", m.call("input_offset"), B(0x42, 5), m.call("output_set"))
		}, event.Failed, event.ClassBadResult, "its result (output) is not JSON"},
		{"an output that is too long", func() *extismModule {
			m := echo()
			return m.export("handle", "", "", m.call("alloc", 64<<10+1), B(0x42, S(64<<10+1)), m.call("output_set"))
		}, event.Failed, event.ClassBadResult, "is 65537 bytes; the limit is 65536"},
		{"an output of another block", func() *extismModule {
			m := echo()
			return m.export("handle", "", "", m.call("output_set", 1<<40, 5))
		}, event.Failed, event.ClassTrap, "out of bounds: output_set"},
		{"a line of no block", func() *extismModule {
			m := echo()
			return m.export("handle", "", "", m.call("log_info", 8))
		}, event.Failed, event.ClassTrap, "out of bounds: log: there is no block at 8"},
		{"a variable without a name", func() *extismModule {
			m := echo()
			return m.export("handle", "", "", m.call("var_set", 0, 0))
		}, event.OK, "", ""},
		{"blocks without end", func() *extismModule {
			m := echo()
			return m.export("handle", "", "", forever(m.call("alloc", 4096), B(0x50, 0x04, void), []byte{0x00, end})) // unreachable when it is 0
		}, event.Failed, event.ClassMemory, "it asked for more memory than it may have"},
		{"a variable without end", func() *extismModule {
			m := echo()
			return m.export("handle", "", "", m.call("alloc", 8), B(0x21, 0), // its name
				forever(B(0x20, 0, 0x20, 1, 0x42, 1, 0x7c, 0x22, 1), m.call("store_u64"), B(0x20, 0), m.call("alloc", 32<<10), m.call("var_set")))
		}, event.Failed, event.ClassTrap, "var_set: its variables are over 1048576 bytes together"},
		{"a loop", func() *extismModule { return echo().export("handle", "", "", forever()) }, event.Failed, event.ClassTimeout, "it ran longer than"},
		{"a loop of calls", func() *extismModule {
			m := echo()
			return m.export("handle", "", "", forever(m.call("alloc", 1<<20), B(drop), m.call("reset")))
		}, event.Failed, event.ClassTimeout, "it ran longer than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			timeout := testTimeout
			if tt.class == event.ClassTimeout {
				timeout = 50 * time.Millisecond
			}
			_, q := start(t, load(t, tt.module().bytes()), sandbox.PoolConfig{Limits: spec.Limits{Concurrency: 1, Timeout: timeout}})
			for n := range 2 {
				q.push(attempt(t, n+1, `{"n":1}`))
				d := q.await(t)
				got := d.outcome.Message
				if d.outcome.Verdict == event.OK {
					got = d.result
				}
				if d.outcome.Verdict != tt.verdict || d.outcome.Class != tt.class || !strings.Contains(got, tt.want) || tt.want == "" && got != "" {
					t.Errorf("attempt %d: got %d %s %q", n+1, d.outcome.Verdict, d.outcome.Class, got)
				}
			}
		})
	}
}
