package logtest

import (
	"context"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// family is an engine with one event, "parent", whose deliveries publish children.
type family struct {
	*testing.T
	s bus.Engine
}

func child(t testing.TB, key, data string) *event.Event {
	return Make(t, event.Draft{Type: "child", IdempotencyKey: key, Data: []byte(data)})
}

// save saves a delivery of the parent with these children.
func (f family) save(handler string, children ...*event.Event) (refused []event.Delivery) {
	f.Helper()
	outcome := event.Delivery{Handler: handler, Seq: 1, Status: event.StatusOK, Attempts: 1, Result: `{"a":1}`, Children: children}
	cursor := event.Cursor{Name: "handler/" + handler, Seq: 1}
	saved, _, err := f.s.SaveDeliveries(f.Context(), nil, nil, []event.Delivery{outcome}, []event.Cursor{cursor})
	if err != nil {
		f.Fatal(err)
	}
	return saved.Refused
}

// outcome returns the handler's delivery of the parent.
func (f family) outcome(handler string) event.Delivery {
	f.Helper()
	outcomes, err := f.s.Deliveries(f.Context(), 1)
	if err != nil {
		f.Fatal(err)
	}
	for _, d := range outcomes {
		if d.Handler == handler {
			return d
		}
	}
	f.Fatalf("there is no delivery of %s", handler)
	return event.Delivery{}
}

// wantKeys checks the keys of the log's events.
func (f family) wantKeys(want string) {
	f.Helper()
	records, err := f.s.Read(f.Context(), 1, 100)
	if err != nil {
		f.Fatal(err)
	}
	var got []string
	for _, rec := range records {
		got = append(got, rec.Event.Metadata().IdempotencyKey)
	}
	if strings.Join(got, " ") != want {
		f.Errorf("the log has %v, want %s", got, want)
	}
	if f.s.Last() != records[len(records)-1].Seq {
		f.Errorf("Last: got %d, want %d", f.s.Last(), records[len(records)-1].Seq)
	}
}

// children checks that the children of a delivery and the delivery are stored
// together, once, and all of them or none.
func children(t *testing.T, s bus.Engine) {
	ctx, f := t.Context(), family{t, s}
	mustAppend(t, s, Make(t, event.Draft{IdempotencyKey: "parent"}))
	woken := make(chan error, 1)
	go func() { woken <- s.Wait(context.WithoutCancel(ctx), 1) }()
	if refused := f.save("a", child(t, "a/1", `1`), child(t, "a/2", `2`)); refused != nil {
		t.Errorf("refused: %+v", refused)
	}
	if err := <-woken; err != nil {
		t.Errorf("Wait: %v", err)
	}
	f.wantKeys("parent a/1 a/2")
	if d := f.outcome("a"); d.Status != event.StatusOK || d.Result != `{"a":1}` || d.Children != nil {
		t.Errorf("got %+v", d)
	}

	// Delivered again: the same children exist, one more is new.
	if refused := f.save("a", child(t, "a/1", `1`), child(t, "a/3", `3`), child(t, "a/2", `2`), child(t, "a/3", `3`)); refused != nil {
		t.Errorf("refused: %+v", refused)
	}
	f.wantKeys("parent a/1 a/2 a/3")
	// The same values in another spelling are the same content.
	f.save("obj", child(t, "o/1", `{"a":1,"b":2}`))
	if refused := f.save("obj", child(t, "o/1", `{"b":2.0,"a":1}`), child(t, "a/1", `1e0`)); refused != nil {
		t.Errorf("refused: %+v", refused)
	}

	// With the log, and with a sibling.
	f.conflict(child(t, "b/1", `1`), child(t, "a/1", `9`))
	f.conflict(child(t, "b/2", `1`), child(t, "b/2", `2`))
	dead, _, err := s.DeadLetters(ctx, event.DeadFilter{Handler: "b"}, "", 10)
	if err != nil || len(dead) != 1 || dead[0].Reason != event.ReasonConflict {
		t.Errorf("DeadLetters: got %+v, %v", dead, err)
	}

	// Refused as a whole: neither delivery nor child is stored.
	late, cancel := context.WithTimeout(ctx, 0)
	defer cancel()
	outcome := event.Delivery{Handler: "late", Seq: 1, Children: []*event.Event{child(t, "late", `1`)}}
	_, _, err = s.SaveDeliveries(late, nil, nil, []event.Delivery{outcome}, nil)
	WantCode(t, "after the deadline", err, fault.Timeout)
	f.wantKeys("parent a/1 a/2 a/3 o/1 before after")
}

// conflict saves a delivery of b with two children, the second of which is in conflict:
// none is stored, and the delivery is dead. The deliveries beside it are not affected.
func (f family) conflict(first, second *event.Event) {
	f.Helper()
	outcomes := []event.Delivery{
		{Handler: "before", Seq: 1, Status: event.StatusOK, Children: []*event.Event{child(f, "before", `1`)}},
		{Handler: "b", Seq: 1, Status: event.StatusOK, Result: `1`, Attempts: 3, Children: []*event.Event{first, second}},
		{Handler: "after", Seq: 1, Status: event.StatusOK, Children: []*event.Event{child(f, "after", `1`)}},
	}
	saved, _, err := f.s.SaveDeliveries(f.Context(), nil, nil, outcomes, []event.Cursor{{Name: "handler/b", Seq: 1}})
	refused := saved.Refused
	if err != nil || len(refused) != 1 || refused[0].Handler != "b" {
		f.Fatalf("got %+v, %v, want b refused", saved, err)
	}
	got := f.outcome("b")
	if got.Status != event.StatusDead || got.ErrorClass != event.ClassConflict || got.Result != "" || got.Attempts != 3 ||
		!strings.Contains(got.ErrorMessage, second.Metadata().IdempotencyKey) || got.ErrorMessage != refused[0].ErrorMessage {
		f.Errorf("got %+v, refused as %+v", got, refused[0])
	}
	if f.outcome("before").Status != event.StatusOK || f.outcome("after").Status != event.StatusOK {
		f.Error("a neighbour is not ok")
	}
	if seq, _, _ := f.s.Cursor(f.Context(), "handler/b"); seq != 1 {
		f.Errorf("the cursor is at %d, want 1", seq)
	}
	f.wantKeys("parent a/1 a/2 a/3 o/1 before after")
}
