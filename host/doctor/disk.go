package doctor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Free space and speed of a disk.
const (
	bytesNeeded  = 64 << 20 // below it the host can barely work
	bytesWanted  = 1 << 30
	inodesNeeded = 100
	inodesWanted = 1_000

	syncs    = 8 // of the probe
	slowSync = 50 * time.Millisecond
)

// Disk checks the file system of a directory: its type, free space and inodes, and
// the time of an fsync. For a missing directory it checks the nearest existing
// parent and writes nothing.
func Disk(dir string) []Finding {
	at := dir
	for {
		if _, err := os.Stat(at); err == nil || filepath.Dir(at) == at {
			break
		}
		at = filepath.Dir(at)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(at, &fs); err != nil {
		return []Finding{Bad("disk", fmt.Sprintf("statfs %s: %v", at, err), "give this user access to it")}
	}
	findings := []Finding{
		fileSystem(at, kindOf(&fs)),
		diskFree(at, uint64(fs.Bavail)*uint64(fs.Bsize), uint64(fs.Blocks)*uint64(fs.Bsize)),
	}
	if fs.Files > 0 { // not every file system counts inodes
		findings = append(findings, inodes(at, uint64(fs.Ffree), uint64(fs.Files)))
	}
	if at == dir {
		findings = append(findings, syncTime(dir))
	}
	return findings
}

// fileSystem rates a type of file system by name; "" is any type without an effect
// on the store.
func fileSystem(path, kind string) Finding {
	const check = "file system"
	switch kind {
	case "nfs", "smb", "cifs", "smb2", "9p", "afs", "ceph", "smbfs", "afpfs", "webdav":
		return Bad(check, fmt.Sprintf("%s is on %s: the store's log needs memory shared through the file, which a network does not have",
			path, kind), "put data_dir on a local disk")
	case "fuse":
		return Warn(check, path+" is on a fuse file system, which may lose data after an fsync", "put data_dir on a local disk")
	case "tmpfs", "ramfs":
		return Warn(check, path+" is on "+kind+": accepted events are lost when the machine restarts", "put data_dir on a disk")
	case "overlayfs":
		return Warn(check, path+" is on overlayfs: accepted events are lost with the container", "put data_dir on a volume")
	case "":
		kind = "a local file system"
	}
	return Good(check, path+" is on "+kind)
}

func diskFree(path string, free, total uint64) Finding {
	shown := fmt.Sprintf("%s has %s free of %s", path, bytesText(free), bytesText(total))
	switch {
	case free < bytesNeeded:
		return Bad("disk space", shown+": new events are refused when it is used up", "free some space, or put data_dir on another disk")
	case free < bytesWanted:
		return Warn("disk space", shown, "free some space before new events are refused")
	}
	return Good("disk space", shown)
}

func inodes(path string, free, total uint64) Finding {
	shown := fmt.Sprintf("%s has %d of %d inodes free", path, free, total)
	switch {
	case free < inodesNeeded:
		return Bad("inodes", shown, "remove files; the host creates files for its store and its cache")
	case free < inodesWanted:
		return Warn("inodes", shown, "remove files before the inodes are used up")
	}
	return Good("inodes", shown)
}

// syncTime measures writing and fsyncing a page, as every commit does.
func syncTime(dir string) Finding {
	const check = "fsync"
	took, err := probe(dir)
	if err != nil {
		return Bad(check, err.Error(), writeAdvice(dir, err))
	}
	median := took[len(took)/2]
	shown := fmt.Sprintf("a page takes %s, at most %s", median.Round(time.Microsecond), took[len(took)-1].Round(time.Microsecond))
	if median > slowSync {
		return Warn(check, shown+": every publish waits at least that long", "put data_dir on a faster disk")
	}
	return Good(check, shown)
}

// probe returns how long each fsync took, the shortest first.
func probe(dir string) (took []time.Duration, err error) {
	f, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	page := make([]byte, 4096)
	for range syncs {
		began := time.Now()
		if _, err := f.Write(page); err != nil {
			return nil, err
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took, nil
}

// bytesText formats a number of bytes for people.
func bytesText(n uint64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 1<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}
