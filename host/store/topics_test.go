package store

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
)

// TestListsAgainstAScan compares lists by type and subject with a scan of the whole
// log, across blocks, restarts, failed commits, trims, and blocks without a summary.
func TestListsAgainstAScan(t *testing.T) {
	ctx := t.Context()
	rng := rand.New(rand.NewPCG(1, 2))
	var armed atomic.Bool
	fail := func() error {
		if armed.CompareAndSwap(true, false) {
			return errInjected
		}
		return nil
	}
	cfg := Config{Path: filepath.Join(t.TempDir(), "berth.db"), Window: bus.NewWindow(bus.WindowConfig{Events: 10})}
	s, err := open(ctx, cfg, faults{committed: fail})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.Close() }()
	for round := range 24 {
		events := make([]*event.Event, 1+rng.IntN(300))
		for i := range events {
			d := event.Draft{Type: fmt.Sprint("t", rng.IntN(3)), Subject: fmt.Sprint("s", rng.IntN(5))}
			if rng.IntN(200) == 0 {
				d.Subject = fmt.Sprint("rare", rng.IntN(3))
			}
			if events[i], err = event.New(d); err != nil {
				t.Fatal(err)
			}
		}
		armed.Store(round%5 == 4) // the result of this commit is lost, not the commit
		if _, err := s.Append(ctx, events); err != nil != (round%5 == 4) {
			t.Fatal(err)
		}
		switch round % 4 {
		case 1: // the topics of the newest block are read back, as after a crash
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if s, err = open(ctx, cfg, faults{committed: fail}); err != nil {
				t.Fatal(err)
			}
		case 2:
			if _, err := s.Trim(ctx, uint64(rng.IntN(150*(round+1)))); err != nil {
				t.Fatal(err)
			}
		case 3: // as in a file of an older version
			if _, err := s.writer.Exec(`DELETE FROM stretches WHERE stretch % 3 = ?`, round%3); err != nil {
				t.Fatal(err)
			}
		}
		all := readWhole(t, s)
		for range 20 {
			q := event.Query{Limit: 1 + rng.IntN(60), Before: uint64(rng.IntN(int(s.Last()) + 2))}
			if rng.IntN(3) > 0 {
				q.Type = event.Type(fmt.Sprint("t", rng.IntN(4)))
			}
			if q.Subject = fmt.Sprint("s", rng.IntN(6)); rng.IntN(2) == 0 {
				q.Subject = fmt.Sprint("rare", rng.IntN(4))
			}
			var want []uint64
			for _, r := range slices.Backward(all) {
				if len(want) < q.Limit && (q.Before == 0 || r.Seq < q.Before) && (q.Type == "" || q.Type == r.Event.Type()) && q.Subject == r.Event.Subject() {
					want = append(want, r.Seq)
				}
			}
			records, err := s.Events(ctx, q)
			var got []uint64
			for _, r := range records {
				got = append(got, r.Seq)
			}
			if err != nil || !slices.Equal(got, want) {
				t.Fatalf("round %d, %+v: got %v, %v, want %v", round, q, got, err, want)
			}
		}
	}
	var count int
	if err := s.reader.QueryRow(`SELECT count(*) FROM stretches`).Scan(&count); err != nil || count < 1 {
		t.Errorf("there are %d summaries, %v: the test covered no summary", count, err)
	}
}

// readWhole reads the whole log.
func readWhole(t *testing.T, s *Store) (all []event.Record) {
	t.Helper()
	for from := uint64(0); ; {
		page, err := s.Read(t.Context(), from, 4096)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return all
		}
		all, from = append(all, page...), page[len(page)-1].Seq+1
	}
}
