package berth

import (
	"strconv"
	"time"

	"github.com/berth-host/berth/abi/go/internal/wire"
)

// Child is an event that follows from the one being handled.
type Child struct {
	Type           string
	Data           string // JSON text; "" is null
	Subject        string // "": none
	IdempotencyKey string // "": the host derives one from the parent's

	// DeliverAt and DeliverAfter defer the child: it is durable with its parent, and delivered
	// when it is due, at most a year ahead. At most one of them is set. DeliverAfter counts
	// from the commit of the parent.
	DeliverAt    time.Time     // zero: at once
	DeliverAfter time.Duration // zero: at once
}

// Emit adds a child to the open event. The host publishes all children together when
// the event succeeds, and once, also if the event is delivered again. An event may
// have 64. It needs the capability emit for the child's type (ErrDenied). In a batch, use
// Event.Emit.
func Emit(c Child) error { return c.emit(nil) }

// Emit adds a child to this event; see the function Emit. In a batch the child is published
// only if this event succeeds.
func (e *Event) Emit(c Child) error { return c.emit(e) }

func (c Child) emit(parent *Event) error {
	if c.Data == "" {
		c.Data = "null"
	}
	var child, metadata Object
	child.Str("event_type", c.Type).Raw("data", c.Data)
	if c.IdempotencyKey != "" {
		metadata.Str("idempotency_key", c.IdempotencyKey)
	}
	if c.Subject != "" {
		metadata.Str("subject", c.Subject)
	}
	if !c.DeliverAt.IsZero() {
		metadata.Str("deliver_at", c.DeliverAt.UTC().Format(time.RFC3339Nano))
	}
	if c.DeliverAfter != 0 {
		metadata.Str("deliver_after", c.DeliverAfter.String())
	}
	if len(metadata.buf) > 0 {
		child.Raw("metadata", metadata.Text())
	}
	if parent != nil && parent.batched {
		child.Raw("parent_index", strconv.Itoa(parent.index))
	}
	return failed("emit", wire.Emit(child.Text()))
}
