package sandbox

import (
	"context"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox/meter"
)

const (
	// slice is how much fuel a guest gets at a time. Between two slices the host
	// looks at the clock, and the garbage collector gets its turn; one lasts well
	// under a millisecond or so of simple instructions.
	slice = 500_000
	// hostCall is the fuel that a call of the host costs, and hostBytes how many
	// bytes the host copies or scans for one unit.
	hostCall  = 50
	hostBytes = 8
)

// tank is an instance's fuel. The guest burns a counter that meter put into the
// module; what the host does for it is added. It belongs to the instance's
// goroutine.
type tank struct {
	counter api.MutableGlobal // nil until the module is instantiated
	granted int64             // into the counter, ever
	work    int64             // of the host, ever
	checked int64             // work when the clock was looked at
	begun   int64             // used at the begin of the span
	limit   int64             // of the span; 0 for none
}

// used is what was burnt since the instance began.
func (t *tank) used() int64 {
	left := int64(0)
	if t.counter != nil {
		left = int64(t.counter.Get())
	}
	return t.granted - left + t.work
}

// begin starts a span with a limit. A budget is exact: what is left of the last
// slice is taken back, so that every unit is granted within this span.
func (t *tank) begin(limit uint64) { t.beginAt(t.used(), limit) }

// beginAt is begin for who knows what is used.
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

// spent is what the span has burnt when so much is used.
func (t *tank) spent(used int64) uint64 { return uint64(max(0, used-t.begun)) }

// refill is the import that meter gave the module: left -> counter. It is called when
// the counter or the stack left is below zero.
type refill struct{}

// Call implements api.GoModuleFunction.
func (refill) Call(ctx context.Context, mod api.Module, stack []uint64) {
	in := instanceOf(ctx)
	t := &in.fuel
	if t.counter == nil {
		t.counter, _ = mod.ExportedGlobal(meter.DefaultGlobal).(api.MutableGlobal)
	}
	in.lookAtStack(ctx, mod, stack)
	left := int64(stack[0])
	if left >= 0 { // only the stack left was below zero
		return
	}
	grant := int64(slice)
	if t.limit > 0 {
		// used, with the counter as it is passed: the charge that emptied it counts.
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

// charge adds work of the host for the guest, by the bytes it touched, and
// looks at the clock when that has come to some time.
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

// yieldEvery is how long a guest runs at least between two yields. A slice of what costs
// much fuel and little time, as memory.grow that is refused, takes some microseconds:
// yielding after each kept the lock of Go's scheduler busy, and everything else waited.
const yieldEvery = 200 * time.Microsecond

// checkTime stops a guest whose time is up, or whose pool is stopped. It is
// called once a slice, and lets others run: a guest that computes would keep its
// processor for 10 ms otherwise, and the host's own work waits for one at each of
// its steps. And they get what this instance holds besides its open attempt.
func (in *instance) checkTime() {
	now := in.now()
	if now-in.yielded >= yieldEvery {
		in.letOthersRun(now)
		now = in.now()
		in.yielded = now
	}
	in.checkDeadline(now)
}

// checkDeadline stops a guest whose time is up, or whose pool is stopped.
func (in *instance) checkDeadline(now time.Duration) {
	if in.pool.killed.Load() {
		in.trap(event.ClassCancelled, "the host stopped it")
	}
	if now > in.deadline {
		in.trap(event.ClassTimeout, "it ran longer than "+in.span.String()+" and was stopped")
	}
}
