package plan_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/plan"
	"github.com/berth-host/berth/host/wire"
)

// log is a log with one event a second, whose Seqs begin with 1.
type log struct {
	began    time.Time
	records  []event.Record
	unread   event.Unreadable // To 0 is none
	err      error            // of every read
	examined []uint64         // Seqs that were read
	limit    int              // events of one read; 0 is no bound
}

func newLog(t testing.TB, n int, of func(i int) (typ, subject string)) *log {
	t.Helper()
	l := &log{began: time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)}
	for i := range n {
		typ, subject := of(i)
		ev, err := event.New(event.Draft{Type: typ, Data: []byte(fmt.Sprintf(`{"n":%d}`, i)), Subject: subject,
			Time: l.began.Add(time.Duration(i) * time.Second), IdempotencyKey: fmt.Sprint("k", i)})
		if err != nil {
			t.Fatal(err)
		}
		l.records = append(l.records, event.Record{Seq: uint64(i + 1), Event: ev})
	}
	return l
}

func (l *log) Last() uint64 { return uint64(len(l.records)) }

func (l *log) SeqAt(_ context.Context, t time.Time) (uint64, error) {
	at := slices.IndexFunc(l.records, func(r event.Record) bool { return !r.Event.Metadata().Time.Before(t) })
	if at < 0 {
		return l.Last() + 1, nil
	}
	return l.records[at].Seq, nil
}

func (l *log) Read(_ context.Context, from uint64, limit int) ([]event.Record, error) {
	if l.err != nil {
		return nil, l.err
	}
	if u := l.unread; from <= u.To && from >= u.Seq {
		return nil, fmt.Errorf("read the log: %w", &event.Unreadable{Seq: from, To: u.To, Err: errors.New("damaged")})
	}
	if l.limit > 0 {
		limit = min(limit, l.limit)
	}
	list := l.records[from-1:]
	list = list[:min(limit, len(list))]
	if u := l.unread; u.To > 0 && from < u.Seq {
		list = list[:min(len(list), int(u.Seq-from))]
	}
	for _, r := range list {
		l.examined = append(l.examined, r.Seq)
	}
	return list, nil
}

// config is a plan about the whole log, with handlers that take nothing.
func (l *log) config() plan.Config {
	return plan.Config{Log: l, Since: l.began, Until: l.began.Add(time.Duration(len(l.records)) * time.Second),
		Mean: func(string) (time.Duration, bool) { return 0, false }}
}

func takes(types ...string) func(*event.Event) (bool, error) {
	return func(ev *event.Event) (bool, error) { return slices.Contains(types, string(ev.Type())), nil }
}

func mustMake(t *testing.T, cfg plan.Config) wire.ConfigPlan {
	t.Helper()
	made, err := plan.Make(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestGainedAndLostDeliveries(t *testing.T) {
	l := newLog(t, 90, func(i int) (string, string) { return []string{"paid", "shipped", "lost"}[i%3], fmt.Sprint("s", i%7) })
	cfg := l.config()
	cfg.Present.Handlers = map[string]plan.Handler{"same": {Takes: takes("paid")}, "moves": {Takes: takes("paid"), OrderBy: "/metadata/subject"},
		"gone": {Takes: takes("lost")}, "waits": {Takes: takes("paid")}}
	cfg.Next.Handlers = map[string]plan.Handler{"same": {Takes: takes("paid")}, "moves": {Takes: takes("shipped"), OrderBy: "/metadata/subject"},
		"new": {Takes: takes("lost", "paid")}, "waits": {Takes: takes("paid"), Waits: "paused"}}
	made := mustMake(t, cfg)
	if made.Events != 90 || made.Examined != 90 || made.Limit != "" || !made.Differs || !made.From.Equal(l.began) {
		t.Errorf("got %+v", made)
	}
	want := map[string][5]uint64{ // takes, would take, gained, lost, samples
		"gone": {30, 0, 0, 30, 5}, "moves": {30, 30, 30, 30, 10}, "new": {0, 60, 60, 0, 5}, "same": {30, 30, 0, 0, 0}, "waits": {30, 30, 0, 0, 0},
	}
	var order []string
	for _, h := range made.Handlers {
		order = append(order, h.Plugin+":"+h.Change)
		if got := [5]uint64{h.Takes, h.WouldTake, h.Gained, h.Lost, uint64(len(h.GainedEvents) + len(h.LostEvents))}; got != want[h.Plugin] {
			t.Errorf("%s: got %v, want %v", h.Plugin, got, want[h.Plugin])
		}
		for i, e := range h.GainedEvents {
			if i > 0 && e.Seq <= h.GainedEvents[i-1].Seq || e.EventID == "" || e.EventType != "shipped" && h.Plugin == "moves" {
				t.Errorf("%s: the samples are %+v", h.Plugin, h.GainedEvents)
			}
		}
	}
	if got := strings.Join(order, " "); got != "gone:removed moves: new:added waits:paused same:" {
		t.Errorf("the order is %s", got)
	}
}

func TestLostGrantsAndBatches(t *testing.T) {
	l := newLog(t, 1, func(int) (string, string) { return "paid", "s" })
	cfg := l.config()
	cfg.Present.Handlers = map[string]plan.Handler{"batch": {Takes: takes("paid"), Batch: 100}, "alone": {Takes: takes("paid")},
		"grants": {Takes: takes("paid"), Missing: []string{"http"}}, "same": {Takes: takes("paid"), Missing: []string{"http"}, Batch: 7}}
	cfg.Next.Handlers = map[string]plan.Handler{"batch": {Takes: takes("paid"), Batch: 50}, "alone": {Takes: takes("paid"), Batch: 1},
		"grants": {Takes: takes("paid"), Missing: []string{"http", "kv"}}, "same": {Takes: takes("paid"), Missing: []string{"http"}, Batch: 7}}
	made := mustMake(t, cfg)
	var got []string
	for _, h := range made.Handlers {
		got = append(got, fmt.Sprint(h.Plugin, " ", h.Batch, h.BatchChanged, h.LostGrants))
	}
	if got, want := strings.Join(got, ", "), "batch 50 true [], grants 1 false [kv], alone 1 false [], same 7 false []"; got != want || !made.Differs {
		t.Errorf("got %s, differs is %v, want %s", got, made.Differs, want)
	}
}

func TestNoDifference(t *testing.T) {
	l := newLog(t, 10, func(int) (string, string) { return "paid", "s" })
	cfg := l.config()
	fails := func(*event.Event) (bool, error) { return false, errors.New("no such key: total") }
	refuses := func(*event.Event) error { return errors.New("/n is not text") }
	cfg.Present = plan.Side{Handlers: map[string]plan.Handler{"a": {Takes: takes("paid")}, "b": {Takes: fails}}, Refuse: refuses}
	cfg.Next = cfg.Present
	made := mustMake(t, cfg)
	if made.Differs || made.Refused.Count != 10 || made.Refused.Now != 10 || made.Handlers[1].Failed.Now != 10 {
		t.Errorf("got %+v", made)
	}
}

func TestFailedConditionsAndRefusedEvents(t *testing.T) {
	l := newLog(t, 20, func(i int) (string, string) { return "paid", "s" })
	cfg := l.config()
	cfg.Present.Handlers = map[string]plan.Handler{"a": {Takes: takes("paid")}}
	cfg.Next = plan.Side{
		Handlers: map[string]plan.Handler{"a": {Takes: func(ev *event.Event) (bool, error) {
			if strings.Contains(ev.Data(), "9") {
				return false, errors.New("no such key: total\nwith a second line")
			}
			return true, nil
		}}},
		Refuse: func(ev *event.Event) error {
			if strings.Contains(ev.Data(), "3") {
				return errors.New("/n: is 3")
			}
			return nil
		},
	}
	made := mustMake(t, cfg)
	h := made.Handlers[0]
	if h.Failed.Count != 2 || h.Failed.Now != 0 || h.Lost != 2 || len(h.Failed.Events) != 2 || !strings.HasPrefix(h.Failed.Events[0].Reason, "no such key: total") {
		t.Errorf("got %+v", h)
	}
	if r := made.Refused; r.Count != 2 || r.Now != 0 || len(r.Events) != 2 || r.Events[0].Seq != 4 || r.Events[0].Reason != "/n: is 3" || !made.Differs {
		t.Errorf("got %+v", r)
	}
}

// A large log is sampled: at most the limit is examined, spread over the whole time, and rates
// are those of the whole.
func TestSampleIsSpread(t *testing.T) {
	l := newLog(t, 5000, func(i int) (string, string) { return []string{"paid", "shipped"}[i%2], "s" })
	cfg := l.config()
	cfg.MaxEvents = 520
	cfg.Next.Handlers = map[string]plan.Handler{"a": {Takes: takes("paid"), Concurrency: 2}}
	cfg.Mean = func(string) (time.Duration, bool) { return 8 * time.Second, true }
	made := mustMake(t, cfg)
	if made.Events != 5000 || made.Examined != 520 || made.Limit != "events" {
		t.Errorf("got %d of %d, %q", made.Examined, made.Events, made.Limit)
	}
	b := made.Handlers[0].Backlog
	if b.EventsPerS < 0.49 || b.EventsPerS > 0.51 || *b.MeanMS != 8000 || *b.Utilisation < 1.96 || *b.Utilisation > 2.04 ||
		*b.GrowthPerS < 0.24 || *b.GrowthPerS > 0.26 {
		t.Errorf("half an event a second that takes 8 s, 2 at a time: %v %v %v %v", b.EventsPerS, *b.MeanMS, *b.Utilisation, *b.GrowthPerS)
	}
	tenths := map[uint64]int{}
	for _, seq := range l.examined[1:] { // the first read asks for the first event
		tenths[(seq-1)/500]++
	}
	if len(tenths) != 10 {
		t.Errorf("the tenths of the log were read so often: %v", tenths)
	}
}

func TestBacklogIsUnknownWithoutMeasurement(t *testing.T) {
	l := newLog(t, 100, func(int) (string, string) { return "paid", "s" })
	cfg := l.config()
	cfg.Next.Handlers = map[string]plan.Handler{"a": {Takes: takes("paid"), Concurrency: 2}, "waits": {Takes: takes("paid"), Waits: "disabled"}}
	made := mustMake(t, cfg)
	for _, h := range made.Handlers {
		b := h.Backlog
		if h.Plugin == "a" && (b.MeanMS != nil || b.Utilisation != nil || b.GrowthPerS != nil) {
			t.Errorf("got %+v", b)
		}
		if h.Plugin == "waits" && (b.GrowthPerS == nil || *b.GrowthPerS != b.EventsPerS || b.EventsPerS < 0.99) {
			t.Errorf("got %+v", b)
		}
	}
}

// Every Seq is examined once when there are no more than the limit, however short reads are.
func TestWholeLogIsExaminedOnce(t *testing.T) {
	whole := newLog(t, 400, func(int) (string, string) { return "t", "s" })
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(0, 400).Draw(rt, "events")
		l := &log{began: whole.began, records: whole.records[:n], limit: rapid.IntRange(0, 9).Draw(rt, "read at most")}
		limit := rapid.IntRange(1, 450).Draw(rt, "max events")
		if rapid.Bool().Draw(rt, "damaged") && n > 10 {
			l.unread.Seq = uint64(rapid.IntRange(2, n).Draw(rt, "damaged from"))
			l.unread.To = uint64(rapid.IntRange(int(l.unread.Seq), n).Draw(rt, "damaged to"))
		}
		cfg := l.config()
		cfg.MaxEvents = limit
		seen := map[uint64]int{}
		cfg.Next.Refuse = func(ev *event.Event) error {
			at := slices.IndexFunc(l.records, func(r event.Record) bool { return r.Event == ev })
			seen[l.records[at].Seq]++
			return nil
		}
		made, err := plan.Make(rt.Context(), cfg)
		if err != nil {
			rt.Fatal(err)
		}
		if made.Events != uint64(n) || made.Examined != uint64(min(n, limit)) || uint64(len(seen)) != made.Examined-made.Unreadable {
			rt.Fatalf("%d seen, %+v", len(seen), made)
		}
		for seq, times := range seen {
			if times != 1 {
				rt.Fatalf("event %d was examined %d times", seq, times)
			}
		}
	})
}

func TestExaminationEnds(t *testing.T) {
	l := newLog(t, 100, func(int) (string, string) { return "t", "s" })
	cfg := l.config()
	expired := make(chan struct{})
	close(expired)
	cfg.Expired = expired
	if made := mustMake(t, cfg); made.Limit != "time" || made.Examined != 0 || made.Events != 100 {
		t.Errorf("got %+v", made)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := plan.Make(ctx, cfg); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	cfg.Expired, l.err = nil, errors.New("the disk is gone")
	if _, err := plan.Make(t.Context(), cfg); !errors.Is(err, l.err) {
		t.Errorf("got %v", err)
	}
}

// The most frequent keys are found among many, in bounded memory; long ones remain distinct.
func TestHottestKeys(t *testing.T) {
	long := strings.Repeat("x", 200)
	l := newLog(t, 6000, func(i int) (string, string) {
		switch {
		case i%4 == 0:
			return "t", "hot"
		case i%10 == 1:
			return "t", long + "a"
		case i%10 == 3:
			return "t", long + "b"
		case i%10 == 5:
			return "t", ""
		}
		return "t", fmt.Sprint("s", i)
	})
	cfg := l.config()
	cfg.Present.Handlers = map[string]plan.Handler{"a": {Takes: takes("t")}}
	cfg.Next.Handlers = map[string]plan.Handler{"a": {Takes: takes("t"), OrderBy: "/metadata/subject"}}
	h := mustMake(t, cfg).Handlers[0]
	if !h.OrderChanged || len(h.HottestKeys) != 5 {
		t.Fatalf("got %+v", h)
	}
	hot := h.HottestKeys[0]
	if hot.Key != "hot" || hot.Events > 1500 || hot.Events < 1494 || hot.Share > 0.25 || hot.Share < 0.249 {
		t.Errorf("got %+v", hot)
	}
	if a, b := h.HottestKeys[1], h.HottestKeys[2]; a.Key == b.Key || len(a.Key) > 120 || a.Events < 590 || b.Events < 590 {
		t.Errorf("got %+v and %+v", a, b)
	}
}
