package repair

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store/datafile"
)

const (
	asideSuffix = ".damaged-" // of the directory for the damaged files
	asideTime   = "20060102T150405.000000Z"
)

// files are the suffixes of the files of a store that go together. The WAL comes first:
// beside another data file SQLite would apply it to that.
var files = []string{"-wal", "-shm", ""}

// Aside returns the directory to which Replace moves the damaged files at a time.
func Aside(path string, now time.Time) string {
	return path + asideSuffix + now.UTC().Format(asideTime)
}

// Replace puts a repaired store in the place of the damaged one, whose files it keeps in the
// directory aside. The watermark stays: the new store has its position. Nobody may be using
// the store. After an interruption a start finds no store, or refuses it, and Run says
// which files to move back.
func Replace(path, repaired, aside string) (err error) {
	release, err := datafile.Exclude(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	if err := os.Mkdir(aside, 0o700); err != nil {
		return fault.Disk("create a directory for the damaged files", err)
	}
	for _, suffix := range files {
		err := os.Rename(path+suffix, filepath.Join(aside, filepath.Base(path)+suffix))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fault.New(fault.Unavailable, "%w", err)
		}
	}
	if err := errors.Join(syncDir(aside), os.Rename(repaired, path), syncDir(filepath.Dir(path))); err != nil {
		return fault.New(fault.Unavailable, "%w", err)
	}
	return nil
}

// interrupted returns an error when a Replace ended in the middle.
func interrupted(path string) error {
	dirs, err := filepath.Glob(escape(path) + asideSuffix + "*")
	if err != nil {
		return fault.New(fault.Internal, "%w", err)
	}
	for _, dir := range dirs {
		_, there := os.Lstat(filepath.Join(dir, filepath.Base(path)))
		_, named := os.Lstat(path)
		moved, err := os.ReadDir(dir)
		if err != nil || len(moved) == 0 {
			continue
		}
		if there != nil || named != nil {
			return fault.New(fault.Conflict, "an earlier repair was interrupted while it moved the files: move them back (mv %s/* %s/), and repair again",
				dir, filepath.Dir(path))
		}
	}
	return nil
}

// escape escapes a path for filepath.Glob.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}
