package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/berth-host/berth/host/backup/archive"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store/datafile"
	"github.com/berth-host/berth/host/store/logread"
)

// Config sets up Backups. Fields without a default are required.
type Config struct {
	DataDir   string
	StoreFile string // the name of the store in DataDir
	Version   string // of the program

	// Snapshot writes a copy of the store into an empty file. nil: the host has no store on
	// disk.
	Snapshot func(ctx context.Context, target string) (datafile.Snapshot, error)
	// Refusal says why there is no Snapshot, and what to do.
	Refusal string
	// Settings returns the configuration file and the watched directories in force. The file
	// may be missing.
	Settings func() (file string, watched []string)
	// Quiesce excludes installations until resume is called. nil: there are none.
	Quiesce func(ctx context.Context) (resume func(), err error)

	Now func() time.Time // nil: time.Now
	// Free returns the free bytes of a directory's disk. nil: it asks the file system.
	Free func(dir string) (int64, error)
}

// Backups makes backups, one at a time. It is safe for concurrent use.
type Backups struct {
	cfg  Config
	busy chan struct{} // contains a token while a Backup is open
}

// New returns Backups of a data directory, and removes the work directory of a backup that
// the end of the process has interrupted. The caller must be the only user of the data
// directory.
func New(cfg Config) (*Backups, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Free == nil {
		cfg.Free = free
	}
	b := &Backups{cfg: cfg, busy: make(chan struct{}, 1)}
	return b, fault.Disk("remove an interrupted backup", os.RemoveAll(b.work()))
}

// work returns the work directory.
func (b *Backups) work() string { return filepath.Join(b.cfg.DataDir, ".backup") }

// Backup is a backup in the work directory.
type Backup struct {
	archive.Manifest
	writer *archive.Writer
	dir    string
	close  func() error
}

// Make makes a backup of the data directory as it is now: it has every write that the store
// acknowledged before the call. The caller must close it. It needs as much free disk space
// as the store has, until then. fault.Conflict: another Backup is open, or the host has no
// store on disk. fault.Exhausted: the disk has not enough free space, and nothing of it is
// used. fault.Unavailable: the store is damaged, or cannot be read.
func (b *Backups) Make(ctx context.Context) (_ *Backup, err error) {
	if b.cfg.Snapshot == nil {
		return nil, fault.New(fault.Conflict, "%s", b.cfg.Refusal)
	}
	select {
	case b.busy <- struct{}{}:
	default:
		return nil, fault.New(fault.Conflict, "another backup is under way: wait until it is complete")
	}
	made := &Backup{dir: b.work(), close: func() error {
		defer func() { <-b.busy }()
		return fault.Disk("remove the work directory of the backup", os.RemoveAll(b.work()))
	}}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("make a backup: %w", err), made.close())
		}
	}()
	c := &collection{cfg: b.cfg, dir: made.dir}
	if err := b.collect(ctx, c); err != nil {
		return nil, err
	}
	made.Manifest = c.manifest()
	made.writer, err = archive.NewWriter(made.Manifest)
	return made, err
}

// collect fills the work directory.
func (b *Backups) collect(ctx context.Context, c *collection) error {
	if err := errors.Join(os.RemoveAll(c.dir), os.Mkdir(c.dir, 0o700)); err != nil {
		return fault.Disk("create the work directory", err)
	}
	if b.cfg.Quiesce != nil {
		resume, err := b.cfg.Quiesce(ctx)
		if err != nil {
			return err
		}
		defer resume()
	}
	for _, step := range []func(context.Context) error{c.checkDisk, c.addConfig, c.addDataFiles, c.addWatched, c.addStore} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// checkStore compares the position of a copy of a store with the one that it must have, and
// reads all its pages.
func checkStore(ctx context.Context, path string, want datafile.Snapshot) error {
	schema, at, err := datafile.Examine(ctx, path)
	if err == nil && (schema != want.Schema || at != want.At) {
		err = fmt.Errorf("it is at event %d, write %d of the store %s, and not at event %d, write %d of %s", at.Seq, at.Writes, at.Store,
			want.At.Seq, want.At.Writes, want.At.Store)
	}
	var problems []string
	if err == nil {
		problems, err = logread.CheckPages(ctx, path)
	}
	switch {
	case ctx.Err() != nil:
		return fault.New(fault.Timeout, "check the copy of the store: %w", ctx.Err())
	case fault.Full(err) || fault.Is(err, fault.Exhausted):
		return fault.Disk("check the copy of the store", err)
	case err != nil:
		return damagedStore(err)
	case len(problems) > 0:
		return damagedStore(fmt.Errorf("SQLite finds: %s", problems[0]))
	}
	return nil
}

// damagedStore is the error of a store that is not backed up because it is damaged.
func damagedStore(err error) error {
	return fault.New(fault.Unavailable, "the store is damaged, and no backup is made of it: run berth doctor: %w", err)
}

// Name returns a name for the archive's file.
func (b *Backup) Name() string { return "berth-" + b.CreatedAt.Format("20060102T150405Z") + ".tar" }

// Summary returns what the audit log records of the backup.
func (b *Backup) Summary() any {
	return map[string]any{"store": b.Store, "files": len(b.Files), "bytes": b.Size()}
}

// Size returns the size of the archive in bytes.
func (b *Backup) Size() int64 { return b.writer.Size() }

// Write writes the archive.
func (b *Backup) Write(to io.Writer) error {
	return b.writer.Write(to, func(name string) (io.ReadCloser, error) {
		return os.Open(filepath.Join(b.dir, filepath.FromSlash(name)))
	})
}

// Close removes the work directory. Another backup can be made afterwards.
func (b *Backup) Close() error { return b.close() }
