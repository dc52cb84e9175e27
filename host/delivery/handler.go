package delivery

import (
	"context"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/berth-host/berth/host/delivery/breaker"
	"github.com/berth-host/berth/host/delivery/engine"
	"github.com/berth-host/berth/host/delivery/failurelog"
	"github.com/berth-host/berth/host/delivery/fair"
	"github.com/berth-host/berth/host/delivery/obstacle"
	"github.com/berth-host/berth/host/delivery/outcomes"
	"github.com/berth-host/berth/host/delivery/pending"
	"github.com/berth-host/berth/host/delivery/queue"
	"github.com/berth-host/berth/host/delivery/tasks"
	"github.com/berth-host/berth/host/delivery/tenure"
	"github.com/berth-host/berth/host/event"
)

// Policy is what may change while a handler is open.
type Policy = engine.Policy

// handler is one handler's queue. It is safe for concurrent use.
type handler struct {
	name        string
	dispatcher  *Dispatcher
	sources     int             // that are not closed; under Dispatcher.mu
	wake        chan struct{}   // a token: an attempt is ready
	demand      chan struct{}   // a token: an attempt is ready and no instance waits
	readerWake  chan struct{}   // a token: the reader checks its capacity
	feederWake  chan struct{}   // a token: the feeder checks its capacity
	refill      chan struct{}   // a token: the feeder looks for redriven events
	idle        chan struct{}   // a token: no attempt is open
	removed     chan struct{}   // closed at the end of close
	life        context.Context // ends at the start of close
	endLife     context.CancelFunc
	stopReading func()         // of the reader and the feeder; under the lock of the handler's name
	reading     sync.WaitGroup // both of them, and the goroutine of readKept
	// revocations is written under mu. Leases read it twice for each attempt, without mu: it is
	// beside what does not change.
	revocations atomic.Uint64

	mu        sync.Mutex
	policy    Policy
	pausedAt  time.Time
	troubled  atomic.Bool // obstacles is not empty; written under mu
	obstacles obstacle.Set
	breaker   breaker.Breaker
	parked    int // instances that wait
	bells     queue.Bells
	ready     fair.Ready[tasks.Task]
	// fair has the groups of Policy.Fair, and the Seqs of events that are beyond their share; nil
	// when events are not shared.
	fair *fair.Queue[tasks.Task]
	open tasks.Open // every task that is not final
	// lanes has the last task of every order key in the queue, by the key's hash. Two
	// keys with the same hash only wait for each other.
	lanes   queue.Lanes[tasks.Task]
	behind  int // tasks that wait for another one of their lane
	seed    maphash.Seed
	retries queue.Timed[*tasks.Task]
	timer   *time.Timer
	window  queue.FIFO[tasks.Task] // tasks in order of Seq that the cursor has not passed
	free    tasks.Free
	batch   []*tasks.Task // of the reader, see arrive
	// unread are unfinished deliveries whose events cannot be read: the feeder tries
	// again. load makes the list, and only the feeder reads it.
	unread     []event.Delivery
	bytes      int  // of the envelopes of open
	readerFull bool // the reader waits for capacity
	readTo     uint64
	saved      uint64 // the cursor that the recorder has
	// outcomes are those that the recorder has not collected, and collected those that it is
	// writing. unsaved counts both.
	outcomes     outcomes.List[*Source]
	collected    outcomes.Collected[*Source]
	dirty        bool // the recorder is notified of outcomes
	unsaved      int
	unsavedBytes int // of the results, children and effects among them
	effects      pending.Set
	committing   int                        // tasks whose effects are being written
	alone        pending.Alone[*tasks.Task] // those among the ready ones that were in conflict too often
	batchSize    int                        // the largest one that an instance has asked for
	lingerUntil  time.Time                  // a batch waits for more events; zero when none does
	done         map[uint64]bool
	// later has the unfinished deliveries ahead of the reader, which alone changes it;
	// see load.
	later       map[uint64]event.Delivery
	keptPast    map[uint64]event.Delivery // unfinished deliveries of events that fair keeps by their Seqs
	startKept   func()                    // starts readKept; nil while reading is stopped
	readsKept   bool                      // readKept runs
	dueNow      map[uint64]bool           // those of later that are to be retried without waiting
	replay      *event.Replay             // the last one; nil without one since the handler was opened
	suspended   bool                      // no attempt starts: the position is being changed
	inFlight    int                       // attempts that instances have
	leases      int                       // that are open
	multiLeases int                       // leases with more than one attempt
	feederFull  bool                      // the feeder waits for capacity
	fedOpen     int                       // open tasks that the feeder added
	fedBytes    int                       // of their envelopes
	redriven    int                       // redriven events that wait for the feeder
	laterOpen   int                       // open events without a task: those of unread, and those of later that a replay skips
	recounts    int                       // of redriven
	sampled     event.Sampled
	failures    failurelog.Limit
	hold        *tenure.Hold // nil for the only host, and on standby
	closed      bool
	ended       queue.Gate // for Source.Close: the store has answered
	gone        bool       // close has ended: unwritten outcomes are discarded
	// standby: another host runs the handler, or none. It is written under mu.
	standby      atomic.Bool
	standbySince time.Time
}

func newHandler(d *Dispatcher, name string, policy Policy) *handler {
	h := &handler{
		name:       name,
		dispatcher: d,
		wake:       make(chan struct{}, 1),
		demand:     make(chan struct{}, 1),
		readerWake: make(chan struct{}, 1),
		feederWake: make(chan struct{}, 1),
		refill:     make(chan struct{}, 1),
		idle:       make(chan struct{}, 1),
		removed:    make(chan struct{}),
		seed:       maphash.MakeSeed(),
	}
	h.life, h.endLife = context.WithCancel(context.Background())
	h.open.Window = &h.window
	h.stopReading = func() {}
	h.setStandby(d.cfg.Shared)
	h.update(func(p *Policy) { *p = policy })
	return h
}

// update is Source.Update.
func (h *handler) update(change func(*Policy)) {
	if h.changes(func() {
		paused := h.policy.Paused
		change(&h.policy)
		h.policy.SetDefaults()
		h.shareEvents()
		if h.policy.Paused && !paused {
			h.pausedAt = time.Now()
		}
		h.breaker.Configure(h.policy.Breaker)
		h.revoke()
		h.signal()
	}) {
		h.reportCondition()
	}
}

// close stops reading and waits until the outcomes are written, ctx ends, or a full disk
// refuses them (fault.Exhausted). It does nothing for a handler that was closed.
func (h *handler) close(ctx context.Context) error {
	h.endLife() // interrupts a replay that is being started
	defer h.dispatcher.handlers.LockName(h.name)()
	h.mu.Lock()
	gone := h.gone
	h.mu.Unlock()
	if gone {
		return nil
	}
	h.stopReading()
	h.reading.Wait()
	h.mu.Lock()
	h.closed = true
	if h.timer != nil {
		h.timer.Stop()
	}
	h.mu.Unlock()
	err := h.dispatcher.recorder.Finish(ctx, h)
	h.mu.Lock()
	h.gone = true
	dropped := h.dropOutcomes()
	h.mu.Unlock()
	outcomes.Release(dropped)
	h.dispatcher.handlers.Remove(h.name, h)
	close(h.removed)
	return err
}

// admit puts a task into its lane, or among the ready or waiting ones.
func (h *handler) admit(t *tasks.Task) {
	g := fair.Shared
	if h.fair != nil {
		g = h.fair.Group(h.policy.Fair.Of(t.Record.Event))
	}
	h.admitTo(t, g)
	h.signal()
}

// admitTo is admit for a task of a group. The caller signals.
func (h *handler) admitTo(t *tasks.Task, g fair.Group) {
	h.open.Add(t)
	h.bytes += len(t.Record.Event.Envelope())
	if t.Lane != 0 {
		if last := h.lanes.Put(t.Lane, t); last != nil {
			last.Next, t.Phase = t, tasks.Blocked
			h.behind++
		}
	}
	if h.fair != nil {
		h.openShared(t, g)
	}
	if t.Phase != tasks.Blocked {
		h.enqueue(t)
	}
}

// schedule makes a task ready, now or when it is due.
func (h *handler) schedule(t *tasks.Task) {
	h.enqueue(t)
	h.signal()
}

// enqueue is schedule. The caller signals.
func (h *handler) enqueue(t *tasks.Task) {
	if due, waits := t.Due(); waits && time.Until(due) > 0 {
		h.retries.Add(t)
		h.setTimer()
		h.wakeReader()
		return
	}
	h.push(t)
}

// signal wakes an instance, or signals demand, when an attempt may start.
func (h *handler) signal() {
	if !h.startable() {
		return
	}
	queue.Signal(h.wake)
	if h.parked == 0 {
		queue.Signal(h.demand)
	}
	h.bells.Ring()
}

// setTimer sets the timer to the first retry or the breaker's next probe.
func (h *handler) setTimer() {
	now := time.Now()
	wait := h.breaker.Waits(now)
	if h.retries.Len() > 0 {
		due := h.retries.First().Sub(now)
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
		h.timer = time.AfterFunc(wait, h.Recheck)
	} else {
		h.timer.Reset(wait)
	}
}

// Recheck implements tenure.Waiter: it makes the retries ready that are due, and signals.
func (h *handler) Recheck() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	h.admitDue(time.Now())
}

// admitDue makes the retries ready that are due. The caller holds handler.mu.
func (h *handler) admitDue(now time.Time) {
	for t, ok := h.retries.Pop(now); ok; t, ok = h.retries.Pop(now) {
		h.push(t)
	}
	h.setTimer()
	h.signal()
}
