package backup

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store/datafile"
)

// InUse reports whether a host uses the store of a data directory.
func InUse(ctx context.Context, dataDir, storeFile string) bool {
	found, _ := datafile.Inspect(ctx, filepath.Join(dataDir, storeFile))
	return found.InUse
}

// Offline returns Backups of a data directory that no host uses: Make takes the store for
// itself, and refuses one that a host would refuse. cfg.Snapshot and cfg.Quiesce are not
// used. fault.Conflict: an installation was interrupted, or a host uses the data directory.
// fault.NotFound: the data directory has no store.
func Offline(ctx context.Context, cfg Config) (*Backups, error) {
	store := filepath.Join(cfg.DataDir, cfg.StoreFile)
	if _, err := os.Stat(store); errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.NotFound, "there is no store %s: name the data directory of a host", store)
	}
	if InUse(ctx, cfg.DataDir, cfg.StoreFile) {
		return nil, fault.New(fault.Conflict, "a host uses %s", store)
	}
	if _, err := os.Lstat(filepath.Join(cfg.DataDir, "install.journal")); err == nil {
		return nil, fault.New(fault.Conflict, "an installation was interrupted in %s: start a host once, which completes or reverts it",
			cfg.DataDir)
	}
	cfg.Snapshot = func(ctx context.Context, target string) (datafile.Snapshot, error) {
		return datafile.CopyUnused(ctx, store, target)
	}
	cfg.Quiesce = nil
	return New(cfg)
}
