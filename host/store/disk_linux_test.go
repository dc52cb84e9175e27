package store_test

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store"
)

// TestFullTmpfs fills a real file system, where one can be mounted (as root);
// TestFileSizeLimit does the same for every user, so that neither is skipped.
func TestFullTmpfs(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=10m"); err != nil {
		t.Logf("no file system can be mounted (%v): TestFileSizeLimit covers it", err)
		return
	}
	unmount(t, dir)
	// Four MiB are for the store. What is reclaimed must be enough for its WAL a second time:
	// a checkpoint that does not fit fills the disk again.
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 6<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := fillDisk(t.Context(), filepath.Join(dir, "berth.db"), func() error { return os.Remove(ballast) }); err != nil {
		t.Error(err)
	}
}

func unmount(t *testing.T, dir string) {
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
}

// limitedPath makes this test binary the child whose files may not grow: it
// names the data file.
const limitedPath = "BERTH_STORE_TEST_LIMITED"

// TestFileSizeLimit runs the same in a process whose files have a limit.
func TestFileSizeLimit(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), limitedPath+"="+filepath.Join(t.TempDir(), "berth.db"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// limited is that process.
func limited(path string) error {
	signal.Ignore(unix.SIGXFSZ) // what is over the limit is an error, not the end
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &was); err != nil {
		return err
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 2 << 20, Max: was.Max}); err != nil {
		return err
	}
	return fillDisk(context.Background(), path, func() error { return unix.Setrlimit(unix.RLIMIT_FSIZE, &was) })
}

// filler publishes to a store until its disk is full.
type filler struct {
	s *store.Store

	mu     sync.Mutex
	acked  map[string]bool // by key
	orders int
}

// publish publishes so many events, and orders, from each of eight goroutines, until a
// write fails.
func (f *filler) publish(ctx context.Context, round string, each int) error {
	errs := make(chan error, 8)
	for p := range cap(errs) {
		go func() {
			for i := range each {
				if err := f.publishOne(ctx, fmt.Sprintf("%s-%d-%d", round, p, i), p == 0); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	var first error
	for range cap(errs) {
		if err := <-errs; err != nil && (first == nil || fault.CodeOf(first) == fault.Exhausted) {
			first = err
		}
	}
	return first
}

func (f *filler) publishOne(ctx context.Context, key string, order bool) error {
	ev, err := event.New(event.Draft{Type: "t", IdempotencyKey: key, Data: fmt.Appendf(nil, "%q", strings.Repeat("x", 2000))})
	if err != nil {
		return err
	}
	if order {
		_, err = f.s.Write(ctx, func(tx *sql.Tx) ([]*event.Event, error) {
			return []*event.Event{ev}, setStatus(key)(tx)
		})
	} else {
		_, err = f.s.Append(ctx, []*event.Event{ev})
	}
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.acked[key] = true; order {
		f.orders++
	}
	return nil
}

// fillDisk publishes from several goroutines until the disk is full, checks which
// writes are refused and which calls still succeed, frees capacity and continues
// without opening the file again. In the end every acknowledged event is there.
func fillDisk(ctx context.Context, path string, reclaim func() error) error {
	s, err := store.Open(ctx, store.Config{Window: newWindow(), Path: path})
	if err != nil {
		return err
	}
	defer s.Close()
	f := &filler{s: s, acked: make(map[string]bool)}
	const enough = 10_000 // far more than fits
	switch err := f.publish(ctx, "filling", enough); {
	case !fault.Is(err, fault.Exhausted) || !strings.Contains(err.Error(), "disk is full"):
		return fmt.Errorf("filling the disk: got %w, want %s", err, fault.Exhausted)
	case fault.RetryAfter(err) != 0:
		return fmt.Errorf("a full disk is not the log's own limit: %w", err)
	}
	// A child needs capacity, too: it is refused with its parent's outcome.
	child, err := event.New(event.Draft{Type: "t", IdempotencyKey: "child", Data: fmt.Appendf(nil, "%q", strings.Repeat("x", 100_000))})
	if err != nil {
		return err
	}
	outcome := event.Delivery{Handler: "h", Seq: 1, Status: event.StatusOK, Children: []*event.Event{child}}
	save := func() error {
		_, _, err := s.SaveDeliveries(ctx, nil, nil, []event.Delivery{outcome}, []event.Cursor{{Name: "handler/h", Seq: 1}})
		return err
	}
	if err := save(); !fault.Is(err, fault.Exhausted) {
		return fmt.Errorf("a child on a full disk: got %v, want %s", err, fault.Exhausted)
	}
	if err := allThere(ctx, s, f.acked, f.orders); err != nil {
		return fmt.Errorf("while the disk is full: %w", err)
	}
	if err := reclaim(); err != nil {
		return err
	}
	if err := f.publish(ctx, "after", 10); err != nil {
		return fmt.Errorf("with capacity again: %w", err)
	}
	if err := save(); err != nil {
		return fmt.Errorf("the child with capacity again: %w", err)
	}
	f.acked["child"] = true
	if err := allThere(ctx, s, f.acked, f.orders); err != nil {
		return fmt.Errorf("with capacity again: %w", err)
	}
	if err := s.Close(); err != nil {
		return err
	}
	if s, err = store.Open(ctx, store.Config{Window: newWindow(), Path: path}); err != nil {
		return err
	}
	defer s.Close()
	var sound string
	if err := s.Reader().QueryRow(`PRAGMA integrity_check`).Scan(&sound); err != nil || sound != "ok" {
		return fmt.Errorf("integrity_check: %s, %w", sound, err)
	}
	if err := allThere(ctx, s, f.acked, f.orders); err != nil {
		return fmt.Errorf("after opening it again: %w", err)
	}
	return nil
}

// allThere looks for exactly these keys, by reading the log to its end, and for
// as many orders as have been acknowledged.
func allThere(ctx context.Context, s *store.Store, want map[string]bool, orders int) error {
	got, size := make(map[string]bool), int64(0)
	for from := uint64(1); ; {
		records, err := s.Read(ctx, from, 1000)
		if err != nil {
			return err
		}
		for _, r := range records {
			got[r.Event.Metadata().IdempotencyKey] = true
			from, size = r.Seq+1, size+r.Event.Size()
		}
		if len(records) == 0 {
			break
		}
	}
	for key := range want {
		if !got[key] {
			return fmt.Errorf("%s was acknowledged and is lost", key)
		}
	}
	if len(got) != len(want) || len(want) == 0 {
		return fmt.Errorf("%d events are there, %d were acknowledged", len(got), len(want))
	}
	if st, err := s.Status(ctx); err != nil || st.Bytes != size || st.Events != int64(len(got)) {
		return fmt.Errorf("the status is %+v, %w; %d bytes were read", st, err, size)
	}
	var count int
	if err := s.Reader().QueryRow(`SELECT count(*) FROM orders`).Scan(&count); err != nil || count != orders {
		return fmt.Errorf("%d orders are there, %w, want %d", count, err, orders)
	}
	return nil
}

// TestPowerFailure lets a process write to a file system in an image, stops it at any
// moment, copies the image as a power failure at that moment would leave it, and
// checks that the copy has every event acknowledged until then. Where no image can be
// mounted, TestTornTail and TestTornCheckpoint cover it without the file system.
func TestPowerFailure(t *testing.T) {
	image, dir := filepath.Join(t.TempDir(), "image"), t.TempDir()
	if err := makeImage(image); err != nil {
		t.Logf("no image can be made (%v): the torn copies cover it", err)
		return
	}
	if err := mountImage(image, dir); err != nil {
		t.Logf("no image can be mounted (%v): the torn copies cover it", err)
		return
	}
	unmount(t, dir)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childPath+"="+filepath.Join(dir, "berth.db"))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended, enough := make(chan struct{}), make(chan struct{})
	defer func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		close(enough)
		<-ended
		cmd.Wait() //nolint:errcheck // it was killed
	}()
	ids := make(chan string)
	go func() {
		defer close(ended)
		defer close(ids)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			select {
			case ids <- lines.Text():
			case <-enough:
				return
			}
		}
	}()
	acked := make(map[string]bool)
	for round := range 3 {
		for range 100 + 333*round {
			id, running := <-ids
			if !running {
				t.Fatal("the writer ended unexpectedly")
			}
			acked[id] = true
		}
		if err := cmd.Process.Signal(unix.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		copied := stableCopy(t, image)
		if err := cmd.Process.Signal(unix.SIGCONT); err != nil {
			t.Fatal(err)
		}
		stored := readImage(t, copied)
		for id := range acked {
			if !stored[id] {
				t.Errorf("round %d: %s was acknowledged and is lost", round, id)
			}
		}
		t.Logf("round %d: %d were acknowledged, %d are in the image", round, len(acked), len(stored))
	}
}

func makeImage(path string) error {
	if os.Getuid() != 0 {
		return os.ErrPermission
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(32 << 20); err != nil {
		return err
	}
	return run("mkfs.ext4", "-q", "-F", path)
}

func mountImage(image, dir string) error { return run("mount", "-o", "loop", image, dir) }

func run(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(out))
	}
	return nil
}

// stableCopy copies an image that no process writes any more but, for a moment, the
// kernel: two equal copies are the image as it was between them.
func stableCopy(t *testing.T, image string) string {
	t.Helper()
	before := mustRead(t, image)
	for {
		after := mustRead(t, image)
		if bytes.Equal(before, after) {
			copied := filepath.Join(t.TempDir(), "copy")
			if err := os.WriteFile(copied, after, 0o600); err != nil {
				t.Fatal(err)
			}
			return copied
		}
		before = after
	}
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// readImage mounts a copy, so that its journal is replayed, and returns the keys
// that the store in it has.
func readImage(t *testing.T, image string) map[string]bool {
	t.Helper()
	dir := t.TempDir()
	if err := mountImage(image, dir); err != nil {
		t.Fatal(err)
	}
	unmount(t, dir)
	s := open(t, store.Config{Path: filepath.Join(dir, "berth.db")})
	var sound string
	if err := s.Reader().QueryRow(`PRAGMA integrity_check`).Scan(&sound); err != nil || sound != "ok" {
		t.Errorf("integrity_check: %s, %v", sound, err)
	}
	keys := make(map[string]bool)
	for _, r := range logtest.ReadAll(t, s, 1, 1000) {
		keys[r.Event.Metadata().IdempotencyKey] = true
	}
	return keys
}
