package store

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store/datafile"
)

// attachedStore is a store with one event in a directory of its own below t.TempDir.
func attachedStore(t *testing.T) (s *Store, path string, logged *bytes.Buffer) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	logged = new(bytes.Buffer)
	path = filepath.Join(dir, "berth.db")
	s, err := Open(t.Context(), Config{Path: path, Window: bus.NewWindow(bus.WindowConfig{Events: 1}), Logger: slog.New(slog.NewTextHandler(logged, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() }) //nolint:errcheck // its file may be gone
	for _, key := range []string{"before", "and another"} {
		if _, err := s.Append(t.Context(), []*event.Event{makeEvent(t, key)}); err != nil {
			t.Fatal(err)
		}
	}
	return s, path, logged
}

// away returns a function that renames a file of the store.
func away(suffix string) func(path string) (back func() error, err error) {
	return func(path string) (func() error, error) {
		name, aside := path+suffix, path+suffix+".aside"
		return func() error { return os.Rename(aside, name) }, os.Rename(name, aside)
	}
}

// replaced returns a function that puts another file in place of one of the store.
func replaced(suffix string) func(path string) (back func() error, err error) {
	return func(path string) (func() error, error) {
		name, aside := path+suffix, path+suffix+".aside"
		err := os.Rename(name, aside)
		return func() error { return os.Rename(aside, name) }, errors.Join(err, os.WriteFile(name, bytes.Repeat([]byte{0}, 8192), 0o600))
	}
}

// TestDetachedStoreTakesNoWrites removes each file of a running store, in several
// ways. The store acknowledges no write until the file is back.
func TestDetachedStoreTakesNoWrites(t *testing.T) {
	for _, tt := range []struct {
		name  string
		take  func(path string) (back func() error, err error)
		want  string
		later bool // detected by the keeper, not by the write
	}{
		{"the data file moved", away(""), "berth.db was deleted or moved", false},
		{"the data file replaced", replaced(""), "berth.db was replaced by another file", false},
		{"the data file truncated", func(path string) (func() error, error) {
			content, err := os.ReadFile(path)
			return func() error { return os.WriteFile(path, content, 0o600) }, errors.Join(err, os.Truncate(path, 0))
		}, "berth.db was truncated to 0 bytes", false},
		{"the WAL moved", away("-wal"), "berth.db-wal was deleted or moved", false},
		{"the WAL replaced", replaced("-wal"), "berth.db-wal was replaced", false},
		{"the directory renamed", func(path string) (func() error, error) {
			dir := filepath.Dir(path)
			return func() error { return os.Rename(dir+".aside", dir) }, os.Rename(dir, dir+".aside")
		}, "berth.db was deleted or moved", false},
		{"the directory replaced", func(path string) (func() error, error) {
			dir := filepath.Dir(path)
			err := os.Rename(dir, dir+".aside")
			return func() error { return errors.Join(os.RemoveAll(dir), os.Rename(dir+".aside", dir)) },
				errors.Join(err, os.Mkdir(dir, 0o700), os.WriteFile(path, make([]byte, 4096), 0o600))
		}, "berth.db was replaced", false},
		{"the shm file moved", away("-shm"), "berth.db-shm was deleted or moved", true},
		{"the lock file moved", away(".lock"), "berth.db.lock was deleted or moved", true},
		{"the lock file replaced", replaced(".lock"), "berth.db.lock was replaced", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, path, logged := attachedStore(t)
			back, err := tt.take(path)
			if err != nil {
				t.Fatal(err)
			}
			if tt.later {
				waitFor(t, func() bool { return s.Health() != nil })
			}
			for _, key := range []string{"refused", "refused as well"} {
				r, err := s.Append(t.Context(), []*event.Event{makeEvent(t, key)})
				if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), tt.want) {
					t.Fatalf("got %+v, %v, want %q", r, err, tt.want)
				}
			}
			if err := s.KVSet(t.Context(), "p", "k", []byte("v")); !fault.Is(err, fault.Unavailable) {
				t.Errorf("KVSet: got %v", err)
			}
			if err := s.Health(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Health: got %v", err)
			}
			if err := back(); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Append(t.Context(), []*event.Event{makeEvent(t, "after")}); err != nil {
				t.Errorf("after it was put back: %v", err)
			}
			if err := s.Health(); err != nil {
				t.Errorf("Health after it was put back: %v", err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			text := logged.String()
			if n, m := strings.Count(text, "level=ERROR"), strings.Count(text, "store takes writes again"); n != 1 || m != 1 {
				t.Errorf("%d errors and %d recoveries were logged:\n%s", n, m, text)
			}
			keys := keysIn(t, path)
			for _, key := range []string{"before", "and another", "after"} {
				if !keys[key] {
					t.Errorf("%s was acknowledged and is lost", key)
				}
			}
		})
	}
}

// TestKeeperDetectsAMovedFile moves the data file of a store without writers.
func TestKeeperDetectsAMovedFile(t *testing.T) {
	s, path, logged := attachedStore(t)
	if err := os.Rename(path, path+".aside"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return s.Health() != nil })
	if err := os.Rename(path+".aside", path); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return s.Health() == nil })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("/proc/self/fd"); err == nil && !strings.Contains(logged.String(), "=berth.db") {
		t.Errorf("the log does not say where the open file is:\n%s", logged)
	}
}

// TestDetachedStoreOpensNoOtherFile gives the name to another file and opens more
// connections than there are: none of them opens that file.
func TestDetachedStoreOpensNoOtherFile(t *testing.T) {
	s, path, _ := attachedStore(t)
	if err := os.Rename(path, path+".aside"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, emptyDatabase(t), 0o600); err != nil {
		t.Fatal(err)
	}
	// connect takes every connection that is there, and answers why there is no more.
	connect := func() (refused error) {
		for range datafile.Readers() {
			conn, err := s.reader.Conn(t.Context())
			if err != nil {
				return err
			}
			defer conn.Close()
		}
		return nil
	}
	if err := connect(); err == nil || !strings.Contains(err.Error(), "was replaced by another file") {
		t.Errorf("got %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := connect(); err == nil || !strings.Contains(err.Error(), "was deleted or moved") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a connection made an empty file: %v", err)
	}
}

// TestDetachedStoreLeavesWatermarkAlone deletes the directory of a running store and
// creates it again for another store, which owns the watermark there.
func TestDetachedStoreLeavesWatermarkAlone(t *testing.T) {
	s, path, _ := attachedStore(t)
	dir := filepath.Dir(path)
	if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	if s.file.Keep() {
		t.Error("the store is attached to files that were deleted")
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 0 {
		t.Errorf("got %v, %v, want an empty directory", list, err)
	}
	for round := range 2 {
		other, err := Open(t.Context(), Config{Window: newWindow(), Path: path})
		if err != nil {
			t.Fatalf("start %d: %v", round+1, err)
		}
		if _, err := other.Append(t.Context(), []*event.Event{makeEvent(t, strings.Repeat("k", round+1))}); err != nil {
			t.Error(err)
		}
		s.file.Keep()
		if p, found, err := datafile.ReadWatermark(path); err != nil || !found || p.Store != other.id {
			t.Errorf("start %d: got %+v, %v, %v, want store %s", round+1, p, found, err, other.id)
		}
		if err := other.Close(); err != nil {
			t.Error(err)
		}
	}
}

// openPath is as in kill_test.go.
const openPath = "BERTH_STORE_TEST_OPEN"

// TestSecondProcessWithoutLockFile deletes the lock file of a running store: a second
// process is refused nevertheless.
func TestSecondProcessWithoutLockFile(t *testing.T) {
	s, path, _ := attachedStore(t)
	open := func() string {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), openPath+"="+path)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	if got := open(); !strings.Contains(got, "is in use by another process (pid ") {
		t.Errorf("with the lock file: got %q", got)
	}
	if err := os.Remove(path + ".lock"); err != nil {
		t.Fatal(err)
	}
	if got := open(); !strings.Contains(got, "is in use by another process, whose lock file was deleted") {
		t.Errorf("without the lock file: got %q", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := open(); got != "open\n" {
		t.Errorf("after the end of the first: got %q", got)
	}
}

func waitFor(t *testing.T, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("the condition does not become true")
		}
	}
}
