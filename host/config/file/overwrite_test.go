package file

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/berth-host/berth/host/fault"
)

// mounted is a disk on which no file can take another one's place. It crashes at a
// step: that one does half of its work, and none after it does anything.
type mounted struct {
	realDisk
	*crash
}

type crash struct {
	left  int // steps until it crashes; below 0: it has
	steps []string
}

var errCrash = errors.New("crash")

func (c *crash) step(name string) (now, dead bool) {
	c.steps = append(c.steps, name)
	c.left--
	return c.left == 0, c.left < 0
}

func (d mounted) swap(a, b string) (bool, error) {
	return false, &os.LinkError{Op: "exchange", Old: a, New: b, Err: unix.EBUSY}
}

func (d mounted) do(name string, half, all func() error) error {
	switch now, dead := d.step(name); {
	case dead:
		return errCrash
	case now:
		return errors.Join(half(), errCrash)
	}
	return all()
}

func nothing() error { return nil }

func (d mounted) write(f *os.File, data []byte) error {
	return d.do("write", func() error { return d.realDisk.write(f, data[:len(data)/2]) }, func() error { return d.realDisk.write(f, data) })
}

func (d mounted) sync(f *os.File) error {
	return d.do("sync", nothing, func() error { return d.realDisk.sync(f) })
}

func (d mounted) rename(from, to string) error {
	return d.do("rename", nothing, func() error { return d.realDisk.rename(from, to) })
}

func (d mounted) syncDir(dir string) error {
	return d.do("syncDir", nothing, func() error { return d.realDisk.syncDir(dir) })
}

func (d mounted) remove(name string) error {
	return d.do("remove", nothing, func() error { return d.realDisk.remove(name) })
}

func (d mounted) overwrite(f *os.File, data []byte) error {
	return d.do("overwrite", func() error {
		_, err := f.WriteAt(data[:len(data)/2], 0)
		return err
	}, func() error { return d.realDisk.overwrite(f, data) })
}

// TestOverwriteSurvivesCrashAtEachStep: after a crash at any step Recover restores the
// former text or keeps the new one, also when a recovery crashed before.
func TestOverwriteSurvivesCrashAtEachStep(t *testing.T) {
	texts := []string{"a: 1\nlonger: text of before\n", "b: 2\n", "handlers: {x: {enabled: false}}\n" + strings.Repeat("# more\n", 2000)}
	for _, old := range texts {
		for _, data := range texts {
			if old == data {
				continue
			}
			finished := false
			for step := 1; !finished; step++ {
				dir, copies := t.TempDir(), t.TempDir()
				path := filepath.Join(dir, "c.yaml")
				write(t, path, old)
				d := mounted{crash: &crash{left: step}}
				err := Replacer{Copies: copies, disk: d}.Replace(path, []byte(old), []byte(data))
				finished = d.left > 0
				if finished && err != nil {
					t.Fatalf("without a crash: %v", err)
				}
				name := fmt.Sprintf("%d to %d bytes, crash at step %d, %v", len(old), len(data), step, d.steps)
				torn, _ := os.ReadFile(path)
				if _, err := recoverFrom(mounted{crash: &crash{left: 1}}, path, []string{copies}); err == nil && string(torn) != old && string(torn) != data {
					t.Errorf("%s: the crash of a recovery is no error", name)
				}
				recovered, err := Recover(path, filepath.Join(dir, "none"), copies)
				got, _ := os.ReadFile(path)
				if err != nil || string(got) != old && string(got) != data {
					t.Errorf("%s: got %d bytes, %v", name, len(got), err)
				}
				if string(torn) != old && string(torn) != data && string(got) != old {
					t.Errorf("%s: a torn file has become something else than the former text (recovered: %v)", name, recovered)
				}
				if again, err := Recover(path, copies); again || err != nil {
					t.Errorf("%s: a second recovery: %v, %v", name, again, err)
				}
				if _, err := os.Stat(filepath.Join(copies, CopyFile)); err == nil {
					t.Errorf("%s: the copy is left behind", name)
				}
			}
		}
	}
}

func TestFailedOverwriteIsUndone(t *testing.T) {
	for _, cause := range []error{unix.ENOSPC, unix.EIO} {
		path, copies := filepath.Join(t.TempDir(), "c.yaml"), t.TempDir()
		write(t, path, "old")
		d := once{failing: failing{at: "overwrite", cause: cause}, failed: new(bool)}
		err := Replacer{Copies: copies, disk: d}.Replace(path, []byte("old"), []byte("a longer new text"))
		want := fault.Unavailable
		if cause == unix.ENOSPC {
			want = fault.Exhausted
		}
		if !fault.Is(err, want) {
			t.Errorf("%v: got %v, want %s", cause, err, want)
		}
		if got, _ := os.ReadFile(path); string(got) != "old" {
			t.Errorf("%v: got %q, want the old text", cause, got)
		}
		if left, _ := os.ReadDir(copies); len(left) > 0 {
			t.Errorf("%v: left behind: %v", cause, left)
		}
	}
}

// once cannot replace, and fails one overwriting.
type once struct {
	failing
	failed *bool
}

func (d once) swap(string, string) (bool, error) { return false, unix.EXDEV }

func (d once) overwrite(f *os.File, data []byte) error {
	if *d.failed {
		return d.realDisk.overwrite(f, data)
	}
	*d.failed = true
	return d.failing.overwrite(f, data)
}

func TestOverwriteRefusesChangedFile(t *testing.T) {
	path, copies := filepath.Join(t.TempDir(), "c.yaml"), t.TempDir()
	write(t, path, "theirs")
	for _, r := range []Replacer{{Copies: copies, disk: mounted{crash: &crash{left: 99}}}, {disk: mounted{crash: &crash{left: 99}}}} {
		err := r.Replace(path, []byte("mine"), []byte("new"))
		if !fault.Is(err, fault.Conflict) || !errors.Is(err, ErrChanged) {
			t.Errorf("got %v, want that it was changed", err)
		}
	}
	err := Replacer{disk: mounted{crash: &crash{left: 99}}}.Replace(path, []byte("theirs"), []byte("new"))
	if !fault.Is(err, fault.Conflict) || !errors.Is(err, ErrReadOnly) {
		t.Errorf("without a directory for copies: got %v, want read-only", err)
	}
	if got, _ := os.ReadFile(path); string(got) != "theirs" {
		t.Errorf("got %q", got)
	}
}

func TestRecoverChangesOnlyTornFiles(t *testing.T) {
	dir, copies := t.TempDir(), t.TempDir()
	path := filepath.Join(dir, "c.yaml")
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, holds, path, want string
		copyKept                bool
	}{
		{"torn", "newformer", "c.yaml", "oldformer", false},
		{"torn with a hole", "new\x00\x00rmer", "c.yaml", "oldformer", false},
		{"the new text", "new", "c.yaml", "new", false},
		{"a person's text", "mine", "c.yaml", "mine", false},
		{"a longer text", "newformer and more", "c.yaml", "newformer and more", false},
		{"another file", "newformer", "d.yaml", "newformer", true},
	} {
		write(t, path, tt.holds)
		if err := writeCopy(realDisk{}, filepath.Join(copies, CopyFile), editCopy{filepath.Join(real, tt.path), []byte("oldformer"), []byte("new")}); err != nil {
			t.Fatal(err)
		}
		recovered, err := Recover(path, copies)
		got, _ := os.ReadFile(path)
		if err != nil || string(got) != tt.want || recovered != (tt.want != tt.holds) {
			t.Errorf("%s: got %q, %v, %v", tt.name, got, recovered, err)
		}
		if _, err := os.Stat(filepath.Join(copies, CopyFile)); (err == nil) != tt.copyKept {
			t.Errorf("%s: the copy: %v", tt.name, err)
		}
	}
	write(t, filepath.Join(copies, CopyFile), "berth-edit-1 9 9 \"x\"\nshort")
	if _, err := Recover(path, copies); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "not complete") {
		t.Errorf("a broken copy: got %v", err)
	}
}

func FuzzParseCopy(f *testing.F) {
	f.Add([]byte("berth-edit-1 3 4 \"/a b\\n\"\noldnew!"))
	f.Add([]byte("berth-edit-1 -1 1 \"\"\n"))
	f.Add([]byte("berth-edit-1 9223372036854775807 1 \"\"\nx"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parseCopy(text)
		if err != nil {
			return
		}
		again := append(append(fmt.Appendf(nil, copyHead, len(c.old), len(c.new), c.path), c.old...), c.new...)
		d, err := parseCopy(again)
		if err != nil || d.path != c.path || !bytes.Equal(d.old, c.old) || !bytes.Equal(d.new, c.new) {
			t.Errorf("%q is read back as %+v, %v", again, d, err)
		}
	})
}
