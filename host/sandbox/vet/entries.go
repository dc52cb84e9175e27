package vet

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/berth-host/berth/host/fault"
)

// entries is the cache's directory. Each module that passed has a directory
// named by its key, which was renamed into place when it was complete: the
// verdict, and the code the child compiled. Nobody else may write there, which
// is what makes an entry authentic; checksums find damage.
type entries struct{ dir string }

const (
	verdictFile = "verdict.json"
	unfinished  = ".vetting-" // begins the name of a child's directory
	maxVerdict  = 2 * maxReport
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
	Path   string `json:"path"` // from the entry's directory
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// openEntries makes sure that nobody else can put code into dir.
func openEntries(dir string) (entries, error) {
	dir, err := filepath.Abs(dir) // children work in other directories
	if err != nil {
		return entries{}, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return entries{}, err
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
	dir, err = os.MkdirTemp(e.dir, unfinished)
	return dir, func() { _ = os.RemoveAll(dir) }, err
}

// add makes an entry of a child's directory.
func (e entries) add(name key, dir string, report Report) (string, error) {
	code, err := onlyFile(dir)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(record{Format: format, Report: report, Code: code})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, verdictFile), text, 0o600); err != nil {
		return "", err
	}
	place := e.path(name)
	err = os.Rename(dir, place)
	if errors.Is(err, fs.ErrExist) {
		// Another process of this user has vetted the same module.
		if err = os.RemoveAll(place); err == nil {
			err = os.Rename(dir, place)
		}
	}
	return place, err
}

// onlyFile describes the one file below dir: what the compiler left.
func onlyFile(dir string) (file, error) {
	var found []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
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
	return file{Path: path, Size: size, SHA256: sum}, err
}

// load finds an entry and the directory of its code, "" if there is none. An
// entry that is not whole is an error.
func (e entries) load(name key) (Report, string, error) {
	dir := e.path(name)
	path := filepath.Join(dir, verdictFile)
	text, err := readAtMost(path, maxVerdict)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
			return Report{}, "", nil
		}
	}
	if err != nil {
		return Report{}, "", err
	}
	var r record
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		return Report{}, "", fmt.Errorf("%s: %w", path, err)
	}
	if r.Format != format || r.Report.Error != nil || !filepath.IsLocal(r.Code.Path) {
		return Report{}, "", fmt.Errorf("%s is not a verdict of this version", path)
	}
	code := filepath.Join(dir, r.Code.Path)
	size, sum, err := sumFile(code)
	if err != nil {
		return Report{}, "", err
	}
	if size != r.Code.Size || sum != r.Code.SHA256 {
		return Report{}, "", fmt.Errorf("%s is damaged: %d bytes with SHA-256 %s, not %d with %s", code, size, sum, r.Code.Size, r.Code.SHA256)
	}
	now := time.Now()
	_ = os.Chtimes(path, now, now) // it is in use
	return r.Report, dir, nil
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

func readAtMost(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("%s is over %d bytes", path, limit)
	}
	return text, err
}

func sumFile(path string) (size int64, sum string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	h := sha256.New()
	if size, err = io.Copy(h, f); err != nil {
		return 0, "", err
	}
	return size, hex.EncodeToString(h.Sum(nil)), nil
}
