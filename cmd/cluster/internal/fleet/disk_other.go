//go:build !linux

package fleet

import "errors"

// Disk is a small file system, which a test can fill.
type Disk struct{}

// NewDisk mounts a disk, on Linux.
func (f *Fleet) NewDisk(int) (*Disk, error) {
	return nil, errors.New("small disks are made on Linux only")
}

// Dir is where the disk is mounted.
func (d *Disk) Dir() string { return "" }

// Fill takes all space of the disk.
func (d *Disk) Fill() error { return nil }

// Free gives back what Fill took.
func (d *Disk) Free() error { return nil }

// Close unmounts the disk.
func (d *Disk) Close() error { return nil }
