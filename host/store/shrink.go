package store

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store/datafile"
)

// Deleted events leave free pages in the file. With incremental vacuum the keeper
// moves the last pages of the file into free ones, a paced step at a time, and
// truncates the file. Some pages remain free for the next events. Each step is a
// transaction, so that a crash leaves a valid file at any time.
//
// Files have incremental vacuum from schema 8 on. An older one must be rewritten once:
// at its next start when it is small, otherwise with Config.Compact.
const (
	vacuumPages   = 512      // freed by one step at most
	vacuumSteps   = 32       // at most, between two checks of the watermark and the files
	compactAtOnce = 64 << 20 // bytes; Open rewrites a smaller file without Compact
)

// prepareShrink rewrites a file that cannot return pages, if it is small or
// Config.Compact is set. A file that cannot be rewritten for lack of disk space is
// used as it is.
func (s *Store) prepareShrink(ctx context.Context) error {
	p, err := datafile.CountPages(ctx, s.writer)
	if err != nil || p.Incremental && !s.compact {
		return err
	}
	info, err := os.Stat(s.path)
	if err != nil {
		return fault.New(fault.Unavailable, "%w", err)
	}
	bytes := info.Size()
	if bytes > compactAtOnce && !s.compact {
		s.log.Info("data file of an older version never shrinks; start once with --compact to rewrite it", "path", s.path, "bytes", bytes)
		return nil
	}
	if s.compact {
		s.log.Info("rewriting the data file; this takes a few seconds for each GiB, and as much free disk space as it has data", "path",
			s.path, "bytes", bytes)
	}
	_, err = s.writer.ExecContext(ctx, "PRAGMA auto_vacuum = incremental; VACUUM")
	if err == nil {
		// The new pages are in the WAL: move them into the file, and truncate both.
		_, err = s.writer.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	}
	if err != nil && ctx.Err() == nil && fault.Is(s.coded("rewrite", err), fault.Exhausted) {
		s.log.Warn("data file not rewritten and used as it is", "path", s.path, "error", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("rewrite the data file: %w", err)
	}
	info, err = os.Stat(s.path)
	if s.compact && err == nil {
		s.log.Info("data file rewritten", "path", s.path, "bytes_before", bytes, "bytes_after", info.Size())
	}
	return err
}

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
