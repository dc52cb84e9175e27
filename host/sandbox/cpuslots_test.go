package sandbox

import (
	"context"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox/memory"
)

// computing returns an instance that has computed for so long that it needs a slot.
func computing(t *testing.T, slots *cpuSlots) *instance {
	t.Helper()
	p := &Pool{module: &Module{slots: slots, memory: memory.NewBudget(0)}, epoch: time.Now().Add(-time.Hour)}
	p.life, p.end = context.WithCancel(context.Background())
	t.Cleanup(p.end)
	in := newInstance(p, idleLease{}, nil)
	in.allow(in.now()-slotGrace, time.Hour, 0)
	return in
}

type idleLease struct{ Lease }

func (idleLease) Flush() {}

// trapOf runs do, which traps the guest, and returns the class.
func trapOf(t *testing.T, do func()) (class event.Class) {
	t.Helper()
	defer func() {
		if trap, ok := recover().(*trap); ok {
			class = trap.class
		}
	}()
	do()
	t.Error("the guest continues")
	return ""
}

// TestComputingGuestsShareProcessors: of three processors two compute all the time and the
// last one with pauses; a guest beyond them waits, until its time is up or its pool ends.
func TestComputingGuestsShareProcessors(t *testing.T) {
	slots := newCPUSlots(3)
	var pauses []func()
	slots.after = func(d time.Duration, do func()) {
		if d != slotPause {
			t.Errorf("a pause of %v", d)
		}
		pauses = append(pauses, do)
	}
	var running []*instance
	used := make(map[cpuSlot]int)
	for range 3 {
		in := computing(t, slots)
		in.yieldCPU(in.now())
		used[in.slot]++
		running = append(running, in)
	}
	if used[sharedSlot] != 2 || used[lastSlot] != 1 {
		t.Fatalf("slots used: %v; want 2 shared and 1 of the last processor", used)
	}

	late := computing(t, slots)
	late.allow(late.now()-time.Hour, time.Hour, 0)
	if class := trapOf(t, func() { late.yieldCPU(late.now()) }); class != event.ClassTimeout || late.slot != noSlot {
		t.Errorf("a guest that gets no slot in its time: class %q, slot %d", class, late.slot)
	}
	stopped := computing(t, slots)
	stopped.pool.kill()
	if class := trapOf(t, func() { stopped.yieldCPU(stopped.now()) }); class != event.ClassCancelled {
		t.Errorf("a guest of a pool that ends: class %q", class)
	}

	for _, in := range running {
		was := in.slot
		in.beforeWait()
		if in.slot != noSlot {
			t.Errorf("a guest that waits has slot %d", in.slot)
		}
		if was == lastSlot && len(slots.last) != 1 {
			t.Error("the last processor has no pause")
		}
	}
	if len(pauses) != 1 || len(slots.shared) != 0 {
		t.Fatalf("%d pauses, %d shared slots used; want 1 and 0", len(pauses), len(slots.shared))
	}
	pauses[0]()
	if len(slots.last) != 0 {
		t.Error("the last slot is still used after its pause")
	}
}

// TestShortGuestNeedsNoSlot: a guest in its first millisecond runs although no slot is free.
func TestShortGuestNeedsNoSlot(t *testing.T) {
	slots := newCPUSlots(1)
	slots.last <- struct{}{}
	in := computing(t, slots)
	begun := in.deadline - in.span
	in.yieldCPU(begun + slotGrace - 1)
	if in.slot != noSlot {
		t.Errorf("it has slot %d", in.slot)
	}
}

// TestSlotIsPassedOn: a guest keeps its slot for two milliseconds; then a guest that waits
// gets it.
func TestSlotIsPassedOn(t *testing.T) {
	slots := newCPUSlots(2)
	slots.last <- struct{}{} // leaves one slot
	first, second := computing(t, slots), computing(t, slots)
	first.yieldCPU(first.now())
	first.slotSince = first.now()
	first.yieldCPU(first.slotSince + slotTime - 1)
	if first.slot != sharedSlot {
		t.Fatalf("within its time its slot is %d", first.slot)
	}
	got := make(chan cpuSlot, 1)
	go func() {
		second.yieldCPU(second.now())
		got <- second.slot
		second.releaseSlot()
	}()
	for done := false; !done; { // whether or not the second waits yet
		first.yieldCPU(first.slotSince + slotTime)
		select {
		case slot := <-got:
			done = true
			if slot != sharedSlot {
				t.Errorf("the second has slot %d", slot)
			}
		default:
		}
	}
	first.releaseSlot()
	if len(slots.shared) != 0 {
		t.Error("a slot is used when both have ended")
	}
}
