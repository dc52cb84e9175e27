package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/berth-host/berth/host/fault"
)

// MinInflight is the smallest Config.MaxInflight, in bytes: with it one batch of the
// largest size is taken at a time.
const MinInflight = 32 << 20

const (
	smallBody   = 64 << 10         // bytes: a body up to this size counts into the quota of small ones
	leastBody   = 4 << 10          // bytes that every body counts for
	quotaWait   = 2 * time.Second  // that a request waits for its quota
	quotaRetry  = time.Second      // after which a refused client is told to try again
	bodyStall   = 10 * time.Second // in which stallBytes of a body have to come
	stallBytes  = 64 << 10
	quotaShares = 8 // small bodies have 1 of these, large ones 4, answers the rest
)

// quotas bound the bytes of requests under way, so that no number of connections
// takes all of the host's memory. Each kind has its own: large batches do not keep
// small events waiting, and slow readers of lists no publishers.
type quotas struct{ small, large, answers quota }

func newQuotas(total int64, wait time.Duration) *quotas {
	total = max(total, MinInflight)
	share := total / quotaShares
	return &quotas{
		small:   newQuota("bodies of up to 64 KiB", share, wait),
		large:   newQuota("bodies over 64 KiB", 4*share, wait),
		answers: newQuota("answers with events", total-5*share, wait),
	}
}

// quota is a number of bytes that requests share. Requests wait in the order in which
// they came, but no token takes more than half: one that waits for its own half keeps
// nobody else waiting. It is safe for concurrent use.
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

// within reports whether the token may have n more bytes as far as its half goes. A
// request that needs more than that is granted alone.
func (q *quota) within(token string, n int64) bool {
	has := q.byToken[token]
	return has == 0 || has+n <= q.limit/2
}

func (q *quota) take(token string, n int64) {
	q.used += n
	q.byToken[token] += n
}

// acquire takes n bytes, at most all there are, and waits for them. Give back what
// it returns.
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
		q.grant() // those behind it may fit
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return 0, q.refusal()
	}
	return n, nil // it was granted in this moment
}

// fits reports whether n bytes can be taken at once, before everybody who waits.
func (q *quota) fits(token string, n int64) bool {
	for _, w := range q.waiting {
		if q.within(w.token, w.n) {
			return false // it waits for bytes, not for its own half
		}
	}
	return q.used+n <= q.limit && q.within(token, n)
}

// grow takes n bytes more for a request that has some. It does not wait: requests that
// wait for each other would never end.
func (q *quota) grow(token string, n int64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.used+n > q.limit || q.byToken[token]+n > q.limit/2 && q.byToken[token]+n > maxBatchBody {
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

// grant serves those who wait, in order. One who waits for bytes keeps those behind
// him waiting, or large requests would never have their turn.
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
		"the host has as many bytes of requests under way as it takes (%s: %d bytes, half of them for one token; server.max_inflight_bytes): try again after 1 s, with smaller requests or fewer at a time", q.what, q.limit)}
}

// reservation is what one request has of the quotas.
type reservation struct {
	quotas  *quotas
	token   string
	of      *quota // that of the body; nil before the first byte
	body    int64
	answers int64
}

// reserved gives back what a request has reserved when it is answered.
func reserved(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		defer func() {
			if r, _ := c.Get(reservationKey).(*reservation); r != nil {
				r.release()
			}
		}()
		return next(c)
	}
}

const reservationKey = "berth.reservation"

func (s *Server) reservation(c echo.Context) *reservation {
	r, _ := c.Get(reservationKey).(*reservation)
	if r == nil {
		r = &reservation{quotas: s.quotas, token: tokenOf(c).ID}
		c.Set(reservationKey, r)
	}
	return r
}

func (r *reservation) release() {
	if r.of != nil {
		r.of.release(r.token, r.body)
	}
	r.quotas.answers.release(r.token, r.answers)
}

// begin reserves for a body of a known size, or of one that is to be found out (-1).
func (r *reservation) begin(ctx context.Context, size int64) (err error) {
	r.of = &r.quotas.small
	if size > smallBody {
		r.of = &r.quotas.large
	}
	r.body, err = r.of.acquire(ctx, r.token, max(size, leastBody))
	return err
}

// extend reserves for a body that turns out to have size bytes.
func (r *reservation) extend(size int64) error {
	if size <= r.body || r.body == r.of.limit {
		return nil
	}
	if r.of == &r.quotas.small && size > smallBody {
		if err := r.quotas.large.grow(r.token, size); err != nil {
			return err
		}
		r.of.release(r.token, r.body)
		r.of, r.body = &r.quotas.large, size
		return nil
	}
	if err := r.of.grow(r.token, size-r.body); err != nil {
		return err
	}
	r.body = size
	return nil
}

// reserveAnswer reserves for an answer that holds up to so many bytes of events.
func (s *Server) reserveAnswer(c echo.Context, size int64) error {
	r := s.reservation(c)
	n, err := r.quotas.answers.acquire(c.Request().Context(), r.token, size)
	r.answers += n
	return err
}

// pace makes a body that stalls, or drips, end with an error: it would keep its quota.
type pace struct {
	control *http.ResponseController
	stall   time.Duration
	until   time.Time // the whole body has to be there
	next    int       // bytes, with which the client gets more time
}

func (s *Server) pace(c echo.Context) *pace {
	return &pace{control: http.NewResponseController(c.Response()), stall: s.cfg.BodyStall, until: time.Now().Add(s.cfg.ReadTimeout)}
}

// more is called before each read of a body of which so many bytes are there.
func (p *pace) more(have int) {
	if have < p.next {
		return
	}
	p.next = have + stallBytes
	at := time.Now().Add(p.stall)
	if at.After(p.until) {
		at = p.until
	}
	_ = p.control.SetReadDeadline(at) // a connection without deadlines is one of tests
}

// end gives the connection the deadline that it had.
func (p *pace) end() { _ = p.control.SetReadDeadline(p.until) }

// tooSlow is the error of a body that did not come in time.
func (p *pace) tooSlow(have int) error {
	return &refusal{status: http.StatusRequestTimeout, header: [2]string{"Connection", "close"},
		error: fault.New(fault.Timeout, "the body came too slowly: %d bytes were there when its time was over, and 64 KiB must come every %v", have, p.stall)}
}
