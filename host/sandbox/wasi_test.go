package sandbox_test

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/sandbox/wasi"
)

// report runs a guest for one event and returns its result.
func report(t *testing.T, wasm []byte, name string) map[string]any {
	t.Helper()
	_, q := start(t, load(t, wasm), sandbox.PoolConfig{Name: name})
	q.push(attempt(t, 1, `{"status":"shipped"}`))
	d := q.await(t)
	if d.outcome.Verdict != event.OK {
		t.Fatalf("%q: %s", d.outcome.Class, d.outcome.Message)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(d.result), &got); err != nil {
		t.Fatalf("%s: %v", d.result, err)
	}
	return got
}

func same(t *testing.T, got, want map[string]any) {
	t.Helper()
	for name := range maps.Keys(got) {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is %v; nothing is expected of it", name, got[name])
		}
	}
	for name, value := range want {
		if n, ok := value.(int); ok {
			value = float64(n)
		}
		have := got[name]
		if list, ok := have.([]any); ok && len(list) == 1 {
			have = list[0]
		}
		if have != value {
			t.Errorf("%s is %v, want %v", name, got[name], value)
		}
	}
}

// TestLibrariesOfThreeLanguages runs programs in C, Rust and Go with their own WASI
// libraries: each sees its name, an empty environment, three pipes and no file.
func TestLibrariesOfThreeLanguages(t *testing.T) {
	const (
		badf = "Bad file descriptor"
		pipe = "Invalid seek"
		in   = 1<<16 | 1 // one descriptor is ready: POLLIN,
		out  = 1<<16 | 2 // POLLOUT,
		hup  = 1<<16 | 0x2001
		bad  = 1<<16 | 0x4000 // POLLNVAL
	)
	t.Run("C", func(t *testing.T) {
		same(t, report(t, guest(t, "wasi/report_c"), "my-plugin"), map[string]any{
			"argc": 1, "argv0": "my-plugin", "argv_ends": 1, "environ": 0, "getenv": 0,
			"isatty_0": 0, "isatty_0_error": "Not a tty", "isatty_1": 0, "isatty_1_error": "Not a tty",
			"isatty_2": 0, "isatty_2_error": "Not a tty", "isatty_3": 0, "isatty_3_error": badf,
			"fstat_0": "ok", "mode_0": 0, "same_file": 0, "getfl_0": 1, "getfl_1": 1,
			"setfl_nonblock": "ok", "getfl_nonblock": 1,
			"lseek_0": pipe, "lseek_1": pipe, "lseek_3": badf, "pread_0": pipe, "write_0": badf, "read_1": badf, "read_3": badf,
			"fsync_1": "ok", "ftruncate_1": "Invalid argument", "shutdown_0": "Not a socket", "send_1": "Not a socket",
			"poll_0": in, "poll_1": out, "poll_3": bad, "fionread": "ok", "waiting": 1,
			"read_at_end": 0, "poll_at_end": hup, "fionread_at_end": "ok", "waiting_at_end": 0,
			"open": -1, "create": -1, "opendir": 0, "stat": -1, "mkdir": -1,
			"getres": 1, "getres_monotonic": 1, "realtime": 1, "monotonic": 1,
			"nanosleep": "ok", "slept": 1, "sleep_until": 0, "slept_until": 1, "sched_yield": "ok",
			"getentropy": "ok", "random": 1,
			"close_0": "ok", "read_closed": badf, "close_again": badf, "poll_closed": bad,
		})
	})
	t.Run("Rust", func(t *testing.T) {
		same(t, report(t, guest(t, "wasi/report_rust"), "my-plugin"), map[string]any{
			"args": "my-plugin", "argc": "1", "vars": "0", "var": "true", "slept": "true", "time": "true", "map": "1",
			"file": "true", "directory": "true", "create": "true", "stdin": "ok", "json": "true", "end": "0",
			"stderr": "ok", "many": "true", "flush": "ok",
		})
	})
	t.Run("Go", func(t *testing.T) {
		same(t, report(t, goProgram(t, "../../testdata/guests/wasi/report_go"), "my-plugin"), map[string]any{
			"args": "my-plugin", "verbose": false, "narg": 0, "environ": 0,
			"stat": "ok", "terminal": false, "same_file": false, "seek": "Illegal seek", "sync": "ok", "write_stdin": "Bad file number",
			"read": "ok", "json": true, "end": true, "file": true, "directory": true, "create": true, "hostname": false,
			"slept": true, "year": true, "random": true, "close": "ok", "read_closed": "Bad file number",
		})
	})
}

// TestLoopGuestHasItsNameAsArgument: every style has the same arguments.
func TestLoopGuestHasItsNameAsArgument(t *testing.T) {
	m := load(t, guest(t, "wasi/argv"))
	if m.Style() != "loop" {
		t.Fatalf("style %s", m.Style())
	}
	same(t, report(t, guest(t, "wasi/argv"), "other"), map[string]any{"argc": 1, "argv0": "other"})
}

// TestWASIHasTheSignaturesOfPreview1 compares with the runtime's own.
func TestWASIHasTheSignaturesOfPreview1(t *testing.T) {
	r := wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfigInterpreter())
	defer r.Close(t.Context())
	compiled, err := wasi_snapshot_preview1.NewBuilder(r).Compile(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	theirs, ours := compiled.ExportedFunctions(), wasi.Functions()
	for name := range ours {
		if theirs[name] == nil {
			t.Errorf("%s is not a function of preview 1", name)
		}
	}
	for name, def := range theirs {
		params := strings.NewReplacer("\x7f", "i", "\x7e", "I").Replace(string(def.ParamTypes()))
		if f, ok := ours[name]; !ok || f.Params != params || (len(def.ResultTypes()) == 0) != (name == wasi.Exit) {
			t.Errorf("%s has the parameters %q; want %q", name, f.Params, params)
		}
	}
}

// goProgram builds a Go command for WASI.
func goProgram(t testing.TB, dir string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "guest.wasm")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, dir)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=", "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	wasm, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}
