package desk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox"
)

// Session is one running instance of a plugin. Its methods must not be called
// concurrently.
type Session struct {
	pool   *sandbox.Pool
	source *source
	state  *state
	http   client
	log    capture
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
}

// Deliver delivers an event and waits for the outcome. The error is about the delivery,
// which only fails when ctx ends: failures of the guest are in the Attempt.
func (s *Session) Deliver(ctx context.Context, ev *event.Event, number int) (Attempt, error) {
	s.source.push(event.Attempt{Seq: 1, Event: ev, Number: number})
	o, err := s.source.outcome(ctx)
	if err != nil {
		return Attempt{}, fault.New(fault.Timeout, "event %s was not delivered: %w", ev.ID(), err)
	}
	return s.report(number, o), nil
}

// DeliverAll delivers an event until the handler finishes it as ok or rejects it, at maximum
// so many times.
func (s *Session) DeliverAll(ctx context.Context, ev *event.Event, attempts int) (Delivery, error) {
	d := Delivery{EventID: ev.ID(), EventType: ev.Type()}
	for number := 1; ; number++ {
		a, err := s.Deliver(ctx, ev, number)
		if err != nil {
			return d, err
		}
		d.Attempts = append(d.Attempts, a)
		if a.Status == StatusOK || a.Status == StatusReject || number >= attempts {
			return d, nil
		}
	}
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
		a.Children = append(a.Children, Child{Type: child.Type(), Data: json.RawMessage(child.Data()), Subject: m.Subject, IdempotencyKey: m.IdempotencyKey})
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
