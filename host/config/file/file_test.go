package file

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/berth-host/berth/host/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errDisk = errors.New("the disk says no")

// failing fails at one step; writes then only get half of the data through.
type failing struct {
	realDisk
	at    string
	cause error // nil: errDisk
}

func (d failing) why() error {
	if d.cause != nil {
		return d.cause
	}
	return errDisk
}

func (d failing) write(f *os.File, data []byte) error {
	if d.at == "write" {
		return errors.Join(d.realDisk.write(f, data[:len(data)/2]), d.why())
	}
	return d.realDisk.write(f, data)
}

func (d failing) sync(f *os.File) error {
	if d.at == "sync" {
		return d.why()
	}
	return d.realDisk.sync(f)
}

func (d failing) rename(from, to string) error {
	switch d.at {
	case "rename":
		return d.why()
	case "renamed": // it happened, and was reported as a failure
		return errors.Join(d.realDisk.rename(from, to), d.why())
	}
	return d.realDisk.rename(from, to)
}

func (d failing) create(from, to string) error {
	switch d.at {
	case "rename":
		return d.why()
	case "renamed":
		return errors.Join(d.realDisk.create(from, to), d.why())
	}
	return d.realDisk.create(from, to)
}

func (d failing) swap(a, b string) (bool, error) {
	switch d.at {
	case "rename":
		return false, d.why()
	case "renamed":
		_, err := d.realDisk.swap(a, b)
		return true, errors.Join(err, d.why())
	}
	return d.realDisk.swap(a, b)
}

func (d failing) overwrite(f *os.File, data []byte) error {
	if d.at == "overwrite" {
		_, err := f.WriteAt(data[:len(data)/2], 0)
		return errors.Join(err, d.why())
	}
	return d.realDisk.overwrite(f, data)
}

func (d failing) syncDir(dir string) error {
	if d.at == "syncDir" {
		return d.why()
	}
	return d.realDisk.syncDir(dir)
}

// TestFailedReplaceLeavesOldOrNewContent: the old one before the rename, the new one
// after it, and no temporary file.
func TestFailedReplaceLeavesOldOrNewContent(t *testing.T) {
	for _, old := range []string{"old", ""} {
		for step, want := range map[string]string{"write": old, "sync": old, "rename": old, "renamed": "new text", "syncDir": "new text"} {
			dir := t.TempDir()
			path := filepath.Join(dir, "c.yaml")
			var before []byte
			if old != "" {
				before = []byte(old)
				write(t, path, old)
			}
			err := Replacer{disk: failing{at: step}}.Replace(path, before, []byte("new text"))
			if !fault.Is(err, fault.Unavailable) || !errors.Is(err, errDisk) {
				t.Errorf("%s: got %v, want unavailable", step, err)
			}
			if got, _ := os.ReadFile(path); string(got) != want {
				t.Errorf("%s: got %q, want %q", step, got, want)
			}
			files := 1
			if want == "" {
				files = 0
			}
			if entries, _ := os.ReadDir(dir); len(entries) != files {
				t.Errorf("%s: left behind: %v", step, entries)
			}
		}
	}
}

func TestReplaceOnFullDiskChangesNothing(t *testing.T) {
	for _, cause := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		for _, step := range []string{"write", "sync", "rename"} {
			path := filepath.Join(t.TempDir(), "c.yaml")
			write(t, path, "old")
			err := Replacer{disk: failing{at: step, cause: cause}}.Replace(path, []byte("old"), []byte("new text"))
			if !fault.Is(err, fault.Exhausted) || !errors.Is(err, cause) {
				t.Errorf("%v at %s: got %v, want exhausted", cause, step, err)
			}
			if got, _ := os.ReadFile(path); string(got) != "old" {
				t.Errorf("%v at %s: got %q, want the old text", cause, step, got)
			}
		}
	}
}

func TestReplaceRefusesChangedFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "c.yaml")
	write(t, path, "theirs")
	for _, old := range [][]byte{[]byte("mine"), {}} {
		if err := (Replacer{}).Replace(path, old, []byte("new")); !fault.Is(err, fault.Conflict) {
			t.Errorf("%q: got %v, want conflict", old, err)
		}
	}
	if got, _ := os.ReadFile(path); string(got) != "theirs" {
		t.Errorf("got %q, want theirs", got)
	}
	if err := (Replacer{}).Replace(path, []byte("theirs"), []byte("new")); err != nil {
		t.Error(err)
	}
	if err := (Replacer{}).Replace(filepath.Join(dir, "gone.yaml"), []byte("x"), []byte("new")); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a file that went away: got %v, want unavailable", err)
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// watch reports the content at each call of fn.
func watch(t *testing.T, path string) (next func(want string)) {
	t.Helper()
	return watchBy(t, path, func(ctx context.Context, debounce time.Duration, fn func()) {
		Watch(ctx, path, debounce, nil, func(err error) { t.Errorf("it is not watched: %v", err) }, fn)
	})
}

// watchBy is watch of a watcher that runs until ctx ends.
func watchBy(t *testing.T, path string, run func(ctx context.Context, debounce time.Duration, fn func())) (next func(want string)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	calls := make(chan string, 100)
	done := make(chan struct{})
	go func() {
		defer close(done)
		run(ctx, 5*time.Millisecond, func() {
			data, err := os.ReadFile(path)
			if err != nil {
				data = []byte("-")
			}
			calls <- string(data)
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		close(calls)
		for extra := range calls {
			t.Errorf("called once more, with %q", extra)
		}
	})
	return func(want string) {
		t.Helper()
		select {
		case got := <-calls:
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("not called for %q", want)
		}
	}
}

func TestWatchReportsContentChanges(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "c.yaml")
	write(t, path, "1")
	next := watch(t, path)
	next("1")

	replace(t, filepath.Join(dir, "new"), path, "1") // the same again: no change
	write(t, filepath.Join(dir, "other.yaml"), "x")  // another file
	replace(t, filepath.Join(dir, "new"), path, "2")
	next("2")

	if err := os.Rename(path, path+"~"); err != nil { // away, and back with the same content
		t.Fatal(err)
	}
	replace(t, filepath.Join(dir, "new"), path, "2")
	replace(t, filepath.Join(dir, "new"), path, "3")
	next("3")
}

// replace puts the whole text there at once: a watcher that looks at any moment
// finds the old one or the new one.
func replace(t testing.TB, temp, path, text string) {
	t.Helper()
	write(t, temp, text)
	if err := os.Rename(temp, path); err != nil {
		t.Fatal(err)
	}
}

func TestWatchSeesFileInNewDirectory(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a", "b", "c.yaml")
	next := watch(t, path)
	next("-")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	replace(t, filepath.Join(dir, "new"), path, "1")
	next("1")
	if err := os.RemoveAll(filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	replace(t, filepath.Join(dir, "new"), path, "2")
	next("2")
}

// TestWatchSeesExchangedDirectory, as of a mounted ConfigMap: the file is a link through
// ..data, and an update replaces ..data by a link to another directory.
func TestWatchSeesExchangedDirectory(t *testing.T) {
	dir := t.TempDir()
	swap := func(version, text string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, version), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, version, "c.yaml"), text)
		temp := filepath.Join(dir, "..data_tmp")
		if err := errors.Join(os.Symlink(version, temp), os.Rename(temp, filepath.Join(dir, "..data"))); err != nil {
			t.Fatal(err)
		}
	}
	swap("..1", "1")
	path := filepath.Join(dir, "c.yaml")
	if err := os.Symlink(filepath.Join("..data", "c.yaml"), path); err != nil {
		t.Fatal(err)
	}
	next := watch(t, path)
	next("1")
	swap("..2", "2")
	next("2")
	if err := os.RemoveAll(filepath.Join(dir, "..1")); err != nil {
		t.Fatal(err)
	}
	swap("..3", "3")
	next("3")
	write(t, filepath.Join(dir, "..3", "c.yaml.tmp"), "")
	replace(t, filepath.Join(dir, "new"), filepath.Join(dir, "..3", "c.yaml"), "4") // behind the links
	next("4")
}

func TestDirectoriesOf(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at := func(parts ...string) string { return filepath.Join(append([]string{dir}, parts...)...) }
	if err := errors.Join(
		os.MkdirAll(at("v1", "sub"), 0o755),
		os.WriteFile(at("v1", "sub", "c"), nil, 0o644),
		os.Symlink(at("v1"), at("current")),
		os.Symlink("loop", at("loop")),
		os.Symlink("../c", at("v1", "sub", "up")),
	); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		path string
		want []string
	}{
		{at("v1", "sub", "c"), []string{at("v1", "sub")}},
		{at("current", "sub", "c"), []string{dir, at("v1", "sub")}},
		{at("v1", "none", "c"), []string{at("v1")}},
		{at("v1", "sub", "up"), []string{at("v1", "sub"), at("v1")}},
		{at("loop", "c"), []string{dir}},
	}
	for _, tt := range tests {
		got, err := directoriesOf(tt.path)
		if err != nil || len(got) != len(tt.want) {
			t.Errorf("%s: got %v, %v; want %v", tt.path, got, err, tt.want)
			continue
		}
		for i := range got {
			if got[i] != tt.want[i] {
				t.Errorf("%s: got %v, want %v", tt.path, got, tt.want)
			}
		}
	}
}
