package logtest

import (
	"context"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// children checks that the children of a delivery and the delivery are stored
// together, once, and all of them or none.
func children(t *testing.T, s bus.Engine) {
	ctx := t.Context()
	child := func(key, data string) *event.Event {
		return Make(t, event.Draft{Type: "child", IdempotencyKey: key, Data: []byte(data)})
	}
	mustAppend(t, s, Make(t, event.Draft{IdempotencyKey: "parent"}))
	save := func(handler string, children ...*event.Event) []event.Delivery {
		t.Helper()
		outcome := event.Delivery{Handler: handler, Seq: 1, Status: event.StatusOK, Attempts: 1, Result: `{"a":1}`, Children: children}
		refused, _, err := s.SaveDeliveries(ctx, nil, []event.Delivery{outcome}, []event.Cursor{{Name: "handler/" + handler, Seq: 1}})
		if err != nil {
			t.Fatal(err)
		}
		return refused
	}
	outcome := func(handler string) event.Delivery {
		t.Helper()
		outcomes, err := s.Deliveries(ctx, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range outcomes {
			if d.Handler == handler {
				return d
			}
		}
		t.Fatalf("there is no delivery of %s", handler)
		return event.Delivery{}
	}
	keys := func(want string) {
		t.Helper()
		records, err := s.Read(ctx, 1, 100)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, rec := range records {
			got = append(got, rec.Event.Metadata().IdempotencyKey)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("the log has %v, want %s", got, want)
		}
		if s.Last() != records[len(records)-1].Seq {
			t.Errorf("Last: got %d, want %d", s.Last(), records[len(records)-1].Seq)
		}
	}

	woken := make(chan error, 1)
	go func() { woken <- s.Wait(context.WithoutCancel(ctx), 1) }()
	if refused := save("a", child("a/1", `1`), child("a/2", `2`)); refused != nil {
		t.Errorf("refused: %+v", refused)
	}
	if err := <-woken; err != nil {
		t.Errorf("Wait: %v", err)
	}
	keys("parent a/1 a/2")
	if d := outcome("a"); d.Status != event.StatusOK || d.Result != `{"a":1}` || d.Children != nil {
		t.Errorf("got %+v", d)
	}

	// Delivered again: the same children exist, one more is new.
	if refused := save("a", child("a/1", `1`), child("a/3", `3`), child("a/2", `2`), child("a/3", `3`)); refused != nil {
		t.Errorf("refused: %+v", refused)
	}
	keys("parent a/1 a/2 a/3")
	// The same values in another spelling are the same content.
	save("obj", child("o/1", `{"a":1,"b":2}`))
	if refused := save("obj", child("o/1", `{"b":2.0,"a":1}`), child("a/1", `1e0`)); refused != nil {
		t.Errorf("refused: %+v", refused)
	}

	// A child in conflict, with the log or with a sibling: none is stored, and the
	// delivery is dead. The deliveries beside it are not affected.
	for _, pair := range [][2]*event.Event{
		{child("b/1", `1`), child("a/1", `9`)}, {child("b/2", `1`), child("b/2", `2`)},
	} {
		outcomes := []event.Delivery{
			{Handler: "before", Seq: 1, Status: event.StatusOK, Children: []*event.Event{child("before", `1`)}},
			{Handler: "b", Seq: 1, Status: event.StatusOK, Result: `1`, Attempts: 3, Children: pair[:]},
			{Handler: "after", Seq: 1, Status: event.StatusOK, Children: []*event.Event{child("after", `1`)}},
		}
		refused, _, err := s.SaveDeliveries(ctx, nil, outcomes, []event.Cursor{{Name: "handler/b", Seq: 1}})
		if err != nil || len(refused) != 1 || refused[0].Handler != "b" {
			t.Fatalf("got %+v, %v, want b refused", refused, err)
		}
		got := outcome("b")
		if got.Status != event.StatusDead || got.ErrorClass != event.ClassConflict || got.Result != "" || got.Attempts != 3 ||
			!strings.Contains(got.ErrorMessage, pair[1].Metadata().IdempotencyKey) || got.ErrorMessage != refused[0].ErrorMessage {
			t.Errorf("got %+v, refused as %+v", got, refused[0])
		}
		if outcome("before").Status != event.StatusOK || outcome("after").Status != event.StatusOK {
			t.Error("a neighbour is not ok")
		}
		if seq, _, _ := s.Cursor(ctx, "handler/b"); seq != 1 {
			t.Errorf("the cursor is at %d, want 1", seq)
		}
		keys("parent a/1 a/2 a/3 o/1 before after")
	}
	dead, _, err := s.DeadLetters(ctx, event.DeadFilter{Handler: "b"}, "", 10)
	if err != nil || len(dead) != 1 || dead[0].Reason != event.ReasonConflict {
		t.Errorf("DeadLetters: got %+v, %v", dead, err)
	}

	// Refused as a whole: neither delivery nor child is stored.
	late, cancel := context.WithTimeout(ctx, 0)
	defer cancel()
	_, _, err = s.SaveDeliveries(late, nil, []event.Delivery{{Handler: "late", Seq: 1, Children: []*event.Event{child("late", `1`)}}}, nil)
	wantCode(t, "after the deadline", err, fault.Timeout)
	keys("parent a/1 a/2 a/3 o/1 before after")
}
