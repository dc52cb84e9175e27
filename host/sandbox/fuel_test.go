package sandbox

import (
	"math"
	"testing"
	"time"

	"github.com/tetratelabs/wazero/api"
)

// counter is a guest's fuel counter.
type counter struct {
	api.MutableGlobal
	value uint64
}

func (c *counter) Get() uint64  { return c.value }
func (c *counter) Set(v uint64) { c.value = v }

// TestFuelLimitIsExact: a span begins without the rest of the slice before, so that every
// unit of it is granted within the span. No limit overflows.
func TestFuelLimitIsExact(t *testing.T) {
	for _, tt := range []struct {
		limit     uint64
		want      int64
		left      int64 // in the counter
		wantLeft  int64
		wantGrant int64
	}{
		{limit: 0, want: 0, left: 300, wantLeft: 300, wantGrant: 1000},
		{limit: 1, want: 1, left: 300, wantLeft: 0, wantGrant: 700},
		{limit: 500, want: 500, left: 0, wantLeft: 0, wantGrant: 1000},
		{limit: 500, want: 500, left: -20, wantLeft: -20, wantGrant: 1000},
		{limit: 1<<62 + 1, want: 1 << 62, left: 1, wantLeft: 0, wantGrant: 999},
		{limit: math.MaxUint64, want: 1 << 62, left: 1, wantLeft: 0, wantGrant: 999},
	} {
		c := &counter{value: uint64(tt.left)}
		f := tank{counter: c, granted: 1000, work: 40}
		used := f.used()
		f.begin(tt.limit)
		if f.limit != tt.want || int64(c.value) != tt.wantLeft || f.granted != tt.wantGrant {
			t.Errorf("limit %d: got %d, %d left, %d granted, want %d, %d, %d", tt.limit, f.limit, int64(c.value), f.granted, tt.want, tt.wantLeft,
				tt.wantGrant)
		}
		if f.used() != used || f.spent(f.used()) != 0 {
			t.Errorf("limit %d: the span begins with %d used of %d", tt.limit, f.spent(f.used()), f.used()-used)
		}
		if f.begin(tt.limit); f.limit > math.MaxInt64/2+1 || f.begun+f.limit < 0 {
			t.Errorf("limit %d: %d overflows", tt.limit, f.limit)
		}
	}
}

// TestRemainingFits: the time left is a positive number of milliseconds in 31 bits, because
// a guest reads it as a signed one.
func TestRemainingFits(t *testing.T) {
	for _, tt := range []struct {
		left time.Duration
		low  uint64
		high uint64
	}{
		{-time.Hour, 0, 0},
		{time.Hour, 1, 3_600_000},
		{100 * 24 * time.Hour, math.MaxInt32, math.MaxInt32},
	} {
		in := &instance{pool: &Pool{epoch: time.Now()}, open: true}
		in.deadline = in.now() + tt.left
		stack := make([]uint64, 1)
		if in.remaining(nil, stack); stack[0] < tt.low || stack[0] > tt.high {
			t.Errorf("%s left: got %d ms, want %d to %d", tt.left, stack[0], tt.low, tt.high)
		}
	}
}
