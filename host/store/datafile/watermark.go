package datafile

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/berth-host/berth/host/fault"
)

// Position is the progress of a store: its id, the highest Seq of its log and the
// number of writes it has committed.
type Position struct {
	Store  string // 32 hex digits; "" before schema 8
	Seq    uint64
	Writes uint64
}

// watermark is the file beside the data file that has the last acknowledged
// position, so that a start can distinguish a data file that lacks writes from a
// complete one. The writer overwrites it in place after each commit and before it
// acknowledges, so it is never ahead of the durable position; it survives the process,
// and sync flushes it about once a second. After a power failure it may be behind the
// data file, which is valid.
//
// A watermark that cannot be written fails no commit. Safe for concurrent use.
type watermark struct {
	name string
	log  *slog.Logger

	mu      sync.Mutex // a leaf
	file    *os.File   // nil: it could not be opened
	text    []byte     // the record that was written last
	dirty   bool       // it is not flushed
	made    bool       // the file was made, and its name is not flushed
	failing bool       // the last write failed, and the log says so
}

const (
	WatermarkSuffix = ".watermark" // of the watermark's name, after the data file's
	watermarkFormat = "berth-watermark-1 %32s %020d %020d"
	watermarkSize   = 17 + 1 + 32 + 1 + 20 + 1 + 20 + 1 + 8 + 1 // with the checksum and a line feed
)

// appendWatermark appends the record of a position to b. Every record has the
// same length, so that overwriting one needs no capacity on the disk.
func appendWatermark(b []byte, p Position) []byte {
	from := len(b)
	b = fmt.Appendf(b, watermarkFormat, p.Store, p.Seq, p.Writes)
	return fmt.Appendf(b, " %08x\n", crc32.ChecksumIEEE(b[from:]))
}

// parseWatermark reads what appendWatermark wrote, and nothing else.
func parseWatermark(text []byte) (p Position, err error) {
	_, err = fmt.Sscanf(string(text), watermarkFormat, &p.Store, &p.Seq, &p.Writes)
	if err != nil || string(appendWatermark(nil, p)) != string(text) {
		return Position{}, fault.New(fault.Internal, "watermark damaged")
	}
	return p, nil
}

// ReadWatermark returns the acknowledged position beside a data file, and whether
// the watermark exists. One that exists and cannot be read is an error.
func ReadWatermark(path string) (p Position, found bool, err error) {
	name := path + WatermarkSuffix
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return Position{}, false, nil
	}
	if err != nil {
		return Position{}, true, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, watermarkSize+1))
	if err == nil {
		p, err = parseWatermark(text)
	}
	if err != nil {
		return Position{}, true, fmt.Errorf("%s: %w", name, err)
	}
	return p, true, nil
}

// record overwrites the watermark. Only the writer calls it, after a commit.
func (w *watermark) record(p Position) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = appendWatermark(w.text[:0], p)
	w.write()
}

func (w *watermark) write() {
	if w.file == nil {
		return
	}
	_, err := w.file.WriteAt(w.text, 0)
	w.dirty = w.dirty || err == nil
	w.report(err)
}

// report logs that the watermark cannot be written, or that it can be again.
func (w *watermark) report(err error) {
	switch {
	case err != nil && !w.failing:
		w.log.Warn("watermark not written; a start after a crash may not detect that acknowledged events are missing", "path", w.name,
			"error", err)
	case err == nil && w.failing:
		w.log.Info("watermark written again", "path", w.name)
	}
	w.failing = err != nil
}

// sync flushes the watermark. If it is missing and the store is attached, sync creates
// it again; a detached store does not use the name, which another store may have by
// now. Before the first sync a power failure can leave none, which is valid.
func (w *watermark) sync(attached bool) {
	w.mu.Lock()
	if attached && (w.file == nil || !sameFile(w.name, w.file)) {
		w.release()
		w.report(w.open())
	}
	f, dirty, made := w.file, w.dirty, w.made
	w.dirty, w.made = false, false
	w.mu.Unlock() // the writer must not wait for a flush
	if f != nil && dirty {
		_ = f.Sync()
	}
	if f != nil && made {
		_ = syncDir(filepath.Dir(w.name))
	}
}

// open creates or opens the file and writes the present record. The caller holds mu,
// or has the only reference.
func (w *watermark) open() error {
	f, err := os.OpenFile(w.name, os.O_WRONLY|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(w.text, 0); err == nil {
		err = f.Truncate(int64(len(w.text)))
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	w.file, w.dirty, w.made = f, true, true
	return nil
}

// close closes the file, if it was opened.
func (w *watermark) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.release()
}

func (w *watermark) release() {
	if w.file != nil {
		_ = w.file.Close() // one that is behind is no error
		w.file = nil
	}
}

// sameFile reports whether a name still leads to an open file.
func sameFile(name string, f *os.File) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(name)
	return err == nil && os.SameFile(open, named)
}

// syncDir flushes a directory, which makes the names in it durable.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
