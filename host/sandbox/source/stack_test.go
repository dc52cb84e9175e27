package source

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

const engineTrace = "wasm error: unreachable\nwasm stack trace:\n\t" +
	".berth_meter.refill_slice(i64)\n\t\t0x40: berth\n\t" +
	"._ZN4core9panicking5panic17h0123456789abcdefE(i32,i32)\n\t\t0x30: berth\n\t" +
	"._ZN7handler7explode17h0123456789abcdefE(i32) i32\n\t\t0x20: berth\n\t" +
	".$7()\n\t\t0x10: berth\n\t" +
	".shop::f(int, char (*)(int))(i32,i64) (i32,f64)\n\t" +
	"... maybe followed by omitted frames"

func TestParse(t *testing.T) {
	s, ok := Parse(engineTrace, 2)
	if !ok || s.Cause != "unreachable" {
		t.Fatalf("%v, %q", ok, s.Cause)
	}
	if got, want := s.Text(), "\n\tat _ZN4core9panicking5panic17h0123456789abcdefE\n\tat _ZN7handler7explode17h0123456789abcdefE\n\tat $6\n\tat shop::f"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := s.Unknown(); len(got.Offsets) != 4 || len(got.Names) != 2 {
		t.Errorf("unknown %v", got)
	}
	s.Fill(nil, map[string]string{"_ZN4core9panicking5panic17h0123456789abcdefE": "core::panicking::panic", "_ZN7handler7explode17h0123456789abcdefE": "handler::explode"})
	if got, want := s.Text(), "\n\tat handler::explode\n\tat $6\n\tat shop::f"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := s.Unknown(); len(got.Offsets) != 4 || len(got.Names) != 0 {
		t.Errorf("unknown %v", got)
	}
	if got := s.Headline(); got != "unreachable at handler::explode" {
		t.Error(got)
	}
	s.Fill(map[uint64][]Frame{0x20: {{Function: "handler::check", File: "src/lib.rs", Line: 41}, {File: "src/lib.rs", Line: 50}}, 0x10: {}}, nil)
	if got, want := s.Text(), "\n\tat handler::check (src/lib.rs:41)\n\tat handler::explode (src/lib.rs:50)\n\tat $6\n\tat shop::f"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if s.Headline() != "unreachable at handler::check (src/lib.rs:41)" || s.Location() != "src/lib.rs:41" {
		t.Errorf("%s, %s", s.Headline(), s.Location())
	}
	if got := s.Unknown(); len(got.Offsets) != 2 {
		t.Errorf("offsets %v", got)
	}
	if _, ok := Parse("wasm error: unreachable", 0); ok {
		t.Error("an error without a trace has one")
	}
	s, ok = Parse("stopped (recovered by wazero)\nwasm stack trace:\n\t.abort()\n\t.exit()", 0)
	if !ok || s.Cause != "" || s.Text() != "\n\tat abort\n\tat exit" || s.Location() != "" {
		t.Errorf("only frames of the runtime: %q %q", s.Cause, s.Text())
	}
}

// TestInlinedFunctionOfSourceMap: a function that was inlined is a frame of its own, and
// one that was not is one frame. The guest's own report completes a location.
func TestInlinedFunctionOfSourceMap(t *testing.T) {
	for _, tt := range []struct{ compiled, want string }{
		{"a/handle", "\n\tat a/Cart#explode (a.ts:41)\n\tat a/handle"},
		{"a/Cart<i32>#explode", "\n\tat a/Cart<i32>#explode (a.ts:41)"},
		{"a/Cart#get:explode", "\n\tat a/Cart#get:explode (a.ts:41)"},
		{"a/Cart.explode", "\n\tat a/Cart.explode (a.ts:41)"},
		{"a/Cart#explode~anonymous|0", "\n\tat a/Cart#explode~anonymous|0 (a.ts:41)"},
	} {
		s, _ := Parse("wasm error: unreachable\nwasm stack trace:\n\t."+tt.compiled+"()\n\t\t0x29: berth", 0)
		s.Fill(map[uint64][]Frame{0x29: {{Function: "a/Cart#explode", File: "a.ts", Inlined: true}}}, nil)
		s.Reported = Frame{File: "a.ts", Line: 41}
		if got := s.Text(); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.compiled, got, tt.want)
		}
		s.Reported.File = "b.ts"
		if got := s.Location(); got != "" {
			t.Errorf("%s: a line of another file: %s", tt.compiled, got)
		}
	}
}

// TestInlinedLibraryFramesAreSkipped: between the guest's own.
func TestInlinedLibraryFramesAreSkipped(t *testing.T) {
	s := stackAt("29")
	s.Fill(map[uint64][]Frame{0x29: {
		{Function: "panic_fmt", File: "/rustc/1/library/core/src/panicking.rs", Line: 1},
		{Function: "explode", File: "src/lib.rs", Line: 41},
		{Function: "call_mut", File: "/rustc/1/library/core/src/ops/function.rs", Line: 166},
		{Function: "run", File: "berth/src/run.rs", Line: 20}}}, nil)
	if got, want := s.Text(), "\n\tat explode (src/lib.rs:41)\n\tat f (berth/src/run.rs:20)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRuntimeFrames(t *testing.T) {
	for _, tt := range []struct {
		frame Frame
		want  bool
	}{
		{Frame{Function: "abort"}, true},
		{Frame{Function: "abort_order"}, false},
		{Frame{Function: "rust_begin_unwind"}, true},
		{Frame{Function: "core::panicking::panic_fmt", File: "/rustc/59807616e1fa/library/core/src/panicking.rs", Line: 75}, true},
		{Frame{Function: "explode", File: "/rustc/59807616e1fa/library/core/src/option.rs"}, true},
		{Frame{Function: "handler::explode", File: "src/lib.rs"}, false},
		{Frame{Function: "debug.FullPanic((function 'defaultPanic')).integerOverflow"}, true},
		{Frame{Function: "explode", File: "handler.zig"}, false},
		{Frame{Function: "~lib/array/Array<i32>#__get", File: "~lib/array.ts"}, true},
		{Frame{Function: "std::terminate"}, true},
		{Frame{Function: "shop::std::f", File: "shop.cpp"}, false},
		{Frame{}, false},
	} {
		if got := tt.frame.Runtime(); got != tt.want {
			t.Errorf("%s: got %v", tt.frame, got)
		}
	}
}

// located makes a Locator whose resolver answers by answer, and counts its calls.
func located(answer Resolver) (*Locator, *int) {
	calls := new(int)
	return NewLocator(func(ctx context.Context, q Query) (Answer, error) {
		*calls++
		return answer(ctx, q)
	}, NewLimits(time.Minute)), calls
}

func lineOf(_ context.Context, q Query) (a Answer, err error) {
	for _, offset := range q.Offsets {
		a.Frames = append(a.Frames, []Frame{{Function: "f", File: "a\n.c", Line: int(offset)}})
	}
	for _, name := range q.Names {
		a.Names = append(a.Names, "plain\n"+name)
	}
	return a, nil
}

func stackAt(offset string) Stack {
	s, _ := Parse("wasm error: unreachable\nwasm stack trace:\n\t.f()\n\t\t0x"+offset+": berth", 0)
	return s
}

// TestLocatorRemembers: the frames of an offset are resolved once.
func TestLocatorRemembers(t *testing.T) {
	l, calls := located(lineOf)
	waits := 0
	for range 3 {
		s := stackAt("29")
		l.Locate(context.Background(), &s, func() { waits++ })
		if got := s.Text(); got != "\n\tat f (a?.c:41)" {
			t.Errorf("got %q", got)
		}
	}
	if *calls != 1 || waits != 1 {
		t.Errorf("%d calls, %d waits", *calls, waits)
	}
	named, _ := Parse("wasm error: unreachable\nwasm stack trace:\n\t._ZN1f(i32)\n\t._ZN1f(i32)", 0)
	for range 2 {
		l.Locate(context.Background(), &named, func() {})
		if got := named.Text(); got != "\n\tat plain?_ZN1f\n\tat plain?_ZN1f" || *calls != 2 {
			t.Errorf("got %q, %d calls", got, *calls)
		}
	}
	var none *Locator
	s := stackAt("29")
	none.Locate(context.Background(), &s, func() { t.Error("it waits") })
	if got := s.Text(); got != "\n\tat f" {
		t.Errorf("without a locator: %q", got)
	}
}

// TestLocatorForgets: it remembers no more than maxKnown offsets.
func TestLocatorForgets(t *testing.T) {
	l, _ := located(lineOf)
	for i := range 3 * maxKnown {
		l.remember(Query{[]uint64{uint64(i)}, []string{fmt.Sprint(i)}}, Answer{[][]Frame{make([]Frame, 1000)}, []string{"x"}})
		if len(l.known) > maxKnown || len(l.names) > maxKnown || len(l.known[uint64(i)]) > maxInlined+1 {
			t.Fatalf("%d offsets, %d frames", len(l.known), len(l.known[uint64(i)]))
		}
	}
}

// TestFloodOfFailuresIsLimited: failures at ever other offsets do not run a child each, and a
// failed child leaves the stack as it is.
func TestFloodOfFailuresIsLimited(t *testing.T) {
	l, calls := located(func(context.Context, Query) (Answer, error) { return Answer{}, errors.New("no") })
	for range 1000 {
		s := stackAt("29")
		l.Locate(context.Background(), &s, func() {})
		if got := s.Text(); got != "\n\tat f" {
			t.Fatalf("got %q", got)
		}
	}
	if *calls > burstPerModule+10 {
		t.Errorf("%d calls", *calls)
	}
	shared := NewLimits(0)
	total := 0
	for range 100 {
		other := NewLocator(func(ctx context.Context, q Query) (Answer, error) {
			total++
			return lineOf(ctx, q)
		}, shared)
		s := stackAt("29")
		other.Locate(context.Background(), &s, func() {})
	}
	if total > burstPerEngine+10 {
		t.Errorf("%d calls of all modules", total)
	}
}

// TestLocatorGivesUp: a failure does not wait beyond the limit or the end of its pool, also
// while another module's child runs.
func TestLocatorGivesUp(t *testing.T) {
	limits := NewLimits(time.Millisecond)
	l := NewLocator(func(ctx context.Context, _ Query) (Answer, error) {
		<-ctx.Done()
		return Answer{}, ctx.Err()
	}, limits)
	s := stackAt("29")
	l.Locate(context.Background(), &s, func() {})
	limits.slot <- struct{}{}
	l.Locate(context.Background(), &s, func() {})
	if got := s.Text(); got != "\n\tat f" {
		t.Errorf("got %q", got)
	}
	<-limits.slot
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	l = NewLocator(lineOf, NewLimits(time.Hour))
	l.limits.slot <- struct{}{}
	l.Locate(ended, &s, func() {})
	if got := s.Text(); got != "\n\tat f" {
		t.Errorf("got %q", got)
	}
}

// TestShortAnswerIsRefused: a child that answers for fewer offsets is not believed.
func TestShortAnswerIsRefused(t *testing.T) {
	l, _ := located(func(context.Context, Query) (Answer, error) { return Answer{}, nil })
	s := stackAt("29")
	l.Locate(context.Background(), &s, func() {})
	if got := s.Text(); got != "\n\tat f" {
		t.Errorf("got %q", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(engineTrace)
	f.Add("wasm error: unreachable\nwasm stack trace:\n\t.a\n\t\t0x29: berth()\n\t\t0x29: berth")
	f.Fuzz(func(t *testing.T, text string) {
		s, _ := Parse(text, 3)
		q := s.Unknown()
		for _, offset := range q.Offsets {
			s.Fill(map[uint64][]Frame{offset: {{File: "a", Line: 1}}}, nil)
		}
		for _, name := range q.Names {
			s.Fill(nil, map[string]string{name: "plain"})
		}
		if left := s.Unknown(); len(left.Offsets)+len(left.Names) != 0 {
			t.Errorf("%v are left", left)
		}
		for line := range strings.SplitSeq(strings.TrimPrefix(s.Text(), "\n"), "\n") {
			checkText(t, strings.TrimPrefix(line, "\t"), maxFunction+maxFile+50)
		}
		checkText(t, s.Headline(), 2*maxFunction+maxFile+60)
	})
}
