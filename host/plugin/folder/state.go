package folder

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Stamp identifies a state of a file without reading it. The zero Stamp is a missing file.
// The time of the inode's last change (ctime) is included because programs such as cp -p
// and rsync set the modification time.
type Stamp struct {
	Mode         uint32 // as in stat(2)
	Device, Node uint64
	Size         int64 // bytes
	Modified     int64 // Unix time, nanoseconds
	Changed      int64 // Unix time, nanoseconds
}

// Regular reports whether it is a regular file.
func (s Stamp) Regular() bool { return s.Mode&unix.S_IFMT == unix.S_IFREG }

// Newest returns the later of the two times, Unix time in nanoseconds.
func (s Stamp) Newest() int64 { return max(s.Modified, s.Changed) }

// Kind names the kind of file, for people.
func (s Stamp) Kind() string {
	switch s.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return "a regular file"
	case unix.S_IFDIR:
		return "a directory"
	case unix.S_IFLNK:
		return "a symbolic link"
	case unix.S_IFIFO:
		return "a named pipe"
	case unix.S_IFSOCK:
		return "a socket"
	}
	return "a device"
}

// State is the state of a module's file and of its sidecar.
type State struct {
	Module  Stamp
	Sidecar Stamp // zero: there is none
}

// Newest returns the latest time of either file, Unix time in nanoseconds.
func (s State) Newest() int64 { return max(s.Module.Newest(), s.Sidecar.Newest()) }

// Sidecar returns the path of the manifest beside a module.
func Sidecar(path string) string { return path + ".json" }

// ModuleOf returns the path of the module to which a file belongs, as the module or as its
// sidecar; ok is false for other files. Hidden files are other files, and temporary names
// of editors and copying programs (x.wasm.tmp, x.wasm~) do not end in .wasm.
func ModuleOf(path string) (module string, ok bool) {
	module = strings.TrimSuffix(path, ".json")
	base := filepath.Base(module)
	return module, strings.HasSuffix(base, ".wasm") && base[0] != '.'
}

// Stat returns the state of a module and its sidecar, without following links.
func Stat(path string) (State, error) {
	var s State
	var err error
	if s.Module, err = stamp(path); err != nil || s.Module == (Stamp{}) {
		return State{}, err
	}
	s.Sidecar, err = stamp(Sidecar(path))
	return s, err
}

func stamp(path string) (Stamp, error) {
	var st unix.Stat_t
	err := retry(func() error { return unix.Lstat(path, &st) })
	if gone(err) {
		return Stamp{}, nil
	}
	if err != nil {
		return Stamp{}, &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	return stampOf(&st), nil
}

func stampOf(st *unix.Stat_t) Stamp {
	return Stamp{
		Mode:     uint32(st.Mode),
		Device:   uint64(st.Dev),
		Node:     st.Ino,
		Size:     st.Size,
		Modified: st.Mtim.Nano(),
		Changed:  st.Ctim.Nano(),
	}
}

func gone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR)
}

func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
