package sandbox

import (
	"runtime"
	"time"
)

// cpuSlots shares the processors among the guests that compute for long. If all of them
// ran, they would occupy every processor and its run queue, and the host, which needs one
// at each step of an event, would wait for them at each step. So one processor fewer than
// there are computes all the time, and the last one with pauses. It is safe for
// concurrent use.
type cpuSlots struct {
	shared chan struct{} // has a token for each guest with a slot on the other processors
	last   chan struct{} // has a token for a guest with the slot on the last processor
	after  func(time.Duration, func())
}

// cpuSlot is the slot of a guest that computes.
type cpuSlot byte

const (
	noSlot cpuSlot = iota
	sharedSlot
	lastSlot
)

const (
	slotGrace = time.Millisecond     // a guest that computes for less needs no slot
	slotTime  = 2 * time.Millisecond // before a guest passes its slot on
	slotPause = time.Millisecond     // of the last processor between two guests
)

func newCPUSlots(processors int) *cpuSlots {
	return &cpuSlots{
		shared: make(chan struct{}, processors-1),
		last:   make(chan struct{}, 1),
		after:  func(d time.Duration, do func()) { time.AfterFunc(d, do) },
	}
}

func (s *cpuSlots) release(slot cpuSlot) {
	switch slot {
	case sharedSlot:
		<-s.shared
	case lastSlot:
		s.after(slotPause, func() { <-s.last })
	}
}

// yieldCPU is called now and then by a guest that computes. It flushes the lease. A guest
// that has computed for long also releases its slot, and waits for another one.
func (in *instance) yieldCPU(now time.Duration) {
	in.flush()
	since, limit := in.slotSince, slotTime
	if in.slot == noSlot {
		since, limit = in.deadline-in.span, slotGrace
	}
	if now-since < limit {
		runtime.Gosched()
		return
	}
	in.releaseSlot()
	slots := in.pool.module.slots
	in.wait(func(expired <-chan time.Time) bool {
		select {
		case slots.shared <- struct{}{}:
			in.slot = sharedSlot
		case slots.last <- struct{}{}:
			in.slot = lastSlot
		case <-expired:
		case <-in.pool.life.Done():
		}
		return in.slot != noSlot
	})
	in.slotSince = in.now()
}

// releaseSlot releases the guest's slot, if it has one.
func (in *instance) releaseSlot() {
	if in.slot != noSlot {
		in.pool.module.slots.release(in.slot)
		in.slot = noSlot
	}
}

// await puts a token into a channel, or traps the guest when its time is up first.
func (in *instance) await(tokens chan<- struct{}) {
	select {
	case tokens <- struct{}{}:
		return
	default:
	}
	in.beforeWait()
	in.wait(func(expired <-chan time.Time) bool {
		select {
		case tokens <- struct{}{}:
			return true
		case <-expired:
		case <-in.pool.life.Done():
		}
		return false
	})
}

// wait calls try until it returns true, or traps the guest when its time is up first.
func (in *instance) wait(try func(expired <-chan time.Time) bool) {
	timer := time.NewTimer(in.deadline - in.now() + time.Millisecond)
	defer timer.Stop()
	for !try(timer.C) {
		in.checkDeadline(in.now())
	}
}
