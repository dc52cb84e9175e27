package meter

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	. "github.com/berth-host/berth/host/sandbox/wasmbin/wasmtest"
)

func call(t testing.TB, mod api.Module, args ...uint64) ([]uint64, error) {
	t.Helper()
	return mod.ExportedFunction("f").Call(context.Background(), args...)
}

// jumpsForward is the code of a function of one i32: a dispatch of two cases, of which
// the first jumps to the second.
func jumpsForward() []byte {
	return B(0x03, 0x40, 0x02, 0x40, 0x02, 0x40, 0x20, 0, 0x0e, Vec(U(0)), 1, end, 0x41, 1, 0x21, 0, 0x0c, 1, end, 0x41, 1, 0x1a, end, end)
}

// TestCharges pins what small functions cost: a change here changes every figure
// that plugins report.
func TestCharges(t *testing.T) {
	i := "\x7f"
	for _, tt := range []struct {
		name string
		code []byte
		arg  uint64
		want int64
	}{
		{"nothing", B(end), 0, 2},
		{"three instructions", B(0x20, 0, 0x41, 1, 0x6a, 0x1a, end), 0, 2 + 3},
		{"the dearer arm, even if the other is taken", B(0x20, 0, 0x04, 0x40, 0x01, 0x05, 0x41, 1, 0x41, 1, 0x6a, 0x1a, end, end), 1, 2 + 2 + 3},
		{"code behind a branch is not paid for", B(0x0c, 0, 0x41, 1, 0x1a, end), 0, 2 + 1},
		{"a loop, per pass", B(0x03, 0x40, 0x20, 0, 0x41, 1, 0x6b, 0x22, 0, 0x0d, 0, end, end), 10, 10 * (1 + 5 + 2)}, // 1 for the head; the entry has merged
		{"a conditional repeat, not taken", B(0x03, 0x40, 0x20, 0, 0x0d, 0, end, end), 0, 2 + 1 + 2},
		{"a switch costs its dearest case", B(0x02, 0x40, 0x02, 0x40, 0x20, 0, 0x0e, Vec(U(0), U(1)), 1, end, 0x41, 1, 0x1a, end, end), 0, 2 + 1 + 2 + 1},
		// The head's charge is for the dearest way to the end, with the jump of 3 and its switch of 3; a jump that is not there to take is not charged again.
		{"a jump straight to its case", jumpsForward(), 0, 2 + 1 + 3 + 3 + 3 + 1},
		{"a fill of 10 bytes", B(0x41, 0, 0x41, 0, 0x41, 10, 0xfc, 11, 0, end), 0, 2 + 3 + 64},
		{"a fill of 8000 bytes", B(0x41, 0, 0x41, 0, 0x41, S(8000), 0xfc, 11, 0, end), 0, 2 + 3 + 64 + 1000},
		{"a page", B(0x41, 1, 0x40, 0, 0x1a, end), 0, 2 + 1 + 192 + 131072},
		{"a page that cannot be", B(0x41, S(70000), 0x40, 0, 0x1a, end), 0, 2 + 1 + 192},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := &tank{slice: 1 << 30}
			mod := start(t, mustRewrite(t, Func(i, "", Vec(), tt.code)), k, wazero.NewRuntimeConfigCompiler())
			if _, err := call(t, mod, tt.arg); err != nil {
				t.Fatal(err)
			}
			if got := k.used(mod); got != tt.want {
				t.Errorf("got %d; want %d", got, tt.want)
			}
		})
	}
}

// TestFoldedLeaf: a small function that is only called directly costs its callers.
func TestFoldedLeaf(t *testing.T) {
	leaf := Body(0x20, 0, 0x41, 3, 0x6c, end) // 2 + 3
	wasm := Module(
		Section(1, Vec(FuncType("\x7f", "\x7f"))), Section(3, Vec(U(0), U(0))), Section(7, Vec(Export("f", 0, 0))),
		Section(10, Vec(Body(0x20, 0, 0x10, 1, 0x10, 1, end), leaf)))
	out, rep, err := Rewrite(wasm, Config{})
	if err != nil || rep.Folded != 1 || rep.Entries != 1 {
		t.Fatalf("%v, %+v", err, rep)
	}
	k := &tank{slice: 1000}
	mod := start(t, out, k, wazero.NewRuntimeConfigCompiler())
	if got, err := call(t, mod, 5); err != nil || got[0] != 45 {
		t.Fatalf("got %v, %v", got, err)
	}
	if got, want := k.used(mod), int64(2+1+2*(3+5)); got != want {
		t.Errorf("got %d; want %d", got, want)
	}
}

// TestJumps: a jump forwards to a case of the switch that its loop begins with goes
// there, once the loop's head is paid for; any other passes the head as before.
func TestJumps(t *testing.T) {
	i := "\x7f"
	// The switch is over local 0, the argument. Case 0 jumps as the test has it; case 1
	// adds 10 to local 1 and ends, case 2 adds 100, and the default adds 1000.
	add := func(n int64) []byte { return B(0x20, 1, 0x41, S(n), 0x6a, 0x21, 1) }
	out := B(0x20, 1, 0x0f)
	in := func(jump []byte, more ...any) []byte {
		return B(0x03, 0x40, 0x02, 0x40, 0x02, 0x40, 0x02, 0x40, 0x02, 0x40, 0x20, 0, 0x0e, Vec(U(0), U(1), U(2)), 3, end,
			add(1), jump, end, add(10), B(more...), out, end, add(100), out, end, add(1000), out, end, 0x00, end)
	}
	to := func(k int64, label int) []byte { return B(0x41, S(k), 0x21, 0, 0x0c, label) }
	for _, tt := range []struct {
		name  string
		code  []byte
		want  int64
		jumps int
	}{
		{"to the next case", in(to(1, 3)), 11, 1},
		{"past one", in(to(2, 3)), 101, 1},
		{"to the default", in(to(3, 3)), 1001, 1},
		{"to the default, far", in(to(1<<30, 3)), 1001, 1},
		{"to a negative number", in(to(-1, 3)), 1001, 1},
		{"sometimes", in(B(0x20, 1, 0x04, 0x40, to(2, 4), end, to(1, 3))), 101, 2},
		{"from a block of its own", in(B(0x02, 0x40, to(2, 4), end)), 101, 1},
		{"over another local", in(B(0x41, 2, 0x21, 0, 0x41, 1, 0x21, 2, 0x0c, 3)), 101, 0},
		{"set a moment ago", in(B(0x41, 2, 0x21, 0, 0x01, 0x0c, 3)), 101, 0},
		{"by another value", in(B(0x20, 1, 0x41, 1, 0x6a, 0x21, 0, 0x0c, 3)), 101, 0},
		{"backwards", in(B(0x20, 1, 0x41, 5, 0x49, 0x04, 0x40, to(0, 4), end, to(1, 3))), 15, 1},
		// The if is as deep as what case 1 ended was.
		{"to a case that has ended", in(to(1, 3), 0x20, 1, 0x41, 30, 0x49, 0x04, 0x40, to(1, 3), end), 31, 1},
		{"out of the loop", B(0x02, 0x40, 0x03, 0x40, 0x02, 0x40, 0x20, 0, 0x0e, Vec(U(0)), 2, end, add(1), to(5, 0), end, end, add(7), out, end), 8, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wasm := Func(i, i, Vec(B(2, 0x7f)), tt.code)
			want, err := call(t, start(t, wasm, &tank{}, wazero.NewRuntimeConfigCompiler()), 0)
			if err != nil || int64(want[0]) != tt.want {
				t.Fatalf("as it is: %v, %v", want, err)
			}
			out, rep, err := Rewrite(wasm, Config{})
			if err != nil || rep.Jumps != tt.jumps {
				t.Fatalf("%v, %+v", err, rep)
			}
			var used int64
			for _, slice := range []int64{1 << 20, 7} {
				k := &tank{slice: slice}
				mod := start(t, out, k, wazero.NewRuntimeConfigCompiler())
				got, err := call(t, mod, 0)
				if err != nil || got[0] != want[0] {
					t.Errorf("got %v, %v; want %v", got, err, want)
				}
				if used != 0 && k.used(mod) != used {
					t.Errorf("slices of %d: %d fuel; in one slice: %d", slice, k.used(mod), used)
				}
				used = k.used(mod)
			}
			k := &tank{slice: 7, budget: used - 1}
			if _, err := call(t, start(t, out, k, wazero.NewRuntimeConfigCompiler()), 0); !errors.Is(err, errOutOfFuel) {
				t.Errorf("one unit short: %v", err)
			}
		})
	}
}

// TestFuelIsExact: the same work takes the same fuel with slices of any size, run after
// run, and a budget stops it at the same charge.
func TestFuelIsExact(t *testing.T) {
	for _, w := range workloads {
		if w.name == "go-json" {
			continue // its collector and maps draw on time and randomness
		}
		t.Run(w.name, func(t *testing.T) {
			out := mustRewrite(t, w.wasm(t))
			var want, result uint64
			for i, slice := range []int64{1 << 40, 1 << 20, 9973, 100, 1 << 40} {
				k := &tank{slice: slice}
				r := newRunner(t, w, out, k, wazero.NewRuntimeConfigCompiler())
				got := r.call(t)
				used := uint64(k.used(r.mod))
				if i == 0 {
					want, result = used, got
				}
				if used != want || got != result {
					t.Fatalf("slices of %d: %d fuel, result %d; want %d and %d", slice, used, got, want, result)
				}
			}
			for _, slice := range []int64{1 << 40, 1000, 7} {
				k := &tank{slice: slice, budget: int64(want) - 1}
				r := newRunner(t, w, out, k, wazero.NewRuntimeConfigCompiler())
				if w.json {
					continue // input is a call of its own
				}
				r.stack[0] = w.arg
				err := r.fn.CallWithStack(context.Background(), r.stack)
				if !errors.Is(err, errOutOfFuel) || k.used(r.mod) <= int64(want)-1 || k.used(r.mod) > int64(want) {
					t.Fatalf("slices of %d, one unit short: %v, used %d of %d", slice, err, k.used(r.mod), want)
				}
			}
		})
	}
}

// TestRunawaysAreStopped: a guest that runs without end calls refill soon.
func TestRunawaysAreStopped(t *testing.T) {
	i := "\x7f"
	// fib(60) with no loop; its callee is itself.
	fib := B(0x20, 0, 0x41, 2, 0x48, 0x04, 0x7f, 0x20, 0, 0x05, 0x20, 0, 0x41, 1, 0x6b, 0x10, 0, 0x20, 0, 0x41, 2, 0x6b, 0x10, 0, 0x6a, end, end)
	for _, tt := range []struct {
		name string
		wasm []byte
	}{
		{"spin", Func(i, i, Vec(), 0x03, 0x40, 0x0c, 0, end, 0x00, end)},
		{"spin with a value", Func(i, i, Vec(), 0x20, 0, 0x03, 0, 0x0c, 0, end, end)},
		{"spin by br_table", Func(i, i, Vec(), 0x03, 0x40, 0x20, 0, 0x0e, Vec(U(0)), 0, end, 0x00, end)},
		{"outer loop through an inner block", Func(i, i, Vec(), 0x03, 0x40, 0x02, 0x40, 0x20, 0, 0x0d, 1, 0x0c, 1, end, end, 0x00, end)},
		{"a switch that goes back to its loop", Func(i, i, Vec(), 0x03, 0x40, 0x02, 0x40, 0x20, 0, 0x0e, Vec(U(1)), 0, end, 0x41, 0, 0x21, 0, 0x0c, 0, end, 0x00, end)},
		{"jumps in turn", Func(i, i, Vec(), 0x03, 0x40, 0x02, 0x40, 0x02, 0x40, 0x20, 0, 0x0e, Vec(U(0)), 1, end, 0x41, 1, 0x21, 0, 0x0c, 1, end, 0x41, 0, 0x21, 0, 0x0c, 0, end, 0x00, end)},
		{"fib(60)", Func(i, i, Vec(), fib)},
		{"a flood of fills", Func(i, i, Vec(), 0x03, 0x40, 0x41, 0, 0x41, 0, 0x41, S(65536), 0xfc, 11, 0, 0x0c, 0, end, 0x00, end)},
		{"a flood of copies", Func(i, i, Vec(), 0x03, 0x40, 0x41, 0, 0x41, 1, 0x41, S(65535), 0xfc, 10, 0, 0, 0x0c, 0, end, 0x00, end)},
		{"divisions", Func(i, i, Vec(), 0x03, 0x40, 0x42, S(-1<<62), 0x20, 0, 0xac, 0x7f, 0xa7, 0x21, 0, 0x41, 3, 0x21, 0, 0x0c, 0, end, 0x00, end)},
		{"memory.grow by 0", Func(i, i, Vec(), 0x03, 0x40, 0x41, 0, 0x40, 0, 0x1a, 0x0c, 0, end, 0x00, end)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const slice, slices = 1 << 20, 100
			k := &tank{slice: slice, budget: slice * slices, stack: 1 << 20}
			mod := start(t, mustRewrite(t, tt.wasm), k, wazero.NewRuntimeConfigCompiler())
			begin := time.Now()
			_, err := call(t, mod, 60)
			if !errors.Is(err, errOutOfFuel) {
				t.Fatalf("got %v", err)
			}
			took := time.Since(begin) / slices
			t.Logf("%v a slice of %d", took, slice)
			if took > 2*time.Second { // about 0.1 ms without a race detector or other load: it hangs
				t.Errorf("%v between refills", took)
			}
		})
	}
}

// TestStartFunctionIsMetered: the first charge of all asks the host.
func TestStartFunctionIsMetered(t *testing.T) {
	wasm := Module(Section(1, Vec(FuncType("", ""))), Section(3, Vec(U(0))), Section(8, 0), Section(10, Vec(Body(0x03, 0x40, 0x0c, 0, end, end))))
	k := &tank{slice: 1000, budget: 5000}
	r := newRuntime(t, wazero.NewRuntimeConfigCompiler())
	k.link(t, r)
	if _, err := r.Instantiate(context.Background(), mustRewrite(t, wasm)); !errors.Is(err, errOutOfFuel) || k.refills != 6 {
		t.Errorf("got %v after %d refills", err, k.refills)
	}
}

// TestChunks: long fills and copies do what the engine's own do, overlapping or not,
// inside memory or not, and ask for fuel between chunks.
func TestChunks(t *testing.T) {
	const pages = 80 // 5 MiB
	wasm := Module(
		Section(1, Vec(FuncType("\x7f\x7f\x7f", ""))), Section(3, Vec(U(0), U(0))), Section(5, Vec(B(0, U(pages)))),
		Section(7, Vec(Export("fill", 0, 0), Export("copy", 0, 1), Export("memory", 2, 0))),
		Section(10, Vec(Body(0x20, 0, 0x20, 1, 0x20, 2, 0xfc, 11, 0, end), Body(0x20, 0, 0x20, 1, 0x20, 2, 0xfc, 10, 0, 0, end))))
	cfg := wazero.NewRuntimeConfigCompiler()
	k := &tank{slice: 1000}
	plain, metered := start(t, wasm, &tank{}, cfg), start(t, mustRewrite(t, wasm), k, cfg)
	random := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, pages<<16)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	plain.Memory().Write(0, noise)
	metered.Memory().Write(0, noise)
	const c = chunkBytes
	for _, tt := range []struct {
		name string
		args [3]uint64
	}{
		{"fill", [3]uint64{5, 7, c}}, {"fill", [3]uint64{5, 8, c + 1}}, {"fill", [3]uint64{1, 9, 3 * c}}, {"fill", [3]uint64{0, 1, pages << 16}},
		{"copy", [3]uint64{0, 100, 3*c + 17}}, {"copy", [3]uint64{100, 0, 3*c + 17}}, {"copy", [3]uint64{c / 2, 0, 2 * c}}, {"copy", [3]uint64{0, c + 5, 2*c + 1}},
		{"copy", [3]uint64{7, 7, 2 * c}}, {"copy", [3]uint64{3 * c, 1, 2 * c}}, {"fill", [3]uint64{0, 1, 128}}, {"fill", [3]uint64{0, 2, 129}}, {"copy", [3]uint64{1, 0, 0}},
		{"fill", [3]uint64{4 * c, 1, c + 1}}, {"fill", [3]uint64{1 << 31, 1, 1 << 31}}, {"copy", [3]uint64{1<<32 - 1, 0, 1<<32 - 1}}, {"copy", [3]uint64{0, 4 * c, 2 * c}},
		{"copy", [3]uint64{4 * c, 0, 2 * c}}, {"fill", [3]uint64{pages << 16, 0, 0}}, {"fill", [3]uint64{pages<<16 + 1, 0, 0}},
	} {
		if tt.name == "copy" { // something to see
			plain.Memory().Write(0, noise)
			metered.Memory().Write(0, noise)
		}
		before := k.used(metered)
		_, want := plain.ExportedFunction(tt.name).Call(context.Background(), tt.args[:]...)
		_, got := metered.ExportedFunction(tt.name).Call(context.Background(), tt.args[:]...)
		if (got == nil) != (want == nil) || got != nil && kindOf(got) != kindOf(want) {
			t.Fatalf("%s%v: got %v; want %v", tt.name, tt.args, got, want)
		}
		a, _ := plain.Memory().Read(0, pages<<16)
		b, _ := metered.Memory().Read(0, pages<<16)
		if !bytes.Equal(a, b) {
			t.Fatalf("%s%v: memories differ", tt.name, tt.args)
		}
		if used := k.used(metered) - before; want == nil && tt.args[2] > smallBytes && used < int64(tt.args[2]>>bytesPerUnitLog2) || want != nil && used > 100+c>>bytesPerUnitLog2 {
			t.Errorf("%s%v: %d fuel", tt.name, tt.args, used)
		}
	}
}

// TestHostReadsAndSetsTheCounter: in a host call the exported global is exact, and
// the host's writes to it take effect: so it accounts for each event.
func TestHostReadsAndSetsTheCounter(t *testing.T) {
	wasm := Module(
		Section(1, Vec(FuncType("", ""))), Section(2, Vec(Import("env", "next", 0, 0))), Section(3, Vec(U(0))), Section(7, Vec(Export("f", 0, 1))),
		Section(10, Vec(BodyLocals(Vec(B(1, 0x7f)), 0x03, 0x40, 0x10, 0, 0x20, 0, 0x41, 1, 0x6a, 0x22, 0, 0x41, 10, 0x48, 0x0d, 0, end, end))))
	ctx := context.Background()
	r := newRuntime(t, wazero.NewRuntimeConfigCompiler())
	k := &tank{slice: 100}
	k.link(t, r)
	var events []int64
	next := func(_ context.Context, mod api.Module, _ []uint64) {
		events = append(events, k.used(mod))
		k.granted = 70 // a new event, with a first slice of its own
		mod.ExportedGlobal(DefaultGlobal).(api.MutableGlobal).Set(70)
	}
	if _, err := r.NewHostModuleBuilder("env").NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(next), nil, nil).Export("next").Instantiate(ctx); err != nil {
		t.Fatal(err)
	}
	mod, err := r.Instantiate(ctx, mustRewrite(t, wasm))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := call(t, mod); err != nil {
		t.Fatal(err)
	}
	if len(events) != 10 || events[1] != 1+weightHostCall+7+2 {
		t.Fatalf("events: %v", events)
	}
	for _, used := range events[1:] {
		if used != events[1] {
			t.Errorf("equal events of different fuel: %v", events)
		}
	}
}
