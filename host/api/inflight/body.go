package inflight

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/berth-host/berth/host/api/problem"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// Bounds of bodies, in bytes. A body may be larger than the event in it by its white space.
const (
	MaxBody = event.MaxSize + 64<<10
	MaxList = 16 << 20
)

// stallBytes of a body have to arrive in the time Pacing.Stall.
const stallBytes = 64 << 10

// Pacing bounds the time of a body.
type Pacing struct {
	Stall time.Duration // for each 64 KiB
	Whole time.Duration
}

// Reservation is a request's part of the quotas. It is not safe for concurrent use.
type Reservation struct {
	quotas  *Quotas
	token   string
	of      *quota // that of the body; nil before the first byte
	body    int64
	answers int64
}

// Reserve returns an empty reservation for a request with this token. The caller must
// release it when the request is answered.
func (q *Quotas) Reserve(token string) *Reservation { return &Reservation{quotas: q, token: token} }

// Release returns everything that the request has reserved.
func (r *Reservation) Release() {
	if r.of != nil {
		r.of.release(r.token, r.body)
	}
	r.quotas.answers.release(r.token, r.answers)
}

// Answer reserves for an answer with up to size bytes of events.
func (r *Reservation) Answer(ctx context.Context, size int64) error {
	n, err := r.quotas.answers.acquire(ctx, r.token, size)
	r.answers += n
	return err
}

// begin reserves for a body of size bytes; -1 is not known yet.
func (r *Reservation) begin(ctx context.Context, size int64) (err error) {
	r.of = &r.quotas.small
	if size > smallBody {
		r.of = &r.quotas.large
	}
	r.body, err = r.of.acquire(ctx, r.token, max(size, minBody))
	return err
}

// extend reserves for a body that has grown to size bytes.
func (r *Reservation) extend(size int64) error {
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

// ReadBody reads a body of at most maxOne bytes, or of at most maxList bytes if it is a JSON
// list. The body counts into the quotas until the reservation is released.
func (r *Reservation) ReadBody(w http.ResponseWriter, req *http.Request, maxOne, maxList int) ([]byte, error) {
	limit := maxOne
	tooLarge := func() error {
		return &fault.Error{Code: fault.Exhausted, Field: "body", Reason: fmt.Sprintf("is over the limit of %d bytes", limit)}
	}
	size := 4 << 10
	if n := req.ContentLength; n >= 0 {
		if n > int64(max(maxOne, maxList)) {
			limit = max(maxOne, maxList)
			return nil, tooLarge()
		}
		size = int(min(n, int64(maxOne))) + 1 // one more, to read the end without growing
	}
	p := newPace(w, r.quotas.pacing)
	if err := r.begin(req.Context(), req.ContentLength); err != nil {
		return nil, err
	}
	defer p.end()
	body := make([]byte, 0, size)
	for {
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
			if err := r.extend(int64(cap(body))); err != nil {
				return nil, err
			}
		}
		p.more(len(body))
		n, err := req.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if len(body) > limit && IsList(body) {
			limit = maxList
		}
		switch {
		case len(body) > limit:
			return nil, tooLarge()
		case err == nil:
		case errors.Is(err, io.EOF):
			return body, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, p.tooSlow(len(body))
		default:
			return nil, fault.New(fault.Invalid, "the body ended early, after %d bytes: %w", len(body), err)
		}
	}
}

// IsList reports whether JSON text starts with a list.
func IsList(body []byte) bool {
	text := bytes.TrimLeft(body, " \t\r\n")
	return len(text) > 0 && text[0] == '['
}

// pace sets the read deadline of a body as it arrives.
type pace struct {
	control *http.ResponseController
	stall   time.Duration
	until   time.Time // deadline of the whole body
	next    int       // bytes at which the deadline moves
}

func newPace(w http.ResponseWriter, p Pacing) *pace {
	return &pace{control: http.NewResponseController(w), stall: p.Stall, until: time.Now().Add(p.Whole)}
}

// more is called before each read, with the number of bytes read so far.
func (p *pace) more(have int) {
	if have < p.next {
		return
	}
	p.next = have + stallBytes
	at := time.Now().Add(p.stall)
	if at.After(p.until) {
		at = p.until
	}
	_ = p.control.SetReadDeadline(at) // test recorders have no deadlines
}

// end restores the deadline of the connection.
func (p *pace) end() { _ = p.control.SetReadDeadline(p.until) }

// tooSlow is the error of a body that missed its deadline.
func (p *pace) tooSlow(have int) error {
	return &problem.Refusal{Status: http.StatusRequestTimeout, Header: [2]string{"Connection", "close"},
		Err: fault.New(fault.Timeout, "the body came too slowly: %d bytes were there when its time was over, and 64 KiB must come every %v",
			have, p.stall)}
}
