package file

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/berth-host/berth/host/fault"
)

// CopyFile is the file in Replacer.Copies with the former text of a file that is being
// overwritten.
const CopyFile = "configuration.edit"

// ErrReadOnly is the error of Replace for a file that can neither be replaced nor
// overwritten, such as on a read-only mount. The file is unchanged.
var ErrReadOnly = errors.New("it cannot be written")

// cannotRename reports whether an error means that the file cannot be replaced by
// rename: it is a mount point (a bind-mounted file), or its directory is read-only.
func cannotRename(err error) bool {
	for _, errno := range []error{unix.EBUSY, unix.EXDEV, unix.EACCES, unix.EPERM, unix.EROFS} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// overwrite writes data over a file that holds old. Readers can see a part of either
// text meanwhile. A copy in r.Copies holds both until the file is flushed, so that
// Recover can restore the former text after a crash.
func (r Replacer) overwrite(d disk, target string, old, data []byte) error {
	if r.Copies == "" {
		return fmt.Errorf("%w: it cannot be replaced by rename, and there is no directory for a copy", ErrReadOnly)
	}
	now, err := read(target)
	if err != nil {
		return err
	}
	if !bytes.Equal(now, old) {
		return ErrChanged
	}
	f, err := os.OpenFile(target, os.O_WRONLY, 0)
	if err != nil {
		if cannotRename(err) {
			return fmt.Errorf("%w: %w", ErrReadOnly, err)
		}
		return err
	}
	defer f.Close()
	if target, err = filepath.Abs(target); err != nil {
		return err
	}
	copyPath := filepath.Join(r.Copies, CopyFile)
	if err := writeCopy(d, copyPath, editCopy{target, old, data}); err != nil {
		return fmt.Errorf("keep a copy: %w", err)
	}
	err = writeOver(d, f, data)
	if err != nil {
		if undo := writeOver(d, f, old); undo != nil {
			return fmt.Errorf("%w; the former content is in %s, and the next start restores it (%w)", err, copyPath, undo)
		}
	}
	_ = d.remove(copyPath) // a copy left behind is harmless: the file holds one of the two texts
	return err
}

// writeOver replaces the content of an open file and flushes it.
func writeOver(d disk, f *os.File, data []byte) error {
	if err := d.overwrite(f, data); err != nil {
		return err
	}
	return d.sync(f)
}

// editCopy is the text of a file before and after it is overwritten.
type editCopy struct {
	path     string // absolute, without symbolic links
	old, new []byte
}

const copyHead = "berth-edit-1 %d %d %q\n"

func writeCopy(d disk, name string, c editCopy) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+CopyFile+".*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails after the rename
	defer f.Close()
	text := fmt.Appendf(nil, copyHead, len(c.old), len(c.new), c.path)
	if err := d.write(f, append(append(text, c.old...), c.new...)); err != nil {
		return err
	}
	if err := d.sync(f); err != nil {
		return err
	}
	if err := d.rename(f.Name(), name); err != nil {
		return err
	}
	return d.syncDir(filepath.Dir(name))
}

// parseCopy parses a copy that writeCopy wrote.
func parseCopy(text []byte) (c editCopy, err error) {
	head, body, _ := bytes.Cut(text, []byte("\n"))
	var olds, news int
	if _, err := fmt.Sscanf(string(head)+"\n", copyHead, &olds, &news, &c.path); err != nil {
		return c, errors.New("it was not written by Berth")
	}
	if olds < 0 || news < 0 || olds > len(body) || len(body)-olds != news {
		return c, errors.New("it is not complete")
	}
	c.old, c.new = body[:olds:olds], body[olds:]
	return c, nil
}

// torn reports whether text can be the result of an interrupted write of the new text
// over the old one: each byte is that of either text, or zero, as in a hole.
func (c editCopy) torn(text []byte) bool {
	if len(text) > max(len(c.old), len(c.new)) {
		return false
	}
	for i, b := range text {
		if b != 0 && (i >= len(c.old) || b != c.old[i]) && (i >= len(c.new) || b != c.new[i]) {
			return false
		}
	}
	return true
}

// Recover restores the former text of a file whose overwriting a crash interrupted, from
// the copy in one of the directories, and reports whether it did. It does not change a
// file with any other content.
func Recover(path string, copies ...string) (recovered bool, err error) {
	return recoverFrom(realDisk{}, path, copies)
}

func recoverFrom(d disk, path string, copies []string) (recovered bool, err error) {
	target, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		target, err = filepath.Abs(target)
	}
	if err != nil {
		return false, fault.Disk("recover "+path, err)
	}
	for _, dir := range copies {
		name := filepath.Join(dir, CopyFile)
		text, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var c editCopy
		if err == nil {
			c, err = parseCopy(text)
		}
		if err != nil {
			return recovered, fault.New(fault.Unavailable, "recover %s: the copy %s: %w; check the file, then remove the copy", path, name, err)
		}
		if c.path != target {
			continue // of another file
		}
		put, err := c.putBack(d)
		recovered = recovered || put
		if err == nil {
			err = d.remove(name)
		}
		if err != nil {
			return recovered, fault.Disk("recover "+path+" from "+name, err)
		}
	}
	return recovered, nil
}

func (c editCopy) putBack(d disk) (bool, error) {
	unlock, err := Lock(c.path) // another process may be editing the file
	if err != nil {
		return false, err
	}
	defer unlock()
	now, err := os.ReadFile(c.path)
	if err != nil {
		return false, err
	}
	if bytes.Equal(now, c.old) || bytes.Equal(now, c.new) || !c.torn(now) {
		return false, nil
	}
	f, err := os.OpenFile(c.path, os.O_WRONLY, 0)
	if err != nil {
		return false, err
	}
	defer f.Close()
	return true, writeOver(d, f, c.old)
}

// Way is the method by which a file can be edited.
type Way string

// The ways.
const (
	ByRename    Way = "rename"   // a new file replaces it
	ByOverwrite Way = "in place" // its content is overwritten, with a copy in Replacer.Copies
	Never       Way = "never"    // it is read-only
)

// Probe determines how Replace would edit an existing file. It creates and removes a
// file in its directory and in copies, and opens the file for writing. The reason
// explains any way but ByRename.
func Probe(path, copies string) (way Way, reason error) {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return Never, err
	}
	reason = probeRename(target)
	if reason == nil {
		return ByRename, nil
	}
	f, err := os.OpenFile(target, os.O_WRONLY, 0)
	if err == nil {
		err = errors.Join(f.Close(), tryFile(copies))
	}
	if err != nil {
		return Never, err
	}
	return ByOverwrite, reason
}

func probeRename(target string) error {
	dir := filepath.Dir(target)
	if err := tryFile(dir); err != nil {
		return err
	}
	if mountPoint(target) {
		return fmt.Errorf("%s is a mount point", target)
	}
	var of, in unix.Stat_t
	if err := errors.Join(unix.Stat(target, &of), unix.Stat(dir, &in)); err != nil {
		return err
	}
	if me := uint32(os.Geteuid()); in.Mode&unix.S_ISVTX != 0 && me != 0 && me != of.Uid && me != in.Uid {
		return fmt.Errorf("%s belongs to another user, and in %s only the owner of a file can replace it (sticky bit)",
			target, dir)
	}
	return nil
}

// tryFile creates a file in a directory and removes it.
func tryFile(dir string) error {
	f, err := os.CreateTemp(dir, ".berth-probe-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}
