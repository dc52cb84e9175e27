// Package inflight bounds the bytes of requests under way, so that no number of connections
// takes all of the host's memory, and reads their bodies. Each kind of request has a quota
// of its own: large batches do not delay small events, and slow readers of lists do not
// delay publishers. A body that stalls ends with an error, and releases its quota.
//
// Quotas are safe for concurrent use; a Reservation belongs to one request. Each quota has
// one lock, which is not held while a request waits. Read quota.go first.
package inflight

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/berth-host/berth/host/fault"
)

// MinBytes is the smallest bound of Quotas: it admits one batch of the largest size at a
// time.
const MinBytes = 32 << 20

const (
	smallBody   = 64 << 10    // bytes: bodies up to this size share the quota of small ones
	minBody     = 4 << 10     // bytes that every body counts for
	quotaRetry  = time.Second // Retry-After of a refused request
	quotaShares = 8           // small bodies have 1 share, large ones 4, answers the others
)

// Quotas are the quotas of a server.
type Quotas struct {
	small, large, answers quota
	pacing                Pacing
}

// New returns quotas of total bytes, at least MinBytes. A request waits for its quota no
// longer than wait.
func New(total int64, wait time.Duration, pacing Pacing) *Quotas {
	total = max(total, MinBytes)
	share := total / quotaShares
	return &Quotas{
		small:   newQuota("bodies of up to 64 KiB", share, wait),
		large:   newQuota("bodies over 64 KiB", 4*share, wait),
		answers: newQuota("answers with events", total-5*share, wait),
		pacing:  pacing,
	}
}

// quota is a number of bytes that requests share. Requests wait in the order of their
// arrival, but no token takes more than half: a request that waits for its token's half
// does not delay others. It is safe for concurrent use.
type quota struct {
	what  string
	limit int64
	wait  time.Duration

	mu      sync.Mutex
	used    int64
	byToken map[string]int64 // of used
	waiting []*quotaWaiter   // oldest first
}

type quotaWaiter struct {
	token   string
	n       int64
	granted chan struct{}
}

func newQuota(what string, limit int64, wait time.Duration) quota {
	return quota{what: what, limit: limit, wait: wait, byToken: make(map[string]int64)}
}

// within reports whether n more bytes fit into the token's half. A request that needs more
// than that is granted when the token has no other.
func (q *quota) within(token string, n int64) bool {
	has := q.byToken[token]
	return has == 0 || has+n <= q.limit/2
}

func (q *quota) take(token string, n int64) {
	q.used += n
	q.byToken[token] += n
}

// acquire waits for n bytes, at most the whole quota, and takes them. The caller must
// release the number of bytes that it returns.
func (q *quota) acquire(ctx context.Context, token string, n int64) (taken int64, err error) {
	n = min(n, q.limit)
	q.mu.Lock()
	if q.fits(token, n) {
		q.take(token, n)
		q.mu.Unlock()
		return n, nil
	}
	w := &quotaWaiter{token: token, n: n, granted: make(chan struct{})}
	q.waiting = append(q.waiting, w)
	q.mu.Unlock()
	timer := time.NewTimer(q.wait)
	defer timer.Stop()
	select {
	case <-w.granted:
		return n, nil
	case <-timer.C:
	case <-ctx.Done():
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.Index(q.waiting, w); i >= 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
		q.grant() // later requests may fit
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return 0, q.refusal()
	}
	return n, nil // granted meanwhile
}

// fits reports whether n bytes can be taken now, without overtaking a request that waits.
func (q *quota) fits(token string, n int64) bool {
	for _, w := range q.waiting {
		if q.within(w.token, w.n) {
			return false // it waits for bytes, not for its token's half
		}
	}
	return q.used+n <= q.limit && q.within(token, n)
}

// grow takes n more bytes for a request that has some. It does not wait: requests that
// wait for each other would deadlock.
func (q *quota) grow(token string, n int64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.used+n > q.limit || q.byToken[token]+n > q.limit/2 && q.byToken[token]+n > MaxList {
		return q.refusal()
	}
	q.take(token, n)
	return nil
}

func (q *quota) release(token string, n int64) {
	if n == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.used -= n
	if q.byToken[token] -= n; q.byToken[token] == 0 {
		delete(q.byToken, token)
	}
	q.grant()
}

// grant serves the waiting requests in order. A request that waits for bytes blocks the
// later ones, or large requests would starve.
func (q *quota) grant() {
	left := q.waiting[:0]
	blocked := false
	for _, w := range q.waiting {
		switch {
		case blocked, !q.within(w.token, w.n):
			left = append(left, w)
		case q.used+w.n > q.limit:
			blocked = true
			left = append(left, w)
		default:
			q.take(w.token, w.n)
			close(w.granted)
		}
	}
	clear(q.waiting[len(left):])
	q.waiting = left
}

func (q *quota) refusal() error {
	return &fault.Error{Code: fault.Unavailable, RetryAfter: quotaRetry, Reason: fmt.Sprintf(
		"the host has as many bytes of requests under way as it takes (%s: %d bytes, half of them for one token; "+
			"server.max_inflight_bytes): try again after 1 s, with smaller requests or fewer at a time", q.what, q.limit)}
}
