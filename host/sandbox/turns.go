package sandbox

import (
	"runtime"
	"time"
)

// turns share the processors between the guests that compute for long. If all of them
// ran, they would keep every processor and its run queue, and the host, which needs one
// at each step of an event, would wait for all of them at each step. So one processor
// fewer than there are computes all the time, and the last one with pauses.
// It is safe for concurrent use.
type turns struct {
	slots chan struct{} // holds a token for each guest that computes
	last  chan struct{} // likewise, on the last processor
	after func(time.Duration, func())
}

// turn is what a guest that computes holds.
type turn byte

const (
	turnNone turn = iota
	turnSlot
	turnLast
)

const (
	turnGrace  = time.Millisecond     // a guest that computes for less needs no turn
	turnLength = 2 * time.Millisecond // of a turn, before the next guest has one
	turnPause  = time.Millisecond     // of the last processor between two turns
)

func newTurns(processors int) *turns {
	return &turns{
		slots: make(chan struct{}, processors-1),
		last:  make(chan struct{}, 1),
		after: func(d time.Duration, do func()) { time.AfterFunc(d, do) },
	}
}

// release ends a turn.
func (t *turns) release(held turn) {
	switch held {
	case turnSlot:
		<-t.slots
	case turnLast:
		t.after(turnPause, func() { <-t.last })
	}
}

// letOthersRun is called now and then by a guest that computes. A guest that has computed for long gives up its turn for that,
// and waits for the next one.
func (in *instance) letOthersRun(now time.Duration) {
	in.flush()
	begun, length := in.turnBegun, turnLength
	if in.turn == turnNone {
		begun, length = in.deadline-in.span, turnGrace
	}
	if now-begun < length {
		runtime.Gosched()
		return
	}
	in.endTurn()
	t := in.pool.module.turns
	in.wait(func(over <-chan time.Time) bool {
		select {
		case t.slots <- struct{}{}:
			in.turn = turnSlot
		case t.last <- struct{}{}:
			in.turn = turnLast
		case <-over:
		case <-in.pool.life.Done():
		}
		return in.turn != turnNone
	})
	in.turnBegun = in.now()
}

// endTurn ends the guest's turn, if it has one.
func (in *instance) endTurn() {
	if in.turn != turnNone {
		in.pool.module.turns.release(in.turn)
		in.turn = turnNone
	}
}

// await puts a token into a channel, or stops the guest when its time is up first.
func (in *instance) await(tokens chan<- struct{}) {
	select {
	case tokens <- struct{}{}:
		return
	default:
	}
	in.rest()
	in.wait(func(over <-chan time.Time) bool {
		select {
		case tokens <- struct{}{}:
			return true
		case <-over:
		case <-in.pool.life.Done():
		}
		return false
	})
}

// wait calls try until it answers true, or stops the guest when its time is up first.
func (in *instance) wait(try func(over <-chan time.Time) bool) {
	timer := time.NewTimer(in.deadline - in.now() + time.Millisecond)
	defer timer.Stop()
	for !try(timer.C) {
		in.checkDeadline(in.now())
	}
}
