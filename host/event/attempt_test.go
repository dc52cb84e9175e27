package event_test

import (
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

func TestPastAttempt(t *testing.T) {
	lines := []spec.GuestLine{{Level: "info", Message: "m"}}
	d := event.Delivery{Handler: "h", Seq: 7, Status: event.StatusRetrying, Attempts: 3, Result: "r", ErrorClass: event.ClassFuel, ErrorMessage: "m",
		Duration: 5, Fuel: 6, At: time.Unix(8, 0), Due: time.Unix(9, 0), FirstAttempt: time.Unix(1, 0), SHA256: "ab", Instance: 4, Logs: lines}
	want := event.PastAttempt{Handler: "h", Seq: 7, Number: 3, Status: event.StatusRetrying, Class: event.ClassFuel, Message: "m", Duration: 5,
		Fuel: 6, At: time.Unix(8, 0), SHA256: "ab", Instance: 4, Logs: lines}
	if got, kept := d.Past(); !kept || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, kept, want)
	}
	for _, tt := range []struct {
		status   event.Status
		class    event.Class
		attempts int
		logs     []spec.GuestLine
		want     bool
	}{
		{event.StatusRetrying, event.ClassTrap, 1, nil, true},
		{event.StatusDead, event.ClassConflict, 1, nil, true},
		{event.StatusDead, event.ClassRejected, 1, nil, true},
		{event.StatusOK, "", 2, lines, true},
		{event.StatusOK, "", 2, nil, false},
		{event.StatusOK, "", 0, lines, false},
		{event.StatusDead, event.ClassTrap, 0, nil, false},
		{event.StatusDead, event.ClassSkipped, 2, nil, false},
		{event.StatusDead, event.ClassUnreadable, 1, nil, false},
		{event.StatusRetrying, event.ClassCancelled, 1, lines, false},
		{event.StatusPending, "", 1, lines, false},
		{event.StatusDelivering, event.ClassTrap, 1, lines, false},
	} {
		d := event.Delivery{Status: tt.status, ErrorClass: tt.class, Attempts: tt.attempts, Logs: tt.logs}
		if _, kept := d.Past(); kept != tt.want {
			t.Errorf("%+v: kept %v", tt, kept)
		}
	}
}

func TestBoundedLogs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var lines []spec.GuestLine
		for range rapid.IntRange(0, 300).Draw(t, "lines") {
			n := rapid.SampledFrom([]int{0, 1, 30, 500, spec.MaxAttemptLog - spec.GuestLineSize, spec.MaxAttemptLog}).Draw(t, "length")
			lines = append(lines, spec.GuestLine{Message: strings.Repeat("m", n)})
		}
		list, size := event.BoundedLogs(lines)
		sum := 0
		for _, l := range list {
			sum += len(l.Message) + spec.GuestLineSize
		}
		if sum != size || size > spec.MaxAttemptLog || len(list) > len(lines) {
			t.Fatalf("%d lines of %d, size %d, want %d", len(list), len(lines), size, sum)
		}
		if len(list) < len(lines) && size+len(lines[len(list)].Message)+spec.GuestLineSize <= spec.MaxAttemptLog {
			t.Fatalf("line %d is within the bound", len(list))
		}
	})
}

func TestCheckDocument(t *testing.T) {
	for _, tt := range []struct {
		kind, id string
		size     int
		field    string
	}{{"k", "i", event.MaxDocument, ""}, {"k", "i", 0, ""}, {"", "i", 1, "kind"}, {"k", "", 1, "id"}, {"k", "i", event.MaxDocument + 1, "body"}} {
		err := event.CheckDocument(event.Document{Kind: tt.kind, ID: tt.id, Body: strings.Repeat("b", tt.size)})
		code := fault.Invalid
		if tt.field == "" {
			code = ""
		}
		if !errorIs(err, code, tt.field) {
			t.Errorf("%+v: got %v", tt, err)
		}
	}
}

func TestRequeues(t *testing.T) {
	early, late := time.Unix(5, 0), time.Unix(15, 0)
	r := &event.Replay{From: 4, To: 6, Resume: 9, StartedAt: time.Unix(10, 0)}
	for _, tt := range []struct {
		replay *event.Replay
		cursor uint64
		seq    uint64
		final  bool
		at     time.Time
		want   bool
	}{
		{nil, 5, 5, false, time.Time{}, true}, // not taken
		{nil, 5, 5, true, early, true},
		{nil, 5, 6, false, time.Time{}, false}, // it comes
		{nil, 5, 6, true, early, true},         // done above the cursor
		{r, 3, 3, false, time.Time{}, true},
		{r, 3, 4, true, early, false}, // the replay delivers it
		{r, 3, 6, false, time.Time{}, false},
		{r, 3, 6, true, late, true}, // done in the replay
		{r, 3, 7, false, time.Time{}, true},
		{r, 3, 9, true, early, true},
		{r, 3, 10, false, time.Time{}, false},
		{r, 3, 10, true, early, true},
	} {
		if got := tt.replay.Requeues(tt.cursor, tt.seq, tt.final, tt.at); got != tt.want {
			t.Errorf("%+v: got %v", tt, got)
		}
	}
}

// TestMessageOfPastAttemptIsBounded also cuts no character.
func TestMessageOfPastAttemptIsBounded(t *testing.T) {
	for _, size := range []int{event.MaxPastMessage - 1, event.MaxPastMessage, event.MaxPastMessage + 1, 3 * event.MaxPastMessage} {
		for _, char := range []string{"x", "é", "𝄞"} {
			message := strings.Repeat(char, size/len(char)+1)[:size-size%len(char)]
			d := event.Delivery{Status: event.StatusRetrying, Attempts: 1, ErrorClass: event.ClassTrap, ErrorMessage: message}
			a, _ := d.Past()
			if len(a.Message) > event.MaxPastMessage || !utf8.ValidString(a.Message) || !strings.HasPrefix(message, strings.TrimSuffix(a.Message, "\n…")) {
				t.Errorf("a message of %d bytes is kept with %d", len(message), len(a.Message))
			}
			if len(message) <= event.MaxPastMessage && a.Message != message {
				t.Errorf("a message of %d bytes is cut", len(message))
			}
		}
	}
}
