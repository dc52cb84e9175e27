package datafile

import (
	"context"
	"fmt"
	"os"

	"github.com/berth-host/berth/host/fault"
)

// rewriteAtOnce is the size up to which a file is rewritten without being asked to, in bytes.
const rewriteAtOnce = 64 << 20

// Rewrite rewrites the file without free pages if compact is set, and so that it can return
// pages to the disk: one of a schema before 8 cannot, and is rewritten when it is small. A
// file that cannot be rewritten for lack of disk space is used as it is. Call it before
// anything else uses the file.
func (f *File) Rewrite(ctx context.Context, compact bool) error {
	p, err := CountPages(ctx, f.Writer)
	if err != nil || p.Incremental && !compact {
		return err
	}
	info, err := os.Stat(f.Path)
	if err != nil {
		return fault.New(fault.Unavailable, "%w", err)
	}
	bytes, log := info.Size(), f.cfg.Logger
	if bytes > rewriteAtOnce && !compact {
		log.Info("data file of an older version never shrinks; start once with --compact to rewrite it", "path", f.Path, "bytes", bytes)
		return nil
	}
	if compact {
		log.Info("rewriting the data file; this takes a few seconds for each GiB, and as much free disk space as it has data", "path",
			f.Path, "bytes", bytes)
	}
	_, err = f.Writer.ExecContext(ctx, "PRAGMA auto_vacuum = incremental; VACUUM")
	if err == nil {
		// The new pages are in the WAL: move them into the file, and truncate both.
		_, err = f.Writer.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	}
	if err != nil && ctx.Err() == nil && fault.Is(Coded("rewrite", f.Path, false, err), fault.Exhausted) {
		log.Warn("data file not rewritten and used as it is", "path", f.Path, "error", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("rewrite the data file: %w", err)
	}
	info, err = os.Stat(f.Path)
	if compact && err == nil {
		log.Info("data file rewritten", "path", f.Path, "bytes_before", bytes, "bytes_after", info.Size())
	}
	return err
}
