package sandbox

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero/api"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/abi/strictjson"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// maxChildren bounds the children of one event together, in bytes of their
// envelopes.
const maxChildren = 8 << 20

// emit adds a child of the open event: (ptr, len) -> 0.
func (in *instance) emit(_ api.Module, stack []uint64) {
	text := in.view(stack[0], stack[1])
	if !in.open {
		stack[0] = in.refuse(abi.Invalid, "no event is open")
		return
	}
	if len(text) > abi.MaxChild {
		stack[0] = in.refuse(abi.TooLarge, fmt.Sprintf("the child is %d bytes; the limit is %d", len(text), abi.MaxChild))
		return
	}
	in.charge(4 * len(text)) // it is read, compacted, encoded and hashed
	child, err := in.child(text)
	if err != nil {
		stack[0] = in.answer(err)
		return
	}
	size := len(child.Envelope())
	if in.childBytes+size > maxChildren {
		stack[0] = in.refuse(abi.TooLarge, fmt.Sprintf("the children of this event are over %d bytes together", maxChildren))
		return
	}
	if len(in.children) == abi.MaxChildren {
		in.trap(event.ClassTrap, fmt.Sprintf("it emitted more than %d children", abi.MaxChildren))
	}
	if in.attempt.Event.Metadata().Hops >= abi.MaxHops {
		in.trap(event.ClassTrap, fmt.Sprintf("it emitted a child that is more than %d hops from the event that first caused it", abi.MaxHops))
	}
	in.children, in.childBytes = append(in.children, child), in.childBytes+size
	stack[0] = 0
}

// child makes the event that text describes.
func (in *instance) child(text []byte) (*event.Event, error) {
	parent := in.attempt.Event.Metadata()
	plugin := in.pool.cfg.Name
	d := event.Draft{
		Source:        plugin,
		CorrelationID: parent.CorrelationID,
		CausationID:   parent.EventID,
		TraceParent:   cmp.Or(in.lease.TraceParent(), parent.TraceParent),
		Hops:          min(parent.Hops+1, event.MaxHops), // emit traps one that is over
	}
	var c struct {
		Type     string          `json:"event_type"`
		Data     json.RawMessage `json:"data"`
		Metadata struct {
			Key     string `json:"idempotency_key"`
			Subject string `json:"subject"`
		} `json:"metadata"`
	}
	if err := event.DecodeWith(strictjson.Decoder{}, "", text, &c); err != nil {
		return nil, err
	}
	d.Type, d.Data, d.Subject = c.Type, c.Data, c.Metadata.Subject
	if d.Data == nil {
		return nil, fault.Field("data", "is required")
	}
	if _, err := event.ParseType(d.Type); err != nil {
		return nil, err
	}
	if !in.pool.cfg.Capabilities.Emit(d.Type) {
		return nil, fault.New(fault.Denied, "events of the type %s are not granted to this plugin", d.Type)
	}
	if err := event.CheckSource(event.Type(d.Type), plugin); err != nil { // the plugin may be named so
		return nil, err
	}
	d.IdempotencyKey = event.ChildKey(plugin, parent.EventID, len(in.children), c.Metadata.Key)
	ev, err := event.New(d)
	var known *fault.Error
	if errors.As(err, &known) && known.Field == "metadata.idempotency_key" {
		return nil, fault.Field(known.Field, "with %q before it %s", plugin+"/", known.Reason)
	}
	if check := in.pool.cfg.Capabilities.Check; err == nil && check != nil {
		err = check(ev)
	}
	if err != nil {
		return nil, err
	}
	return ev.WithOrigin(event.Origin{Publisher: spec.Publisher{Source: plugin}}), nil
}
