package histogram

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestBucketsCoverEveryValueOnce(t *testing.T) {
	for i := range buckets {
		if got := bucketOf(lowest(i)); got != i {
			t.Fatalf("bucket %d starts at %d, which is in bucket %d", i, lowest(i), got)
		}
		if i > 0 && bucketOf(lowest(i)-1) != i-1 {
			t.Fatalf("the value before bucket %d is in bucket %d", i, bucketOf(lowest(i)-1))
		}
	}
	if got := bucketOf(math.MaxUint64); got != buckets-1 {
		t.Errorf("the highest value is in bucket %d of %d", got, buckets)
	}
}

func TestQuantileIsWithinAnEighth(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var h Histogram
	var values []uint64
	for range 10_000 {
		v := uint64(math.Exp(r.Float64() * 25))
		h.Observe(v)
		values = append(values, v)
	}
	slices.Sort(values)
	for _, q := range []float64{0.01, 0.5, 0.9, 0.99, 1} {
		want := float64(values[max(0, int(q*10_000)-1)])
		if got := h.Quantile(q); math.Abs(got-want) > want/8+1 {
			t.Errorf("quantile %g is %g, want %g", q, got, want)
		}
		bound := uint64(want)
		if got := float64(h.Below(bound)); math.Abs(got-q*10_000) > 300 {
			t.Errorf("%g values are at most %d, want about %g", got, bound, q*10_000)
		}
	}
}

func TestSinceHasTheLaterValues(t *testing.T) {
	var h, other Histogram
	h.Observe(5)
	earlier := h
	other.Observe(1000)
	other.Observe(7)
	h.Add(&other)
	since := h.Since(&earlier)
	if since != other {
		t.Errorf("got %d values with the sum %d, want 2 with 1007", since.Count(), since.Sum())
	}
	if (&Histogram{}).Quantile(0.5) != 0 {
		t.Error("a quantile of no values is not 0")
	}
}
