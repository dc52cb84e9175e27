// Package batch reads what is published: a list of events, and the key of a single one.
package batch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/berth-host/berth/host/api/describe"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// Split returns the events of a list. It stops at describe.MaxBatch, so that a body of
// many tiny values does not become a large list in memory.
func Split(body []byte) ([]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	_, err := dec.Token() // the bracket
	var raws []json.RawMessage
	for err == nil && dec.More() {
		if len(raws) == describe.MaxBatch {
			return nil, fault.Field("", "the batch has more than %d events", describe.MaxBatch)
		}
		var raw json.RawMessage
		if err = dec.Decode(&raw); err == nil {
			raws = append(raws, raw)
		}
	}
	// The strict decoder describes any error, also one after the list.
	var whole json.RawMessage
	if err := event.DecodeStrict(body, &whole); err != nil {
		return nil, err
	}
	if err != nil {
		return nil, fault.New(fault.Invalid, "malformed JSON: %w", err)
	}
	if len(raws) == 0 {
		return nil, fault.Field("", "the batch is empty")
	}
	return raws, nil
}

// Within adds the index of an event of a batch to an error about it.
func Within(i int, err error) error {
	var f *fault.Error
	if !errors.As(err, &f) {
		return fmt.Errorf("event %s: %w", At(i, ""), err)
	}
	inner := *f
	inner.Field = At(i, inner.Field)
	return &inner
}

// At returns the name of a field of the event with this index, and of the event itself for "".
func At(i int, field string) string {
	at := fmt.Sprintf("[%d]", i)
	if field != "" {
		at += "." + field
	}
	return at
}

// ApplyKey takes the idempotency key from the header if the event has none.
func ApplyKey(d *event.Draft, header []string) error {
	switch {
	case len(header) == 0:
		return nil
	case len(header) > 1:
		return fault.Field("Idempotency-Key", "is given %d times", len(header))
	case header[0] == "":
		return fault.Field("Idempotency-Key", "is empty")
	case d.IdempotencyKey == "":
		d.IdempotencyKey = header[0]
	case d.IdempotencyKey != header[0]:
		return fault.Field("Idempotency-Key", "the header and metadata.idempotency_key name different keys; give one")
	}
	return nil
}

// IsEmpty reports whether JSON text is a list without a value in it.
func IsEmpty(body []byte) bool {
	inside, found := bytes.CutPrefix(bytes.Trim(body, " \t\r\n"), []byte("["))
	return found && string(bytes.TrimLeft(inside, " \t\r\n")) == "]"
}
