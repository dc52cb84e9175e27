package fleet

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// Disk is a small file system in memory, which a test can fill.
type Disk struct{ dir string }

// NewDisk mounts a disk of a size in bytes, for the user to whom the server's directory
// belongs. Only root may do that.
func (f *Fleet) NewDisk(size int) (d *Disk, err error) {
	var server syscall.Stat_t
	if err := syscall.Stat(filepath.Dir(f.Server.Socket()), &server); err != nil {
		return nil, err
	}
	d = &Disk{}
	if d.dir, err = os.MkdirTemp("", "berth-disk-"); err != nil {
		return nil, err
	}
	options := fmt.Sprintf("size=%d,mode=0700,uid=%d,gid=%d", size, server.Uid, server.Gid)
	if err := syscall.Mount("tmpfs", d.dir, "tmpfs", 0, options); err != nil {
		return nil, errors.Join(fmt.Errorf("mount a small disk, as root alone may: %w", err), os.Remove(d.dir))
	}
	return d, nil
}

// Dir is where the disk is mounted.
func (d *Disk) Dir() string { return d.dir }

func (d *Disk) filler() string { return filepath.Join(d.dir, "filler") }

// Fill takes all space of the disk.
func (d *Disk) Fill() error {
	file, err := os.Create(d.filler())
	if err != nil {
		return err
	}
	_, err = io.Copy(file, endless{})
	if errors.Is(err, syscall.ENOSPC) {
		err = nil
	}
	return errors.Join(err, file.Close())
}

// endless has zeros only.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// Free gives back what Fill took.
func (d *Disk) Free() error { return os.Remove(d.filler()) }

// Close unmounts the disk, also while it is used.
func (d *Disk) Close() error {
	return errors.Join(syscall.Unmount(d.dir, syscall.MNT_DETACH), os.Remove(d.dir))
}
