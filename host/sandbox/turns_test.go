package sandbox

import (
	"context"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
)

// computing is an instance that has computed for so long that it needs a turn, and the
// pauses of the last processor that have begun.
func computing(t *testing.T, turns *turns) *instance {
	t.Helper()
	p := &Pool{module: &Module{turns: turns, memory: newBudget(0)}, epoch: time.Now().Add(-time.Hour)}
	p.life, p.end = context.WithCancel(context.Background())
	t.Cleanup(p.end)
	in := newInstance(p, idleLease{}, nil)
	in.allow(in.now()-turnGrace, time.Hour, 0)
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
	t.Error("the guest goes on")
	return ""
}

// TestComputingGuestsTakeTurns: of three processors two compute all the time and the
// last one with pauses; a guest beyond them waits, until its time is up or its pool ends.
func TestComputingGuestsTakeTurns(t *testing.T) {
	turns := newTurns(3)
	var pauses []func()
	turns.after = func(d time.Duration, do func()) {
		if d != turnPause {
			t.Errorf("a pause of %v", d)
		}
		pauses = append(pauses, do)
	}
	var running []*instance
	held := make(map[turn]int)
	for range 3 {
		in := computing(t, turns)
		in.letOthersRun(in.now())
		held[in.turn]++
		running = append(running, in)
	}
	if held[turnSlot] != 2 || held[turnLast] != 1 {
		t.Fatalf("turns held: %v; want 2 of slots and 1 of the last processor", held)
	}

	late := computing(t, turns)
	late.allow(late.now()-time.Hour, time.Hour, 0)
	if class := trapOf(t, func() { late.letOthersRun(late.now()) }); class != event.ClassTimeout || late.turn != turnNone {
		t.Errorf("a guest that finds no turn in its time: class %q, turn %d", class, late.turn)
	}
	stopped := computing(t, turns)
	stopped.pool.kill()
	if class := trapOf(t, func() { stopped.letOthersRun(stopped.now()) }); class != event.ClassCancelled {
		t.Errorf("a guest of a pool that ends: class %q", class)
	}

	for _, in := range running {
		was := in.turn
		in.rest()
		if in.turn != turnNone {
			t.Errorf("a guest that waits holds turn %d", in.turn)
		}
		if was == turnLast && len(turns.last) != 1 {
			t.Error("the last processor has no pause")
		}
	}
	if len(pauses) != 1 || len(turns.slots) != 0 {
		t.Fatalf("%d pauses, %d slots held; want 1 and 0", len(pauses), len(turns.slots))
	}
	pauses[0]()
	if len(turns.last) != 0 {
		t.Error("the last processor is held after its pause")
	}
}

// TestShortGuestsNeedNoTurn: a guest in its first millisecond runs although there is no turn.
func TestShortGuestsNeedNoTurn(t *testing.T) {
	turns := newTurns(1)
	turns.last <- struct{}{}
	in := computing(t, turns)
	begun := in.deadline - in.span
	in.letOthersRun(begun + turnGrace - 1)
	if in.turn != turnNone {
		t.Errorf("it holds turn %d", in.turn)
	}
}

// TestTurnLastsItsLength: a guest keeps its turn for two milliseconds, and then the guest
// that waits has one.
func TestTurnLastsItsLength(t *testing.T) {
	turns := newTurns(2)
	turns.last <- struct{}{} // so that there is one turn
	first, second := computing(t, turns), computing(t, turns)
	first.letOthersRun(first.now())
	first.turnBegun = first.now()
	first.letOthersRun(first.turnBegun + turnLength - 1)
	if first.turn != turnSlot {
		t.Fatalf("within its length its turn is %d", first.turn)
	}
	got := make(chan turn, 1)
	go func() {
		second.letOthersRun(second.now())
		got <- second.turn
		second.endTurn()
	}()
	for took := false; !took; { // whether or not the second waits yet
		first.letOthersRun(first.turnBegun + turnLength)
		select {
		case held := <-got:
			took = true
			if held != turnSlot {
				t.Errorf("the second holds turn %d", held)
			}
		default:
		}
	}
	first.endTurn()
	if len(turns.slots) != 0 {
		t.Error("a slot is held when both have ended")
	}
}
