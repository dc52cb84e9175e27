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

// entries is the cache's directory. Each module that passed has a directory
// named by its key, which was renamed into place when it was complete: the
// verdict, and the metered module and its code, which the child left there.
// Nobody else may write there, which is what makes an entry authentic; the sums
// find damage.
type entries struct{ dir string }

const (
	verdictFile = "verdict.json"
	meteredFile = "metered.wasm" // its digest is in the Report
	unfinished  = ".vetting-"    // begins the name of a child's directory
	maxVerdict  = 2 * maxReport
	maxMetered  = 1 << 30 // a module is at most some times larger when metered
	keepUnused  = 30 * 24 * time.Hour
	keepDead    = time.Hour // an unfinished entry; a child lives for seconds
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

// openEntries makes sure that nobody else can put code into dir.
func openEntries(dir string) (entries, error) {
	dir, err := filepath.Abs(dir) // children work in other directories
	if err != nil {
		return entries{}, err
	}
	if err := os.MkdirAll(dir, 0o700); fault.Full(err) {
		return entries{dir}, nil // begin makes it when there is space
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
		return entries{}, fault.New(fault.Denied, "%s has mode %04o: others could put code there that Berth would run; chmod 700 it", dir, mode)
	}
	return entries{dir}, nil
}

func (e entries) path(name key) string { return filepath.Join(e.dir, hex.EncodeToString(name[:])) }

// begin makes a directory for a child. remove removes it, if it still is there.
func (e entries) begin() (dir string, remove func(), err error) {
	if err := os.MkdirAll(e.dir, 0o700); err != nil { // removed, or there was no space for it at the start
		return "", nil, err
	}
	dir, err = os.MkdirTemp(e.dir, unfinished)
	return dir, func() { _ = os.RemoveAll(dir) }, err
}

// add makes an entry of a child's directory.
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
	place := e.path(name)
	err = os.Rename(dir, place)
	if err != nil {
		// A damaged entry, or one that another process has made meanwhile.
		if err = os.RemoveAll(place); err == nil {
			err = os.Rename(dir, place)
		}
	}
	return err
}

// codeFile describes the file that the compiler left somewhere below dir.
func codeFile(dir string) (file, error) {
	var found []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != meteredFile {
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

// load finds an entry; ok is false if there is none. An entry that is not whole
// is an error.
func (e entries) load(name key) (v Verdict, ok bool, err error) {
	dir := e.path(name)
	path := filepath.Join(dir, verdictFile)
	text, err := readAtMost(path, maxVerdict)
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
	// Others may have been able to write here before, when the directory's mode was
	// another.
	for _, path := range []string{dir, path, filepath.Join(dir, meteredFile), filepath.Join(dir, r.Code.Path)} {
		if err := own(path); err != nil {
			return v, false, err
		}
	}
	v = Verdict{Report: r.Report, CodeDir: dir, key: name}
	metered := filepath.Join(dir, meteredFile)
	if v.Metered, err = readAtMost(metered, maxMetered); err != nil {
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
	_ = os.Chtimes(path, now, now) // it is in use
	return v, true, nil
}

// own refuses what is another user's, or can be written by others.
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

// drop removes an entry.
func (e entries) drop(name key) error { return os.RemoveAll(e.path(name)) }

// tidy removes entries that were not used for long, and what killed hosts left.
func (e entries) tidy(now time.Time) {
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

// readAtMost reads a file of at most limit bytes.
func readAtMost(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s is over %d bytes", path, limit)
	}
	return os.ReadFile(path)
}

// sumFile is a file's size and CRC-32C.
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
