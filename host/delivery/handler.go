package delivery

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"github.com/berth-host/berth/host/event"
)

const (
	// maxWindow bounds the events that a handler has read and not settled, the
	// ones that wait for a retry, and the outcomes that are not written yet.
	maxWindow = 4096
	// maxWindowBytes bounds the envelopes of those events.
	maxWindowBytes = 64 << 20
	// maxChildBytes bounds the children that are not written yet: with more, no
	// attempt begins.
	maxChildBytes = 64 << 20
	readBatch     = 256
	readRetry     = time.Second // after the log could not be read
)

// Policy is what may change while a handler is open.
type Policy struct {
	// Takes says whether the handler gets the event. Events it does not take are
	// passed over; it is asked once for each, when the event is read. It must be
	// safe for concurrent use.
	Takes func(*event.Event) bool
	// Key is what orders events: those with the same key go one at a time, in
	// order. "" goes at any time. Default: no order.
	Key   func(*event.Event) string
	Retry Retry
}

// HandlerConfig is what a handler is opened with.
type HandlerConfig struct {
	Name   string
	Policy Policy
}

// Stats counts since the handler was opened, but Lag, which is now.
type Stats struct {
	Delivered uint64 // attempts that were ok
	Failed    uint64 // attempts that were not
	Fuel      uint64
	Lag       uint64 // events of the log that it has not settled
}

// Handler is one handler's queue. It is safe for concurrent use.
type Handler struct {
	name       string
	dispatcher *Dispatcher
	wake       chan struct{} // a token: something is ready
	demand     chan struct{} // a token: something is ready and nobody is in Next
	room       chan struct{} // a token: the reader may look again
	stop       context.CancelFunc
	reader     sync.WaitGroup

	mu      sync.Mutex
	policy  Policy
	parked  int
	ready   fifo
	open    map[uint64]*task // every task that is not final
	lanes   map[string][]*task
	retries retryHeap
	timer   *time.Timer
	window  fifo // tasks in order of Seq whose place the cursor has not passed
	bytes   int
	readTo  uint64
	saved   uint64 // the cursor as it was last handed to the recorder
	// outcomes are those that the recorder has not fetched; unsaved counts them
	// and the ones it has and is yet to write.
	outcomes []event.Delivery
	unsaved  int
	children int // bytes of the children among them
	done     map[uint64]bool
	stats    Stats
	closed   bool
}

// task is one event on its way. It is settled when the cursor may pass it: its
// outcome, or its next attempt, is in the hands of the recorder.
type task struct {
	record     event.Record
	key        string
	last       event.Delivery // as it would be shown and stored
	delivering bool
	settled    bool
	index      int // in the retry heap
}

func newHandler(d *Dispatcher, cfg HandlerConfig, backlog event.Backlog) *Handler {
	h := &Handler{
		name:       cfg.Name,
		dispatcher: d,
		wake:       make(chan struct{}, 1),
		demand:     make(chan struct{}, 1),
		room:       make(chan struct{}, 1),
		open:       make(map[uint64]*task),
		lanes:      make(map[string][]*task),
		done:       make(map[uint64]bool),
		readTo:     backlog.Cursor,
		saved:      backlog.Cursor,
	}
	for _, seq := range backlog.Done {
		h.done[seq] = true
	}
	h.Update(cfg.Policy)
	return h
}

// Update changes the policy for the events that are not read yet, and the
// retries of all.
func (h *Handler) Update(p Policy) {
	if p.Takes == nil {
		p.Takes = func(*event.Event) bool { return true }
	}
	if p.Key == nil {
		p.Key = func(*event.Event) string { return "" }
	}
	p.Retry = p.Retry.withDefaults()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.policy = p
}

// restore brings back the deliveries that waited for another attempt.
func (h *Handler) restore(ctx context.Context, backlog event.Backlog) error {
	for _, row := range backlog.Open {
		records, err := h.dispatcher.cfg.Log.Read(ctx, row.Seq, 1)
		if err != nil {
			return err
		}
		if len(records) == 0 || records[0].Seq != row.Seq {
			continue // trimmed: its retention is over
		}
		h.mu.Lock()
		t := &task{record: records[0], key: h.policy.Key(records[0].Event), last: row, settled: true}
		h.admit(t)
		h.done[row.Seq] = true // the reader must not bring it again
		h.mu.Unlock()
	}
	return nil
}

func (h *Handler) start() {
	ctx, cancel := context.WithCancel(context.Background())
	h.stop = cancel
	h.reader.Add(1)
	go func() {
		defer h.reader.Done()
		h.read(ctx)
	}()
}

// Close stops reading and waits until the outcomes are written, or ctx ends:
// what is not written then is delivered again when the handler is opened next.
// Close it after the pools that take from it are drained.
func (h *Handler) Close(ctx context.Context) error {
	h.stop()
	h.reader.Wait()
	h.mu.Lock()
	h.closed = true
	if h.timer != nil {
		h.timer.Stop()
	}
	h.mu.Unlock()
	err := h.dispatcher.recorder.flush(ctx)
	h.dispatcher.remove(h)
	return err
}

func (h *Handler) read(ctx context.Context) {
	sub := h.dispatcher.cfg.Log.Subscribe(h.readTo + 1)
	defer sub.Close()
	buf := make([]event.Record, readBatch)
	for {
		n, err := sub.Next(ctx, buf)
		if err != nil {
			if ctx.Err() != nil || !h.pause(ctx, err) {
				return
			}
			continue
		}
		for _, rec := range buf[:n] {
			if !h.awaitRoom(ctx) {
				return
			}
			h.arrive(rec)
		}
		clear(buf[:n])
	}
}

// pause waits before the log is read again after an error.
func (h *Handler) pause(ctx context.Context, err error) bool {
	h.dispatcher.cfg.Logger.Error("the log cannot be read; trying on", "plugin", h.name, "error", err)
	select {
	case <-time.After(readRetry):
		return true
	case <-ctx.Done():
		return false
	}
}

// awaitRoom holds the reader back while the handler has as much as it may.
func (h *Handler) awaitRoom(ctx context.Context) bool {
	for {
		h.mu.Lock()
		full := len(h.open)+h.unsaved >= maxWindow || h.bytes >= maxWindowBytes
		h.mu.Unlock()
		if !full {
			return ctx.Err() == nil
		}
		select {
		case <-h.room:
		case <-ctx.Done():
			return false
		}
	}
}

// arrive takes an event that was read from the log.
func (h *Handler) arrive(rec event.Record) {
	h.mu.Lock()
	policy := h.policy
	skip := h.done[rec.Seq]
	delete(h.done, rec.Seq)
	h.mu.Unlock()
	takes := !skip && policy.Takes(rec.Event)
	key := ""
	if takes {
		key = policy.Key(rec.Event)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.readTo = rec.Seq
	if takes {
		t := &task{record: rec, key: key}
		t.last = event.Delivery{Handler: h.name, Seq: rec.Seq, Status: event.StatusPending, At: time.Now()}
		h.window.push(t)
		h.admit(t)
	}
}

// admit puts a task in its lane, or among the ready or waiting ones.
func (h *Handler) admit(t *task) {
	h.open[t.record.Seq] = t
	h.bytes += len(t.record.Event.Envelope())
	if t.key != "" {
		lane, busy := h.lanes[t.key]
		if busy {
			h.lanes[t.key] = append(lane, t)
			return
		}
		h.lanes[t.key] = nil
	}
	h.schedule(t)
}

// schedule makes a task ready, now or when it is due.
func (h *Handler) schedule(t *task) {
	if t.last.Status == event.StatusRetrying && time.Until(t.last.Due) > 0 {
		heap.Push(&h.retries, t)
		h.setTimer()
		return
	}
	h.ready.push(t)
	h.signal()
}

// signal says that something is ready.
func (h *Handler) signal() {
	if h.ready.len() == 0 {
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

func (h *Handler) setTimer() {
	if h.retries.Len() == 0 || h.closed {
		return
	}
	wait := time.Until(h.retries[0].last.Due)
	if h.timer == nil {
		h.timer = time.AfterFunc(wait, h.retriesDue)
	} else {
		h.timer.Reset(wait)
	}
}

func (h *Handler) retriesDue() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	now := time.Now()
	for h.retries.Len() > 0 && !h.retries[0].last.Due.After(now) {
		h.ready.push(heap.Pop(&h.retries).(*task))
	}
	h.setTimer()
	h.signal()
}

// Next waits for an attempt and answers false once stop is closed, or when it
// waits and gets a token from retire.
func (h *Handler) Next(stop, retire <-chan struct{}) (event.Taken, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for waited := false; ; waited = true {
		select {
		case <-stop:
			h.signal() // the token it may have taken is another's
			return event.Taken{}, false
		default:
		}
		if h.children < maxChildBytes {
			if t := h.ready.pop(); t != nil {
				return event.Taken{Attempt: h.begin(t), More: h.ready.len() > 0, Waited: waited}, true
			}
		}
		h.parked++
		h.mu.Unlock()
		retired := false
		select {
		case <-stop:
		case <-h.wake:
		case <-retire:
			retired = true
		}
		h.mu.Lock()
		h.parked--
		if retired {
			h.signal()
			return event.Taken{}, false
		}
	}
}

// TryNext is Next without waiting.
func (h *Handler) TryNext() (event.Attempt, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t := h.ready.pop(); t != nil {
		return h.begin(t), true
	}
	return event.Attempt{}, false
}

// Demand yields a token when something is ready and nobody is in Next.
func (h *Handler) Demand() <-chan struct{} { return h.demand }

func (h *Handler) begin(t *task) event.Attempt {
	if h.ready.len() > 0 && h.parked > 0 {
		token(h.wake)
	}
	t.delivering = true
	return event.Attempt{Seq: t.record.Seq, Event: t.record.Event, Number: t.last.Attempts + 1}
}

// Done takes back an attempt and what became of it.
func (h *Handler) Done(a event.Attempt, o event.Outcome) {
	h.mu.Lock()
	t := h.open[a.Seq]
	if t == nil || !t.delivering {
		h.mu.Unlock()
		return
	}
	t.delivering = false
	h.stats.Fuel += o.Fuel
	if o.Class == event.ClassCancelled {
		h.ready.pushFront(t)
		h.signal()
		h.mu.Unlock()
		return
	}
	row := h.judge(t, o)
	record := t.record
	h.mu.Unlock()
	h.dispatcher.recorder.touch()
	h.dispatcher.cfg.Observer(record, row)
}

// judge decides what becomes of a task after an attempt.
func (h *Handler) judge(t *task, o event.Outcome) event.Delivery {
	row := t.last
	row.Attempts++
	row.Duration, row.Fuel, row.At, row.Due = o.Duration, o.Fuel, time.Now(), time.Time{}
	row.Result, row.ErrorClass, row.ErrorMessage = "", o.Class, o.Message
	retry := h.policy.Retry
	switch {
	case o.Verdict == event.OK:
		h.stats.Delivered++
		row.Status, row.Result = event.StatusOK, string(o.Result)
	case o.Verdict == event.Reject || row.Attempts >= retry.MaxAttempts:
		h.stats.Failed++
		row.Status = event.StatusDead
	default:
		h.stats.Failed++
		row.Status = event.StatusRetrying
		row.Due = row.At.Add(retry.delay(row.Attempts, h.dispatcher.cfg.Random()))
	}
	t.last, t.settled = row, true
	saved := row
	if row.Status == event.StatusOK {
		saved.Children = o.Children
		h.children += childBytes(saved)
	}
	h.outcomes = append(h.outcomes, saved)
	h.unsaved++
	if row.Status.Final() {
		h.release(t)
	} else {
		h.schedule(t)
	}
	return row
}

// release forgets a final task and lets the next of its lane go.
func (h *Handler) release(t *task) {
	delete(h.open, t.record.Seq)
	h.bytes -= len(t.record.Event.Envelope())
	token(h.room)
	if t.key == "" {
		return
	}
	lane := h.lanes[t.key]
	if len(lane) == 0 {
		delete(h.lanes, t.key)
		return
	}
	h.lanes[t.key] = lane[1:]
	h.schedule(lane[0])
}
