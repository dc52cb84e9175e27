// Package provisional has the values of a plugin's state that an attempt has read before
// they were durable. Instances that read and then swap the same key can so write it in one
// commit, one after the other, instead of one in each. Nothing of the attempt but its own
// swaps leaves the instance before these values are durable.
package provisional

import (
	"bytes"
	"context"
	"slices"

	"github.com/berth-host/berth/host/fault"
)

// Reads are the provisional values that the open attempt of one instance has read. Only an
// instance whose attempt has swapped, or whose last attempt has, reads such values: one
// that only reads never waits for a flush. It is used by one goroutine. The zero value is
// ready to use.
type Reads struct {
	list    []Read
	Lost    bool // one of the attempt may never be durable, and the guest may have kept it
	Swaps   bool // the attempt has called kv_cas
	swapped bool // the attempt before has
}

// Read is a value and how to wait until it is durable.
type Read struct {
	Key    string
	Value  []byte
	Found  bool
	Stored func(context.Context) error
}

// swappedBy reports whether a swap of a key succeeds only if the key has this value.
func (p *Read) swappedBy(key string, old []byte) bool {
	return p.Key == key && p.Found == (old != nil) && bytes.Equal(p.Value, old)
}

// Open reports whether the attempt's outcome has to be confirmed.
func (r *Reads) Open() bool { return len(r.list) > 0 || r.Lost }

// maxReads bounds the values, which their writes keep in memory.
const maxReads = 16

// Wanted reports whether the attempt may read values that are not durable. One that has read
// many reads durable ones until it has waited for them.
func (r *Reads) Wanted() bool { return (r.Swaps || r.swapped) && len(r.list) < maxReads }

// Add adds a value that the attempt has read.
func (r *Reads) Add(read Read) { r.list = append(r.list, read) }

// ProvedBy reports whether a swap of a key succeeds only if the key really has all the values
// that the attempt has read.
func (r *Reads) ProvedBy(key string, old []byte) bool {
	return !r.Lost && !slices.ContainsFunc(r.list, func(p Read) bool { return !p.swappedBy(key, old) })
}

// SwapSucceeded drops the values that the key really had.
func (r *Reads) SwapSucceeded(key string, old []byte) {
	r.list = slices.DeleteFunc(r.list, func(p Read) bool { return p.swappedBy(key, old) })
}

// End ends the attempt.
func (r *Reads) End() {
	clear(r.list)
	r.list, r.swapped, r.Swaps = r.list[:0], r.Swaps, false
}

// Await waits until the values are durable. It returns an error when one never will be, also
// later in the attempt, and the context's when that ends first.
func (r *Reads) Await(ctx context.Context) error {
	for _, read := range r.list {
		if read.Stored(ctx) != nil {
			r.Lost = true
		}
	}
	clear(r.list)
	r.list = r.list[:0]
	switch {
	case !r.Lost:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fault.New(fault.Unavailable, "%s", WasLost)
}

// WasLost is the message of such an error.
const WasLost = "a value of the plugin's state that the attempt has read was not stored"
