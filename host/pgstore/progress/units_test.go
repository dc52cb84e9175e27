package progress_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/event"
)

// TestDeadLettersOfAPluginAreThoseOfItsUnits: a plugin's name selects every unit that it has or had, a
// unit's name that one alone, in pages of each size.
func TestDeadLettersOfAPluginAreThoseOfItsUnits(t *testing.T) {
	e := open(t, options{})
	ctx := t.Context()
	events := logtest.Numbered(t, "k", 6)
	if _, err := e.Append(ctx, events); err != nil {
		t.Fatal(err)
	}
	var dead []event.Delivery
	for _, unit := range []string{"a", "a/0", "a/12", "a-b", "a-b/0", "b"} {
		for seq := uint64(1); seq <= 6; seq += 2 {
			dead = append(dead, event.Delivery{Handler: unit, Seq: seq, Status: event.StatusDead, Attempts: 1, ErrorClass: event.ClassTrap, At: noon()})
		}
	}
	if _, _, err := e.SaveDeliveries(ctx, nil, nil, dead, nil); err != nil {
		t.Fatal(err)
	}
	list := func(f event.DeadFilter, limit int) string {
		t.Helper()
		var found []string
		for cursor := ""; ; {
			page, next, err := e.DeadLetters(ctx, f, cursor, limit)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range page {
				if !f.Selects(d) {
					t.Errorf("%+v does not select %s", f, d.Handler)
				}
				found = append(found, fmt.Sprint(d.Handler, ".", d.Seq))
			}
			if cursor = next; cursor == "" {
				return strings.Join(found, " ")
			}
		}
	}
	all := "a/12.5 a/0.5 a.5 a/12.3 a/0.3 a.3 a/12.1 a/0.1 a.1"
	for _, tt := range []struct {
		f    event.DeadFilter
		want string
	}{
		{event.DeadFilter{Handler: "a"}, all},
		{event.DeadFilter{Handler: "a", Class: event.ClassTrap}, all},
		{event.DeadFilter{Handler: "a", Class: event.ClassRejected}, ""},
		{event.DeadFilter{Handler: "a", OneUnit: true}, "a.5 a.3 a.1"},
		{event.DeadFilter{Handler: "a/12"}, "a/12.5 a/12.3 a/12.1"},
		{event.DeadFilter{Handler: "a/12", OneUnit: true}, "a/12.5 a/12.3 a/12.1"},
		{event.DeadFilter{Handler: "a/1"}, ""},
		{event.DeadFilter{Handler: "a-b", EventID: events[2].ID()}, "a-b/0.3 a-b.3"},
	} {
		for _, limit := range []int{1, 2, 5, 100} {
			if got := list(tt.f, limit); got != tt.want {
				t.Errorf("%+v, pages of %d: got %s, want %s", tt.f, limit, got, tt.want)
			}
		}
	}
	if n, err := e.Redrive(ctx, event.DeadFilter{Handler: "a", OneUnit: true}); n != 3 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	if n, err := e.Purge(ctx, event.DeadFilter{Handler: "a", EventID: events[0].ID()}); n != 2 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	if got, want := list(event.DeadFilter{Handler: "a"}, 2), "a/12.5 a/0.5 a/12.3 a/0.3"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
