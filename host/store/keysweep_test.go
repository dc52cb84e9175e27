package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store/datafile"
	"github.com/berth-host/berth/host/store/keys"
)

// sweptLog is a store whose index has entries of trimmed events.
type sweptLog struct {
	cfg    Config
	s      *Store
	all    []*event.Event
	before uint64 // events below this are trimmed, except the leftover
}

const sweptLeftover = 5

// newSweptLog returns a store with 100 events. 60 of them are trimmed, except a leftover.
func newSweptLog(t *testing.T, fail faults) *sweptLog {
	t.Helper()
	ctx := t.Context()
	l := &sweptLog{cfg: Config{Window: newWindow(), Path: filepath.Join(t.TempDir(), "berth.db")}, before: 61}
	var err error
	if l.s, err = open(ctx, l.cfg, fail); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.s.Close() })
	for i := range 100 {
		l.all = append(l.all, makeEvent(t, fmt.Sprint("key-", i+1)))
	}
	if _, err := l.s.Append(ctx, l.all); err != nil {
		t.Fatal(err)
	}
	if err := l.s.mergeKeys(ctx); err != nil {
		t.Fatal(err)
	}
	dead := []event.Delivery{{Handler: "h", Seq: sweptLeftover, Status: event.StatusDead, Attempts: 1}}
	if _, _, err := l.s.SaveDeliveries(ctx, nil, nil, dead, nil); err != nil {
		t.Fatal(err)
	}
	if n, err := l.s.Trim(ctx, l.before); err != nil || n != 59 {
		t.Fatalf("trimmed %d, %v", n, err)
	}
	want := 2 * 59
	if fail.hash != nil { // the same for a key and an id
		want = 59
	}
	if dead := deadEntries(t, l.s); dead != want {
		t.Fatalf("%d entries of trimmed events, want %d", dead, want)
	}
	l.s.sweep.step, l.s.sweep.max = 50, 50 // five steps
	return l
}

// checkLookups looks every event up, by id and, with the writer, by key.
func (l *sweptLog) checkLookups(t *testing.T, s *Store) {
	t.Helper()
	for i, ev := range l.all {
		seq := uint64(i) + 1
		there := seq >= l.before || seq == sweptLeftover
		rec, err := s.Event(t.Context(), ev.ID())
		if there && (err != nil || rec.Seq != seq) || !there && !fault.Is(err, fault.NotFound) {
			t.Fatalf("event %d, in the log: %v: got %+v, %v", seq, there, rec, err)
		}
		if !there {
			continue
		}
		receipts, err := s.Append(t.Context(), []*event.Event{ev})
		if err != nil || !receipts[0].Duplicate || receipts[0].Seq != seq {
			t.Fatalf("event %d again: got %+v, %v", seq, receipts, err)
		}
	}
}

// checkComplete sweeps all, and checks that only the entries of the log remain.
func (l *sweptLog) checkComplete(t *testing.T, s *Store) {
	t.Helper()
	if err := s.sweepKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.checkLookups(t, s)
	var entries int
	if err := s.reader.QueryRow(`SELECT count(*) FROM event_keys`).Scan(&entries); err != nil || entries != 2*41 || deadEntries(t, s) != 0 {
		t.Errorf("%d entries, %d of them of trimmed events, %v; want %d", entries, deadEntries(t, s), err, 2*41)
	}
	receipts, err := s.Append(t.Context(), l.all[:1]) // its key can be used again
	if err != nil || receipts[0].Duplicate || receipts[0].Seq != 101 {
		t.Errorf("a trimmed event again: got %+v, %v", receipts, err)
	}
}

// TestSweepFaults fails each step of a sweep: every event in the log is found, and the
// next sweep completes.
func TestSweepFaults(t *testing.T) {
	for _, tt := range faultSteps {
		for nth := 1; nth <= 5; nth++ {
			t.Run(fmt.Sprint(tt.step, " ", nth), func(t *testing.T) {
				var armed trigger
				l := newSweptLog(t, armed.at(tt.step))
				armed.fail(nth)
				if err := l.s.sweepKeys(t.Context()); !errors.Is(err, errInjected) {
					t.Fatalf("got %v", err)
				}
				removed, _ := l.s.counts()
				if l.s.keys.Due(removed+keys.SweepMin-1-59, 0) || !l.s.keys.Due(removed+keys.SweepMin-59, 0) {
					t.Errorf("a failed sweep of %d removed events counts", removed)
				}
				l.checkLookups(t, l.s)
				l.checkComplete(t, l.s)
			})
		}
	}
}

// TestKilledSweep opens a copy of the files as a kill after a step of a sweep leaves them.
func TestKilledSweep(t *testing.T) {
	for nth := 1; nth <= 5; nth++ {
		t.Run(fmt.Sprint("step ", nth), func(t *testing.T) {
			var armed trigger
			l := newSweptLog(t, armed.at("committed"))
			cfg := Config{Window: newWindow(), Path: filepath.Join(t.TempDir(), "berth.db")}
			armed.seen = func() {
				for _, suffix := range []string{"", "-wal", datafile.WatermarkSuffix} {
					content, err := os.ReadFile(l.cfg.Path + suffix)
					if err == nil {
						err = os.WriteFile(cfg.Path+suffix, content, 0o600)
					}
					if err != nil {
						t.Error(err)
					}
				}
			}
			armed.fail(nth)
			if err := l.s.sweepKeys(t.Context()); !errors.Is(err, errInjected) {
				t.Fatalf("got %v", err)
			}
			s, err := open(t.Context(), cfg, faults{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			dead := deadEntries(t, s)
			if began := 2 * 59; nth < 4 && (dead == 0 || dead >= began) || nth >= 4 && dead != 0 {
				t.Errorf("%d of %d entries remain after step %d", dead, began, nth)
			}
			l.checkLookups(t, s)
			l.checkComplete(t, s)
		})
	}
}

// TestKeeperSweepsKeys: the file never has many more entries than its events need,
// although Trim removes none.
func TestKeeperSweepsKeys(t *testing.T) {
	ctx := t.Context()
	s, err := Open(ctx, Config{Window: newWindow(), Path: filepath.Join(t.TempDir(), "berth.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const round, keep = keys.SweepMin, 2000
	rounds := 4
	if testing.Short() {
		rounds = 2
	}
	for r := range rounds {
		list := make([]*event.Event, 256)
		for range round / len(list) {
			for k := range list {
				list[k] = makeEvent(t, fmt.Sprint(r, "-", s.Last(), "-", k))
			}
			if _, err := s.Append(ctx, list); err != nil {
				t.Fatal(err)
			}
		}
		waitFor(t, func() bool { return s.keys.Len() < mergeAt })
		if n, err := s.Trim(ctx, s.Last()-keep); err != nil || n == 0 {
			t.Fatalf("trimmed %d, %v", n, err)
		}
		removed, _ := s.counts()
		var swept, entries int64
		waitFor(t, func() bool {
			err := s.reader.QueryRow(`SELECT swept, (SELECT count(*) FROM event_keys) FROM key_index`).Scan(&swept, &entries)
			if err != nil {
				t.Fatal(err)
			}
			return removed-swept < keys.SweepMin
		})
		if limit := 2 * int64(keep+keys.SweepMin); entries > limit {
			t.Errorf("round %d: %d entries, more than %d", r, entries, limit)
		}
	}
}

// TestRepublishedKey publishes and trims one key again and again: a lookup has a bounded
// number of candidates, in memory and in the file.
func TestRepublishedKey(t *testing.T) {
	ctx := t.Context()
	s, err := Open(ctx, Config{Window: newWindow(), Path: filepath.Join(t.TempDir(), "berth.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for n := range uint64(5 * maxDead) {
		receipts, err := s.Append(ctx, []*event.Event{makeEvent(t, "again")})
		if err != nil || receipts[0].Seq != n+1 || receipts[0].Duplicate {
			t.Fatalf("round %d: got %+v, %v", n, receipts, err)
		}
		seqs, err := s.keys.Lookup(ctx, "again")
		if err != nil || len(seqs) > maxDead || seqs[len(seqs)-1] != n+1 {
			t.Fatalf("round %d: got %d, %v", n, seqs, err)
		}
		if _, err := s.Trim(ctx, n+2); err != nil {
			t.Fatal(err)
		}
		if n%3 > 0 { // otherwise in memory
			if err := s.mergeKeys(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestRepublishedKeyKeepsCollisions: entries of events in the log are not removed with
// those of trimmed events, although all have one hash.
func TestRepublishedKeyKeepsCollisions(t *testing.T) {
	for merged := range 2 {
		l := newSweptLog(t, faults{hash: func(string) int64 { return 7 }})
		if merged == 0 {
			if err := l.s.Close(); err != nil {
				t.Fatal(err)
			}
			var err error
			if l.s, err = open(t.Context(), l.cfg, faults{hash: func(string) int64 { return 7 }}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := l.s.Append(t.Context(), []*event.Event{makeEvent(t, "new")}); err != nil {
			t.Fatal(err)
		}
		if dead := deadEntries(t, l.s); dead != 0 {
			t.Errorf("%d entries of trimmed events remain", dead)
		}
		l.checkLookups(t, l.s)
	}
}
