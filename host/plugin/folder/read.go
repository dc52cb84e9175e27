package folder

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/berth-host/berth/host/spec"
)

// Content is a module and its sidecar, with the one state that the files had while
// they were read.
type Content struct {
	State
	spec.Artifact
	SidecarText []byte // nil without a sidecar
	// Writing means that a process has the module's file open for writing. It is detected
	// on Linux only, by the file's owner or root.
	Writing bool
}

// ErrChanged means that a file was removed or changed while it was read: read it again later.
var ErrChanged = errors.New("the file changed while it was read")

// Refusal is the reason for which a file is not read, independent of its contents.
type Refusal string

// Error returns the text.
func (r Refusal) Error() string { return string(r) }

// Read reads a module of at most maxModule bytes and its sidecar of at most maxSidecar
// bytes. The error is ErrChanged, a Refusal, or one of the file system.
func Read(path string, maxModule, maxSidecar int64) (Content, error) {
	before, err := Stat(path)
	if err != nil {
		return Content{}, err
	}
	if before.Module == (Stamp{}) {
		return Content{}, ErrChanged
	}
	c := Content{State: before}
	wasm, writing, err := readFile(path, before.Module, maxModule)
	if err != nil {
		return Content{State: before}, err
	}
	if before.Sidecar != (Stamp{}) {
		c.SidecarText, _, err = readFile(Sidecar(path), before.Sidecar, maxSidecar)
		if refusal := Refusal(""); errors.As(err, &refusal) {
			return Content{State: before}, Refusal("its manifest " + Sidecar(path) + ": " + string(refusal))
		}
		if err != nil {
			return Content{State: before}, err
		}
		if c.SidecarText == nil {
			c.SidecarText = []byte{}
		}
	}
	after, err := Stat(path)
	if err != nil {
		return Content{State: before}, err
	}
	if after != before {
		return Content{State: before}, ErrChanged
	}
	c.Artifact, c.Writing = spec.NewArtifact(wasm), writing
	return c, nil
}

// ReadAlone is Read without the sidecar.
func ReadAlone(path string, maxModule int64) (Content, error) {
	at, err := stamp(path)
	if err != nil {
		return Content{}, err
	}
	if at == (Stamp{}) {
		return Content{}, ErrChanged
	}
	c := Content{State: State{Module: at}}
	wasm, writing, err := readFile(path, at, maxModule)
	if err != nil {
		return c, err
	}
	c.Artifact, c.Writing = spec.NewArtifact(wasm), writing
	return c, nil
}

// readFile reads a whole file, if it is still in the state want.
func readFile(path string, want Stamp, limit int64) (contents []byte, writing bool, err error) {
	if !want.Regular() {
		return nil, false, Refusal("it is " + want.Kind() + ": only regular files are read")
	}
	if want.Size > limit {
		return nil, false, Refusal(fmt.Sprintf("it is %d bytes long: the limit is %d", want.Size, limit))
	}
	// Since the stat the file may have become a link or a pipe: O_NOFOLLOW refuses the
	// former, O_NONBLOCK does not wait for the latter.
	var fd int
	err = retry(func() error {
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		return err
	})
	switch {
	case gone(err), errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENXIO):
		return nil, false, ErrChanged
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return nil, false, Refusal("the host may not read it: permission denied")
	case err != nil:
		return nil, false, &os.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	defer func() {
		if closing := f.Close(); err == nil {
			err = closing
		}
	}()
	if err := same(fd, path, want); err != nil {
		return nil, false, err
	}
	contents = make([]byte, want.Size)
	if _, err := io.ReadFull(f, contents); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, false, ErrChanged
		}
		return nil, false, err
	}
	writing = openForWriting(fd)
	return contents, writing, same(fd, path, want)
}

func same(fd int, path string, want Stamp) error {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(fd, &st) }); err != nil {
		return &os.PathError{Op: "fstat", Path: path, Err: err}
	}
	if stampOf(&st) != want {
		return ErrChanged
	}
	return nil
}
