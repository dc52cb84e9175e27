package store

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event/pack"
)

// TestSmallBlocksAreMerged saves outcomes in runs of different lengths: all blocks
// become full, except of a small number at the end.
func TestSmallBlocksAreMerged(t *testing.T) {
	const total = 3*pack.MaxOutcomes + 40
	for _, length := range []uint64{1, 7, 100, 400, 600} {
		t.Run(fmt.Sprint(length), func(t *testing.T) {
			s := withEvents(t, filepath.Join(t.TempDir(), "berth.db"), 1)
			defer s.Close()
			err := s.submit(t.Context(), "save outcomes", &op{events: 1, run: func(g *group) error {
				for from := uint64(1); from <= total; from += length {
					var rs pack.Runs
					rs.AddAll(&successesOf("a", from, min(from+length-1, total))[0])
					if err := g.saveRuns(&rs); err != nil {
						return err
					}
				}
				return nil
			}})
			if err != nil {
				t.Fatal(err)
			}
			var full, small, packed int
			if err := s.reader.QueryRow(`SELECT count(*) FILTER (WHERE outcomes = ?1), count(*) FILTER (WHERE outcomes < ?1), sum(outcomes)
				FROM outcome_blocks`, pack.MaxOutcomes).Scan(&full, &small, &packed); err != nil {
				t.Fatal(err)
			}
			// The small ones, each smaller than the one before, can have more than one block together.
			if full < 2 || small > 9 || packed != total {
				t.Errorf("got %d full and %d small blocks with %d outcomes", full, small, packed)
			}
			for seq := uint64(1); seq <= total; seq += 13 {
				wantResult(t, s, "a", seq)
			}
		})
	}
}

// TestFinalTimesAtTheEndsOfBlocks selects ranges that begin and end where blocks do.
func TestFinalTimesAtTheEndsOfBlocks(t *testing.T) {
	s := withEvents(t, filepath.Join(t.TempDir(), "berth.db"), 700)
	defer s.Close()
	saveSuccesses(t, s, "a", 1, 600) // blocks of 512 and of 88
	saveSuccesses(t, s, "a", 650, 650)
	for _, tt := range []struct{ from, to, newest uint64 }{
		{1, 1, 1}, {1, 512, 512}, {512, 512, 512}, {512, 513, 513}, {513, 513, 513}, {600, 600, 600}, {600, 649, 600}, {601, 649, 0},
		{601, 650, 650}, {650, 700, 650}, {651, 700, 0},
	} {
		want := int64(0)
		if tt.newest > 0 {
			want = time.Unix(int64(tt.newest), 5).UnixNano()
		}
		if got, err := s.newestFinal(t.Context(), "a", tt.from, tt.to); err != nil || got != want {
			t.Errorf("%d to %d: got %d, %v, want the time of %d", tt.from, tt.to, got, err, tt.newest)
		}
	}
}
