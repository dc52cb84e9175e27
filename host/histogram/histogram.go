// Package histogram has the distribution of values that metrics, listings and series share.
// Observing one takes a few instructions and no allocation, so that the delivery of every
// event can afford it. A Histogram has no lock: its owner guards it.
package histogram

import "math/bits"

// Each power of two is divided into 8 buckets, so that a bucket is at most an eighth wider
// than its lower bound. Values below 8 have a bucket each.
const (
	subBits = 3
	sub     = 1 << subBits
	buckets = (64-subBits)*sub + sub
)

// Histogram counts values by size: nanoseconds, fuel or bytes. The zero value is empty. It
// is not safe for concurrent use, and is copied by assignment.
type Histogram struct {
	sum    uint64
	counts [buckets]uint64
}

// bucketOf returns the index of a value's bucket.
func bucketOf(v uint64) int {
	if v < sub {
		return int(v)
	}
	shift := bits.Len64(v) - 1 - subBits
	return shift*sub + int(v>>shift)
}

// lowest returns the lowest value of a bucket.
func lowest(bucket int) uint64 {
	if bucket < 2*sub {
		return uint64(bucket)
	}
	shift := bucket/sub - 1
	return uint64(bucket-shift*sub) << shift
}

// Observe counts a value.
func (h *Histogram) Observe(v uint64) {
	h.sum += v
	h.counts[bucketOf(v)]++
}

// Count returns the number of values.
func (h *Histogram) Count() (count uint64) {
	for _, n := range h.counts {
		count += n
	}
	return count
}

// Sum returns the sum of the values, which wraps around at 2^64.
func (h *Histogram) Sum() uint64 { return h.sum }

// Add counts every value of another histogram.
func (h *Histogram) Add(other *Histogram) {
	h.sum += other.sum
	for i, n := range other.counts {
		h.counts[i] += n
	}
}

// Since returns the values that were counted after an earlier copy of the same histogram was
// made.
func (h *Histogram) Since(earlier *Histogram) (d Histogram) {
	d.sum = h.sum - earlier.sum
	for i := range d.counts {
		d.counts[i] = h.counts[i] - earlier.counts[i]
	}
	return d
}

// Quantile returns the value below which a share q, 0 to 1, of the values lie, interpolated
// within a bucket: it is off by an eighth at most. It returns 0 without values.
func (h *Histogram) Quantile(q float64) float64 {
	rank := q * float64(h.Count())
	var below uint64
	for i, n := range h.counts {
		if n == 0 || float64(below+n) < rank {
			below += n
			continue
		}
		low := float64(lowest(i))
		if i < sub {
			return low
		}
		width := float64(uint64(1) << (i/sub - 1))
		return low + width*(rank-float64(below))/float64(n)
	}
	return 0
}

// Below returns how many values are at most bound, as if those of the bucket that contains
// bound were evenly spread.
func (h *Histogram) Below(bound uint64) uint64 {
	at := bucketOf(bound)
	var n uint64
	for _, c := range h.counts[:at] {
		n += c
	}
	if at < sub {
		return n + h.counts[at]
	}
	width := uint64(1) << (at/sub - 1)
	return n + uint64(float64(h.counts[at])*float64(bound-lowest(at)+1)/float64(width))
}
