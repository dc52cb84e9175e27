package bus

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// Log is the engine: an append-only sequence of events with a Seq each, and
// named cursors. All methods are safe for concurrent use. Package logtest says
// the same in tests that every engine passes.
type Log interface {
	// Append stores events in this order and returns when they are stored, with
	// one receipt each: a key that is there already makes a duplicate, or, with
	// other content, Receipt.Err (fault.Conflict), without keeping the others
	// from being stored. The events of one call are visible together, and so are
	// they when Append has returned. An error means that none of them was stored:
	// fault.Exhausted when there is no room (with a RetryAfter when it is the
	// log's own bound that is reached, see event.LogFull), fault.Unavailable
	// otherwise. After an error that is not of the context the caller tries again
	// with the same keys: an engine that lost the answer of its disk may have
	// stored them after all, and then says duplicate.
	Append(ctx context.Context, events []*event.Event) ([]event.Receipt, error)
	// Read returns the events from Seq from on, ascending, at most limit. The
	// result can be shared and must not be written to. It may be short of limit
	// when more are there; it is empty only when the log holds none from there on.
	Read(ctx context.Context, from uint64, limit int) ([]event.Record, error)
	// Wait returns nil once Last is above after, an error that wraps the
	// context's when that ends first, fault.Unavailable when the log is closed.
	Wait(ctx context.Context, after uint64) error
	// Last returns the highest Seq that was stored, trimmed or not; 0 for none.
	Last() uint64
	// Trim removes the events below before and answers how many those were.
	Trim(ctx context.Context, before uint64) (int, error)
	// Status returns how much is there: exactly, and without counting.
	Status(ctx context.Context) (event.LogStatus, error)
	// SetMaxBytes bounds Status.Bytes for what publishers append; 0 is no bound.
	// Children, which come with an outcome, are exempt.
	SetMaxBytes(bytes int64)
	// Cursor returns a named cursor, and whether there is one; Cursors all of
	// them, by name. SetCursor makes or moves one, also back, durably.
	Cursor(ctx context.Context, name string) (seq uint64, found bool, err error)
	Cursors(ctx context.Context) ([]event.Cursor, error)
	SetCursor(ctx context.Context, c event.Cursor) error
}

// Config is what a Bus is made of. Log is required; the zero value of every
// other field is its default.
type Config struct {
	Log       Log
	RingSize  int          // events kept in memory for subscriptions; default 8192
	RingBytes int          // bytes of envelopes kept there; default 64 MiB
	Logger    *slog.Logger // nil discards

	// OnEvents sees what is appended to the log from Start on, in order, by the
	// reader's goroutine: it must be quick. Nil: nothing does.
	OnEvents func(records []event.Record)
}

// pageSize is how many events are read from the log at once.
const pageSize = 256

// Bus publishes to a log and feeds subscriptions from it. All methods are safe
// for concurrent use.
type Bus struct {
	log    Log
	logger *slog.Logger
	seen   func(records []event.Record) // Config.OnEvents

	mu      sync.RWMutex
	ring    ring
	waiting waiters // subscriptions at the end of the ring

	// stalled: the reader cannot follow the log. Subscriptions at the end of the
	// ring read the log themselves then, and get its error.
	stalled atomic.Bool
	started atomic.Bool
	closing chan struct{} // closed by Close
	close   sync.Once
	stop    context.CancelFunc // ends the reader
	stopped chan struct{}      // closed when the reader has ended
}

// New makes a Bus. Start it before anybody can receive; publishing needs no start.
func New(cfg Config) (*Bus, error) {
	if cfg.Log == nil {
		return nil, fault.New(fault.Invalid, "make a bus: Config.Log is nil")
	}
	if cfg.RingSize <= 0 {
		cfg.RingSize = 8192
	}
	if cfg.RingBytes <= 0 {
		cfg.RingBytes = 64 << 20
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.OnEvents == nil {
		cfg.OnEvents = func([]event.Record) {}
	}
	b := &Bus{
		log:     cfg.Log,
		logger:  cfg.Logger,
		seen:    cfg.OnEvents,
		closing: make(chan struct{}),
		stopped: make(chan struct{}),
	}
	b.ring.init(cfg.RingSize, cfg.RingBytes, cfg.Log.Last())
	return b, nil
}

// Start starts the reader. It may be called once. ctx bounds Start alone: the
// reader runs until Close.
func (b *Bus) Start(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("start the bus: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed() {
		return errClosed()
	}
	if b.started.Swap(true) {
		return fault.New(fault.Conflict, "the bus is started already")
	}
	var run context.Context
	run, b.stop = context.WithCancel(context.Background())
	go b.follow(run)
	return nil
}

// Close ends the reader and wakes every subscription, which answer
// fault.Unavailable from then on. It does not close the log. When ctx ends
// before the reader does, that is the error, and the reader ends later.
func (b *Bus) Close(ctx context.Context) error {
	b.close.Do(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		close(b.closing)
		if b.started.Load() {
			b.stop()
		} else {
			close(b.stopped)
		}
	})
	select {
	case <-b.stopped:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close the bus: %w", ctx.Err())
	}
}

func (b *Bus) closed() bool {
	select {
	case <-b.closing:
		return true
	default:
		return false
	}
}

func errClosed() error { return fault.New(fault.Unavailable, "the bus is closed") }

// Last returns the highest Seq of the log; see Log.
func (b *Bus) Last() uint64 { return b.log.Last() }

// Publish makes an event and appends it to the log. The event is stored when it
// returns nil, or was there already (Receipt.Duplicate). fault.Invalid says what
// is wrong with the draft; fault.Conflict that its key was used for something
// else.
func (b *Bus) Publish(ctx context.Context, d event.Draft) (event.Receipt, error) {
	ev, err := event.New(d)
	if err != nil {
		return event.Receipt{}, err
	}
	receipts, err := b.PublishEvents(ctx, []*event.Event{ev})
	if err != nil {
		return event.Receipt{}, err
	}
	return receipts[0], receipts[0].Err
}

// PublishEvents appends events to the log in this order, with one receipt each.
// The error is for the call as a whole, and nothing was stored then; what is
// wrong with one event is in its receipt.
func (b *Bus) PublishEvents(ctx context.Context, events []*event.Event) ([]event.Receipt, error) {
	if b.closed() {
		return nil, errClosed()
	}
	for i, ev := range events {
		if ev == nil {
			return nil, fault.New(fault.Invalid, "publish: event %d of %d is nil", i+1, len(events))
		}
	}
	return b.log.Append(ctx, events)
}

// follow is the reader goroutine: it keeps the ring at the log's end.
func (b *Bus) follow(ctx context.Context) {
	defer close(b.stopped)
	const first, longest = 50 * time.Millisecond, 5 * time.Second
	pause := first
	for {
		err := b.fill(ctx)
		if ctx.Err() != nil {
			return
		}
		b.stalled.Store(err != nil)
		if err == nil {
			pause = first
			continue
		}
		b.waiting.wakeAll()
		b.logger.Warn("the bus cannot follow the log and will try again", "error", err, "in", pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		pause = min(2*pause, longest)
	}
}

// fill waits for events after the ring's end and puts one page of them in.
func (b *Bus) fill(ctx context.Context) error {
	high := b.ring.high // written by this goroutine only
	if err := b.log.Wait(ctx, high); err != nil {
		return err
	}
	last := b.log.Last() // before Read: what is up to here and not in it was trimmed
	records, err := b.log.Read(ctx, high+1, pageSize)
	if err != nil {
		return err
	}
	b.mu.Lock()
	if len(records) > 0 {
		b.ring.add(records)
	} else {
		b.ring.skip(last)
	}
	b.mu.Unlock()
	b.waiting.wakeAll()
	b.seen(records)
	return nil
}
