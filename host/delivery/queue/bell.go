package queue

import (
	"slices"
	"sync/atomic"
)

// Bell wakes instances that wait for several handlers: each of them rings it when an attempt may
// start. It is safe for concurrent use.
//
// A ring is for one instance. One that gets it, and takes an attempt of one handler or ends,
// rings again if another handler has attempts.
type Bell struct {
	wake, demand chan struct{}
	waiting      atomic.Int32
}

// NewBell returns a Bell for which no instance waits.
func NewBell() *Bell { return &Bell{wake: make(chan struct{}, 1), demand: make(chan struct{}, 1)} }

// Ring wakes an instance; it signals demand when none waits.
func (b *Bell) Ring() {
	Signal(b.wake)
	if b.waiting.Load() == 0 {
		Signal(b.demand)
	}
}

// Wake yields a token after Ring.
func (b *Bell) Wake() <-chan struct{} { return b.wake }

// Demand yields a token after Ring when no instance waited.
func (b *Bell) Demand() <-chan struct{} { return b.demand }

// Wait counts an instance that waits from now on, before it looks for attempts for the last time.
// It ends with Leave.
func (b *Bell) Wait() { b.waiting.Add(1) }

// Leave ends Wait.
func (b *Bell) Leave() { b.waiting.Add(-1) }

// Waiting returns how many instances wait.
func (b *Bell) Waiting() int { return int(b.waiting.Load()) }

// Bells are those that a handler rings. The zero value has none. It is not safe for concurrent
// use.
type Bells []*Bell

// Without returns the bells without one.
func (l Bells) Without(b *Bell) Bells {
	return slices.DeleteFunc(l, func(one *Bell) bool { return one == b })
}

// Ring rings all of them.
func (l Bells) Ring() {
	for _, b := range l {
		b.Ring()
	}
}

// Waiting returns how many instances wait for any of them.
func (l Bells) Waiting() (n int) {
	for _, b := range l {
		n += b.Waiting()
	}
	return n
}
