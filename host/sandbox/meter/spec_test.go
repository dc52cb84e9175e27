package meter

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// specDir is where the engine's module keeps the core specification's tests,
// compiled to binary modules and JSON scripts.
func specDir(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	dir := filepath.Join(strings.TrimSpace(string(out)), "internal", "integration_test", "spectest")
	if err == nil {
		_, err = os.Stat(filepath.Join(dir, "v2", "testdata"))
	}
	if err != nil {
		t.Fatalf("the specification's tests are not in the module cache (is the module vendored?): %v", err)
	}
	return dir
}

// script is a specification test as wast2json writes it.
type script struct {
	Commands []command `json:"commands"`
}

type command struct {
	Type     string `json:"type"`
	Line     int    `json:"line"`
	Name     string `json:"name"`
	Filename string `json:"filename"`
	As       string `json:"as"`
	Action   struct {
		Type   string  `json:"type"`
		Field  string  `json:"field"`
		Module string  `json:"module"`
		Args   []value `json:"args"`
	} `json:"action"`
	Text       string `json:"text"`
	ModuleType string `json:"module_type"`
}

type value struct {
	Type     string `json:"type"`
	LaneType string `json:"lane_type"`
	Value    any    `json:"value"`
}

// words are the value as the engine's API passes it.
func (v value) words() []uint64 {
	if lanes, ok := v.Value.([]any); ok {
		bits, _ := strconv.Atoi(v.LaneType[1:])
		words, at := make([]uint64, 2), 0
		for _, l := range lanes {
			words[at/64] |= parseBits(l.(string), bits) << (at % 64)
			at += bits
		}
		return words
	}
	s, _ := v.Value.(string)
	switch v.Type {
	case "funcref", "externref":
		if s == "null" || s == "" {
			return []uint64{0}
		}
		return []uint64{parseBits(s, 64) + 1} // 0 is the engine's null
	case "i32", "f32":
		return []uint64{parseBits(s, 32)}
	}
	return []uint64{parseBits(s, 64)}
}

func parseBits(s string, bits int) uint64 {
	if strings.HasPrefix(s, "nan") {
		if bits == 32 {
			return 0x7fc00000
		}
		return 0x7ff8 << 48
	}
	if u, err := strconv.ParseUint(s, 10, bits); err == nil {
		return u
	}
	i, err := strconv.ParseInt(s, 10, bits)
	if err != nil {
		panic(err)
	}
	return uint64(i) & (1<<bits - 1)
}

// world is one run of a script: its modules, original or metered.
type world struct {
	t       *testing.T
	r       wazero.Runtime
	metered bool
	last    api.Module
	named   map[string]api.Module
}

func newWorld(t *testing.T, host []byte, metered bool) *world {
	w := &world{t: t, metered: metered, named: map[string]api.Module{},
		r: newRuntime(t, wazero.NewRuntimeConfigCompiler().WithMemoryLimitPages(4096))}
	(&tank{slice: 1000}).link(t, w.r)
	if _, err := w.r.Instantiate(context.Background(), host); err != nil {
		t.Fatal(err)
	}
	return w
}

// instantiate returns the kind of the engine's answer to a module.
func (w *world) instantiate(wasm []byte, name string) string {
	ctx := context.Background()
	if w.metered {
		out, _, err := Rewrite(wasm, Config{})
		if err != nil {
			return "invalid"
		}
		wasm = out
	}
	compiled, err := w.r.CompileModule(ctx, wasm)
	if err != nil {
		return "invalid"
	}
	mod, err := w.r.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName(name).WithStartFunctions())
	if err != nil {
		return "not instantiated: " + kindOf(err)
	}
	w.last = mod
	return "ok"
}

// kindOf is the kind of a trap or error without what is allowed to differ.
func kindOf(err error) string {
	for _, kind := range []string{"unreachable", "integer divide by zero", "integer overflow", "invalid conversion to integer",
		"out of bounds memory access", "invalid table access", "indirect call type mismatch", "stack overflow"} {
		if strings.Contains(err.Error(), kind) {
			return kind
		}
	}
	return "other"
}

func (w *world) invoke(c command) string {
	mod := w.last
	if c.Action.Module != "" {
		mod = w.named[c.Action.Module]
	}
	if mod == nil {
		return "no module"
	}
	if c.Action.Type == "get" {
		g := mod.ExportedGlobal(c.Action.Field)
		return fmt.Sprintf("%x", g.Get())
	}
	fn := mod.ExportedFunction(c.Action.Field)
	if fn == nil {
		return "no function"
	}
	var args []uint64
	for _, a := range c.Action.Args {
		args = append(args, a.words()...)
	}
	results, err := fn.Call(context.Background(), args...)
	if err != nil {
		return kindOf(err)
	}
	s := ""
	types := fn.Definition().ResultTypes()
	for i, at := 0, 0; at < len(results); i, at = i+1, at+1 {
		if types[i] == api.ValueTypeI32 || types[i] == api.ValueTypeF32 {
			results[at] &= 1<<32 - 1
		}
		if types[i] == 0x70 || types[i] == 0x6f && results[at] > 1<<32 { // funcref: an address
			results[at] = min(results[at], 1)
		}
		s += fmt.Sprintf("%x ", results[at])
		if types[i] == 0x7b {
			at++
			s += fmt.Sprintf("%x ", results[at])
		}
	}
	return s
}

// run returns the result of one command; as is the name that the next command registers.
func (w *world) run(dir string, c command, as string) string {
	switch c.Type {
	case "module", "assert_malformed", "assert_invalid", "assert_unlinkable", "assert_uninstantiable":
		if c.ModuleType == "text" {
			return ""
		}
		wasm, err := os.ReadFile(filepath.Join(dir, "testdata", c.Filename))
		if err != nil {
			w.t.Fatal(err)
		}
		last := w.last
		got := w.instantiate(wasm, as)
		if c.Type != "module" {
			w.last = last
		} else if c.Name != "" {
			w.named[c.Name] = w.last
		}
		return got
	case "register": // the module command before has done it
		return ""
	case "action", "assert_return", "assert_trap", "assert_exhaustion":
		return w.invoke(c)
	}
	w.t.Fatalf("line %d: unknown command %q", c.Line, c.Type)
	return ""
}

// refusedHere are the modules of the specification's tests that the rewriter refuses
// although they are valid: the engine does not read the encodings of their opcodes as
// specified.
var refusedHere = map[string]bool{"binary-leb128.81.wasm": true}

// TestSpecification runs the core specification's tests twice, as they are and
// metered, and compares the answers to each command: the same results, the same
// traps, the same modules refused.
func TestSpecification(t *testing.T) {
	dir := specDir(t)
	host, err := os.ReadFile(filepath.Join(dir, "testdata", "spectest.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	total, modules := 0, 0
	for _, version := range []string{"v1", "v2"} {
		dir := filepath.Join(dir, version)
		scripts, err := filepath.Glob(filepath.Join(dir, "testdata", "*.json"))
		if err != nil || len(scripts) < 70 {
			t.Fatalf("%d scripts in %s, %v", len(scripts), version, err)
		}
		for _, path := range scripts {
			name := version + "/" + strings.TrimSuffix(filepath.Base(path), ".json")
			t.Run(name, func(t *testing.T) {
				raw, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				var s script
				if err := json.Unmarshal(raw, &s); err != nil {
					t.Fatal(err)
				}
				plain, metered := newWorld(t, host, false), newWorld(t, host, true)
				for i, c := range s.Commands {
					as := ""
					if i+1 < len(s.Commands) && s.Commands[i+1].Type == "register" {
						as = s.Commands[i+1].As
					}
					want := plain.run(dir, c, as)
					got := metered.run(dir, c, as)
					if refusedHere[c.Filename] {
						want = "invalid"
					}
					if got != want {
						t.Errorf("line %d, %s %s %s: metered %q, original %q", c.Line, c.Type, c.Filename, c.Action.Field, got, want)
					}
					total++
					if c.Type == "module" && got == "ok" {
						modules++
					}
				}
			})
		}
	}
	if total < 40000 || modules < 2000 {
		t.Errorf("only %d commands and %d modules ran", total, modules)
	}
	t.Logf("%d commands, %d modules", total, modules)
}
