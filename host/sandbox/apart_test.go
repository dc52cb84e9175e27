package sandbox_test

import (
	"testing"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/sandbox/wasmbin"
	. "github.com/berth-host/berth/host/sandbox/wasmbin/wasmtest"
	"github.com/berth-host/berth/host/spec"
)

// sleepsAfterFinish is a guest that sleeps between finish and next.
func sleepsAfterFinish(between time.Duration) []byte {
	const (
		i32   = "\x7f"
		clock = 4096 // a subscription of poll_oneoff
		out   = 8192
	)
	number := func(v int64) []byte { return B(0x41, S(v)) }
	run := B(
		number(clock+24), 0x42, S(between.Nanoseconds()), 0x37, 3, 0, // i64.store
		0x03, 0x40, // loop
		number(16384), number(16384), 0x10, 0, // next
		number(0), 0x48, 0x04, 0x40, 0x0f, 0x0b, // END: return
		number(0), number(0), number(0), 0x10, 1, 0x1a, // finish
		number(clock), number(out), number(1), number(16), 0x10, 2, 0x1a, // poll_oneoff
		0x0c, 0, 0x0b, 0x0b)
	return Module(
		Section(wasmbin.SectionType, Vec(FuncType(i32+i32, i32), FuncType(i32+i32+i32, i32), FuncType(i32+i32+i32+i32, i32), FuncType("", ""))),
		Section(wasmbin.SectionImport, Vec(
			Import(abi.ModuleName, "next", wasmbin.KindFunc, U(0)),
			Import(abi.ModuleName, "finish", wasmbin.KindFunc, U(1)),
			Import("wasi_snapshot_preview1", "poll_oneoff", wasmbin.KindFunc, U(2)))),
		Section(wasmbin.SectionFunction, Vec(U(3))),
		Section(wasmbin.SectionMemory, Vec(B(0, 1))),
		Section(wasmbin.SectionExport, Vec(Export("run", wasmbin.KindFunc, 3), Export("memory", wasmbin.KindMemory, 0))),
		Section(wasmbin.SectionCode, Vec(Body(run))))
}

// TestTimeBetweenEventsIsNotCharged: what a guest does after finish does not count for the
// next event, even if that one is waiting.
func TestTimeBetweenEventsIsNotCharged(t *testing.T) {
	const between = 30 * time.Millisecond
	m := load(t, sleepsAfterFinish(between))
	q := newQueue()
	q.push(attempt(t, 1, `{}`), attempt(t, 1, `{}`), attempt(t, 1, `{}`))
	p, err := m.NewPool(t.Context(), sandbox.PoolConfig{Source: q, Limits: spec.Limits{Concurrency: 1}})
	if err != nil {
		t.Fatal(err)
	}
	before := q.await(t)
	for range 2 {
		d := q.await(t)
		if d.outcome.Verdict != event.OK {
			t.Fatalf("%+v", d.outcome)
		}
		began := d.outcome.At.Add(-d.outcome.Duration)
		if apart := began.Sub(before.outcome.At); apart < between {
			t.Errorf("it started %v after the previous one had ended, and the guest slept for %v", apart, between)
		}
		before = d
	}
	if err := p.Drain(t.Context()); err != nil {
		t.Error(err)
	}
}
