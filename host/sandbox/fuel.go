package sandbox

import (
	"context"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox/lifetime"
	"github.com/berth-host/berth/host/sandbox/meter"
)

const (
	// slice is how much fuel a guest gets at a time. Between two slices the host looks at
	// the clock, and the garbage collector can run; a slice of simple instructions lasts
	// well under a millisecond.
	slice = 500_000
	// hostCall is the fuel that a host call costs, and hostBytes the number of bytes that
	// the host copies or scans for one unit.
	hostCall  = 50
	hostBytes = 8
)

// tank is an instance's fuel. The guest decrements a counter that meter added to the
// module; the work of the host for the guest is added. It belongs to the instance's
// goroutine.
type tank struct {
	counter api.MutableGlobal // nil until the module is instantiated
	granted int64             // into the counter, ever
	work    int64             // of the host, ever
	checked int64             // work when the clock was looked at
	begun   int64             // used at the start of the span
	limit   int64             // of the span; 0 for none
}

// used returns the fuel used since the instance started.
func (t *tank) used() int64 {
	left := int64(0)
	if t.counter != nil {
		left = int64(t.counter.Get())
	}
	return t.granted - left + t.work
}

// begin starts a span with a limit. The limit is exact: begin takes back the rest of the
// last slice, so that every unit is granted within this span.
func (t *tank) begin(limit uint64) { t.beginAt(t.used(), limit) }

// beginAt is begin for a caller that knows the fuel used.
func (t *tank) beginAt(used int64, limit uint64) {
	t.begun = used
	t.limit = int64(min(limit, 1<<62))
	if t.limit > 0 && t.counter != nil {
		if left := int64(t.counter.Get()); left > 0 {
			t.granted -= left
			t.counter.Set(0)
		}
	}
}

// spent returns the fuel that the span has used, of so much in total.
func (t *tank) spent(used int64) uint64 { return uint64(max(0, used-t.begun)) }

// refill is the import that meter added to the module: left -> counter. The module calls
// it when the counter or the stack left is below zero.
type refill struct{}

// Call implements api.GoModuleFunction.
func (refill) Call(ctx context.Context, mod api.Module, stack []uint64) {
	in := instanceOf(ctx)
	t := &in.fuel
	if t.counter == nil {
		t.counter, _ = mod.ExportedGlobal(meter.DefaultGlobal).(api.MutableGlobal)
	}
	in.checkStack(ctx, mod, stack)
	left := int64(stack[0])
	if left >= 0 { // only the stack left was below zero
		return
	}
	grant := int64(slice)
	if t.limit > 0 {
		// used, with the counter as passed: it includes the charge that emptied it.
		used := t.granted - left + t.work - t.begun
		if used > t.limit {
			in.outOfFuel()
		}
		grant = min(grant, t.limit-used-left)
	}
	in.checkTime()
	t.granted += grant
	stack[0] = uint64(left + grant)
}

func (in *instance) outOfFuel() {
	in.trap(event.ClassFuel, "its fuel was used up; the limit is set by limits.fuel")
}

// charge adds work of the host for the guest, by the bytes processed, and looks at the
// clock after every quarter of a slice.
func (in *instance) charge(bytes int) {
	t := &in.fuel
	t.work += hostCall + int64(bytes)/hostBytes
	if t.limit > 0 && t.used()-t.begun > t.limit {
		in.outOfFuel()
	}
	if t.work-t.checked > slice/4 {
		t.checked = t.work
		in.checkTime()
	}
}

// yieldEvery is the minimum time between two yields of a guest. A slice of instructions
// that cost much fuel and little time, such as a refused memory.grow, takes microseconds:
// yielding after each would keep the lock of Go's scheduler busy, and delay everything else.
const yieldEvery = 200 * time.Microsecond

// checkTime traps a guest whose time is up, or whose pool is killed. It is called once per
// slice, and yields the processor and flushes the lease: a guest that computes would keep
// its processor for 10 ms otherwise, and the host's own work waits for one at each step.
func (in *instance) checkTime() {
	now := in.now()
	if now-in.yielded >= yieldEvery {
		in.yieldCPU(now)
		now = in.now()
		in.yielded = now
	}
	in.checkDeadline(now)
}

// stopped reports whether the host stops the attempt: the pool is killed, or this host no longer
// owns the handler.
func (in *instance) stopped() bool { return in.pool.killed.Load() || lifetime.Ended(in.lease) }

// checkDeadline traps a guest whose time is up, or whose attempt has to end.
func (in *instance) checkDeadline(now time.Duration) {
	if in.stopped() {
		in.trap(event.ClassCancelled, "the host stopped it")
	}
	if now > in.deadline {
		in.trap(event.ClassTimeout, "it ran longer than "+in.span.String()+" and was stopped")
	}
}
