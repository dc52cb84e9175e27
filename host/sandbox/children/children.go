// Package children has the events that a guest emits for its open event or batch: it makes
// them, each after its parent, within the bounds of ABI.md.
package children

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/abi/strictjson"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// Bounds of the children together, in bytes of their envelopes.
const (
	maxOfEvent = 8 << 20
	maxOfBatch = 32 << 20
)

// Maker makes the children of one plugin.
type Maker struct {
	Plugin string
	May    func(eventType string) bool // reports whether the plugin may emit events of the type
	// Check returns why a schema refuses an event, and the work of the check; nil for none.
	Check func(*event.Event) (work int, err error)
	Batch bool // it gets its events in batches: its children may name their parent
}

// PastBound is the error of a child that is past a bound of the guest: it has to be trapped.
type PastBound string

// Error implements error.
func (p PastBound) Error() string { return string(p) }

// Set has the children of the open event or batch. It is for one goroutine. The zero value
// is empty.
type Set struct {
	parents []parent // by index; nil without children
	bytes   int
}

type parent struct {
	children []*event.Event
	bytes    int
}

// Reset empties the set. What Of has returned is not changed.
func (s *Set) Reset() { *s = Set{} }

// Of returns the children of an event of the batch, in the order in which they were emitted.
func (s *Set) Of(index int) []*event.Event {
	if s.parents == nil {
		return nil
	}
	return s.parents[index].children
}

// text is a child as the guest writes it.
type text struct {
	Type     string          `json:"event_type"`
	Data     json.RawMessage `json:"data"`
	Parent   *int            `json:"parent_index"`
	Metadata struct {
		Key          string  `json:"idempotency_key"`
		Subject      string  `json:"subject"`
		DeliverAt    *string `json:"deliver_at"`
		DeliverAfter *string `json:"deliver_after"`
	} `json:"metadata"`
}

// Add adds the child that a text describes to the batch, which may be of one event.
// traceParent is the span of the attempt; "" for none. The error is a PastBound or a
// fault.Error; nothing was added then. The work is that of Maker.Check.
func (s *Set) Add(m *Maker, batch []event.Attempt, traceParent string, from []byte) (work int, err error) {
	var c text
	if err := event.DecodeWith(strictjson.Decoder{}, "", from, &c); err != nil {
		return 0, err
	}
	index, err := c.index(m.Batch, len(batch))
	if err != nil {
		return 0, err
	}
	var of parent
	if s.parents != nil {
		of = s.parents[index]
	}
	meta := batch[index].Event.Metadata()
	if len(batch) > 1 && !sameTrace(traceParent, meta.TraceParent) {
		traceParent = "" // the span is in the trace of another event
	}
	child, err := c.child(m, meta, cmp.Or(traceParent, meta.TraceParent), len(of.children))
	if err == nil && m.Check != nil {
		work, err = m.Check(child)
	}
	if err != nil {
		return work, err
	}
	size := len(child.Envelope())
	switch {
	case of.bytes+size > maxOfEvent:
		return work, tooLarge("with it the children of this event are over %d bytes together", maxOfEvent)
	case s.bytes+size > maxOfBatch:
		return work, tooLarge("with it the children of this batch are over %d bytes together", maxOfBatch)
	case len(of.children) == abi.MaxChildren:
		return work, PastBound(fmt.Sprintf("it emitted more than %d children", abi.MaxChildren))
	case meta.Hops >= abi.MaxHops:
		return work, PastBound(fmt.Sprintf("it emitted a child that is more than %d hops from the event that first caused it", abi.MaxHops))
	}
	if s.parents == nil {
		s.parents = make([]parent, len(batch))
	}
	of.children, of.bytes = append(of.children, child), of.bytes+size
	s.parents[index] = of
	s.bytes += size
	return work, nil
}

// index returns the index of the parent.
func (c *text) index(batch bool, events int) (int, error) {
	const field = "parent_index"
	switch {
	case c.Parent != nil && !batch:
		return 0, fault.Field(field, "belongs to batches: the manifest of this plugin has none")
	case c.Parent == nil && events > 1:
		return 0, fault.Field(field, "is required: the batch has %d events", events)
	case c.Parent == nil:
		return 0, nil
	case *c.Parent < 0 || *c.Parent >= events:
		return 0, fault.Field(field, "is %d; the events that are open are those from 0 to %d", *c.Parent, events-1)
	}
	return *c.Parent, nil
}

// child makes the nth child of a parent.
func (c *text) child(m *Maker, of event.Metadata, traceParent string, n int) (*event.Event, error) {
	if c.Data == nil {
		return nil, fault.Field("data", "is required")
	}
	if _, err := event.ParseType(c.Type); err != nil {
		return nil, err
	}
	if !m.May(c.Type) {
		return nil, fault.New(fault.Denied, "events of the type %s are not granted to this plugin", c.Type)
	}
	if err := event.CheckSource(event.Type(c.Type), m.Plugin); err != nil { // the plugin may be named so
		return nil, err
	}
	deferral, err := event.ParseDeferral(c.Metadata.DeliverAt, c.Metadata.DeliverAfter)
	if err != nil {
		return nil, err
	}
	ev, err := event.New(event.Draft{
		Type:           c.Type,
		Data:           c.Data,
		Subject:        c.Metadata.Subject,
		Source:         m.Plugin,
		IdempotencyKey: event.ChildKey(m.Plugin, of.EventID, n, c.Metadata.Key),
		CorrelationID:  of.CorrelationID,
		CausationID:    of.EventID,
		TraceParent:    traceParent,
		Hops:           min(of.Hops+1, event.MaxHops), // Add refuses one that is over
		Deferral:       deferral,
	})
	var known *fault.Error
	if errors.As(err, &known) && known.Field == "metadata.idempotency_key" {
		return nil, fault.Field(known.Field, "with %q before it %s", m.Plugin+"/", known.Reason)
	}
	if err != nil {
		return nil, err
	}
	return ev.WithOrigin(event.Origin{Publisher: spec.Publisher{Source: m.Plugin}}), nil
}

// sameTrace reports whether two traceparents are of one trace.
func sameTrace(a, b string) bool {
	const begin, end = len("00-"), len("00-") + 32
	return len(a) >= end && len(b) >= end && a[begin:end] == b[begin:end]
}

func tooLarge(format string, args ...any) error {
	return &fault.Error{Code: fault.Exhausted, Field: "child", Reason: fmt.Sprintf(format, args...)}
}
