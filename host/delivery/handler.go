package delivery

import (
	"container/heap"
	"context"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

const (
	// maxWindow bounds the events that a handler has read and not settled, the
	// ones that wait for a retry, and the outcomes that are not written yet; but
	// see counted.
	maxWindow = 4096
	// maxWindowBytes bounds the envelopes of those events.
	maxWindowBytes = 64 << 20
	// maxAhead bounds the events that are read while one before them is not settled.
	maxAhead = 16 * maxWindow
	// maxChildBytes bounds the children that are not written yet: with more, no
	// attempt begins.
	maxChildBytes = 64 << 20
	readBatch     = 64
	// maxReady bounds the events that are ready, as long as attempts are open: more
	// would not make a busy handler faster, and the processor's caches are small.
	maxReady  = 2 * readBatch
	readRetry = time.Second // after the log could not be read
)

// Policy is what may change while a handler is open.
type Policy struct {
	// Takes says whether the handler gets the event. Events it does not take are
	// passed over; it is asked once for each, when the event is read. It must be
	// safe for concurrent use.
	Takes func(*event.Event) bool
	// Key is what orders events: those with the same key go one at a time, in
	// order. "" goes at any time. Default: no order.
	Key     func(*event.Event) string
	Retry   spec.RetryPolicy
	Breaker spec.BreakerPolicy
	// Paused: no attempt begins. Attempts that have begun end, events and retries
	// wait, and the handler keeps its place.
	Paused bool
}

// HandlerConfig is what a handler is opened with.
type HandlerConfig struct {
	Name   string
	Policy Policy
}

// Stats counts since the handler was opened, but for Lag and Condition, which are now.
type Stats struct {
	Delivered uint64 // attempts that were ok
	Failed    uint64 // attempts that were not
	Refused   uint64 // of these, the ones whose children could not be published
	Fuel      uint64
	// Open counts the events that it has and that are not final: the ones that it has
	// read, that wait for a retry, or that were redriven.
	Open uint64
	// Lag is Open and every event of the log that it has not read, but for those that
	// are final already. It reads 4,096 of its events ahead, 65,536 while some wait
	// behind a retry; whether it takes an event is known only when it has read it.
	Lag            uint64
	HistorySkipped uint64 // successes of which no outcome was kept, see thin
	Condition      Condition
}

// Handler is one handler's queue. It is safe for concurrent use.
type Handler struct {
	name       string
	dispatcher *Dispatcher
	wake       chan struct{}   // a token: something is ready
	demand     chan struct{}   // a token: something is ready and nobody is in Next
	room       chan struct{}   // a token: the reader may look again
	refill     chan struct{}   // a token: something was redriven
	fed        chan struct{}   // a token: the feeder may look again
	idle       chan struct{}   // a token: no attempt is open
	moving     chan struct{}   // holds a token of who moves the handler or closes it
	removed    chan struct{}   // closed when Close is done
	life       context.Context // ends when Close begins
	endLife    context.CancelFunc
	stop       context.CancelFunc // of the reader and the feeder; in the hands of who has moving
	reader     sync.WaitGroup     // both of them

	mu       sync.Mutex
	policy   Policy
	pausedAt time.Time
	troubled atomic.Bool     // one of stuck is not empty; changed under mu
	stuck    [parts]obstacle // by part, what it cannot get past
	breaker  breaker
	parked   int
	ready    fifo
	open     index // every task that is not final, by Seq
	// lanes has the last task of every order key that is in the queue, by the
	// key's hash. Two keys that share one would only wait for each other.
	lanes   index
	behind  int // tasks that wait for another one of their lane
	seed    maphash.Seed
	retries retryHeap
	timer   *time.Timer
	window  fifo    // tasks in order of Seq whose place the cursor has not passed
	free    []*task // to be used again
	batch   []*task // the reader's own, see arrive
	// unread are deliveries to be tried again whose events cannot be read: the
	// feeder tries on. load makes the list, and nobody else than the feeder reads it.
	unread []event.Delivery
	bytes  int
	full   bool // the reader waits for room
	readTo uint64
	saved  uint64 // the cursor as it was last handed to the recorder
	// outcomes are those that the recorder has not fetched; unsaved counts them
	// and the ones it has and is yet to write.
	outcomes outcomes
	copied   outcomes // the memory for the next ones
	unsaved  int
	children int // bytes of the children among them
	done     map[uint64]bool
	// later has what waits for another attempt and is ahead of the reader, which
	// alone changes it; see load.
	later     map[uint64]event.Delivery
	replay    *event.Replay // the last one, nil without one since the handler was opened
	held      bool          // no attempt begins: the handler is being moved
	inFlight  int           // attempts that instances have
	hands     int           // that are open
	several   int           // hands that hold several attempts
	recalls   atomic.Uint64 // changed under mu, to have hands come back
	feedWaits bool          // the feeder waits for room
	fedOpen   int           // open tasks that the feeder brought
	fedBytes  int           // of their envelopes
	redriven  int           // events that were redriven and wait for the feeder
	laterOpen int           // open events that are no tasks yet: of unread, and what of later a replay passes over
	redrives  int           // grows when redriven is counted anew
	// known is the highest Seq that the store may have a row of. What is read
	// above it has none, and its success may be left out of the history.
	known    uint64
	thinned  thinned
	stats    Stats
	failures failureLog
	closed   bool
	gone     bool // what is not written by now is forgotten
}

func newHandler(d *Dispatcher, cfg HandlerConfig) *Handler {
	h := &Handler{
		name:       cfg.Name,
		dispatcher: d,
		wake:       make(chan struct{}, 1),
		demand:     make(chan struct{}, 1),
		room:       make(chan struct{}, 1),
		refill:     make(chan struct{}, 1),
		fed:        make(chan struct{}, 1),
		idle:       make(chan struct{}, 1),
		moving:     make(chan struct{}, 1),
		removed:    make(chan struct{}),
		seed:       maphash.MakeSeed(),
	}
	h.life, h.endLife = context.WithCancel(context.Background())
	h.lanes.which = byLane
	h.Update(cfg.Policy)
	return h
}

// Update changes the policy: which events it takes and their order for those
// that are not read yet, everything else at once.
func (h *Handler) Update(p Policy) {
	if p.Takes == nil {
		p.Takes = func(*event.Event) bool { return true }
	}
	if p.Key == nil {
		p.Key = func(*event.Event) string { return "" }
	}
	p.Retry = p.Retry.WithDefaults()
	h.mu.Lock()
	before := h.condition()
	if p.Paused && !h.policy.Paused {
		h.pausedAt = time.Now()
	}
	h.policy = p
	h.breaker.configure(p.Breaker)
	h.recall()
	changed := h.condition() != before
	h.signal()
	h.mu.Unlock()
	if changed {
		h.tell()
	}
}

// Close stops reading and waits until the outcomes are written, ctx ends, or a full
// disk refuses them (fault.Exhausted): what is not written then is delivered again
// when the handler is opened next. Close it after the pools that take from it are drained.
func (h *Handler) Close(ctx context.Context) error {
	h.endLife()
	h.moving <- struct{}{} // a replay that is being started gives up
	defer func() { <-h.moving }()
	h.stop()
	h.reader.Wait()
	h.mu.Lock()
	h.closed = true
	if h.timer != nil {
		h.timer.Stop()
	}
	h.mu.Unlock()
	err := h.dispatcher.recorder.finish(ctx, h)
	h.mu.Lock()
	if !h.gone {
		h.gone = true
		defer close(h.removed)
	}
	h.mu.Unlock()
	h.dispatcher.remove(h)
	return err
}

// read is the reader.
func (h *Handler) read(ctx context.Context) {
	if !h.readReplay(ctx) {
		return
	}
	sub := h.dispatcher.cfg.Log.Subscribe(h.readTo + 1)
	defer sub.Close()
	buf := make([]event.Record, readBatch)
	for {
		n, err := sub.Next(ctx, buf)
		if err != nil {
			if ctx.Err() != nil || !h.pause(ctx, reading, err) {
				return
			}
			continue
		}
		h.recovered(reading)
		for rest := buf[:n]; len(rest) > 0; {
			fit := h.awaitRoom(ctx, rest)
			if fit == 0 {
				return
			}
			h.arrive(rest[:fit])
			rest = rest[fit:]
		}
		clear(buf[:n])
	}
}

// awaitRoom holds the reader back while the handler has as much as it may. It
// answers how many of the records, from the first on, there is room for; 0 when
// ctx has ended.
func (h *Handler) awaitRoom(ctx context.Context, records []event.Record) int {
	for ctx.Err() == nil {
		h.mu.Lock()
		fit := h.fit(records)
		h.full = fit == 0
		h.mu.Unlock()
		if fit > 0 {
			return fit
		}
		select {
		case <-h.room:
		case <-ctx.Done():
		}
	}
	return 0
}

func (h *Handler) fit(records []event.Record) (n int) {
	h.cursor() // lets go of what it has passed
	bytes := h.bytes
	most := min(len(records), maxWindow-h.counted(), maxAhead-h.window.len())
	if h.inFlight > 0 {
		most = min(most, maxReady-h.ready.len())
	}
	for ; n < most && bytes < maxWindowBytes; n++ {
		bytes += len(records[n].Event.Envelope())
	}
	return n
}

// counted is how much of maxWindow is taken. While keys wait for a retry and
// nothing else is ready, what is behind them takes nothing: the reader goes on to
// the events of other keys, until maxAhead or maxWindowBytes.
func (h *Handler) counted() int {
	n := h.open.n + h.unsaved
	if h.retries.Len() > 0 && h.ready.len() == 0 {
		n -= h.behind
	}
	return n
}

// makeRoom lets the reader look again, if it waits and can bring several events.
func (h *Handler) makeRoom() {
	busy := h.inFlight > 0 && h.ready.len() > maxReady-readBatch
	if h.full && h.counted() <= maxWindow-readBatch && !busy {
		h.full = false
		token(h.room)
	}
	h.makeFeedRoom()
}

// arrive takes events that were read from the log.
func (h *Handler) arrive(records []event.Record) {
	h.mu.Lock()
	policy := h.policy
	h.batch = h.reuse(h.batch[:0], len(records))
	h.mu.Unlock()
	n := 0
	for _, rec := range records {
		if _, waits := h.later[rec.Seq]; !waits && !policy.Takes(rec.Event) {
			continue
		}
		if n == len(h.batch) {
			h.batch = append(h.batch, new(task))
		}
		h.batch[n].record, h.batch[n].lane = rec, h.lane(policy.Key(rec.Event))
		n++
	}
	now := time.Now().UnixNano()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range h.batch[:n] {
		seq := t.record.Seq
		if h.done[seq] {
			h.recycle(t)
			continue
		}
		if _, waits := h.later[seq]; waits {
			past := h.later[seq]
			delete(h.later, seq)
			t.past, t.settled = &past, true
			h.admit(t)
			continue
		}
		t.rowless, t.arrived = seq > h.known, now
		t.users++
		h.window.push(t)
		h.admit(t)
	}
	h.free = append(h.free, h.batch[n:]...) // they are as they were
	clear(h.batch)
	if len(h.done) > 0 {
		for _, rec := range records {
			delete(h.done, rec.Seq)
		}
	}
	h.readTo = records[len(records)-1].Seq
	h.known = max(h.known, h.readTo)
}

// admit puts a task in its lane, or among the ready or waiting ones.
func (h *Handler) admit(t *task) {
	t.users++
	h.open.put(t.record.Seq, t)
	h.bytes += len(t.record.Event.Envelope())
	if t.lane != 0 {
		if last := h.lanes.put(t.lane, t); last != nil {
			last.next = t
			h.behind++
			return
		}
	}
	h.schedule(t)
}

// lane is the number of an order key's lane; 0 for no key.
func (h *Handler) lane(key string) uint64 {
	if key == "" {
		return 0
	}
	return max(maphash.String(h.seed, key), 1)
}

// schedule makes a task ready, now or when it is due.
func (h *Handler) schedule(t *task) {
	if due, waits := t.due(); waits && time.Until(due) > 0 {
		heap.Push(&h.retries, t)
		h.setTimer()
		h.makeRoom()
		return
	}
	h.ready.push(t)
	h.signal()
}

// signal says that something is ready.
func (h *Handler) signal() {
	if h.ready.len() == 0 || !h.mayBegin() {
		return
	}
	token(h.wake)
	if h.parked == 0 {
		token(h.demand)
	}
}

func token(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// setTimer sets the clock to the first retry or the breaker's next probe.
func (h *Handler) setTimer() {
	now := time.Now()
	wait := h.breaker.waits(now)
	if h.retries.Len() > 0 {
		due := h.retries[0].past.Due.Sub(now)
		if wait == 0 || due < wait {
			wait = due
		}
	} else if wait == 0 {
		return
	}
	if h.closed {
		return
	}
	if h.timer == nil {
		h.timer = time.AfterFunc(wait, h.retriesDue)
	} else {
		h.timer.Reset(wait)
	}
}

// retriesDue makes the retries ready whose time has come.
func (h *Handler) retriesDue() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	now := time.Now()
	for h.retries.Len() > 0 && !h.retries[0].past.Due.After(now) {
		h.ready.push(heap.Pop(&h.retries).(*task))
	}
	h.setTimer()
	h.signal()
}
