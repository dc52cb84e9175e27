package eventtypes

import (
	"errors"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// Schema is a compiled JSON Schema. It is safe for concurrent use.
type Schema interface {
	// Check returns the JSON Pointer of the first position of the data, in its order, that
	// the schema refuses, and the reasons of all; reason is "" for data that fits. The work is
	// an upper bound of what the check took, in microseconds.
	Check(data string) (pointer, reason string, work int)
}

// Table is the event types of a configuration. It is immutable and safe for concurrent use.
type Table struct {
	types   map[event.Type]*kind
	schemas int
}

// kind is one event type.
type kind struct {
	spec.EventType
	schema Schema // nil for any data
}

// Problem is what is wrong with the schema of one event type.
type Problem struct {
	Index  int // in the list
	Reason string
}

// Compile returns the table of the types, with the schemas that compile makes of their
// texts, or what is wrong with them.
func Compile(list []spec.EventType, compile func(text []byte) (Schema, error)) (*Table, []Problem) {
	t := &Table{types: make(map[event.Type]*kind, len(list))}
	once := compileOnce(compile)
	var problems []Problem
	for i, et := range list {
		k := &kind{EventType: et}
		t.types[event.Type(et.Type)] = k
		if et.Schema == nil {
			continue
		}
		schema, err := once(et.Schema)
		if err != nil {
			problems = append(problems, Problem{i, reasonOf(err)})
			continue
		}
		k.schema = schema
		t.schemas++
	}
	if problems != nil {
		return nil, problems
	}
	return t, nil
}

// compileOnce compiles each text once: thousands of types may have the same one.
func compileOnce(compile func(text []byte) (Schema, error)) func(text []byte) (Schema, error) {
	type result struct {
		schema Schema
		err    error
	}
	known := make(map[string]result)
	return func(text []byte) (Schema, error) {
		r, found := known[string(text)]
		if !found {
			r.schema, r.err = compile(text)
			known[string(text)] = r
		}
		return r.schema, r.err
	}
}

func reasonOf(err error) string {
	var wrong *fault.Error
	if errors.As(err, &wrong) {
		return wrong.Reason
	}
	return err.Error()
}

// Refusal is why the schema of an event's type refuses it.
type Refusal struct {
	Type    event.Type
	Warn    bool // the event is stored nevertheless
	Pointer string
	Reason  string
}

// Err returns the refusal as a fault.Invalid, with the field data and the JSON Pointer below
// it, such as data/items/0/sku. It names the setting that has the schema.
func (r Refusal) Err() error {
	return fault.Field("data"+r.Pointer, "%s: the schema of this event type demands it (event_types.%s.schema)", r.Reason, r.Type)
}

// Refuses returns why the schema of the event's type refuses it, false when it does not, and
// the work of the check in microseconds.
func (t *Table) Refuses(ev *event.Event) (r Refusal, work int, refused bool) {
	k := t.types[ev.Type()]
	if k == nil || k.schema == nil {
		return Refusal{}, 0, false
	}
	pointer, reason, work := k.schema.Check(ev.Data())
	return Refusal{Type: ev.Type(), Warn: k.Warn, Pointer: pointer, Reason: reason}, work, reason != ""
}

// Check returns the error of an event that its type does not let pass; nil for events that
// only cause a warning.
func (t *Table) Check(ev *event.Event) error {
	if r, _, refused := t.Refuses(ev); refused && !r.Warn {
		return r.Err()
	}
	return nil
}
