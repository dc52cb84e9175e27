package datafile

import (
	"context"
	"database/sql"
)

const (
	MinFreePages = 1024 // that remain free: 4 MiB
	freeShare    = 8    // one free page for so many used ones may remain
)

// Pages are the numbers of a file's pages and of its free ones, and whether it can return
// them.
type Pages struct {
	Total, Free int64
	Incremental bool
}

// CountPages reads the numbers of pages.
func CountPages(ctx context.Context, db *sql.DB) (p Pages, err error) {
	var mode int64
	err = db.QueryRowContext(ctx, `SELECT page_count, freelist_count, auto_vacuum
		FROM pragma_page_count, pragma_freelist_count, pragma_auto_vacuum`).Scan(&p.Total, &p.Free, &mode)
	const incremental = 2
	p.Incremental = mode == incremental
	return p, err
}

// Surplus returns the number of free pages to return.
func (p Pages) Surplus() int64 {
	if !p.Incremental {
		return 0
	}
	return max(0, p.Free-max(MinFreePages, (p.Total-p.Free)/freeShare))
}
