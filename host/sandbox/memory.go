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
	limit int64 // 0 for no bound
	used  atomic.Int64
}

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
	limit   int64  // bytes this instance may have
	held    int64  // bytes taken from the budget
	refused string // why it did not get what it asked for last; "" when it did
	buf     []byte
}

// reserve takes what the instance needs from its start, so that the first
// Reallocate cannot fail.
func (m *linearMemory) reserve(n int64) error {
	if n > m.limit {
		m.refused = fmt.Sprintf("it needs %d bytes of memory from its start; its limit is %d (limits.memory)", n, m.limit)
	} else if !m.budget.take(n) {
		m.refused = m.budget.usedUp()
	} else {
		m.held = n
		return nil
	}
	return fault.New(fault.Exhausted, "%s", m.refused)
}

// release gives everything back to the budget.
func (m *linearMemory) release() {
	m.budget.give(m.held)
	m.held, m.buf = 0, nil
}

// Allocate implements experimental.MemoryAllocator.
func (m *linearMemory) Allocate(_, _ uint64) experimental.LinearMemory { return m }

// Reallocate implements experimental.LinearMemory. Nil makes memory.grow
// answer -1.
func (m *linearMemory) Reallocate(size uint64) []byte {
	n := int64(size)
	if n > m.limit {
		m.refused = fmt.Sprintf("it asked for more memory than it may have, %d bytes (limits.memory)", m.limit)
		return nil
	}
	if n > m.held && !m.budget.take(n-m.held) {
		m.refused = m.budget.usedUp()
		return nil
	}
	m.held = max(m.held, n)
	if n > int64(cap(m.buf)) {
		// What is there at the start and no more; when it grows a quarter more, so
		// that a guest that grows page by page is not copied each time.
		room := n
		if m.buf != nil {
			room = min(m.limit, n+n/4)
		}
		grown := make([]byte, n, room)
		copy(grown, m.buf)
		m.buf = grown
	}
	m.buf = m.buf[:n]
	return m.buf
}

// Free implements experimental.LinearMemory. The instance releases it itself:
// wazero does not free the memory of an instance whose start failed.
func (m *linearMemory) Free() {}
