package delivery

import (
	"sync/atomic"
	"time"

	"github.com/berth-host/berth/host/event"
)

// maxHand bounds the attempts that one instance holds: the one it is at, and
// those it begins after it without a look at the queue.
const maxHand = 16

// Hand is where one instance gets its attempts. When many are ready it is dealt
// several at once, at most half of its share, and hands plain successes in
// together: so the queue's lock is taken once for all of them.
//
// What an instance holds besides the attempt it is at is never kept from others
// for long: it comes back with Rest, which an instance calls before it waits for
// anything and when an attempt takes longer than a slice of fuel, and at the next
// Held, Next or Done after a recall. Any other outcome than a plain success is
// handed in at once, with all before it.
//
// A Hand is for one goroutine.
type Hand struct {
	h     *Handler
	deal  uint64 // the recall that it was dealt after
	tasks [maxHand]*task
	plain [maxHand]plain // how those ended that are not handed in
	bytes []byte         // the results of these
	seen  []aftermath    // what was handed in and is to be told, as soon as the lock is free
	n     int            // tasks dealt
	at    int            // of them have begun
	in    int            // of them are handed in
	open  bool           // the last that has begun has not ended

	begun   atomic.Int32 // at, for whoever looks while it holds Handler.mu
	several bool         // it is counted in Handler.several
}

// plain is a success without children.
type plain struct {
	event.Success
	result int // where its result ends among the results; it begins where the one before ends
}

// Hand makes a Hand. Close it.
func (h *Handler) Hand() *Hand {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hands++
	return &Hand{h: h}
}

// Close gives back what is held. No attempt may be open.
func (x *Hand) Close() {
	x.h.mu.Lock()
	x.rest()
	x.h.hands--
	x.h.mu.Unlock()
	x.tell()
}

// Held begins an attempt that is held already. It answers false when there is
// none, or when the queue has to be asked: see Next.
func (x *Hand) Held() (event.Taken, bool) {
	if x.at == x.n || x.recalled() {
		return event.Taken{}, false
	}
	return x.begin(), true
}

// Next waits for an attempt and begins it. It answers false once stop is closed,
// or when it waits and gets a token from retire. No attempt may be open.
func (x *Hand) Next(stop, retire <-chan struct{}) (event.Taken, bool) {
	h := x.h
	h.mu.Lock()
	defer h.mu.Unlock()
	x.rest()
	if len(x.seen) > 0 {
		h.mu.Unlock()
		x.tell()
		h.mu.Lock()
	}
	waited, ok := h.await(stop, retire)
	if !ok {
		return event.Taken{}, false
	}
	x.take()
	taken := x.begin()
	taken.Waited, taken.More = waited, taken.More || h.ready.len() > 0 && h.mayBegin()
	return taken, true
}

// Done ends the attempt that was begun last, and answers whether it is handed in,
// with all before it. o and its Result are the caller's again then.
func (x *Hand) Done(o *event.Outcome) (handedIn bool) {
	x.open = false
	t := x.tasks[x.at-1]
	if x.at < x.n && t.past == nil && o.Verdict == event.OK && len(o.Children) == 0 && !x.recalled() && !x.h.dispatcher.watched() {
		x.bytes = append(x.bytes, o.Result...)
		p := &x.plain[x.at-1]
		if *p = (plain{event.Success{At: o.At, Duration: o.Duration, Fuel: o.Fuel}, len(x.bytes)}); o.At.IsZero() {
			p.At = time.Now()
		}
		return false
	}
	h := x.h
	h.mu.Lock()
	x.handIn(x.at - 1)
	x.tasks[x.in], t.hand = nil, nil
	x.in++
	ended := h.end(t, o)
	if x.recalled() {
		x.giveBack()
	}
	h.mu.Unlock()
	x.tell()
	ended.tell()
	return true
}

// Rest hands in what has ended and gives back what has not begun. An attempt that
// is open stays so.
func (x *Hand) Rest() {
	if x.n-x.in == 0 || x.n-x.in == 1 && x.open {
		return
	}
	x.h.mu.Lock()
	x.rest()
	x.h.mu.Unlock()
	x.tell()
}

// hasBegun reports whether a task that the hand holds has begun. The caller holds
// Handler.mu.
func (x *Hand) hasBegun(t *task) bool { return int32(t.place) < x.begun.Load() }

func (x *Hand) recalled() bool { return x.deal != x.h.recalls.Load() }

// take deals the hand its share of what is ready: one attempt at least. The hand
// is empty, and the caller holds Handler.mu, as for what follows.
func (x *Hand) take() {
	h := x.h
	x.deal = h.recalls.Load()
	x.at, x.in = 0, 0
	x.begun.Store(0)
	x.n = h.share()
	for i := range x.n {
		t := h.ready.pop()
		t.hand, t.place = x, uint8(i)
		h.begin(t)
		x.tasks[i] = t
	}
	if x.several = x.n > 1; x.several {
		h.several++
	}
}

// begin begins the next of the attempts that are held. The owner calls it, with
// or without the lock.
func (x *Hand) begin() event.Taken {
	t := x.tasks[x.at]
	x.at++
	x.begun.Store(int32(x.at))
	x.open = true
	return event.Taken{Attempt: t.attempt(), More: x.at < x.n}
}

// rest is Rest.
func (x *Hand) rest() {
	ended := x.at
	if x.open {
		ended--
	}
	x.handIn(ended)
	x.giveBack()
}

// handIn hands in the successes that came before the given one. The breaker need
// not be told: none has failed before them, because a failure recalls every hand,
// and what failed since came after them. Who came to watch since they ended is
// told of them: until now they were delivering.
func (x *Hand) handIn(before int) {
	if x.in >= before {
		return
	}
	watched := x.h.dispatcher.watched()
	for from := 0; x.in < before; x.in++ {
		t, p := x.tasks[x.in], &x.plain[x.in]
		x.tasks[x.in], t.hand = nil, nil
		record := t.record
		x.h.succeed(t, p, x.bytes[from:p.result])
		from = p.result
		if watched {
			row, _ := x.h.outcomes.find(x.h.name, record.Seq)
			x.seen = append(x.seen, aftermath{handler: x.h, record: record, row: &row})
		}
	}
	if x.bytes = x.bytes[:0]; cap(x.bytes) > maxResults {
		x.bytes = nil
	}
	x.h.cursor() // lets go of what it has passed
}

// tell tells of what was handed in. The lock is free.
func (x *Hand) tell() {
	for i := range x.seen {
		x.seen[i].tell()
	}
	clear(x.seen)
	x.seen = x.seen[:0]
}

// giveBack puts what has not begun back to where it was taken from.
func (x *Hand) giveBack() {
	h := x.h
	for ; x.n > x.at; x.n-- {
		t := x.tasks[x.n-1]
		x.tasks[x.n-1], t.hand = nil, nil
		h.putBack(t)
	}
	if x.several {
		x.several = false
		h.several--
	}
	h.signal()
}

// share is how many attempts a hand may take: half of what each would get, so
// that instances which are still to come find some; and one where somebody waits,
// or where each outcome may decide whether the next attempt begins.
func (h *Handler) share() int {
	if h.parked > 0 || h.breaker.open || h.breaker.failures > 0 {
		return 1
	}
	return max(1, min(maxHand, h.ready.len()/(2*h.hands)))
}

// recall has every hand come back before it begins another attempt.
func (h *Handler) recall() {
	if h.several > 0 {
		h.recalls.Add(1)
	}
}
