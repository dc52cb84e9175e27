// Package memory charges the memory of guests to budgets: the linear memory of an instance,
// which grows up to a limit, and whatever else its owner takes. A Budget is safe for
// concurrent use; a Linear belongs to the goroutine of its instance.
package memory

import (
	"fmt"
	"sync/atomic"

	"github.com/berth-host/berth/host/sandbox/garbage"
)

// Budget bounds the memory of all instances of an engine together, in bytes, and counts that
// of a pool. It is safe for concurrent use.
type Budget struct {
	whole   *Budget // of the engine, for a pool's; nil for the engine's
	limit   int64   // 0 for no bound
	used    atomic.Int64
	garbage garbage.Counter
	copying chan struct{} // has a token while an instance copies a large memory
}

// NewBudget returns a Budget of limit bytes; 0 is no bound.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit, copying: make(chan struct{}, 1)} }

// Part returns the budget of a pool, which takes from that of the engine.
func (b *Budget) Part() *Budget { return &Budget{whole: b, copying: b.copying} }

// Used returns the bytes that are taken.
func (b *Budget) Used() int64 { return b.used.Load() }

// Take takes n bytes. It returns false, and takes nothing, when they are beyond the limit.
func (b *Budget) Take(n int64) bool {
	if b.whole != nil && !b.whole.Take(n) {
		return false
	}
	if used := b.used.Add(n); b.limit > 0 && used > b.limit {
		b.used.Add(-n)
		return false
	}
	return true
}

// Force takes n bytes even beyond the limit.
func (b *Budget) Force(n int64) {
	if b.whole != nil {
		b.whole.Force(n)
	}
	b.used.Add(n)
}

// Give returns n bytes.
func (b *Budget) Give(n int64) {
	if b.whole != nil {
		b.whole.Give(n)
	}
	b.used.Add(-n)
}

// Discard notes that so many bytes wait for the garbage collector.
func (b *Budget) Discard(n int64) {
	if b.whole != nil {
		b = b.whole
	}
	b.garbage.Add(n)
}

// UsedUp returns why Take returned false.
func (b *Budget) UsedUp() string {
	if b.whole != nil {
		b = b.whole
	}
	return fmt.Sprintf("the memory for all handlers together, %d bytes, is used up (defaults.memory_total)", b.limit)
}
