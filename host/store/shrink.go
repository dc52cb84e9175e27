package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"

	"github.com/berth-host/berth/host/fault"
)

// What is deleted leaves free pages in the file. A file with incremental vacuum
// gives them back: the keeper moves the last pages of the file into free ones, a
// paced step at a time, and cuts the file. Some stay free for the events to come.
// Each step is a transaction, so that a crash leaves a whole file at any time.
//
// Files are made with incremental vacuum from schema 8 on. An older one needs to be
// rewritten once: at its next start when it is small, else when the operator says
// so (Config.Compact).
const (
	vacuumPages   = 512      // at most, that one step gives back
	vacuumSteps   = 32       // at most, between two looks at the watermark and the files
	minFreePages  = 1024     // that stay free: 4 MiB
	freeShare     = 8        // of the used pages, one in so many may be free
	compactAtOnce = 64 << 20 // bytes; a smaller file is rewritten without being asked
)

// pages is how many pages the file has, how many of them are free, and whether it
// can give them back.
type pages struct {
	total, free int64
	incremental bool
}

func readPages(ctx context.Context, db *sql.DB) (p pages, err error) {
	var mode int64
	err = db.QueryRowContext(ctx, `SELECT page_count, freelist_count, auto_vacuum
		FROM pragma_page_count, pragma_freelist_count, pragma_auto_vacuum`).Scan(&p.total, &p.free, &mode)
	const incremental = 2
	p.incremental = mode == incremental
	return p, err
}

// surplus is how many free pages are to be given back.
func (p pages) surplus() int64 {
	if !p.incremental {
		return 0
	}
	return max(0, p.free-max(minFreePages, (p.total-p.free)/freeShare))
}

// prepareShrink rewrites a file that cannot give pages back, if it is small or
// Config.Compact is set. A file that cannot be rewritten for lack of disk space is
// used as it is.
func (s *Store) prepareShrink(ctx context.Context) error {
	p, err := readPages(ctx, s.writer)
	if err != nil || p.incremental && !s.compact {
		return err
	}
	info, err := os.Stat(s.path)
	if err != nil {
		return fault.New(fault.Unavailable, "%w", err)
	}
	bytes := info.Size()
	if bytes > compactAtOnce && !s.compact {
		s.log.Info("the data file was made by an older version and never becomes smaller; start once with --compact, which rewrites it", "path", s.path, "bytes", bytes)
		return nil
	}
	if s.compact {
		s.log.Info("the data file is being rewritten; this takes a few seconds for each GiB, and as much free disk space as it has data", "path", s.path, "bytes", bytes)
	}
	_, err = s.writer.ExecContext(ctx, "PRAGMA auto_vacuum = incremental; VACUUM")
	if err == nil {
		// The new pages are in the WAL: move them into the file, and cut both.
		_, err = s.writer.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	}
	if err != nil && ctx.Err() == nil && fault.Is(s.coded("rewrite", err), fault.Exhausted) {
		s.log.Warn("the data file could not be rewritten and is used as it is", "path", s.path, "error", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("rewrite the data file: %w", err)
	}
	info, err = os.Stat(s.path)
	if s.compact && err == nil {
		s.log.Info("the data file was rewritten", "path", s.path, "bytes_before", bytes, "bytes_after", info.Size())
	}
	return err
}

// shrinkStep gives some of the surplus back, if there is any.
func (s *Store) shrinkStep() {
	if err := s.shrink(context.Background(), vacuumSteps); err != nil && !s.closed() {
		// It is tried again a second later; what keeps it from writing is said where it matters.
		s.log.Debug("no pages could be given back", "error", err)
	}
}

// shrink gives the surplus back in at most so many steps.
func (s *Store) shrink(ctx context.Context, steps int) error {
	const doing = "give pages back"
	p := &s.vacuum
	for range steps {
		have, err := readPages(ctx, s.reader)
		if err != nil {
			return s.coded(doing, err)
		}
		surplus := have.surplus()
		if surplus == 0 {
			return s.cut(ctx)
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

// vacuum gives n pages back. The statement has to be run to its end: each of its
// steps is one page.
func (g *group) vacuum(n int64) error {
	rows, err := g.tx.Query(fmt.Sprintf("PRAGMA incremental_vacuum(%d)", n))
	if err != nil {
		return err
	}
	for rows.Next() {
	}
	return errors.Join(rows.Err(), rows.Close())
}

// cut moves the WAL into the file after pages were given back: only that makes the
// file smaller, and without further writes nothing else would.
func (s *Store) cut(ctx context.Context) error {
	if !s.shrunk {
		return nil
	}
	_, err := s.writer.ExecContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)")
	if err == nil {
		s.shrunk = false
	}
	return s.coded("cut the data file", err)
}
