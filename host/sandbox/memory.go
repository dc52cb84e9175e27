package sandbox

import (
	"fmt"
	"sync/atomic"

	"github.com/tetratelabs/wazero/experimental"

	"github.com/berth-host/berth/host/fault"
)

// budget is the memory that all instances of an Engine may have together, in
// bytes. It is safe for concurrent use.
type budget struct {
	limit  int64 // 0 for no bound
	used   atomic.Int64
	waste  garbage
	moving chan struct{} // holds a token while an instance moves a large memory
}

func newBudget(limit int64) *budget { return &budget{limit: limit, moving: make(chan struct{}, 1)} }

func (b *budget) take(n int64) bool {
	if used := b.used.Add(n); b.limit > 0 && used > b.limit {
		b.used.Add(-n)
		return false
	}
	return true
}

// force takes n even if that is more than the limit.
func (b *budget) force(n int64) { b.used.Add(n) }

func (b *budget) give(n int64) { b.used.Add(-n) }

// usedUp says why take answered false.
func (b *budget) usedUp() string {
	return fmt.Sprintf("the memory for all handlers together, %d bytes, is used up (defaults.memory_total)", b.limit)
}

// linearMemory is the memory of one instance: a slice that grows up to its
// limit and counts against the budget. It belongs to the instance's goroutine.
//
// It is the allocator of wazero for that instance. Unlike one over mmap it
// stays valid for a guest that still runs when the instance is closed: the
// garbage collector frees it.
type linearMemory struct {
	budget  *budget
	limit   int64   // bytes this instance may have
	held    int64   // bytes taken from the budget: the capacity of buf
	refused refusal // why it did not get what it asked for since the event began
	buf     []byte
	mover   mover
}

// refusal is why an instance did not get memory. It is put into words only when
// somebody asks: a guest may ask for more in a loop.
type refusal byte

const (
	refusedNone  refusal = iota
	refusedStart         // its own limit, at its start
	refusedLimit         // its own limit
	refusedTotal         // that of all instances together
)

// refusedBecause puts refused into words.
func (m *linearMemory) refusedBecause() string {
	switch m.refused {
	case refusedStart:
		return fmt.Sprintf("it needs more bytes of memory from its start than its limit of %d (limits.memory)", m.limit)
	case refusedLimit:
		return fmt.Sprintf("it asked for more memory than it may have, %d bytes (limits.memory)", m.limit)
	case refusedTotal:
		return m.budget.usedUp()
	}
	return ""
}

// mover is the instance whose memory moves when it grows.
type mover interface {
	// checkTime traps a guest whose time is up, and lets others run.
	checkTime()
	// await waits for room in a channel, until the guest's time is up.
	await(chan<- struct{})
}

const (
	moveChunk = 1 << 20 // bytes that are copied between two looks at the clock
	moveLarge = 4 << 20 // a memory of so many bytes moves when no other one does
)

// reserve takes what the instance needs from its start, so that the first
// Reallocate cannot fail.
func (m *linearMemory) reserve(n int64) error {
	if n > m.limit {
		m.refused = refusedStart
	} else if !m.budget.take(n) {
		m.refused = refusedTotal
	} else {
		m.held = n
		return nil
	}
	return fault.New(fault.Exhausted, "%s", m.refusedBecause())
}

// release gives everything back to the budget.
func (m *linearMemory) release() {
	freed := m.held
	m.budget.give(freed)
	m.held, m.buf = 0, nil
	m.budget.waste.add(freed)
}

// Allocate implements experimental.MemoryAllocator.
func (m *linearMemory) Allocate(_, _ uint64) experimental.LinearMemory { return m }

// Reallocate implements experimental.LinearMemory. Nil makes memory.grow
// answer -1.
func (m *linearMemory) Reallocate(size uint64) []byte {
	n := int64(size)
	if n > m.limit {
		m.refused = refusedLimit
		return nil
	}
	if m.buf == nil { // what is there at the start and no more, which reserve has taken
		m.buf = make([]byte, n)
		return m.buf
	}
	if n > int64(cap(m.buf)) {
		// A quarter more, if there is so much, so that a guest that grows page by page
		// is not copied each time.
		capacity := min(m.limit, n+n/4)
		if !m.budget.take(capacity - m.held) {
			if capacity = n; !m.budget.take(capacity - m.held) {
				m.refused = refusedTotal
				return nil
			}
		}
		m.held = capacity
		m.move(n)
	}
	m.buf = m.buf[:n]
	return m.buf
}

// move copies the memory to where it has the capacity that was taken. Copying is work
// in one host call that nothing would interrupt: so it is done in pieces, between which
// others run, and a guest whose time is up is stopped. Of large memories one moves at a
// time, since many at once keep every processor and leave twice of all to the garbage
// collector.
func (m *linearMemory) move(n int64) {
	if len(m.buf) >= moveLarge {
		m.mover.await(m.budget.moving)
		defer func() { <-m.budget.moving }()
	}
	grown := make([]byte, n, m.held)
	for at := 0; at < len(m.buf); at += moveChunk {
		copy(grown[at:], m.buf[at:min(at+moveChunk, len(m.buf))])
		m.mover.checkTime()
	}
	freed := int64(cap(m.buf))
	m.buf = grown
	m.budget.waste.add(freed)
}

// Free implements experimental.LinearMemory. The instance releases it itself:
// wazero does not free the memory of an instance whose start failed.
func (m *linearMemory) Free() {}
