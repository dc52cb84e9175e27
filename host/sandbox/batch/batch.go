// Package batch has the two texts of a batch: what a guest gets from next, and the result
// with which it finishes.
package batch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/abi/strictjson"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox/guesttext"
	"github.com/berth-host/berth/host/sandbox/resultcheck"
)

const (
	opening = `{"events":[`
	closing = `]}`
)

// Envelope returns the text that next yields for the events of a batch.
func Envelope(attempts []event.Attempt) string {
	size := len(opening) + len(closing) + len(attempts)
	for i := range attempts {
		size += len(attempts[i].Event.Envelope())
	}
	var b strings.Builder
	b.Grow(size)
	b.WriteString(opening)
	for i := range attempts {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(attempts[i].Event.Envelope())
	}
	b.WriteString(closing)
	return b.String()
}

// MaxText bounds the result of a batch as a whole, in bytes.
const MaxText = 2 * abi.MaxBatchBytes

// Ends are how the events of a batch end: Results has nothing or one entry for each event,
// and Failures the ones that do not end as ok, by index.
type Ends struct {
	Results  []json.RawMessage
	Failures map[int]Failure
}

// Failure is how one event fails.
type Failure struct {
	Retry  bool // otherwise it is rejected
	Reason string
}

// Parse reads the result with which a guest finishes a batch of so many events as ok. A text
// that is no such result has a reason. One that is past a bound has beyond besides: it is a
// failure of the guest.
func Parse(text []byte, events int) (ends Ends, reason string, beyond bool) {
	if len(text) == 0 {
		return Ends{}, "", false
	}
	if len(text) > MaxText {
		return Ends{}, fmt.Sprintf("is %d bytes; the limit of a batch is %d", len(text), MaxText), true
	}
	var wire struct {
		Results  []json.RawMessage `json:"results"`
		Failures []struct {
			Index  *int   `json:"index"`
			Status string `json:"status"`
			Reason string `json:"reason"`
		} `json:"failures"`
	}
	if err := event.DecodeWith(strictjson.Decoder{LoneSurrogates: true}, "", text, &wire); err != nil {
		if bad := resultcheck.Bad(text); bad != "" {
			return Ends{}, bad, false
		}
		return Ends{}, "is not that of a batch: " + err.Error(), false
	}
	if wire.Results != nil && len(wire.Results) != events {
		return Ends{}, fmt.Sprintf("has %d results for %d events", len(wire.Results), events), false
	}
	together := 0
	for i, result := range wire.Results {
		result = bytes.TrimSpace(result)
		wire.Results[i] = result
		if len(result) > abi.MaxResult {
			return Ends{}, fmt.Sprintf("has %d bytes for the event %d; the limit is %d", len(result), i, abi.MaxResult), true
		}
		if together += len(result); together > abi.MaxBatchBytes {
			return Ends{}, fmt.Sprintf("is over %d bytes for all events together", abi.MaxBatchBytes), true
		}
	}
	ends = Ends{Results: wire.Results, Failures: make(map[int]Failure, len(wire.Failures))}
	for i, f := range wire.Failures {
		at := fmt.Sprintf("has in failures[%d] ", i)
		switch {
		case f.Index == nil:
			return Ends{}, at + "no index", false
		case *f.Index < 0 || *f.Index >= events:
			return Ends{}, fmt.Sprintf("%sthe index %d; the batch has %d events, from 0", at, *f.Index, events), false
		case f.Status != "retry" && f.Status != "reject":
			return Ends{}, at + "a status that is not retry or reject", false
		}
		if _, twice := ends.Failures[*f.Index]; twice {
			return Ends{}, fmt.Sprintf("%sthe index %d a second time", at, *f.Index), false
		}
		ends.Failures[*f.Index] = Failure{Retry: f.Status == "retry", Reason: f.Reason}
	}
	return ends, "", false
}

// Event returns the event that a pointer into the envelope of a batch of so many events
// leads to, and the pointer into that event's envelope. It is false for other pointers.
func Event(pointer string, events int) (index int, inside string, ok bool) {
	after, ok := strings.CutPrefix(pointer, "/events/")
	if !ok {
		return 0, "", false
	}
	end := strings.IndexByte(after, '/')
	if end < 0 {
		end = len(after)
	}
	index, err := strconv.Atoi(after[:end])
	if err != nil || index < 0 || index >= events || strconv.Itoa(index) != after[:end] {
		return 0, "", false
	}
	return index, after[end:], true
}

// Split appends the outcome of each event of a batch to a list, by what they have in common:
// fuel and duration are shared.
func (e Ends) Split(all *event.Outcome, events int, list []event.Outcome) []event.Outcome {
	for i := range events {
		o := *all
		o.Duration = all.Duration / time.Duration(events)
		o.Fuel = all.Fuel / uint64(events)
		if i == 0 {
			o.Fuel += all.Fuel % uint64(events)
		}
		failure, failed := e.Failures[i]
		switch {
		case all.Verdict != event.OK:
		case failed:
			o.Verdict, o.Class = event.Reject, event.ClassRejected
			if failure.Retry {
				o.Verdict, o.Class = event.Retry, event.ClassRetry
			}
			o.Message = guesttext.Line([]byte(failure.Reason))
		case e.Results != nil:
			o.Result = e.Results[i]
		}
		list = append(list, o)
	}
	return list
}
