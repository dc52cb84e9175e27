package sandbox

import (
	"fmt"
	"sync/atomic"

	"github.com/tetratelabs/wazero/experimental"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox/garbage"
)

// budget bounds the memory of all instances of an Engine together, in bytes, and counts that
// of a pool. It is safe for concurrent use.
type budget struct {
	whole   *budget // of the engine, for a pool's; nil for the engine's
	limit   int64   // 0 for no bound
	used    atomic.Int64
	garbage garbage.Counter
	copying chan struct{} // has a token while an instance copies a large memory
}

func newBudget(limit int64) *budget { return &budget{limit: limit, copying: make(chan struct{}, 1)} }

// part returns the budget of a pool, which takes from that of the engine.
func (b *budget) part() *budget { return &budget{whole: b, copying: b.copying} }

func (b *budget) take(n int64) bool {
	if b.whole != nil && !b.whole.take(n) {
		return false
	}
	if used := b.used.Add(n); b.limit > 0 && used > b.limit {
		b.used.Add(-n)
		return false
	}
	return true
}

// force takes n even beyond the limit.
func (b *budget) force(n int64) {
	if b.whole != nil {
		b.whole.force(n)
	}
	b.used.Add(n)
}

func (b *budget) give(n int64) {
	if b.whole != nil {
		b.whole.give(n)
	}
	b.used.Add(-n)
}

// discard notes that so many bytes wait for the garbage collector.
func (b *budget) discard(n int64) {
	if b.whole != nil {
		b = b.whole
	}
	b.garbage.Add(n)
}

// usedUp returns why take returned false.
func (b *budget) usedUp() string {
	if b.whole != nil {
		b = b.whole
	}
	return fmt.Sprintf("the memory for all handlers together, %d bytes, is used up (defaults.memory_total)", b.limit)
}

// linearMemory is the memory of one instance: a slice that grows up to its limit and is
// charged to the budget. It belongs to the instance's goroutine.
//
// It is the instance's allocator in wazero. Unlike mapped memory it stays valid for a
// guest that still runs when the instance is closed: the garbage collector frees it.
type linearMemory struct {
	budget  *budget
	limit   int64         // bytes this instance may have, with those of beside
	beside  *linearMemory // the instance's other memory; nil for none
	charged int64         // bytes taken from the budget: the capacity of buf
	refused refusal       // why a growth was refused since the event started
	buf     []byte
	size    int64 // of the guest's memory, also after release
	guest   yielder
}

// refusal is the reason why an instance did not get memory. Its text is only made on
// demand: a guest may request memory in a loop.
type refusal byte

const (
	refusedNone  refusal = iota
	refusedStart         // by its own limit, at its start
	refusedLimit         // by its own limit
	refusedTotal         // by the limit of all instances together
)

// refusedBecause returns refused as a text.
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

// yielder is the instance whose memory is copied when it grows.
type yielder interface {
	// checkTime traps a guest whose time is up, and yields the processor.
	checkTime()
	// await puts a token into a channel, or traps the guest when its time is up first.
	await(chan<- struct{})
}

const (
	copyChunk = 1 << 20 // bytes copied between two looks at the clock
	copyLarge = 4 << 20 // memories of at least so many bytes are copied one at a time
)

// left returns how many bytes this memory may have.
func (m *linearMemory) left() int64 {
	if m.beside == nil {
		return m.limit
	}
	return m.limit - int64(len(m.beside.buf))
}

// reserve charges the initial size n to the budget, so that the first Reallocate cannot
// fail.
func (m *linearMemory) reserve(n int64) error {
	if n > m.left() {
		m.refused = refusedStart
	} else if !m.budget.take(n) {
		m.refused = refusedTotal
	} else {
		m.charged = n
		return nil
	}
	return fault.New(fault.Exhausted, "%s", m.refusedBecause())
}

// release returns the memory to the budget.
func (m *linearMemory) release() {
	freed := m.charged
	m.budget.give(freed)
	m.charged, m.buf = 0, nil
	m.budget.discard(freed)
}

// Allocate implements experimental.MemoryAllocator.
func (m *linearMemory) Allocate(_, _ uint64) experimental.LinearMemory { return m }

// Reallocate implements experimental.LinearMemory. Nil makes memory.grow
// return -1.
func (m *linearMemory) Reallocate(size uint64) []byte {
	n := int64(size)
	if n > m.left() {
		m.refused = refusedLimit
		return nil
	}
	if m.buf == nil { // the initial size, which reserve has charged
		m.buf, m.size = make([]byte, n), n
		return m.buf
	}
	if n > int64(cap(m.buf)) {
		// A quarter more if possible, so that the memory of a guest that grows page by page
		// is not copied each time.
		capacity := min(m.left(), n+n/4)
		if !m.budget.take(capacity - m.charged) {
			if capacity = n; !m.budget.take(capacity - m.charged) {
				m.refused = refusedTotal
				return nil
			}
		}
		m.charged = capacity
		m.grow(n)
	}
	m.buf, m.size = m.buf[:n], n
	return m.buf
}

// grow copies the memory to a buffer with the charged capacity. Nothing interrupts a host
// call, so grow copies in chunks; between two it yields the processor, and traps a guest
// whose time is up. Large memories are copied one at a time: many at once would occupy
// every processor and leave twice their size to the garbage collector.
func (m *linearMemory) grow(n int64) {
	if len(m.buf) >= copyLarge {
		m.guest.await(m.budget.copying)
		defer func() { <-m.budget.copying }()
	}
	grown := make([]byte, n, m.charged)
	for at := 0; at < len(m.buf); at += copyChunk {
		copy(grown[at:], m.buf[at:min(at+copyChunk, len(m.buf))])
		m.guest.checkTime()
	}
	freed := int64(cap(m.buf))
	m.buf = grown
	m.budget.discard(freed)
}

// Free implements experimental.LinearMemory. It does nothing: the instance releases the
// memory, because wazero does not free that of an instance whose start failed.
func (m *linearMemory) Free() {}
