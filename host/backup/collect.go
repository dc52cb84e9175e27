package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berth-host/berth/host/backup/archive"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store/datafile"
)

const (
	// reserve is the disk space that a backup leaves to the host, in bytes.
	reserve = 64 << 20
	// diskInterval is the time between two checks of the disk space.
	diskInterval = 100 * time.Millisecond
	// maxWatchedFile is the largest file of a watched directory, in bytes: a larger one is
	// no plugin.
	maxWatchedFile = 64 << 20
)

// collection is the content of a work directory.
type collection struct {
	cfg     Config
	dir     string
	files   []archive.File
	watched []archive.Watched
	outside []string // of the backup, in the data directory
	store   datafile.Snapshot
}

// free returns the free bytes of a directory's disk.
func free(dir string) (int64, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return 0, fmt.Errorf("statfs %s: %w", dir, err)
	}
	return int64(fs.Bavail) * int64(fs.Bsize), nil
}

// checkDisk refuses a backup that would fill the disk.
func (c *collection) checkDisk(context.Context) error {
	need := int64(reserve)
	for _, suffix := range []string{"", "-wal"} { // the WAL is moved into the file
		if info, err := os.Stat(filepath.Join(c.cfg.DataDir, c.cfg.StoreFile+suffix)); err == nil {
			need += info.Size()
		}
	}
	have, err := c.cfg.Free(c.cfg.DataDir)
	if err != nil {
		return fault.Disk("check the disk space", err)
	}
	if have < need {
		return fault.New(fault.Exhausted, "the disk of the data directory has %d MiB free, and a backup needs %d MiB while it is made: free some "+
			"space", have>>20, (need+1<<20-1)>>20)
	}
	return nil
}

// addConfig copies the configuration file, if there is one.
func (c *collection) addConfig(ctx context.Context) error {
	file, _ := c.cfg.Settings()
	err := c.copy(ctx, file, ConfigName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// addDataFiles copies the files of the data directory other than the store.
func (c *collection) addDataFiles(ctx context.Context) error {
	for _, dir := range searched() {
		entries, err := os.ReadDir(filepath.Join(c.cfg.DataDir, filepath.FromSlash(dir)))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fault.Disk("read the data directory", err)
		}
		var names []string
		for _, e := range entries {
			name := path.Join(dir, e.Name())
			names = append(names, e.Name())
			if !inDataDir.MatchString(name) || !e.Type().IsRegular() {
				continue
			}
			if err := c.add(ctx, name); err != nil && !errors.Is(err, fs.ErrNotExist) { // a token may be revoked meanwhile
				return err
			}
		}
		if dir == "." {
			c.outside = excluded(names)
		}
	}
	return nil
}

// add adds a file of the data directory. Modules are immutable, so that a second name for
// the file is as good as a copy. A module that is damaged is left out, because a host does
// not run it and a restore would refuse the whole backup.
func (c *collection) add(ctx context.Context, name string) error {
	from := filepath.Join(c.cfg.DataDir, filepath.FromSlash(name))
	want, module := strings.CutSuffix(path.Base(name), ".wasm")
	if !module {
		return c.copy(ctx, from, name)
	}
	size, digest, err := digestOf(from)
	if errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err != nil || digest != want {
		c.outside = append(c.outside, name)
		return nil
	}
	to := filepath.Join(c.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return fault.Disk("create a directory", err)
	}
	if err := os.Link(from, to); errors.Is(err, fs.ErrNotExist) {
		return err
	} else if err != nil { // a file system without links
		return c.copy(ctx, from, name)
	}
	c.files = append(c.files, archive.File{Name: name, Size: size, SHA256: digest})
	return nil
}

// digestOf returns the size and the SHA-256, in hexadecimal digits, of a file.
func digestOf(path string) (size int64, digest string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	hash := sha256.New()
	size, err = io.Copy(hash, f)
	return size, hex.EncodeToString(hash.Sum(nil)), err
}

// addWatched copies the plugin files of the watched directories.
func (c *collection) addWatched(ctx context.Context) error {
	_, directories := c.cfg.Settings()
	for i, dir := range directories {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // missing, or not readable for the host, which has no plugins of it
		}
		to := path.Join(WatchedDir, strconv.Itoa(i))
		before := len(c.files)
		for _, e := range entries {
			name := path.Join(to, e.Name())
			info, err := e.Info()
			if err != nil || !info.Mode().IsRegular() || info.Size() > maxWatchedFile || !inWatched.MatchString(name) {
				continue
			}
			if archive.CheckName(name) != nil {
				c.outside = append(c.outside, filepath.Join(dir, e.Name()))
				continue
			}
			if err := c.copy(ctx, filepath.Join(dir, e.Name()), name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		if len(c.files) > before {
			c.watched = append(c.watched, archive.Watched{Path: dir, Files: to})
		}
	}
	return nil
}

// addStore copies the store, and checks the copy.
func (c *collection) addStore(ctx context.Context) error {
	target := filepath.Join(c.dir, c.cfg.StoreFile)
	f, err := os.OpenFile(target, os.O_RDONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fault.Disk("create a file", err)
	}
	defer f.Close()
	watched, stop := c.whileFree(ctx)
	c.store, err = c.cfg.Snapshot(watched, target)
	if full := stop(); full != nil {
		return full
	}
	if fault.Is(err, fault.Internal) { // of a damaged page; its text would not be answered
		return damagedStore(err)
	}
	if err != nil {
		return err
	}
	if err := checkStore(ctx, target, c.store); err != nil {
		return err
	}
	hash := sha256.New()
	size, err := io.Copy(hash, f)
	if err != nil {
		return fault.Disk("read the copy of the store", err)
	}
	c.files = append(c.files, archive.File{Name: c.cfg.StoreFile, Size: size, SHA256: hex.EncodeToString(hash.Sum(nil))})
	return nil
}

// whileFree returns a context that ends when the free disk space falls below the reserve;
// stop returns the error then.
func (c *collection) whileFree(parent context.Context) (ctx context.Context, stop func() error) {
	ctx, cancel := context.WithCancelCause(parent)
	var watch sync.WaitGroup
	watch.Go(func() {
		tick := time.NewTicker(diskInterval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if have, err := c.cfg.Free(c.dir); err == nil && have < reserve {
				cancel(fault.New(fault.Exhausted, "the disk of the data directory has only %d MiB left: free some space", have>>20))
				return
			}
		}
	})
	return ctx, func() error {
		cancel(nil)
		watch.Wait()
		if full := context.Cause(ctx); fault.Is(full, fault.Exhausted) {
			return full
		}
		return nil
	}
}

// copy copies a regular file. fs.ErrNotExist: there is none.
func (c *collection) copy(ctx context.Context, from, name string) error {
	f, err := os.OpenFile(from, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return fault.New(fault.Unavailable, "%w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", from)
	}
	if err != nil {
		return fault.New(fault.Unavailable, "%w", err)
	}
	return c.write(name, io.LimitReader(f, info.Size()))
}

// write creates a file of the work directory, and adds it.
func (c *collection) write(name string, from io.Reader) error {
	target := filepath.Join(c.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
		return fault.Disk("create a directory", err)
	}
	f, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fault.Disk("create a file", err)
	}
	hash := sha256.New()
	size, err := io.Copy(io.MultiWriter(f, hash), from)
	if err := errors.Join(err, f.Close()); err != nil {
		return fault.Disk("copy "+name, err)
	}
	c.files = append(c.files, archive.File{Name: name, Size: size, SHA256: hex.EncodeToString(hash.Sum(nil))})
	return nil
}

// manifest returns the manifest of the collection.
func (c *collection) manifest() archive.Manifest {
	return archive.Manifest{
		Format: archive.Format, Berth: c.cfg.Version, CreatedAt: c.cfg.Now().UTC().Truncate(time.Second),
		Store: archive.Store{ID: c.store.At.Store, Seq: c.store.At.Seq, Writes: c.store.At.Writes, Schema: c.store.Schema},
		Files: c.files, Watched: c.watched, Excluded: c.outside,
	}
}
