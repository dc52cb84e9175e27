package logtest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// success returns a success whose values all depend on n.
func success(n uint64) event.Success {
	return event.Success{At: at(1000).Add(time.Duration(n) * 1001), Duration: time.Duration(n%977) * 10, Fuel: n * n}
}

// succeeded returns the successes of a handler at these Seqs, in this order. The nth
// event has the result of result(n).
func succeeded(handler string, result func(seq uint64) string, seqs ...uint64) event.Successes {
	s := event.Successes{Handler: handler}
	for _, seq := range seqs {
		s.Append(seq, success(seq), []byte(result(seq)))
	}
	return s
}

func noResult(uint64) string { return "" }

func saveSuccesses(t testing.TB, s bus.Engine, successes []event.Successes, deliveries []event.Delivery, cursors ...event.Cursor) {
	t.Helper()
	if _, _, err := s.SaveDeliveries(t.Context(), nil, successes, deliveries, cursors); err != nil {
		t.Fatalf("SaveDeliveries: %v", err)
	}
}

// wantDeliveries compares the stored deliveries of an event.
func wantDeliveries(t testing.TB, s bus.Engine, seq uint64, want ...event.Delivery) {
	t.Helper()
	got, err := s.Deliveries(t.Context(), seq)
	if err != nil || len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
		t.Errorf("Deliveries(%d): got %+v, %v, want %+v", seq, got, err, want)
	}
}

// upTo returns the Seqs from 1 to n in random order.
func upTo(n int) []uint64 {
	seqs := make([]uint64, n)
	for i := range seqs {
		seqs[i] = uint64(i + 1)
	}
	rand.Shuffle(n, func(i, j int) { seqs[i], seqs[j] = seqs[j], seqs[i] })
	return seqs
}

// successes are stored and found by Seq, with equal, distinct, long and no results, in
// any order, in one call and in several. The caller overwrites what it passed.
func successes(t *testing.T, s bus.Engine) {
	const events = 2000
	mustAppend(t, s, Numbered(t, "k", events)...)
	results := map[string]func(seq uint64) string{
		"distinct": func(seq uint64) string { return fmt.Sprintf(`{"seq":%d,"text":"%080d"}`, seq, seq) },
		"equal":    func(uint64) string { return `{"ok":true}` },
		"mixed": func(seq uint64) string {
			return []string{"", "null", `"\u0000é"`, fmt.Sprintf(`"%0*d"`, int(seq), 1), `""`}[seq%5]
		},
		"none": noResult,
	}
	names := []string{"distinct", "equal", "mixed", "none"}
	for _, order := range []string{"in one call", "in several"} {
		whole := order == "in one call"
		var call []event.Successes
		for _, name := range names {
			handler := name + " " + order
			if whole {
				call = append(call, succeeded(handler, results[name], upTo(events)...))
				continue
			}
			for seqs := upTo(events); len(seqs) > 0; {
				n := min(len(seqs), 1+rand.IntN(700))
				part := []event.Successes{succeeded(handler, results[name], seqs[:n]...)}
				saveSuccesses(t, s, part, nil)
				clear(part[0].List)
				clear(part[0].Results)
				seqs = seqs[n:]
			}
		}
		if !whole {
			continue
		}
		saveSuccesses(t, s, call, nil)
		for i := range call {
			clear(call[i].List)
			clear(call[i].Results)
		}
	}
	for seq := uint64(1); seq <= events; seq += 1 + seq%3 {
		var want []event.Delivery
		for _, name := range names {
			for _, order := range []string{"in one call", "in several"} {
				want = append(want, success(seq).Delivery(name+" "+order, seq, "", results[name](seq)))
			}
		}
		wantDeliveries(t, s, seq, want...)
	}
	wantDeliveries(t, s, events+1)
}

// extremeSuccesses: every value that the types allow comes back.
func extremeSuccesses(t *testing.T, s bus.Engine) {
	mustAppend(t, s, Numbered(t, "k", 4)...)
	list := event.Successes{Handler: "a"}
	for i, of := range []event.Success{
		{At: at(0).Add(1)}, // near the epoch
		{At: at(-5).Add(-1), Duration: -3, Fuel: math.MaxUint64},
		{At: time.Unix(0, math.MaxInt64).UTC(), Duration: time.Hour, Fuel: 1},
		{At: at(1).Add(-1), Duration: math.MaxInt32},
	} {
		list.Append(uint64(i+1), of, nil)
	}
	saveSuccesses(t, s, []event.Successes{list}, nil)
	for i := range list.List {
		wantDeliveries(t, s, uint64(i+1), list.Delivery(i))
	}
}

// oneForm stores outcomes of one event after another, in both forms, and checks that the
// last one counts: in the same call, and in calls of their own.
func oneForm(t *testing.T, s bus.Engine) {
	const handlers = 2 * 6 * 6
	mustAppend(t, s, Numbered(t, "k", 3)...)
	later := at(5000)
	full := func(handler string, st event.Status) event.Delivery {
		d := event.Delivery{Handler: handler, Seq: 2, Status: st, Attempts: 2, At: later, FirstAttempt: at(9)}
		switch st {
		case event.StatusDead:
			d.ErrorClass, d.ErrorMessage = event.ClassTrap, "boom"
		case event.StatusRetrying:
			d.ErrorClass, d.ErrorMessage, d.Due = event.ClassRetry, "later", later.Add(1)
		}
		return d
	}
	result := func(uint64) string { return `"compact"` }
	kinds := []string{"compact", "as a delivery", "ok", "dead", "retrying", "pending"}
	// outcome returns the nth outcome of a handler in a form, and how it is shown.
	outcome := func(handler, kind string) (list []event.Successes, deliveries []event.Delivery, shown event.Delivery) {
		switch kind {
		case "compact": // between two others
			of := succeeded(handler, result, 3, 2, 1)
			return []event.Successes{of}, nil, of.Delivery(1)
		case "as a delivery": // it could be compact
			shown = success(2).Delivery(handler, 2, "", "[1]")
		default:
			shown = full(handler, event.Status(kind))
		}
		return nil, []event.Delivery{shown}, shown
	}
	var dead []string
	n := 0
	for _, together := range []bool{false, true} {
		for _, first := range kinds {
			for _, last := range kinds {
				handler := fmt.Sprintf("%03d", handlers-n)
				n++
				s1, d1, _ := outcome(handler, first)
				s2, d2, want := outcome(handler, last)
				if together && (first == "compact" || last != "compact") { // the order within a call
					s2, d2 = append(s1, s2...), append(d1, d2...)
					if first == "compact" && last == "compact" {
						s2 = s2[1:]
					}
				} else {
					saveSuccesses(t, s, s1, d1)
				}
				saveSuccesses(t, s, s2, d2)
				check(t, s, handler, want)
				if last == "dead" {
					dead = append(dead, handler+"2")
				}
			}
		}
	}
	slices.Sort(dead)
	slices.Reverse(dead)
	if got, want := allDead(t, s, event.DeadFilter{}), fmt.Sprint(dead); "["+got+"]" != want {
		t.Errorf("dead: got %s, want %s", got, want)
	}
}

// check compares the delivery of event 2 to a handler, and the handler's backlog.
func check(t *testing.T, s bus.Engine, handler string, want event.Delivery) {
	t.Helper()
	list, err := s.Deliveries(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(list, func(d event.Delivery) bool { return d.Handler == handler })
	if i < 0 || !reflect.DeepEqual(list[i], want) {
		t.Errorf("got %+v, want %+v", list, want)
	}
	b, err := s.LoadBacklog(t.Context(), handler)
	if err != nil || !b.Found {
		t.Fatalf("LoadBacklog: %+v, %v", b, err)
	}
	open := slices.ContainsFunc(b.Open, func(d event.Delivery) bool { return d.Seq == 2 })
	if done := slices.Contains(b.Done, 2); done != want.Status.Final() || open != (want.Status == event.StatusRetrying) {
		t.Errorf("%s, which is %s: done %v, open %+v", handler, want.Status, b.Done, b.Open)
	}
	if got := pending(t, s, handler); (len(got) == 1) != (want.Status == event.StatusPending) {
		t.Errorf("%s, which is %s: pending %v", handler, want.Status, got)
	}
}

// manySuccesses stores many in a call, beside deliveries with children and cursors.
func manySuccesses(t *testing.T, s bus.Engine) {
	const events, failed = 5000, 1234
	mustAppend(t, s, Numbered(t, "k", events)...)
	seqs := upTo(events)
	seqs = slices.DeleteFunc(seqs, func(seq uint64) bool { return seq == failed })
	a, b := succeeded("a", noResult, seqs...), succeeded("b", func(uint64) string { return "1" }, seqs[:events/2]...)
	child := Make(t, event.Draft{IdempotencyKey: "child"})
	saveSuccesses(t, s, []event.Successes{a, b}, []event.Delivery{
		{Handler: "a", Seq: failed, Status: event.StatusRetrying, Attempts: 1, At: at(1), Due: at(2)},
		{Handler: "c", Seq: 1, Status: event.StatusOK, Attempts: 1, At: at(1), Children: []*event.Event{child}},
	}, event.Cursor{Name: "handler/a", Seq: 4000})
	backlog, err := s.LoadBacklog(t.Context(), "a")
	if err != nil || backlog.Cursor != 4000 || len(backlog.Open) != 1 || backlog.Open[0].Seq != failed || len(backlog.Done) != events-4000 ||
		!slices.IsSorted(backlog.Done) || backlog.Done[0] != 4001 {
		t.Errorf("got cursor %d, open %+v, %d done, %v", backlog.Cursor, backlog.Open, len(backlog.Done), err)
	}
	backlog, err = s.LoadBacklog(t.Context(), "b")
	want := slices.Clone(seqs[:events/2])
	slices.Sort(want)
	if err != nil || !backlog.Found || !slices.Equal(backlog.Done, want) {
		t.Errorf("b: %d are done, want %d; %v", len(backlog.Done), len(want), err)
	}
	if rec, err := s.Event(t.Context(), "child"); err != nil || rec.Seq != events+1 {
		t.Errorf("the child: %+v, %v", rec, err)
	}
	if err := s.ForgetHandler(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	backlog, err = s.LoadBacklog(t.Context(), "b")
	if err != nil || backlog.Found || len(backlog.Done) > 0 {
		t.Errorf("b was forgotten: %+v, %v", backlog, err)
	}
	wantDeliveries(t, s, seqs[0], a.Delivery(0))
}

// fencedSuccesses: nothing of a handler with another epoch is stored.
func fencedSuccesses(t *testing.T, s bus.Engine) {
	mustAppend(t, s, Numbered(t, "k", 2)...)
	stale := spec.Fence{Unit: "stale", Epoch: 1}
	_, fenced, err := s.SaveDeliveries(t.Context(), []spec.Fence{{Unit: "ours"}, stale},
		[]event.Successes{succeeded("stale", noResult, 1, 2), succeeded("ours", noResult, 1), succeeded("free", noResult, 1)}, nil, nil)
	if err != nil || !reflect.DeepEqual(fenced, []spec.Fence{stale}) {
		t.Fatalf("got fenced %+v, %v", fenced, err)
	}
	wantDeliveries(t, s, 1, success(1).Delivery("free", 1, "", ""), success(1).Delivery("ours", 1, "", ""))
	if b, err := s.LoadBacklog(t.Context(), "stale"); err != nil || b.Found {
		t.Errorf("stale: %+v, %v", b, err)
	}
}

// trimTakesSuccesses: the success of an event is there as long as the event, and is not
// stored without it.
func trimTakesSuccesses(t *testing.T, s bus.Engine) {
	const events, dead = 1500, 700
	mustAppend(t, s, Numbered(t, "k", events)...)
	all := succeeded("a", noResult, upTo(events)...)
	saveSuccesses(t, s, []event.Successes{all}, []event.Delivery{{Handler: "b", Seq: dead, Status: event.StatusDead, Attempts: 1, At: at(1)}})
	if n, err := s.Trim(t.Context(), 1000); n != 998 || err != nil {
		t.Fatalf("Trim: got %d, %v, want 998", n, err)
	}
	saveSuccesses(t, s, []event.Successes{succeeded("c", noResult, 999, dead, 5, 1000, 1)}, nil)
	for _, seq := range []uint64{1, 5, 999} {
		wantDeliveries(t, s, seq)
	}
	wantDeliveries(t, s, dead, success(dead).Delivery("a", dead, "", ""),
		event.Delivery{Handler: "b", Seq: dead, Status: event.StatusDead, Attempts: 1, At: at(1)}, success(dead).Delivery("c", dead, "", ""))
	wantDeliveries(t, s, 1000, success(1000).Delivery("a", 1000, "", ""), success(1000).Delivery("c", 1000, "", ""))
	saveSuccesses(t, s, []event.Successes{succeeded("b", noResult, dead)}, nil) // the last one that kept it
	if n, err := s.Trim(t.Context(), 1000); n != 1 || err != nil {
		t.Fatalf("Trim: got %d, %v, want 1", n, err)
	}
	wantDeliveries(t, s, dead)
	wantDeliveries(t, s, 1000, success(1000).Delivery("a", 1000, "", ""), success(1000).Delivery("c", 1000, "", ""))
	if n, err := s.Trim(t.Context(), events+1); n != 501 || err != nil {
		t.Fatalf("Trim: got %d, %v, want 501", n, err)
	}
	for _, h := range []string{"a", "b", "c"} {
		if b, err := s.LoadBacklog(t.Context(), h); err != nil || b.Found {
			t.Errorf("%s: %+v, %v", h, b, err)
		}
	}
}

// replayedSuccesses: a success of the range counts if it is younger than the replay,
// which never begins before the existing ones.
func replayedSuccesses(t *testing.T, s bus.Engine) {
	mustAppend(t, s, Numbered(t, "k", 12)...)
	of := func(seconds int64, seqs ...uint64) []event.Successes {
		list := event.Successes{Handler: "a"}
		for _, seq := range seqs {
			list.Append(seq, event.Success{At: at(seconds)}, nil)
		}
		return []event.Successes{list}
	}
	saveSuccesses(t, s, of(500, 4), nil) // of the future: the clock was set back since
	saveSuccesses(t, s, of(1, 8, 1, 2, 3, 5, 6, 7, 10), nil, event.Cursor{Name: "handler/a", Seq: 8})
	wantBacklog(t, s, "a", "cursor 8 open [] done [10]")
	start(t, s, 2, 6, 100)
	wantBacklog(t, s, "a", "cursor 1 open [] done [10] replay 2-6 resume 8")
	saveSuccesses(t, s, of(500, 5), nil) // at its very beginning
	saveSuccesses(t, s, of(501, 6, 3), nil)
	wantBacklog(t, s, "a", "cursor 1 open [] done [3 6 10] replay 2-6 resume 8")
	saveSuccesses(t, s, of(502, 2), []event.Delivery{{Handler: "a", Seq: 4, Status: event.StatusRetrying, Attempts: 1, At: at(502)}},
		event.Cursor{Name: "handler/a", Seq: 3})
	wantBacklog(t, s, "a", "cursor 3 open [4] done [6 10] replay 2-6 resume 8")
	wantDeliveries(t, s, 6, event.Success{At: at(501)}.Delivery("a", 6, "", ""))
	saveSuccesses(t, s, of(503, 4), nil, event.Cursor{Name: "handler/a", Seq: 8})
	wantBacklog(t, s, "a", "cursor 8 open [] done [10]")
	start(t, s, 9, 12, 1) // beyond the cursor, and before the success of 10
	wantBacklog(t, s, "a", "cursor 8 open [] done [] replay 9-12 resume 8")
}

// modules: an outcome has the digest of the module that made it, in both forms, also
// when versions take turns; what has had no attempt since has none.
func modules(t *testing.T, s bus.Engine) {
	const events = 1200
	digests := []string{"", fmt.Sprintf("%064x", 1), fmt.Sprintf("%064x", 2), fmt.Sprintf("%064x", 3)}
	mustAppend(t, s, Numbered(t, "k", events)...)
	of := func(seq uint64) string { return digests[seq%7%4] }
	for part := range slices.Chunk(upTo(events), 500) {
		call := make([]event.Successes, len(digests))
		var deliveries []event.Delivery
		for i := range call {
			call[i] = event.Successes{Handler: "a", Digest: digests[i]}
		}
		for _, seq := range part {
			if seq%5 == 0 {
				deliveries = append(deliveries, dead(seq, of(seq)))
				continue
			}
			call[seq%7%4].Append(seq, success(seq), nil)
		}
		saveSuccesses(t, s, call, deliveries)
	}
	for seq := uint64(1); seq <= events; seq++ {
		want := success(seq).Delivery("a", seq, of(seq), "")
		if seq%5 == 0 {
			want = dead(seq, of(seq))
		}
		wantDeliveries(t, s, seq, want)
	}
	list, _, err := s.DeadLetters(t.Context(), event.DeadFilter{}, "", 1)
	if err != nil || len(list) != 1 || list[0].SHA256 != of(events) {
		t.Errorf("DeadLetters: got %+v, %v, want %s", list, err, of(events))
	}
	if n, err := s.Redrive(t.Context(), event.DeadFilter{}); n != events/5 || err != nil {
		t.Fatalf("Redrive: %d, %v", n, err)
	}
	redriven, err := s.Deliveries(t.Context(), 5)
	if err != nil || len(redriven) != 1 || redriven[0].Status != event.StatusPending || redriven[0].SHA256 != "" {
		t.Errorf("redriven: got %+v, %v, want no module", redriven, err)
	}
	newest := succeeded("a", noResult, 1, 5) // a success may replace another module's, and another form
	newest.Digest = digests[3]
	saveSuccesses(t, s, []event.Successes{newest}, nil)
	wantDeliveries(t, s, 1, newest.Delivery(0))
	wantDeliveries(t, s, 5, newest.Delivery(1))
}

func dead(seq uint64, digest string) event.Delivery {
	return event.Delivery{Handler: "a", Seq: seq, Status: event.StatusDead, Attempts: 3, ErrorClass: event.ClassTrap, At: at(int64(seq)), SHA256: digest}
}
