package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/berth-host/berth/host/store/datafile"
)

// Deleted events leave free pages in the file. With incremental vacuum the keeper
// moves the last pages of the file into free ones, a paced step at a time, and
// truncates the file. Some pages remain free for the next events. Each step is a
// transaction, so that a crash leaves a valid file at any time.
//
// Files have incremental vacuum from schema 8 on; see datafile.File.Rewrite for older ones.
const (
	vacuumPages = 512 // freed by one step at most
	vacuumSteps = 32  // at most, between two checks of the watermark and the files
)

// shrinkStep returns a part of the surplus, if there is any. During a Snapshot no page can
// be returned to the disk.
func (s *Store) shrinkStep() {
	if !s.copying.TryLock() {
		return
	}
	defer s.copying.Unlock()
	if err := s.shrink(context.Background(), vacuumSteps); err != nil && !s.closed() {
		// The keeper retries a second later; other writes report the cause.
		s.log.Debug("free pages not returned to the disk", "error", err)
	}
}

// shrink returns the surplus in at most so many steps.
func (s *Store) shrink(ctx context.Context, steps int) error {
	const doing = "return free pages to the disk"
	p := &s.vacuum
	for range steps {
		have, err := datafile.CountPages(ctx, s.reader)
		if err != nil {
			return s.coded(doing, err)
		}
		surplus := have.Surplus()
		if surplus == 0 {
			return s.truncate(ctx)
		}
		n := min(int64(p.step), surplus)
		err = s.paced(ctx, doing, p, func(g *group) error {
			g.changed = true
			return g.vacuum(n)
		})
		if err != nil {
			return err
		}
		s.shrunk = true
		if err := s.pause(ctx, doing, p); err != nil {
			return err
		}
	}
	return nil
}

// vacuum returns n pages. The statement has to be run to its end: each of its steps is
// one page.
func (g *group) vacuum(n int64) error {
	rows, err := g.tx.Query(fmt.Sprintf("PRAGMA incremental_vacuum(%d)", n))
	if err != nil {
		return err
	}
	for rows.Next() {
	}
	return errors.Join(rows.Err(), rows.Close())
}

// truncate moves the WAL into the file after pages were returned: only that makes the file
// smaller, and without further writes nothing else would.
func (s *Store) truncate(ctx context.Context) error {
	if !s.shrunk {
		return nil
	}
	_, err := s.writer.ExecContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)")
	if err == nil {
		s.shrunk = false
	}
	return s.coded("truncate the data file", err)
}
