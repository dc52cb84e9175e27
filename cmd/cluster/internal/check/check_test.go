package check_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/cmd/cluster/internal/check"
)

// run is a log of two handlers over two keys on two hosts, without a fault.
func run() check.Log {
	log := check.Log{Handlers: []string{"x", "y"}, BeginFor: 2 * time.Second}
	seq := uint64(0)
	for n := 1; n <= 5; n++ {
		for _, key := range []string{"a", "b"} {
			seq++
			ev := check.Event{Key: key, N: n}
			log.Acknowledged = append(log.Acknowledged, check.Acknowledged{Event: ev, Seq: seq})
			for host, handler := range map[string]string{"one": "x", "two": "y"} {
				at := time.Duration(n) * time.Second
				log.Records = append(log.Records,
					check.Record{At: at, Host: host, Handler: handler, Event: ev, Attempt: 1, What: check.Begin},
					check.Record{At: at + 10*time.Millisecond, Host: host, Handler: handler, Event: ev, Attempt: 1, What: check.End})
				log.Finals = append(log.Finals, check.Final{Event: ev, Handler: handler, Status: "ok"})
			}
		}
	}
	return log
}

// at returns a record of host two and handler x, which host one has otherwise.
func at(at time.Duration, n int, what check.What) check.Record {
	return check.Record{At: at, Host: "two", Handler: "x", Event: check.Event{Key: "a", N: n}, Attempt: 1, What: what}
}

func TestCheck(t *testing.T) {
	const ms = time.Millisecond
	without := func(log *check.Log, keep func(check.Record) bool) {
		log.Records = slices.DeleteFunc(log.Records, func(r check.Record) bool { return !keep(r) })
	}
	for _, tt := range []struct {
		name   string
		change func(*check.Log)
		want   check.Report // its counts
		says   string       // of the only problem
	}{
		{name: "right", change: func(*check.Log) {}, want: check.Report{Attempts: 20}},
		{name: "a duplicate after the last one", change: func(l *check.Log) {
			l.Records = append(l.Records, at(6*time.Second, 5, check.Begin), at(6*time.Second+ms, 5, check.End))
		}, want: check.Report{Attempts: 21, Duplicates: 1}},
		{name: "a host that repeats from an earlier event on", change: func(l *check.Log) {
			for n := 4; n <= 5; n++ {
				l.Records = append(l.Records, at(time.Duration(n+4)*time.Second, n, check.Begin), at(time.Duration(n+4)*time.Second+ms, n, check.End))
			}
		}, want: check.Report{Attempts: 22, Duplicates: 2}},
		{name: "a retry", change: func(l *check.Log) {
			failed := at(4500*ms, 5, check.Failed)
			l.Records = append(l.Records, at(4400*ms, 5, check.Begin), failed)
		}, want: check.Report{Attempts: 21}},
		{name: "an event begins before the one before is done", change: func(l *check.Log) {
			l.Records = append(l.Records, at(4005*ms+10*ms, 6, check.Begin), at(4030*ms, 6, check.End))
		}, want: check.Report{Attempts: 21, Order: 1}, says: "x began event {a 6} at 4.015s on two before event 5 was done"},
		{name: "an event begins after a failed attempt of the one before", change: func(l *check.Log) {
			for i := range l.Records {
				if r := &l.Records[i]; r.Handler == "x" && r.Key == "a" && r.N == 4 && r.What == check.End {
					r.What = check.Failed
				}
			}
			l.Records = append(l.Records, at(9*time.Second, 4, check.Begin), at(9*time.Second+ms, 4, check.End))
		}, want: check.Report{Attempts: 21, Order: 1}, says: "began event {a 5}"},
		{name: "two hosts at once", change: func(l *check.Log) {
			l.Records = append(l.Records, at(5005*ms, 5, check.Begin), at(5020*ms, 5, check.End))
		}, want: check.Report{Attempts: 21, Duplicates: 1, Overlaps: 1}, says: "x began event {a 5} at 5.005s on two while another attempt"},
		{name: "two hosts at once, of which one was stopped before", change: func(l *check.Log) {
			l.Records = append(l.Records, at(5005*ms, 5, check.Begin), at(5020*ms, 5, check.End))
			l.Incidents = append(l.Incidents, check.Incident{At: 5002 * ms, Host: "one", What: check.Stopped})
		}, want: check.Report{Attempts: 21, Duplicates: 1, Takeover: 3 * ms}},
		{name: "an attempt without an end is open until its host is killed", change: func(l *check.Log) {
			without(l, func(r check.Record) bool {
				return r.Handler != "x" || r.Key != "a" || r.N != 5 || r.What == check.Begin
			})
			l.Records = append(l.Records, at(5005*ms, 5, check.Begin), at(5020*ms, 5, check.End))
			l.Incidents = append(l.Incidents, check.Incident{At: 5010 * ms, Host: "one", What: check.Killed})
		}, want: check.Report{Attempts: 21, Overlaps: 1}, says: "open until 5.01s"},
		{name: "an attempt of the same host and number, which was cancelled without a word", change: func(l *check.Log) {
			l.Records = append(l.Records, at(6000*ms, 5, check.Begin), at(7000*ms, 5, check.Begin), at(7005*ms, 5, check.End))
		}, want: check.Report{Attempts: 22, Duplicates: 1}},
		{name: "one host at once with itself", change: func(l *check.Log) {
			l.Records = append(l.Records, at(6000*ms, 5, check.Begin), at(6005*ms, 5, check.Begin), at(6010*ms, 5, check.End), at(6015*ms, 5, check.End))
		}, want: check.Report{Attempts: 22, Duplicates: 2, Overlaps: 1}, says: "while another attempt"},
		{name: "a takeover", change: func(l *check.Log) {
			without(l, func(r check.Record) bool {
				return r.Handler != "x" || r.Key != "a" || r.N != 5 || r.What == check.Begin
			})
			l.Records = append(l.Records, at(8010*ms, 5, check.Begin), at(8020*ms, 5, check.End))
			l.Incidents = append(l.Incidents, check.Incident{At: 5010 * ms, Host: "one", What: check.Killed})
		}, want: check.Report{Attempts: 21, Takeover: 3 * time.Second}},
		{name: "an event that no handler took", change: func(l *check.Log) {
			l.Acknowledged = append(l.Acknowledged, check.Acknowledged{Event: check.Event{Key: "a", N: 6}, Seq: 11})
		}, want: check.Report{Attempts: 20, Losses: 2}, says: ""},
		{name: "an outcome without an attempt", change: func(l *check.Log) {
			without(l, func(r check.Record) bool { return r.Handler != "y" || r.Key != "b" || r.N != 5 })
		}, want: check.Report{Attempts: 19, Losses: 1}, says: "is ok with y, which never finished it"},
		{name: "an outcome that is not final", change: func(l *check.Log) {
			l.Finals[0].Status = "retry"
		}, want: check.Report{Attempts: 20, Losses: 1}, says: `is "retry" with`},
		{name: "a host that goes on while it is cut off", change: func(l *check.Log) {
			l.Incidents = append(l.Incidents, check.Incident{At: 2900 * ms, Host: "two", What: check.Cut})
		}, want: check.Report{Attempts: 20, Late: 2}, says: ""},
		{name: "a host that was cut off and healed in time", change: func(l *check.Log) {
			l.Incidents = append(l.Incidents, check.Incident{At: 2900 * ms, Host: "two", What: check.Cut},
				check.Incident{At: 3500 * ms, Host: "two", What: check.Healed})
		}, want: check.Report{Attempts: 20}},
		{name: "an end without a begin", change: func(l *check.Log) {
			l.Records = append(l.Records, at(9*time.Second, 5, check.End))
		}, want: check.Report{Attempts: 20}, says: "which has not begun"},
		{name: "two events with one Seq", change: func(l *check.Log) {
			l.Acknowledged[9].Seq = l.Acknowledged[8].Seq
		}, want: check.Report{Attempts: 20}, says: "has the Seq 9 of event"},
		{name: "a key whose Seqs go back", change: func(l *check.Log) {
			l.Acknowledged[9].Seq = 0
		}, want: check.Report{Attempts: 20}, says: "has the Seq 0 and follows"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			log := run()
			tt.change(&log)
			got := check.Check(log)
			want := tt.want
			want.Acknowledged, want.Problems = len(log.Acknowledged), got.Problems
			if gotCounts, wantCounts := counts(got), counts(want); gotCounts != wantCounts {
				t.Errorf("got %+v, want %+v", gotCounts, wantCounts)
			}
			if tt.says != "" && (len(got.Problems) != 1 || !strings.Contains(got.Problems[0], tt.says)) {
				t.Errorf("got %q, want one problem with %q", got.Problems, tt.says)
			}
			if wrong := want.Order+want.Overlaps+want.Losses+want.Late > 0 || tt.says != ""; got.Right() == wrong {
				t.Errorf("Right: got %v with %q", got.Right(), got.Problems)
			}
		})
	}
}

// counts are a report's comparable fields.
func counts(r check.Report) [8]int {
	return [8]int{r.Acknowledged, r.Attempts, r.Duplicates, r.Order, r.Overlaps, r.Losses, r.Late, int(r.Takeover)}
}

// TestOrderOfTheLogDoesNotMatter: records are compared by their times.
func TestOrderOfTheLogDoesNotMatter(t *testing.T) {
	log := run()
	rand.Shuffle(len(log.Records), func(i, j int) { log.Records[i], log.Records[j] = log.Records[j], log.Records[i] })
	if got := check.Check(log); !got.Right() || got.Attempts != 20 {
		t.Errorf("got %+v", got)
	}
}

func TestGap(t *testing.T) {
	log := run()
	log.From, log.Until = time.Second, 5*time.Second
	if got := check.Check(log).Gap; got != time.Second {
		t.Errorf("got %v, want a second", got)
	}
	log.Until = 8 * time.Second
	if got := check.Check(log).Gap; got != 3*time.Second {
		t.Errorf("got %v, want 3 s: nothing began at the end", got)
	}
	log.Handlers = append(log.Handlers, "z")
	if got := check.Check(log).Gap; got != 7*time.Second {
		t.Errorf("got %v, want 7 s: z began nothing", got)
	}
}

func TestAddedReportCounts(t *testing.T) {
	whole, lost := check.Check(run()), run()
	lost.Finals = lost.Finals[1:]
	whole.Add(check.Check(lost))
	if whole.Attempts != 40 || whole.Losses != 1 || len(whole.Problems) != 1 || whole.Right() {
		t.Errorf("got %+v", whole)
	}
	if whole.Acknowledged != 10 {
		t.Errorf("got %d events, want 10: they are the same ones", whole.Acknowledged)
	}
}

// Hosts that run parts of a handler, each for some keys: another part's attempts are no takeover and
// end no gap.
func TestTakeoverOfAPart(t *testing.T) {
	begin := func(second time.Duration, host, key string) check.Record {
		return check.Record{At: second * time.Second, Host: host, Handler: "x", Event: check.Event{Key: key}, What: check.Begin}
	}
	log := check.Log{Handlers: []string{"x"}, From: 0, Until: 9 * time.Second,
		Records:   []check.Record{begin(1, "one", "a"), begin(1, "two", "b"), begin(3, "two", "b"), begin(5, "two", "b"), begin(6, "two", "a"), begin(8, "two", "b")},
		Incidents: []check.Incident{{At: 2 * time.Second, Host: "one", What: check.Killed}}}
	for _, perKey := range []bool{false, true} {
		log.PerKey = perKey
		want := [2]time.Duration{time.Second, 2 * time.Second}
		if perKey {
			want = [2]time.Duration{4 * time.Second, 5 * time.Second}
		}
		if r := check.Check(log); [2]time.Duration{r.Takeover, r.Gap} != want {
			t.Errorf("PerKey %v: got %v and %v, want %v", perKey, r.Takeover, r.Gap, want)
		}
	}
}
