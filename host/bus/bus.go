package bus

import (
	"context"
	"sync"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// Config sets up a Bus. Both fields are required.
type Config struct {
	Log    Log
	Window *Window // the one that Log adds its events to
}

// Bus publishes to a log and delivers its events to subscriptions. All methods are
// safe for concurrent use.
type Bus struct {
	log     Log
	window  *Window
	closing chan struct{} // closed by Close
	close   sync.Once
}

// New returns a Bus. Close it before the log.
func New(cfg Config) (*Bus, error) {
	if cfg.Log == nil || cfg.Window == nil {
		return nil, fault.New(fault.Invalid, "make a bus: Config.Log and Config.Window are required")
	}
	return &Bus{log: cfg.Log, window: cfg.Window, closing: make(chan struct{})}, nil
}

// Close wakes every subscription; they return fault.Unavailable from then on, and
// so does Publish. It leaves the log open. It is safe to call more than once.
func (b *Bus) Close() {
	b.close.Do(func() { close(b.closing) })
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

// Publish makes an event and appends it to the log. When it returns nil the event
// is stored, or was stored before (Receipt.Duplicate). fault.Invalid names the wrong
// field of the draft; fault.Conflict means that its key has other content.
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
// The error is for the call as a whole: then none was stored. An error of a single
// event is in its receipt.
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
