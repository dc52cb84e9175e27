package inflight

import (
	"context"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/fault"
)

// quotaOf is a quota that refuses instead of waiting.
func quotaOf(limit int64) *quota {
	q := newQuota("tests", limit, time.Nanosecond)
	return &q
}

func TestQuotaBounds(t *testing.T) {
	type ask struct {
		token string
		n     int64
		ok    bool
	}
	for _, tt := range []struct {
		name string
		asks []ask
	}{
		{"one at the limit", []ask{{"a", 100, true}, {"b", 1, false}}},
		{"one over the limit is granted alone, as the limit", []ask{{"a", 101, true}, {"b", 1, false}}},
		{"two tokens at the limit", []ask{{"a", 50, true}, {"b", 50, true}, {"c", 1, false}}},
		{"two tokens over the limit", []ask{{"a", 50, true}, {"b", 51, false}, {"b", 50, true}}},
		{"half of it for one token", []ask{{"a", 25, true}, {"a", 25, true}, {"a", 1, false}, {"b", 50, true}}},
		{"more than half for one token", []ask{{"a", 25, true}, {"a", 26, false}}},
		{"more than half only alone", []ask{{"a", 1, true}, {"a", 60, false}, {"b", 60, true}}},
	} {
		q := quotaOf(100)
		for i, a := range tt.asks {
			_, err := q.acquire(t.Context(), a.token, a.n)
			if (err == nil) != a.ok {
				t.Errorf("%s: %d: got %v, want granted: %v", tt.name, i, err, a.ok)
			}
			if err != nil && (!fault.Is(err, fault.Unavailable) || fault.RetryAfter(err) != time.Second) {
				t.Errorf("%s: got %s after %v", tt.name, fault.CodeOf(err), fault.RetryAfter(err))
			}
		}
		if len(q.waiting) > 0 {
			t.Errorf("%s: %d wait", tt.name, len(q.waiting))
		}
	}
}

// Requests are served in order: a large one has its turn, and one that waits for its
// own half does not delay others.
func TestQuotaServesInOrder(t *testing.T) {
	q := newQuota("tests", 100, time.Hour)
	hold := func(token string, n int64) {
		t.Helper()
		if _, err := q.acquire(t.Context(), token, n); err != nil {
			t.Fatal(err)
		}
	}
	granted := make(chan string)
	wait := func(name, token string, n int64, position int) {
		t.Helper()
		go func() {
			if _, err := q.acquire(t.Context(), token, n); err != nil {
				t.Error(err)
			}
			granted <- name
		}()
		for waiting := -1; waiting != position; { // until it is in the queue
			q.mu.Lock()
			waiting = len(q.waiting)
			q.mu.Unlock()
			runtime.Gosched()
		}
	}
	hold("a", 50)
	hold("b", 40)
	wait("a again", "a", 1, 1) // has its half
	wait("large", "c", 30, 2)  // 10 are left
	wait("small", "d", 5, 3)   // would fit, but comes after the large one
	q.release("b", 40)         // 50 are left: for large and for small
	got := map[string]bool{<-granted: true, <-granted: true}
	if !got["large"] || !got["small"] {
		t.Errorf("served %v, want large and small", got)
	}
	q.release("a", 50)
	if name := <-granted; name != "a again" {
		t.Errorf("served %s, want a again", name)
	}
	if q.used != 36 || len(q.waiting) != 0 || q.byToken["a"] != 1 {
		t.Errorf("%d bytes are used by %v, %d wait", q.used, q.byToken, len(q.waiting))
	}
}

func TestQuotaOfAGoneCaller(t *testing.T) {
	q := newQuota("tests", 100, time.Hour)
	if _, err := q.acquire(t.Context(), "a", 100); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if n, err := q.acquire(ctx, "b", 1); err == nil || n != 0 || len(q.waiting) != 0 {
		t.Errorf("got %d, %v, and %d wait", n, err, len(q.waiting))
	}
}

// Concurrent requests never exceed the quota, and release all of it.
func TestQuotaIsExact(t *testing.T) {
	q := newQuota("tests", 1000, 10*time.Millisecond)
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(worker)))
			token := string(rune('a' + worker%3))
			for range 500 {
				n, err := q.acquire(context.Background(), token, 1+random.Int64N(700))
				if err == nil && random.IntN(2) == 0 {
					if more := 1 + random.Int64N(200); q.grow(token, more) == nil {
						n += more
					}
				}
				q.mu.Lock()
				sum := int64(0)
				for _, has := range q.byToken {
					sum += has
				}
				if q.used > q.limit || q.used != sum || q.used < n {
					t.Errorf("%d of %d are used, %d by the tokens", q.used, q.limit, sum)
				}
				q.mu.Unlock()
				q.release(token, n)
			}
		})
	}
	wg.Wait()
	if q.used != 0 || len(q.byToken) != 0 || len(q.waiting) != 0 {
		t.Errorf("in the end %d are used by %v, and %d wait", q.used, q.byToken, len(q.waiting))
	}
}

// A body of an unknown length counts as a large one as soon as it is over 64 KiB.
func TestReservationGrows(t *testing.T) {
	qs := New(32<<20, time.Nanosecond, Pacing{})
	if qs.small.limit != 4<<20 || qs.large.limit != 16<<20 || qs.answers.limit != 12<<20 {
		t.Fatalf("got %d, %d, %d", qs.small.limit, qs.large.limit, qs.answers.limit)
	}
	r := qs.Reserve("a")
	if err := r.begin(t.Context(), -1); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ size, small, large int64 }{
		{4 << 10, 4 << 10, 0}, {64 << 10, 64 << 10, 0}, {64<<10 + 1, 0, 64<<10 + 1}, {16 << 20, 0, 16 << 20},
	} {
		if err := r.extend(step.size); err != nil || qs.small.used != step.small || qs.large.used != step.large {
			t.Errorf("%d bytes: %v; %d small and %d large ones are used", step.size, err, qs.small.used, qs.large.used)
		}
	}
	other := qs.Reserve("b")
	if err := other.begin(t.Context(), 64<<10+1); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a large one beside it: got %v", err)
	}
	if err := other.begin(t.Context(), 64<<10); err != nil {
		t.Errorf("a small one beside it: %v", err)
	}
	r.Release()
	other.Release()
	if qs.small.used != 0 || qs.large.used != 0 {
		t.Errorf("%d and %d stay used", qs.small.used, qs.large.used)
	}
}
