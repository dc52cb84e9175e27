package pasttest

import (
	"reflect"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// documents are stored, replaced and removed by kind and id, all of a call or none.
func documents(t *testing.T, s bus.Engine) {
	ctx := t.Context()
	put := func(list ...event.Document) {
		t.Helper()
		if err := s.PutDocuments(ctx, list); err != nil {
			t.Fatalf("PutDocuments: %v", err)
		}
	}
	want := func(kind string, want ...event.Document) {
		t.Helper()
		got, err := s.Documents(ctx, kind)
		if err != nil || len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Errorf("Documents(%s): got %+v, %v, want %+v", kind, got, err, want)
		}
	}
	doc := func(kind, id, body string) event.Document { return event.Document{Kind: kind, ID: id, Body: body} }
	want("x")
	put()
	large := doc("x", "é", `"`+strings.Repeat("m", event.MaxDocument-2)+`"`)
	put(doc("x", "b", "1"), doc("y", "b", "2"), doc("x", "a", "3"), large, doc("x", "B", "4"))
	want("x", doc("x", "B", "4"), doc("x", "a", "3"), doc("x", "b", "1"), large)
	want("y", doc("y", "b", "2"))
	put(doc("x", "b", "5"), doc("x", "b", "6"), doc("x", "a", ""), doc("x", "none", ""), doc("x", "é", ""), doc("y", "c", "7"), doc("y", "c", ""))
	want("x", doc("x", "B", "4"), doc("x", "b", "6"))
	want("y", doc("y", "b", "2"))
	for _, bad := range []event.Document{doc("", "a", "1"), doc("x", "", "1"), doc("x", "c", strings.Repeat("m", event.MaxDocument+1))} {
		logtest.WantCode(t, "a document that is refused", s.PutDocuments(ctx, []event.Document{doc("x", "b", "9"), bad}), fault.Invalid)
	}
	want("x", doc("x", "B", "4"), doc("x", "b", "6"))
}

// origins: every reader returns an event's origin, and a duplicate keeps the first one's.
func origins(t *testing.T, s bus.Engine) {
	ctx := t.Context()
	token := event.Origin{Publisher: spec.Publisher{Token: "t-1", Name: "ci\n%0A"}, Only: "a", CopyOf: "x"}
	source := event.Origin{Publisher: spec.Publisher{Source: "orders"}}
	list := []event.Origin{token, {}, source, source, token}
	events := logtest.Numbered(t, "k", len(list)+100)
	for i, o := range list {
		events[i] = events[i].WithOrigin(o)
	}
	mustAppend(t, s, events...)
	if r := mustAppend(t, s, events[0].WithOrigin(source))[0]; !r.Duplicate {
		t.Errorf("another origin: got %+v", r)
	}
	child := logtest.Make(t, event.Draft{IdempotencyKey: "child", Subject: "child"}).WithOrigin(source)
	if _, _, err := s.SaveDeliveries(ctx, nil, nil, []event.Delivery{
		{Handler: "a", Seq: 1, Status: event.StatusOK, Attempts: 1, At: at(1), Children: []*event.Event{child}},
		{Handler: "b", Seq: 3, Status: event.StatusDead, Attempts: 1, At: at(1)},
	}, nil); err != nil {
		t.Fatal(err)
	}
	want := func(by string, rec event.Record, err error, want event.Origin) {
		t.Helper()
		if err != nil || rec.Event == nil || rec.Event.Origin() != want {
			t.Errorf("%s: got %+v, %v, want %+v", by, rec, err, want)
		}
	}
	for _, rec := range logtest.ReadAll(t, s, 1, 3) {
		switch n := int(rec.Seq); {
		case n <= len(list):
			want("Read", rec, nil, list[n-1])
		case rec.Event.Subject() == "child":
			want("Read of the child", rec, nil, source)
		default:
			want("Read", rec, nil, event.Origin{})
		}
	}
	for i, o := range list {
		rec, err := s.Event(ctx, events[i].ID())
		want("Event", rec, err, o)
	}
	rec, err := s.Event(ctx, "k-0")
	want("Event by key", rec, err, token)
	for by, q := range map[string]event.Query{"all": {}, "type": {Type: events[0].Type()}, "key": {Key: "k-4"}} {
		q.Before, q.Limit = 6, 1
		newest, err := s.Events(ctx, q)
		if err != nil || len(newest) != 1 {
			t.Fatalf("Events by %s: got %+v, %v", by, newest, err)
		}
		want("Events by "+by, newest[0], nil, token)
	}
	dead, _, err := s.DeadLetters(ctx, event.DeadFilter{}, "", 1)
	if err != nil || len(dead) != 1 || dead[0].Event.Origin() != source {
		t.Errorf("DeadLetters: got %+v, %v", dead, err)
	}
	bytes := child.Size()
	for _, ev := range events {
		bytes += ev.Size()
	}
	if st, err := s.Status(ctx); err != nil || st.Bytes != bytes {
		t.Errorf("Status: got %+v, %v, want %d bytes", st, err, bytes)
	}
}
