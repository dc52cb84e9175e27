package vet

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pathguard"
)

// entries is the cache directory. Each module that passed has a subdirectory named
// by its key, renamed into place when it was complete. It holds the verdict, and the
// metered module and its code as the child wrote them. No other user may write there,
// which makes an entry authentic; the checksums detect damage.
type entries struct{ dir string }

const (
	verdictFile = "verdict.json"
	meteredFile = "metered.wasm" // its digest is in the Report
	// originalFile is the module itself, if it is traceable: source lines are found by it. The
	// file that it was loaded from may be gone by then.
	originalFile = "original.wasm"
	unfinished   = ".vetting-" // prefix of a child's directory
	maxVerdict   = 2 * maxReport
	maxMetered   = 1 << 30 // bytes
	keepUnused   = 30 * 24 * time.Hour
	keepDead     = time.Hour // of an unfinished entry; a child lives for seconds
)

// record is the contents of an entry's verdictFile.
type record struct {
	Format int    `json:"format"`
	Report Report `json:"report"`
	Code   file   `json:"code"`
}

// file is a file of an entry.
type file struct {
	Path string `json:"path"` // from the entry's directory
	Size int64  `json:"size"`
	CRC  uint32 `json:"crc32c"`
}

// openEntries creates dir and refuses it if another user could write code there.
func openEntries(dir string) (entries, error) {
	dir, err := filepath.Abs(dir) // children work in other directories
	if err != nil {
		return entries{}, err
	}
	if err := os.MkdirAll(dir, 0o700); fault.Full(err) {
		return entries{dir}, nil // begin creates it once the disk has free space
	} else if err != nil {
		return entries{}, err
	}
	if err := pathguard.Check(dir); err != nil {
		return entries{}, fault.New(fault.CodeOf(err), "others could put code there that Berth would run: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return entries{}, err
	}
	if !info.IsDir() {
		return entries{}, fault.New(fault.Invalid, "%s is not a directory", dir)
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return entries{}, fault.New(fault.Denied, "%s has mode %04o: others could put code there that Berth would run; chmod 700 it",
			dir, mode)
	}
	return entries{dir}, nil
}

func (e entries) path(name key) string { return filepath.Join(e.dir, hex.EncodeToString(name[:])) }

// begin creates a directory for a child. remove removes it if it still exists.
func (e entries) begin() (dir string, remove func(), err error) {
	if err := os.MkdirAll(e.dir, 0o700); err != nil { // removed since, or the disk was full at the start
		return "", nil, err
	}
	dir, err = os.MkdirTemp(e.dir, unfinished)
	return dir, func() { _ = os.RemoveAll(dir) }, err
}

// add turns a child's directory into an entry.
func (e entries) add(name key, dir string, report Report) error {
	code, err := codeFile(dir)
	if err != nil {
		return err
	}
	text, err := json.Marshal(record{Format: format, Report: report, Code: code})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, verdictFile), text, 0o600); err != nil {
		return err
	}
	target := e.path(name)
	err = os.Rename(dir, target)
	if err != nil {
		// A damaged entry, or one that another process added in the meantime.
		if err = os.RemoveAll(target); err == nil {
			err = os.Rename(dir, target)
		}
	}
	return err
}

// codeFile describes the one file that the compiler wrote below dir.
func codeFile(dir string) (file, error) {
	var found []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != meteredFile && d.Name() != originalFile {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		return file{}, err
	}
	if len(found) != 1 {
		return file{}, fmt.Errorf("the child left %d files instead of its compiled code", len(found))
	}
	size, sum, err := sumFile(found[0])
	if err != nil {
		return file{}, err
	}
	path, err := filepath.Rel(dir, found[0])
	return file{Path: path, Size: size, CRC: sum}, err
}

// load reads an entry and marks it used; ok is false if there is none. An incomplete
// or damaged entry is an error.
func (e entries) load(name key) (v Verdict, ok bool, err error) {
	dir := e.path(name)
	path := filepath.Join(dir, verdictFile)
	text, err := readLimited(path, maxVerdict)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
			return v, false, nil
		}
	}
	if err != nil {
		return v, false, err
	}
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return v, false, fmt.Errorf("%s: %w", path, err)
	}
	if r.Format != format || r.Report.Error != nil || !filepath.IsLocal(r.Code.Path) {
		return v, false, fmt.Errorf("%s is not a verdict of this version", path)
	}
	// Other users may have been able to write here while the directory had another mode.
	for _, path := range []string{dir, path, filepath.Join(dir, meteredFile), filepath.Join(dir, r.Code.Path)} {
		if err := own(path); err != nil {
			return v, false, err
		}
	}
	v = Verdict{Report: r.Report, CodeDir: dir, key: name}
	metered := filepath.Join(dir, meteredFile)
	if v.Metered, err = readLimited(metered, maxMetered); err != nil {
		return v, false, err
	}
	if digest(v.Metered) != r.Report.Metered {
		return v, false, fmt.Errorf("%s is damaged", metered)
	}
	code := filepath.Join(dir, r.Code.Path)
	size, sum, err := sumFile(code)
	if err != nil {
		return v, false, err
	}
	if size != r.Code.Size || sum != r.Code.CRC {
		return v, false, fmt.Errorf("%s is damaged: %d bytes with CRC %08x, not %d with %08x", code, size, sum, r.Code.Size, r.Code.CRC)
	}
	now := time.Now()
	_ = os.Chtimes(path, now, now)
	return v, true, nil
}

// own refuses a file that belongs to another user or that others can write.
func own(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if mode := info.Mode(); mode&fs.ModeSymlink != 0 || mode.Perm()&0o022 != 0 {
		return fmt.Errorf("%s has mode %v: others could have changed it", path, mode)
	}
	return pathguard.Owner(path, info)
}

// remove removes an entry.
func (e entries) remove(name key) error { return os.RemoveAll(e.path(name)) }

// prune removes entries unused for keepUnused and the directories of killed children.
func (e entries) prune(now time.Time) {
	list, err := os.ReadDir(e.dir)
	if err != nil {
		return
	}
	for _, d := range list {
		path, look, keep := filepath.Join(e.dir, d.Name()), "", keepUnused
		switch {
		case strings.HasPrefix(d.Name(), unfinished):
			look, keep = path, keepDead
		case len(d.Name()) == hex.EncodedLen(len(key{})):
			look = filepath.Join(path, verdictFile)
		default:
			continue
		}
		if info, err := os.Stat(look); err == nil && now.Sub(info.ModTime()) > keep {
			_ = os.RemoveAll(path)
		}
	}
}

// readLimited reads a file. More than limit bytes are an error.
func readLimited(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s is over %d bytes", path, limit)
	}
	return os.ReadFile(path)
}

// sumFile returns a file's size in bytes and its CRC-32C.
func sumFile(path string) (size int64, sum uint32, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	h := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	if size, err = io.Copy(h, f); err != nil {
		return 0, 0, err
	}
	return size, h.Sum32(), nil
}
