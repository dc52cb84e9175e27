package install

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pathguard"
	"github.com/berth-host/berth/host/spec"
)

const (
	storeDir = ".store/sha256"
	partDir  = "downloads"
)

// store reads and writes this package's files in the data directory. Methods that write
// return coded errors (see coded). Paths consist of digests and constants, and stay inside
// the directory (os.Root).
type store struct {
	root *os.Root
	dir  string // absolute
	sync func(*os.File) error
}

func newStore(root *os.Root, dir string) store { return store{root, dir, (*os.File).Sync} }

func storePath(digest string) string { return storeDir + "/" + digest + ".wasm" }

func partPath(digest string) string { return partDir + "/" + digest + ".part" }

// file returns the absolute path of a stored module.
func (s store) file(digest string) string {
	return filepath.Join(s.dir, filepath.FromSlash(storePath(digest)))
}

// open opens a regular file; fs.ErrNotExist if there is none.
func (s store) open(name string, flag int) (*os.File, error) {
	before, err := s.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !before.Mode().IsRegular() {
		return nil, fault.New(fault.Conflict, "%s is not a regular file; remove it", name)
	}
	f, err := s.root.OpenFile(name, flag|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	after, err := f.Stat()
	if err == nil && !os.SameFile(before, after) {
		err = fault.New(fault.Conflict, "%s was replaced while it was opened", name)
	}
	if err == nil {
		err = pathguard.Owner(filepath.Join(s.dir, filepath.FromSlash(name)), after)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// lacks reports whether no file has the name.
func (s store) lacks(name string) bool {
	_, err := s.root.Lstat(name)
	return errors.Is(err, fs.ErrNotExist)
}

// read returns a regular file of at most max bytes.
func (s store) read(name string, max int64) ([]byte, error) {
	f, err := s.open(name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, max+1))
	if err == nil && int64(len(content)) > max {
		err = fault.New(fault.Conflict, "%s is over %d bytes", name, max)
	}
	return content, err
}

// verify hashes a stored module. The error describes the damage.
func (s store) verify(digest string) error {
	f, err := s.open(storePath(digest), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return errMissing
	}
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	return matches(hex.EncodeToString(h.Sum(nil)), digest)
}

// load reads a stored module of at most max bytes. The error describes the damage.
func (s store) load(digest string, max int64) (spec.Artifact, error) {
	wasm, err := s.read(storePath(digest), max)
	if errors.Is(err, fs.ErrNotExist) {
		return spec.Artifact{}, errMissing
	}
	if err != nil {
		return spec.Artifact{}, err
	}
	module := spec.NewArtifact(wasm)
	return module, matches(module.SHA256(), digest)
}

var errMissing = errors.New("its stored file is missing")

// matches returns an error if the digest of a stored module differs from its name.
func matches(got, digest string) error {
	if got != digest {
		return fmt.Errorf("its stored file does not match the lock: it has the SHA-256 %s", got)
	}
	return nil
}

// adopt moves a finished download into the store, durably.
func (s store) adopt(digest string) (err error) {
	defer func() { err = coded(err) }()
	f, err := s.open(partPath(digest), os.O_RDWR)
	if err != nil {
		return err
	}
	if err := errors.Join(s.sync(f), f.Close()); err != nil {
		return err
	}
	if err := s.makeDir(storeDir); err != nil {
		return err
	}
	if err := s.root.Rename(partPath(digest), storePath(digest)); err != nil {
		return err
	}
	return s.syncDir(storeDir)
}

// writePart writes a finished download, for adopt.
func (s store) writePart(digest string, content []byte) error {
	f, err := s.root.OpenFile(partPath(digest), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return coded(err)
	}
	_, err = f.Write(content)
	return coded(errors.Join(err, f.Close()))
}

// makeDir creates a directory and its parents, durably.
func (s store) makeDir(name string) (err error) {
	defer func() { err = coded(err) }()
	if _, err := s.root.Stat(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := path.Dir(name)
	if parent != "." {
		if err := s.makeDir(parent); err != nil {
			return err
		}
	}
	if err := s.root.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return s.syncDir(parent)
}

// digests returns the digests of the stored modules.
func (s store) digests() ([]string, error) {
	d, err := s.root.Open(storeDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	var list []string
	for _, name := range names {
		if digest, ok := strings.CutSuffix(name, ".wasm"); ok && validDigest(digest) {
			list = append(list, digest)
		}
	}
	return list, err
}

// write replaces a file of the data directory atomically and durably. After an error it
// has the old or the new contents.
func (s store) write(name string, data []byte) (err error) {
	defer func() { err = coded(err) }()
	temp := "." + name + "." + rand.Text() + ".tmp"
	f, err := s.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, bytes.NewReader(data))
	if err == nil {
		err = s.sync(f)
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = s.root.Rename(temp, name)
	}
	if err != nil {
		return errors.Join(err, s.root.Remove(temp))
	}
	return s.syncDir(".")
}

// dropTemps removes the temporary files of interrupted writes. The caller is the only
// writer.
func (s store) dropTemps(names ...string) error {
	entries, err := fs.ReadDir(s.root.FS(), ".")
	for _, e := range entries {
		for _, name := range names {
			if strings.HasPrefix(e.Name(), "."+name+".") && strings.HasSuffix(e.Name(), ".tmp") {
				err = errors.Join(err, s.root.Remove(e.Name()))
			}
		}
	}
	return err
}

// remove removes a file durably. A missing file is no error.
func (s store) remove(name string) error {
	err := s.root.Remove(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = s.syncDir(path.Dir(name))
	}
	return coded(err)
}

func (s store) syncDir(name string) error {
	d, err := s.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(s.sync(d), d.Close())
}

// coded adds a code to an error of the file system.
func coded(err error) error {
	var known *fault.Error
	if errors.As(err, &known) {
		return err
	}
	return fault.Disk("the data directory", err)
}
