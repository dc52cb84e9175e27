package pasttest

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// failed returns a delivery after a failed attempt, whose values all depend on the number.
func failed(handler string, seq uint64, number int) event.Delivery {
	n := int64(number)
	return event.Delivery{Handler: handler, Seq: seq, Status: event.StatusRetrying, Attempts: number, ErrorClass: event.ClassTrap,
		ErrorMessage: fmt.Sprint("failure ", n, "\n\x00stack"), Duration: time.Duration(n) * time.Microsecond, Fuel: math.MaxUint64 - uint64(n),
		At: at(100 * n).Add(time.Duration(n)), Due: at(1000), FirstAttempt: at(50), SHA256: fmt.Sprintf("%064x", n), Instance: number}
}

// logged returns the delivery with lines of these lengths.
func logged(d event.Delivery, lengths ...int) event.Delivery {
	for i, n := range lengths {
		d.Logs = append(d.Logs, spec.GuestLine{At: at(7).Add(time.Duration(i)), Level: "warn", Message: strings.Repeat("é", n/2) + strings.Repeat("x", n%2)})
	}
	return d
}

// past returns the attempt that a delivery is kept as.
func past(t testing.TB, d event.Delivery) event.PastAttempt {
	t.Helper()
	a, kept := d.Past()
	if !kept {
		t.Fatalf("%+v is not kept", d)
	}
	return a
}

func wantAttempts(t testing.TB, s bus.Engine, seq uint64, want ...event.PastAttempt) {
	t.Helper()
	got, err := s.Attempts(t.Context(), seq)
	if err != nil || len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
		t.Errorf("Attempts(%d): got %+v, %v, want %+v", seq, got, err, want)
	}
}

// pastAttempts: every failed attempt of a call is kept, and a success with logs.
func pastAttempts(t *testing.T, s bus.Engine) {
	mustAppend(t, s, logtest.Numbered(t, "k", 4)...)
	first, second := logged(failed("b", 1, 1), 10, 0), failed("b", 1, 2)
	done := event.Delivery{Handler: "b", Seq: 1, Status: event.StatusOK, Attempts: 3, At: at(500), Result: "1"}
	dead := failed("a", 1, 5)
	dead.Status, dead.Due = event.StatusDead, time.Time{}
	kept := logged(event.Delivery{Handler: "c", Seq: 2, Status: event.StatusOK, Attempts: 1, At: at(9), FirstAttempt: at(9)}, 3)
	want := []event.PastAttempt{past(t, dead), past(t, first), past(t, second)}
	wantKept := past(t, kept)
	wantKept.Logs = append([]spec.GuestLine{}, kept.Logs...)
	want[1].Logs = append([]spec.GuestLine{}, first.Logs...)

	list := []event.Delivery{first, second, done, dead, kept}
	mustSave(t, s, list...)
	clear(first.Logs) // the caller uses its memory again
	clear(kept.Logs)
	clear(list)
	check := func() {
		t.Helper()
		wantAttempts(t, s, 1, want...)
		wantAttempts(t, s, 2, wantKept)
	}
	check()
	if got, err := s.Deliveries(t.Context(), 1); err != nil || len(got) != 2 || got[1].Status != event.StatusOK || got[1].Logs != nil || got[0].Instance != 0 {
		t.Errorf("Deliveries: got %+v, %v", got, err)
	}
	// A caller that does not know whether its write was stored repeats it.
	mustSave(t, s, failed("b", 1, 2), done)
	check()
	// None of these is an attempt that is kept.
	none := func(status event.Status, class event.Class, attempts int) event.Delivery {
		return event.Delivery{Handler: "a", Seq: 3, Status: status, ErrorClass: class, Attempts: attempts, At: at(1)}
	}
	for _, d := range []event.Delivery{
		none(event.StatusOK, "", 1), none(event.StatusOK, "", 2), none(event.StatusPending, "", 0), none(event.StatusRetrying, event.ClassCancelled, 1),
		none(event.StatusDead, event.ClassSkipped, 2), none(event.StatusDead, event.ClassUnreadable, 1), none(event.StatusDead, event.ClassTrap, 0),
	} {
		mustSave(t, s, d)
		wantAttempts(t, s, 3)
	}
	// A redrive counts from 1 again; a clock that was set back does not change the order.
	again := failed("a", 1, 1)
	again.At = at(2)
	if n, err := s.Redrive(t.Context(), event.DeadFilter{Handler: "a", EventID: "k-0"}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	mustSave(t, s, again)
	want = append([]event.PastAttempt{want[0], past(t, again)}, want[1:]...)
	check()
	if n, err := s.Purge(t.Context(), event.DeadFilter{}); err != nil {
		t.Fatal(n, err)
	}
	check()
	if err := s.ForgetHandler(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	want = want[:2]
	check()
	wantAttempts(t, s, 4)
}

// attemptsOfRefused: a success whose children are in conflict is a failed attempt, and
// nothing of a handler with another epoch is kept.
func attemptsOfRefused(t *testing.T, s bus.Engine) {
	mustAppend(t, s, logtest.Make(t, event.Draft{IdempotencyKey: "taken", Data: []byte("1")}))
	d := logged(event.Delivery{Handler: "a", Seq: 1, Status: event.StatusOK, Attempts: 1, At: at(3), Instance: 2}, 5)
	d.Children = []*event.Event{logtest.Make(t, event.Draft{IdempotencyKey: "taken", Data: []byte("2")})}
	saved, _, err := s.SaveDeliveries(t.Context(), []spec.Fence{{Unit: "stale", Epoch: 1}}, nil,
		[]event.Delivery{d, failed("stale", 1, 1)}, nil)
	if err != nil || len(saved.Refused) != 1 {
		t.Fatal(saved, err)
	}
	got, err := s.Attempts(t.Context(), 1)
	if err != nil || len(got) != 1 {
		t.Fatalf("got %+v, %v", got, err)
	}
	want := past(t, saved.Refused[0])
	want.Logs = got[0].Logs
	if !reflect.DeepEqual(got[0], want) || got[0].Class != event.ClassConflict || len(got[0].Logs) != 1 {
		t.Errorf("got %+v, want %+v", got[0], want)
	}
}

// trimTakesAttempts: attempts are there as long as their event.
func trimTakesAttempts(t *testing.T, s bus.Engine) {
	ctx := t.Context()
	mustAppend(t, s, logtest.Numbered(t, "k", 5)...)
	for seq := uint64(1); seq <= 5; seq++ {
		d := failed("a", seq, 1)
		if d.Status = event.StatusDead; seq == 3 || seq == 5 {
			mustSave(t, s, logged(d, 4))
			continue
		}
		mustSave(t, s, d, event.Delivery{Handler: "a", Seq: seq, Status: event.StatusOK, Attempts: 2, At: at(900)})
	}
	count := func(want ...int) {
		t.Helper()
		for i, n := range want {
			if got, err := s.Attempts(ctx, uint64(i+1)); err != nil || len(got) != n {
				t.Errorf("Attempts(%d): got %+v, %v, want %d", i+1, got, err, n)
			}
		}
	}
	count(1, 1, 1, 1, 1)
	wantTrim(t, s, 2, 1)
	count(0, 1, 1, 1, 1)
	wantTrim(t, s, 6, 2)
	count(0, 0, 1, 0, 1)
	mustSave(t, s, failed("a", 1, 2), failed("a", 4, 2), failed("a", 5, 2)) // of the first two nothing is stored
	count(0, 0, 1, 0, 2)
	mustSave(t, s, event.Delivery{Handler: "a", Seq: 3, Status: event.StatusOK, Attempts: 1, At: at(999)})
	count(0, 0, 1, 0, 2)
	wantTrim(t, s, 6, 1)
	count(0, 0, 0, 0, 2)
	if err := s.ForgetHandler(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	count(0, 0, 0, 0, 0)
}

// manyAttempts: of one delivery the newest are kept.
func manyAttempts(t *testing.T, s bus.Engine) {
	mustAppend(t, s, logtest.Numbered(t, "k", 2)...)
	const n = event.MaxPastAttempts + 30
	var all []event.PastAttempt
	add := func(from, to int) (list []event.Delivery) {
		for number := from; number <= to; number++ {
			d := failed("a", 1, number)
			all = append(all, past(t, d))
			list = append(list, d)
		}
		return list
	}
	mustSave(t, s, add(1, 10)...)
	mustSave(t, s, append(add(11, n-1), failed("a", 2, 1), failed("b", 1, 1))...)
	mustSave(t, s, add(n, n)...)
	wantAttempts(t, s, 1, append(all[n-event.MaxPastAttempts:], past(t, failed("b", 1, 1)))...)
	wantAttempts(t, s, 2, past(t, failed("a", 2, 1)))
}

// boundedLogs: an attempt keeps the first lines that are within the bound.
func boundedLogs(t *testing.T, s bus.Engine) {
	mustAppend(t, s, logtest.Numbered(t, "k", 1)...)
	half := spec.MaxAttemptLog/2 - spec.GuestLineSize
	d := logged(failed("a", 1, 1), half, half-1, 2)
	mustSave(t, s, d)
	want := past(t, d)
	want.Logs = d.Logs[:2]
	wantAttempts(t, s, 1, want)
}

// evictedLogs: the oldest attempts of a handler lose their logs when all have more than the
// bound, and no other handler's do.
func evictedLogs(t *testing.T, s bus.Engine) {
	const full, events, each = spec.MaxHandlerLog / spec.MaxAttemptLog, 120, event.MaxPastAttempts
	mustAppend(t, s, logtest.Numbered(t, "k", events)...)
	message := strings.Repeat("m", spec.MaxAttemptLog-spec.GuestLineSize)
	n := 0
	save := func(handler string, count int) {
		t.Helper()
		for count > 0 {
			var list []event.Delivery
			for ; count > 0 && len(list) < 500; count-- {
				d := failed(handler, uint64(n/each+1), n%each+1)
				d.Logs = []spec.GuestLine{{At: at(1), Level: "info", Message: message}}
				list = append(list, d)
				n++
			}
			mustSave(t, s, list...)
		}
	}
	save("other", 1)
	n = 0
	save("a", full)
	lost := func(handler string) (seqs []uint64) {
		t.Helper()
		for seq := uint64(1); seq <= events; seq++ {
			list, err := s.Attempts(t.Context(), seq)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range list {
				if a.Handler == handler && len(a.Logs) == 0 {
					seqs = append(seqs, seq*1000+uint64(a.Number))
				}
			}
		}
		return seqs
	}
	if got := lost("a"); len(got) != 0 {
		t.Errorf("at the bound: %v have none", got)
	}
	save("a", 2)
	if got := lost("a"); fmt.Sprint(got) != "[1001 1002]" {
		t.Errorf("over the bound: %v have none", got)
	}
	// Trimmed attempts give theirs back.
	if err := s.SetCursor(t.Context(), event.Cursor{Name: "handler/a", Seq: 2}); err != nil {
		t.Fatal(err)
	}
	mustSave(t, s, event.Delivery{Handler: "a", Seq: 1, Status: event.StatusOK, Attempts: 2, At: at(1e6)},
		event.Delivery{Handler: "other", Seq: 1, Status: event.StatusOK, Attempts: 2, At: at(1e6)})
	wantTrim(t, s, 2, 1)
	save("a", each-2)
	if got := lost("a"); len(got) != 0 {
		t.Errorf("after a trim: %v have none", got)
	}
	save("a", 1)
	if got := lost("a"); fmt.Sprint(got) != "[2001]" {
		t.Errorf("over the bound again: %v have none", got)
	}
	if got := lost("other"); len(got) != 0 {
		t.Errorf("of the other handler: %v have none", got)
	}
}
