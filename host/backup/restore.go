package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berth-host/berth/host/backup/archive"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store/datafile"
	"github.com/berth-host/berth/host/store/logread"
	"github.com/berth-host/berth/host/store/schema"
)

// Restore makes a data directory of a backup and returns the backup's manifest. dir must be
// missing or empty. The directory gets its name when every byte and the store are checked
// and flushed: before, and after an error, nothing has the name. The store gets an id of its
// own, so that a host refuses to continue with files of the one that was copied.
// fault.Invalid: the backup is damaged, incomplete, or of a newer version. fault.Conflict:
// dir is not empty, or another Restore of it is under way. fault.Exhausted: the disk is too
// full.
func Restore(ctx context.Context, from io.Reader, dir, storeFile string) (restored Restored, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return Restored{}, fault.New(fault.Invalid, "restore: %w", err)
	}
	r := &restoration{storeFile: storeFile, dir: filepath.Join(filepath.Dir(dir), "."+filepath.Base(dir)+".restore")}
	if err := requireEmpty(dir); err != nil {
		return Restored{}, err
	}
	if err := r.begin(); err != nil {
		return Restored{}, err
	}
	defer func() { err = errors.Join(err, r.end()) }()
	if restored.Manifest, err = archive.Read(contextReader{ctx, from}, r); err != nil {
		return restored, err
	}
	if err := r.openStore(ctx, &restored); err != nil {
		return restored, err
	}
	return restored, r.commit(dir)
}

// Restored describes a data directory that was made of a backup.
type Restored struct {
	archive.Manifest
	// Unreadable are the ranges of events that could not be read when the backup was made, the
	// first 20: handlers stop there until an operator skips them.
	Unreadable []Range `json:"unreadable,omitempty"`
	// Outcomes are texts about the parts of the history that could not be read then.
	Outcomes []string `json:"unreadable_outcomes,omitempty"`
}

// Range is a range of events. Both ends are included.
type Range struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

// requireEmpty refuses a directory that has anything in it.
func requireEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fault.New(fault.Conflict, "restore into %s: it is not a directory that can be read: %w", dir, err)
	case len(entries) > 0:
		return fault.New(fault.Conflict, "restore into %s: the directory is not empty, and a restore replaces nothing: name a new one", dir)
	}
	return nil
}

// restoration is a data directory under another name. It implements archive.Sink.
type restoration struct {
	dir       string
	storeFile string
	lock      *os.File // the directory, locked
	renamed   bool
}

// begin creates the directory, and removes one that an interrupted restore has left.
func (r *restoration) begin() error {
	for range 2 {
		err := os.Mkdir(r.dir, 0o700)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return fault.Disk("create a directory beside the target", err)
		}
		made := err == nil
		if r.lock, err = os.Open(r.dir); err != nil {
			return fault.Disk("open the directory", err)
		}
		if unix.Flock(int(r.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
			return errors.Join(fault.New(fault.Conflict, "another restore into the directory is under way (%s)", r.dir), r.lock.Close())
		}
		if made {
			return nil
		}
		if err := errors.Join(os.RemoveAll(r.dir), r.lock.Close()); err != nil {
			return fault.Disk("remove an interrupted restore", err)
		}
	}
	return fault.New(fault.Conflict, "another restore into the directory is under way (%s)", r.dir)
}

// end removes what is not committed.
func (r *restoration) end() error {
	var err error
	if !r.renamed {
		err = fault.Disk("remove the incomplete directory", os.RemoveAll(r.dir))
	}
	return errors.Join(err, r.lock.Close())
}

// Begin implements archive.Sink. It refuses a backup that this program cannot use.
func (r *restoration) Begin(m archive.Manifest) error {
	if m.Store.Schema > schema.Latest() {
		return fault.New(fault.Invalid, "the backup was made by a newer Berth (%s, schema %d; this one knows %d): use that version",
			fault.Quote(m.Berth), m.Store.Schema, schema.Latest())
	}
	var need int64
	for _, f := range m.Files {
		need += f.Size
		if !allowed(f.Name, r.storeFile) {
			return fault.New(fault.Invalid, "the backup has the file %s, which no data directory has", fault.Quote(f.Name))
		}
		if digest, ok := strings.CutSuffix(path.Base(f.Name), ".wasm"); ok && path.Dir(f.Name) == modulesDir && digest != f.SHA256 {
			return fault.New(fault.Invalid, "the backup has a module %s with another digest", digest)
		}
	}
	if !slices.ContainsFunc(m.Files, func(f archive.File) bool { return f.Name == r.storeFile }) {
		return fault.New(fault.Invalid, "the backup has no store (%s)", r.storeFile)
	}
	if have, err := free(r.dir); err == nil && have < need {
		return fault.New(fault.Exhausted, "the disk of %s has %d MiB free, and the backup needs %d MiB: free some space", filepath.Dir(r.dir),
			have>>20, (need+1<<20-1)>>20)
	}
	return nil
}

// Create implements archive.Sink. Names have passed archive.CheckName and allowed.
func (r *restoration) Create(f archive.File) (io.WriteCloser, error) {
	target := filepath.Join(r.dir, filepath.FromSlash(f.Name))
	if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
		return nil, fault.Disk("create a directory", err)
	}
	file, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fault.Disk("create a file", err)
	}
	return flushed{file}, nil
}

// flushed is a file that is flushed before it is closed.
type flushed struct{ *os.File }

// Write implements io.Writer.
func (f flushed) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	return n, fault.Disk("write the file", err)
}

// Close flushes and closes the file.
func (f flushed) Close() error {
	return fault.Disk("flush the file", errors.Join(f.Sync(), f.File.Close()))
}

// openStore checks the store, gives it an id of its own, and notes what cannot be read in it.
func (r *restoration) openStore(ctx context.Context, restored *Restored) error {
	m, store := restored.Manifest, filepath.Join(r.dir, r.storeFile)
	want := datafile.Snapshot{Schema: m.Store.Schema, At: datafile.Position{Store: m.Store.ID, Seq: m.Store.Seq, Writes: m.Store.Writes}}
	schema, at, err := datafile.Examine(ctx, store)
	if err == nil && (datafile.Snapshot{Schema: schema, At: at}) != want {
		err = fmt.Errorf("it is not at the position of the manifest: %+v", at)
	}
	var found logread.Damage
	if err == nil {
		found, err = logread.Check(ctx, store)
	}
	switch {
	case ctx.Err() != nil:
		return fault.New(fault.Timeout, "check the store: %w", ctx.Err())
	case fault.Full(err) || fault.Is(err, fault.Exhausted):
		return fault.Disk("check the store", err)
	case err != nil:
		return fault.New(fault.Invalid, "the store in the backup is damaged: %w", err)
	case len(found.Pages) > 0:
		return fault.New(fault.Invalid, "the store in the backup is damaged: SQLite finds: %s", found.Pages[0])
	}
	for _, bad := range found.Events {
		restored.Unreadable = append(restored.Unreadable, Range{bad.Seq, bad.To})
	}
	for _, bad := range found.Outcomes {
		restored.Outcomes = append(restored.Outcomes, bad.Error())
	}
	_, err = datafile.Adopt(ctx, store)
	return err
}

// commit flushes the directories and gives the data directory its name.
func (r *restoration) commit(dir string) error {
	err := filepath.WalkDir(r.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		return syncDir(path)
	})
	if err != nil {
		return fault.Disk("flush the directories", err)
	}
	switch err := unix.Rename(r.dir, dir); { // os.Rename replaces no directory
	case errors.Is(err, unix.EBUSY):
		return fault.New(fault.Conflict, "%s is a mount point, which cannot be replaced: restore into a new directory in it, and use that as the "+
			"data directory", dir)
	case errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, fs.ErrExist):
		return fault.New(fault.Conflict, "%s is not empty any more: name a new directory", dir)
	case err != nil:
		return fault.Disk("name the data directory", err)
	}
	r.renamed = true
	return fault.Disk("flush the directory", syncDir(filepath.Dir(dir)))
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// contextReader ends reading when a context ends.
type contextReader struct {
	ctx  context.Context
	from io.Reader
}

// Read implements io.Reader.
func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.from.Read(p)
}
