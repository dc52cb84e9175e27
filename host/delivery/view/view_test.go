package view

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// failure is a past attempt that ended at second n.
func failure(number, n int, status event.Status) event.PastAttempt {
	return event.PastAttempt{Handler: "h", Seq: 1, Number: number, Status: status, Class: event.ClassTrap,
		Message: "unreachable at f (a.c:3)\n\tat f (a.c:3)", At: noon.Add(time.Duration(n) * time.Second), SHA256: "ab", Instance: 2}
}

func shown(history []wire.PastAttempt) string {
	var list []string
	for _, a := range history {
		list = append(list, fmt.Sprintf("%d %s %ds", a.Attempt, a.Status, int(a.At.Sub(noon).Seconds())))
	}
	return strings.Join(list, ", ")
}

func TestHistory(t *testing.T) {
	at := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Second) }
	two := []event.PastAttempt{failure(1, 1, event.StatusRetrying), failure(2, 2, event.StatusRetrying)}
	for _, tt := range []struct {
		name     string
		delivery event.Delivery
		kept     []event.PastAttempt
		want     string
	}{
		{"never tried", event.Delivery{Status: event.StatusPending, At: at(1)}, nil, ""},
		{"the first attempt succeeded", event.Delivery{Status: event.StatusOK, Attempts: 1, At: at(1)}, nil, "1 ok 1s"},
		{"its result is not kept", event.Delivery{Status: event.StatusOK, Attempts: 1, At: at(1), NotKept: true}, nil, ""},
		{"the third attempt succeeded", event.Delivery{Status: event.StatusOK, Attempts: 3, At: at(3)}, two, "1 retrying 1s, 2 retrying 2s, 3 ok 3s"},
		{"it waits", event.Delivery{Status: event.StatusRetrying, Attempts: 2, ErrorClass: event.ClassTrap, At: at(2)}, two, "1 retrying 1s, 2 retrying 2s"},
		{"repeated, in any order", event.Delivery{Status: event.StatusDelivering, Attempts: 2, ErrorClass: event.ClassTrap, At: at(2)},
			[]event.PastAttempt{two[1], two[0], two[1]}, "1 retrying 1s, 2 retrying 2s"},
		{"a delivery of an older version", event.Delivery{Status: event.StatusDead, Attempts: 5, ErrorClass: event.ClassTrap, At: at(9)}, nil, "5 dead 9s"},
		{"skipped after two attempts", event.Delivery{Status: event.StatusDead, Attempts: 2, ErrorClass: event.ClassSkipped, At: at(5)}, two, "1 retrying 1s, 2 retrying 2s"},
		{"redriven", event.Delivery{Status: event.StatusPending, At: at(5)}, []event.PastAttempt{two[0], failure(2, 2, event.StatusDead)}, "1 retrying 1s, 2 dead 2s"},
		{"redriven and successful", event.Delivery{Status: event.StatusOK, Attempts: 1, At: at(6)}, []event.PastAttempt{failure(1, 1, event.StatusDead)}, "1 dead 1s, 1 ok 6s"},
		{"an attempt that ended after the delivery was read", event.Delivery{Status: event.StatusRetrying, Attempts: 1, ErrorClass: event.ClassTrap, At: at(1)}, two, "1 retrying 1s, 2 retrying 2s"},
	} {
		tt.delivery.Handler, tt.delivery.Seq = "h", 1
		others := append(slices.Clone(tt.kept), event.PastAttempt{Handler: "other", Number: 1, At: noon})
		if got := shown(History(tt.delivery, others)); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

// TestHistoryHasTheWholeMessageOfTheLastAttempt although less of it is kept.
func TestHistoryHasTheWholeMessageOfTheLastAttempt(t *testing.T) {
	d := event.Delivery{Handler: "h", Seq: 1, Status: event.StatusDead, Attempts: 2, ErrorClass: event.ClassTrap, At: noon,
		ErrorMessage: strings.Repeat("x", 2*event.MaxPastMessage)}
	kept, _ := d.Past()
	list := History(d, []event.PastAttempt{failure(1, -1, event.StatusRetrying), kept})
	if len(list) != 2 || list[1].Error.Message != d.ErrorMessage {
		t.Errorf("got %d attempts, the last one with %d bytes", len(list), len(list[len(list)-1].Error.Message))
	}
}

func TestAttemptsInHistory(t *testing.T) {
	a := failure(1, 1, event.StatusRetrying)
	a.Logs, a.Duration, a.Fuel = []spec.GuestLine{{Level: "info", Message: "x"}}, 1500*time.Microsecond, 7
	without := a
	without.Logs = nil
	got := History(event.Delivery{Handler: "h", Seq: 1, Status: event.StatusRetrying, Attempts: 1, ErrorClass: event.ClassTrap, At: a.At}, []event.PastAttempt{without, a})
	if len(got) != 1 || len(got[0].Logs) != 1 || got[0].DurationMS != 1.5 || got[0].Fuel != 7 || got[0].Instance != 2 || got[0].SHA256 != "ab" ||
		got[0].Error.Class != "trap" || !slices.Equal(got[0].Error.Stack, []spec.Frame{{Function: "f", File: "a.c", Line: 3}}) {
		t.Errorf("got %+v", got)
	}
	if ok := History(event.Delivery{Handler: "h", Seq: 1, Status: event.StatusOK, Attempts: 1, At: noon}, nil); ok[0].Logs == nil || ok[0].Error != nil {
		t.Errorf("got %+v", ok)
	}
}

func TestViewOfDelivery(t *testing.T) {
	d := event.Delivery{Handler: "h", Status: event.StatusRetrying, Attempts: 1, ErrorClass: event.ClassTrap, ErrorMessage: "x (a.c:3)", Due: noon}
	if w := Of(d); !w.DueAt.Equal(noon) || w.Error.Stack[0].File != "a.c" || w.Plugin != "h" {
		t.Errorf("got %+v", w)
	}
	d.Status = event.StatusDelivering
	if w := Of(d); w.DueAt != nil {
		t.Errorf("due at %v while an attempt is under way", w.DueAt)
	}
	d.Handler = "h/3"
	if w := Of(d); w.Plugin != "h" || w.Shard == nil || *w.Shard != 3 {
		t.Errorf("of a shard: got %+v", w)
	}
}

// TestShardsAreInOrder: 10 comes after 9, and the histories are those of each shard.
func TestShardsAreInOrder(t *testing.T) {
	var j Join
	for _, handler := range []string{"p/10", "q", "p/9", "p", "a/0"} {
		j.Set(handler, State{Delivery: event.Delivery{Handler: handler, Seq: 1, Status: event.StatusPending}})
	}
	past := failure(1, 1, event.StatusRetrying)
	past.Handler = "p/9"
	j.Past = []event.PastAttempt{past}
	var got []string
	for _, d := range j.List() {
		shard := ""
		if d.Shard != nil {
			shard = fmt.Sprint(" ", *d.Shard)
		}
		got = append(got, fmt.Sprint(d.Plugin, shard, " has ", len(d.History)))
	}
	if want := []string{"a 0 has 0", "p has 0", "p 9 has 1", "p 10 has 0", "q has 0"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
