package desk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/abi/strictjson"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox"
)

// Session is one running instance of a plugin. Its methods must not be called
// concurrently.
type Session struct {
	pool    *sandbox.Pool
	source  *source
	state   *state
	http    client
	log     capture
	batch   int    // events of one call at maximum; 0: the handler has no batches
	orderBy string // JSON Pointer
}

// Statuses of an Attempt.
const (
	StatusOK     = "ok"
	StatusRetry  = "retry"  // the handler asked for another attempt
	StatusReject = "reject" // the handler rejected the event
	StatusFailed = "failed" // it trapped or went past a bound
)

// Attempt reports one delivery of an event.
type Attempt struct {
	Number     int             `json:"attempt"`
	Status     string          `json:"status"`
	Class      event.Class     `json:"class,omitzero"`
	Message    string          `json:"message,omitzero"` // the reason, or the error with its stack
	Result     json.RawMessage `json:"result,omitzero"`
	Logs       []Line          `json:"logs,omitzero"`
	Children   []Child         `json:"children,omitzero"`
	KV         []Change        `json:"kv,omitzero"`
	HTTP       []Call          `json:"http,omitzero"`
	Fuel       uint64          `json:"fuel"`
	Memory     int64           `json:"memory,omitzero"` // bytes of the instance's linear memory
	DurationMS float64         `json:"duration_ms,omitzero"`
}

// Child is an event that the handler emitted.
type Child struct {
	Type           event.Type      `json:"event_type"`
	Data           json.RawMessage `json:"data"`
	Subject        string          `json:"subject,omitzero"`
	IdempotencyKey string          `json:"idempotency_key"`
	DeliverAt      string          `json:"deliver_at,omitzero"` // RFC 3339
	DeliverAfter   string          `json:"deliver_after,omitzero"`
}

// Deliver delivers an event and waits for the outcome. The error is about the delivery,
// which only fails when ctx ends: failures of the guest are in the Attempt.
func (s *Session) Deliver(ctx context.Context, ev *event.Event, number int) (Attempt, error) {
	list, err := s.deliver(ctx, number, ev)
	if err != nil {
		return Attempt{}, err
	}
	return list[0], nil
}

// deliver delivers events to one call of the handler.
func (s *Session) deliver(ctx context.Context, number int, events ...*event.Event) ([]Attempt, error) {
	attempts := make([]event.Attempt, len(events))
	for i, ev := range events {
		attempts[i] = event.Attempt{Seq: uint64(i + 1), Event: ev, Number: number}
	}
	s.source.push(attempts)
	outcomes, err := s.source.outcomes(ctx, len(events))
	if err != nil {
		return nil, fault.New(fault.Timeout, "event %s was not delivered: %w", events[0].ID(), err)
	}
	if err := s.state.commit(ctx, outcomes[0].Effects); err != nil {
		return nil, fmt.Errorf("commit the effects of event %s: %w", events[0].ID(), err)
	}
	list := make([]Attempt, len(events))
	for i, o := range outcomes { // the first of a batch has what all have in common
		list[i] = s.report(number, o)
	}
	return list, nil
}

// DeliverAll delivers an event until the handler finishes it as ok or rejects it, at maximum
// so many times.
func (s *Session) DeliverAll(ctx context.Context, ev *event.Event, attempts int) (Delivery, error) {
	list, err := s.DeliverEach(ctx, []*event.Event{ev}, attempts)
	if len(list) == 0 {
		return Delivery{EventID: ev.ID(), EventType: ev.Type()}, err
	}
	return list[0], err
}

// DeliverEach delivers events as DeliverAll does, in their order. A handler with batches gets
// the first attempts of as many together as its manifest has in max_events, and no two with
// the same order key; later attempts follow alone.
func (s *Session) DeliverEach(ctx context.Context, events []*event.Event, attempts int) (all []Delivery, err error) {
	for len(events) > 0 {
		n := s.together(events)
		list, err := s.deliver(ctx, 1, events[:n]...)
		if err != nil {
			return all, err
		}
		for i, ev := range events[:n] {
			d := Delivery{EventID: ev.ID(), EventType: ev.Type(), Attempts: []Attempt{list[i]}}
			for number := 2; number <= attempts && d.Last().Status != StatusOK && d.Last().Status != StatusReject; number++ {
				a, err := s.Deliver(ctx, ev, number)
				if err != nil {
					return all, err
				}
				d.Attempts = append(d.Attempts, a)
			}
			all = append(all, d)
		}
		events = events[n:]
	}
	return all, nil
}

// together returns how many of the next events are in one batch.
func (s *Session) together(events []*event.Event) int {
	keys, size := make(map[string]bool), 0
	for i, ev := range events {
		key, _ := strictjson.Get(ev.Envelope(), s.orderBy)
		size += len(ev.Envelope())
		if i > 0 && (i >= s.batch || key != "" && keys[key] || size > abi.MaxBatchBytes) {
			return i
		}
		keys[key] = true
	}
	return len(events)
}

// report describes an outcome.
func (s *Session) report(number int, o event.Outcome) Attempt {
	logs, _ := s.log.take()
	a := Attempt{
		Number:     number,
		Status:     statusOf(o.Verdict),
		Class:      o.Class,
		Message:    o.Message,
		Result:     o.Result,
		Logs:       logs,
		KV:         s.state.take(),
		HTTP:       s.http.take(),
		Fuel:       o.Fuel,
		Memory:     o.Memory,
		DurationMS: float64(o.Duration.Microseconds()) / 1000,
	}
	for _, child := range o.Children {
		m := child.Metadata()
		c := Child{Type: child.Type(), Data: json.RawMessage(child.Data()), Subject: m.Subject, IdempotencyKey: m.IdempotencyKey}
		if due := child.Deferral(); !due.At.IsZero() {
			c.DeliverAt = due.At.UTC().Format(time.RFC3339Nano)
		} else if due.After > 0 {
			c.DeliverAfter = due.After.String()
		}
		a.Children = append(a.Children, c)
	}
	return a
}

func statusOf(v event.Verdict) string {
	switch v {
	case event.OK:
		return StatusOK
	case event.Retry:
		return StatusRetry
	case event.Reject:
		return StatusReject
	}
	return StatusFailed
}

// Stop has next answer END and waits until the instance has ended. It returns an error when
// the instance did not return from its entry point: when it failed after END, or when ctx
// ended first.
func (s *Session) Stop(ctx context.Context) error {
	err := s.pool.Drain(ctx)
	if _, failures := s.log.take(); len(failures) > 0 {
		err = errors.Join(err, fmt.Errorf("the instance did not return after END: %s", strings.Join(failures, "; ")))
	}
	return err
}
