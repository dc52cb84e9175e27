package transfer

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store/datafile"
)

// Source is a data file whose rows are read. It implements transfer.Source.
type Source struct {
	reader
	file *datafile.File
	path string
}

// OpenSource opens a data file, whose lock it takes until Close. Evidence is as
// datafile.Config has it. fault.Conflict: a host uses it. fault.NotFound: there is none.
func OpenSource(ctx context.Context, path string, evidence []string, logger *slog.Logger) (*Source, error) {
	const doing = "open the store"
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.NotFound, "there is no store %s: name the data directory of the host (--data-dir)", path)
	}
	file, err := datafile.Open(ctx, datafile.Config{Path: path, Evidence: evidence, Logger: logger},
		func(ctx context.Context, f *datafile.File) (at datafile.Position, err error) {
			err = f.Reader.QueryRowContext(ctx, `SELECT store, max((SELECT coalesce(max(seq), 0) FROM events),
				(SELECT coalesce(max(seq), 0) FROM marks)), (SELECT writes FROM log_size) FROM identity`).Scan(&at.Store, &at.Seq, &at.Writes)
			return at, err
		})
	if err != nil {
		return nil, datafile.Coded(doing, path, false, err)
	}
	return &Source{reader{file.Reader}, file, path}, nil
}

// Close closes the file and releases its lock.
func (s *Source) Close() error {
	return datafile.Coded("close the store", s.path, false, s.file.Close())
}
