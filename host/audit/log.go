package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// File is the name of the log in the data directory. Rotated files are File.1, the
// newest, File.2, and so on.
const File = "audit.log"

// The stages of a change.
const (
	Begin   = "begin"   // requested, not made yet
	End     = "end"     // made, or failed
	Refused = "refused" // not allowed, not made
)

// Record is one line.
type Record = wire.AuditRecord

// Limits of a log.
const (
	maxSize  = 16 << 20  // bytes of a file, by default
	keep     = 4         // rotated files, by default: 80 MiB in all
	maxLine  = 128 << 10 // bytes of a record, above the sum of its truncated parts
	maxField = 8 << 10   // bytes of Asked, Before and After
	maxText  = 1 << 10   // bytes of every other text
	cut      = `"(cut)"` // replaces a field that is too long
)

// Config configures a Log.
type Config struct {
	Path     string // of the file; its directory must exist
	MaxSize  int64  // of a file before it is rotated, in bytes; 0: 16 MiB
	Keep     int    // number of rotated files; 0: 4
	NoRotate bool   // append only, for a process beside the host
	Host     string // the name that every record gets; "" for none
}

// Log appends records. It is safe for concurrent use, also by several processes
// if at most one of them rotates.
type Log struct {
	cfg  Config
	disk disk
	mu   sync.Mutex
}

// New returns the log of a file, which need not exist.
func New(cfg Config) *Log {
	if cfg.MaxSize <= 0 {
		cfg.MaxSize = maxSize
	}
	if cfg.Keep <= 0 {
		cfg.Keep = keep
	}
	return &Log{cfg: cfg, disk: realDisk{}}
}

// disk is the file system as Append uses it. Tests make single steps fail.
type disk interface {
	open(path string) (*os.File, error)
	write(f *os.File, line []byte) error
	sync(f *os.File) error
	rename(from, to string) error
}

type realDisk struct{}

func (realDisk) open(path string) (*os.File, error) {
	// Follow no link, and do not wait for the reader of a pipe.
	return os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
}

func (realDisk) write(f *os.File, line []byte) error {
	_, err := f.Write(line)
	return err
}

func (realDisk) sync(f *os.File) error        { return f.Sync() }
func (realDisk) rename(from, to string) error { return os.Rename(from, to) }

// Append writes one record. It truncates long fields and sets a zero At to now. When
// it returns nil the record is on disk. Errors are fault.Exhausted for a full disk,
// else fault.Unavailable.
func (l *Log) Append(r Record) error { return l.AppendAll([]Record{r}) }

// AppendAll is Append for several records with one fsync. After an error a part of
// them may be in the log.
func (l *Log) AppendAll(records []Record) error {
	var lines []byte
	for _, r := range records {
		r.Host = l.cfg.Host
		line, err := encode(r)
		if err != nil {
			return err
		}
		lines = append(lines, line...)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.append(lines); err != nil {
		return fault.Disk("write audit log "+l.cfg.Path, err)
	}
	return nil
}

// append writes complete lines, and rotates the file first when it is due.
func (l *Log) append(lines []byte) (err error) {
	f, size, err := l.open()
	if err != nil {
		return err
	}
	if !l.cfg.NoRotate && size > 0 && size+int64(len(lines)) > l.cfg.MaxSize {
		if err := errors.Join(f.Close(), l.rotate()); err != nil {
			return err
		}
		if f, size, err = l.open(); err != nil {
			return err
		}
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if torn, err := endsTorn(f, size); err != nil {
		return err
	} else if torn { // end the partial line of an interrupted write
		lines = append([]byte("\n"), lines...)
	}
	if err := l.disk.write(f, lines); err != nil {
		return err
	}
	if err := l.disk.sync(f); err != nil {
		return err
	}
	if size == 0 {
		return syncDir(filepath.Dir(l.cfg.Path))
	}
	return nil
}

func (l *Log) open() (*os.File, int64, error) {
	f, err := l.disk.open(l.cfg.Path)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = errors.New("not a regular file")
	case info.Mode().Perm()&0o077 != 0:
		err = fmt.Errorf("other users can use it (mode %04o); run chmod 600", info.Mode().Perm())
	default:
		return f, info.Size(), nil
	}
	return nil, 0, errors.Join(err, f.Close())
}

func endsTorn(f *os.File, size int64) (bool, error) {
	if size == 0 {
		return false, nil
	}
	var last [1]byte
	if _, err := f.ReadAt(last[:], size-1); err != nil {
		return false, err
	}
	return last[0] != '\n', nil
}

// rotate renames the files, which replaces the oldest.
func (l *Log) rotate() error {
	for n := l.cfg.Keep - 1; n >= 1; n-- {
		err := l.disk.rename(Older(l.cfg.Path, n), Older(l.cfg.Path, n+1))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := l.disk.rename(l.cfg.Path, Older(l.cfg.Path, 1)); err != nil {
		return err
	}
	return syncDir(filepath.Dir(l.cfg.Path))
}

// Older returns the path of the n-th rotated file; 1 is the newest.
func Older(path string, n int) string { return fmt.Sprintf("%s.%d", path, n) }

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// encode returns a record's line, with every part bounded.
func encode(r Record) ([]byte, error) {
	if r.At.IsZero() {
		r.At = time.Now()
	}
	r.At = r.At.UTC()
	for _, field := range []*json.RawMessage{&r.Asked, &r.Before, &r.After} {
		if len(*field) > maxField {
			*field = json.RawMessage(cut)
		}
	}
	for _, text := range []*string{&r.ID, &r.Action, &r.Target, &r.Who, &r.TokenID, &r.Remote, &r.Request, &r.Error} {
		if len(*text) > maxText {
			*text = (*text)[:maxText] + "…"
		}
	}
	line, err := json.Marshal(r)
	if err != nil {
		return nil, fault.New(fault.Internal, "encode audit record: %w", err)
	}
	if len(line) > maxLine || bytes.IndexByte(line, '\n') >= 0 {
		return nil, fault.New(fault.Internal, "encode audit record: %d bytes do not fit into a line", len(line))
	}
	return append(line, '\n'), nil
}
