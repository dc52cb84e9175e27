package desk

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// FirstTime returns the time of the first event that has none. Each line after it is a
// second later.
func FirstTime() time.Time { return time.Date(2026, time.January, 2, 3, 4, 5, 0, time.UTC) }

// ParseEvents reads JSON Lines: each line is an event's whole envelope, or the part of it
// that a producer gives, at minimum the event_type. Missing ids, times and other metadata
// follow from the line's number, so that each run has the same events. Blank lines are
// skipped. Errors are fault.Invalid and name the line.
func ParseEvents(text []byte) ([]*event.Event, error) {
	var events []*event.Event
	number := 0
	for line := range bytes.Lines(abi.TrimBOM(text)) {
		number++
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		ev, err := parseEvent(line, number)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		events = append(events, ev)
	}
	if len(events) == 0 {
		return nil, fault.New(fault.Invalid, `there are no events: write one on each line, such as {"event_type":"order_status_changed","data":{}}`)
	}
	return events, nil
}

// parseEvent reads one line.
func parseEvent(line []byte, number int) (*event.Event, error) {
	id := fmt.Sprintf("0197a3c5-7b1e-7000-8000-%012x", number)
	hops := 0
	var whole struct {
		Type     json.RawMessage            `json:"event_type,omitempty"`
		Data     json.RawMessage            `json:"data,omitempty"`
		Metadata map[string]json.RawMessage `json:"metadata,omitempty"`
	}
	if json.Unmarshal(line, &whole) == nil && (whole.Metadata["event_id"] != nil || whole.Metadata["hops"] != nil) {
		if given := whole.Metadata["event_id"]; given != nil {
			if err := json.Unmarshal(given, &id); err != nil || !event.IsID(id) {
				return nil, fault.Field("metadata.event_id", "is %s, not a UUID in lower case", given)
			}
		}
		if given := whole.Metadata["hops"]; given != nil {
			if err := json.Unmarshal(given, &hops); err != nil {
				return nil, fault.Field("metadata.hops", "is %s, not a number from 0 to %d", given, event.MaxHops)
			}
		}
		// A producer does not give them: the other checks are those of a host.
		delete(whole.Metadata, "event_id")
		delete(whole.Metadata, "hops")
		var b bytes.Buffer
		encoder := json.NewEncoder(&b)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(whole); err != nil {
			return nil, fault.New(fault.Invalid, "%w", err)
		}
		line = b.Bytes()
	}
	draft, err := event.ParseDraft(line)
	if err != nil {
		return nil, err
	}
	draft.Hops = hops
	if draft.Time.IsZero() {
		draft.Time = FirstTime().Add(time.Duration(number-1) * time.Second)
	}
	made, err := event.New(draft)
	if err != nil {
		return nil, err
	}
	return event.Parse(strings.ReplaceAll(made.Envelope(), made.ID(), id)) // no other text has its random id
}

// ParseExchanges reads a JSON list of recorded answers. Errors are fault.Invalid.
func ParseExchanges(text []byte) ([]Exchange, error) {
	var list []Exchange
	if err := event.DecodeStrict(abi.TrimBOM(text), &list); err != nil {
		return nil, err
	}
	for i, x := range list {
		if err := x.check(); err != nil {
			return nil, fmt.Errorf("entry %d: %w", i+1, err)
		}
	}
	return list, nil
}

// ParseTexts reads a JSON object whose values are texts. Errors are fault.Invalid.
func ParseTexts(text []byte) (map[string]string, error) {
	var texts map[string]string
	err := event.DecodeStrict(abi.TrimBOM(text), &texts)
	if err == nil && texts == nil {
		err = errNoObject()
	}
	return texts, err
}

func errNoObject() error { return fault.New(fault.Invalid, "must be an object, not null") }

// ParseConfig reads a handler's configuration, a JSON object. Errors are fault.Invalid.
func ParseConfig(text []byte) (json.RawMessage, error) {
	var members map[string]json.RawMessage
	if err := event.DecodeStrict(abi.TrimBOM(text), &members); err != nil {
		return nil, err
	}
	if members == nil {
		return nil, errNoObject()
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, abi.TrimBOM(text)); err != nil {
		return nil, fault.New(fault.Invalid, "%w", err)
	}
	return compact.Bytes(), nil
}
