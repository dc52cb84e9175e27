package sandbox

import "github.com/tetratelabs/wazero/experimental"

// guestMemory is the linear memory of an instance for wazero: it implements
// experimental.MemoryAllocator, and memory.Guest.
type guestMemory struct{ in *instance }

// Allocate implements experimental.MemoryAllocator.
func (g guestMemory) Allocate(_, _ uint64) experimental.LinearMemory { return &g.in.linear }

// CheckTime implements memory.Guest.
func (g guestMemory) CheckTime() { g.in.checkTime() }

// Await implements memory.Guest.
func (g guestMemory) Await(tokens chan<- struct{}) { g.in.await(tokens) }
