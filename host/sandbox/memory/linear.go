package memory

import (
	"fmt"

	"github.com/berth-host/berth/host/fault"
)

// Linear is the memory of one instance: a slice that grows up to its limit and is charged to
// the budget. The owner sets the exported fields before its first use, and may clear Refused.
//
// It is the instance's memory in wazero. Unlike mapped memory it stays valid for a guest that
// still runs when the instance is closed: the garbage collector frees it.
type Linear struct {
	Budget  *Budget
	Guest   Guest
	Limit   int64   // bytes this instance may have, with those of Beside
	Beside  *Linear // the instance's other memory; nil for none
	Refused Refusal // why a growth was refused since the owner cleared it
	charged int64   // bytes taken from the budget: the capacity of buf
	buf     []byte
	size    int64 // of the guest's memory, also after Release
}

// Refusal is the reason why an instance did not get memory. Its text is only made on
// demand: a guest may request memory in a loop.
type Refusal byte

// The refusals.
const (
	NotRefused Refusal = iota
	AtStart            // by its own limit, at its start
	OverLimit          // by its own limit
	OverTotal          // by the limit of all instances together
)

// Reason returns Refused as a text, "" for NotRefused.
func (m *Linear) Reason() string {
	switch m.Refused {
	case AtStart:
		return fmt.Sprintf("it needs more bytes of memory from its start than its limit of %d (limits.memory)", m.Limit)
	case OverLimit:
		return fmt.Sprintf("it asked for more memory than it may have, %d bytes (limits.memory)", m.Limit)
	case OverTotal:
		return m.Budget.UsedUp()
	}
	return ""
}

// Guest is the instance whose memory is copied when it grows.
type Guest interface {
	// CheckTime traps a guest whose time is up, and yields the processor.
	CheckTime()
	// Await puts a token into a channel, or traps the guest when its time is up first.
	Await(chan<- struct{})
}

const (
	copyChunk = 1 << 20 // bytes copied between two looks at the clock
	copyLarge = 4 << 20 // memories of at least so many bytes are copied one at a time
)

// Bytes returns the memory, nil before it has any. It is valid until the memory grows.
func (m *Linear) Bytes() []byte { return m.buf }

// Size returns the size of the guest's memory in bytes, also after Release.
func (m *Linear) Size() int64 { return m.size }

// Left returns how many bytes this memory may have.
func (m *Linear) Left() int64 {
	if m.Beside == nil {
		return m.Limit
	}
	return m.Limit - int64(len(m.Beside.buf))
}

// Reserve charges the initial size n to the budget, so that the first Reallocate cannot
// fail. Its error is fault.Exhausted, with the Reason.
func (m *Linear) Reserve(n int64) error {
	if n > m.Left() {
		m.Refused = AtStart
	} else if !m.Budget.Take(n) {
		m.Refused = OverTotal
	} else {
		m.charged = n
		return nil
	}
	return fault.New(fault.Exhausted, "%s", m.Reason())
}

// Release returns the memory to the budget.
func (m *Linear) Release() {
	freed := m.charged
	m.Budget.Give(freed)
	m.charged, m.buf = 0, nil
	m.Budget.Discard(freed)
}

// Reallocate implements experimental.LinearMemory. Nil makes memory.grow
// return -1.
func (m *Linear) Reallocate(size uint64) []byte {
	n := int64(size)
	if n > m.Left() {
		m.Refused = OverLimit
		return nil
	}
	if m.buf == nil { // the initial size, which Reserve has charged
		m.buf, m.size = make([]byte, n), n
		return m.buf
	}
	if n > int64(cap(m.buf)) {
		// A quarter more if possible, so that the memory of a guest that grows page by page
		// is not copied each time.
		capacity := min(m.Left(), n+n/4)
		if !m.Budget.Take(capacity - m.charged) {
			if capacity = n; !m.Budget.Take(capacity - m.charged) {
				m.Refused = OverTotal
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
func (m *Linear) grow(n int64) {
	if len(m.buf) >= copyLarge {
		m.Guest.Await(m.Budget.copying)
		defer func() { <-m.Budget.copying }()
	}
	grown := make([]byte, n, m.charged)
	for at := 0; at < len(m.buf); at += copyChunk {
		copy(grown[at:], m.buf[at:min(at+copyChunk, len(m.buf))])
		m.Guest.CheckTime()
	}
	freed := int64(cap(m.buf))
	m.buf = grown
	m.Budget.Discard(freed)
}

// Free implements experimental.LinearMemory. It does nothing: the instance releases the
// memory, because wazero does not free that of an instance whose start failed.
func (m *Linear) Free() {}
