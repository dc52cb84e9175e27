package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store/datafile"
	"github.com/berth-host/berth/host/store/logread"
	"github.com/berth-host/berth/host/store/schema"
)

func openStore(t *testing.T) (s *Store, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "berth.db")
	s, err := Open(t.Context(), Config{Window: newWindow(), Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, path
}

func appendKeys(t *testing.T, s *Store, prefix string, n int) {
	t.Helper()
	events := make([]*event.Event, n)
	for i := range events {
		events[i] = makeEvent(t, fmt.Sprint(prefix, i))
	}
	if _, err := s.Append(t.Context(), events); err != nil {
		t.Fatal(err)
	}
}

// openCopy checks and opens a copy.
func openCopy(t *testing.T, path string) *Store {
	t.Helper()
	if found, err := logread.Check(t.Context(), path); err != nil || len(found.Pages)+len(found.Events) > 0 {
		t.Fatalf("the copy is damaged: %+v, %v", found, err)
	}
	s, err := Open(t.Context(), Config{Window: newWindow(), Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// large appends events of 1 KB each.
func large(t *testing.T, s *Store, n int) {
	t.Helper()
	data := json.RawMessage(`"` + strings.Repeat("x", 1000) + `"`)
	for i := 0; i < n; {
		var events []*event.Event
		for range 500 {
			ev, err := event.New(event.Draft{Type: "t", IdempotencyKey: fmt.Sprint("large-", i), Data: data})
			if err != nil {
				t.Fatal(err)
			}
			events, i = append(events, ev), i+1
		}
		if _, err := s.Append(t.Context(), events); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSnapshotUnderWrites copies the store several times while eight callers write to it.
// Each copy is intact, has every write that was acknowledged before it began, and ends
// where its description says.
func TestSnapshotUnderWrites(t *testing.T) {
	s, _ := openStore(t)
	large(t, s, 5000)
	ctx, stop := context.WithCancel(t.Context())
	var publishers sync.WaitGroup
	var acknowledged [8]atomic.Int64 // the number of each publisher's last event
	for p := range acknowledged {
		publishers.Go(func() {
			for i := int64(1); ctx.Err() == nil; i++ {
				if _, err := s.Append(t.Context(), []*event.Event{makeEvent(t, fmt.Sprint("p", p, "-", i))}); err != nil {
					t.Error(err)
					return
				}
				acknowledged[p].Store(i)
			}
		})
	}
	dir, written := t.TempDir(), int64(0)
	for n := 0; n < 5 || written == 0; n++ { // at least one copy overlaps with writes
		if n == 200 {
			t.Fatal("nothing was written during the copies")
		}
		var before [8]int64
		for p := range before {
			before[p] = acknowledged[p].Load()
		}
		path := filepath.Join(dir, fmt.Sprint("copy", n))
		snapshot, err := s.Snapshot(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		for p := range before {
			written += acknowledged[p].Load() - before[p]
		}
		restored := openCopy(t, path)
		at := datafile.Position{Store: s.id, Seq: restored.Last(), Writes: restored.writes}
		if snapshot.At != at || snapshot.Schema != schema.Latest() {
			t.Errorf("the copy is at %+v, and is said to be at %+v", at, snapshot)
		}
		found := make(map[string]bool)
		for next := uint64(1); next <= restored.Last(); {
			records, err := restored.Read(t.Context(), next, 1000)
			if err != nil || len(records) == 0 {
				t.Fatalf("from event %d: %d events, %v", next, len(records), err)
			}
			for _, r := range records {
				found[r.Event.Metadata().IdempotencyKey], next = true, r.Seq+1
			}
		}
		for p, last := range before {
			for i := int64(1); i <= last; i++ {
				if !found[fmt.Sprint("p", p, "-", i)] {
					t.Fatalf("the copy lacks event %d of publisher %d, of %d that were acknowledged before", i, p, last)
				}
			}
		}
		if err := restored.Close(); err != nil {
			t.Error(err)
		}
	}
	stop()
	publishers.Wait()
}

// TestCanceledSnapshotLeavesStore ends a copy by its context, and by a target that is not
// empty.
func TestCanceledSnapshotLeavesStore(t *testing.T) {
	s, path := openStore(t)
	large(t, s, 500)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	target := filepath.Join(t.TempDir(), "copy")
	if _, err := s.Snapshot(ctx, target); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: got %v", err)
	}
	if _, err := s.Snapshot(t.Context(), path); err == nil {
		t.Error("the store was copied into itself")
	}
	appendKeys(t, s, "after-", 10)
	if _, err := s.Snapshot(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	if got := openCopy(t, target).Last(); got != 510 {
		t.Errorf("the copy ends at event %d, want 510", got)
	}
}

// TestCloseEndsSnapshot closes the store while it is copied: the copy is complete, or has
// failed because the store is closed.
func TestCloseEndsSnapshot(t *testing.T) {
	s, _ := openStore(t)
	large(t, s, 5000)
	target := filepath.Join(t.TempDir(), "copy")
	copied := make(chan error, 1)
	go func() {
		_, err := s.Snapshot(context.Background(), target)
		copied <- err
	}()
	await(t, func() bool { info, err := os.Stat(target); return err == nil && info.Size() > 0 || len(copied) > 0 })
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	switch err := <-copied; {
	case err == nil:
		openCopy(t, target)
	case !fault.Is(err, fault.Unavailable):
		t.Errorf("got %v, want that the file is closed", err)
	}
	if _, err := s.Snapshot(t.Context(), target+"2"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("after Close: got %v", err)
	}
}

// await waits until a condition holds.
func await(t *testing.T, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(time.Minute); !holds(); {
		select {
		case <-deadline:
			t.Fatal("waited in vain")
		case <-tick.C:
		}
	}
}

// TestSnapshotOfDamage overwrites each page in turn: a copy is refused, or SQLite finds it
// intact, because nothing of that page was in use.
func TestSnapshotOfDamage(t *testing.T) {
	s, path := openStore(t)
	large(t, s, 500)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	refused := 0
	for at := page; at < len(content); at += 8 * page {
		dir := t.TempDir()
		path := filepath.Join(dir, "berth.db")
		damaged := bytes.Clone(content)
		for i := range page {
			damaged[at+i] ^= 0x55
		}
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		target := filepath.Join(dir, "copy")
		_, err := datafile.CopyUnused(t.Context(), path, target)
		if err != nil {
			refused++
			if !fault.Is(err, fault.Internal) {
				t.Errorf("page %d: got %s: %v", at/page, fault.CodeOf(err), err)
			}
			continue
		}
		if found, err := logread.CheckPages(t.Context(), target); err != nil || len(found) > 0 {
			t.Errorf("page %d: the copy is damaged: %v, %v", at/page, found, err)
		}
	}
	if refused == 0 {
		t.Error("no damage was found")
	}
}

// TestCopyOfUnusedFile copies a file that a killed host has left with a WAL, one in use,
// one behind its watermark, and others.
func TestCopyOfUnusedFile(t *testing.T) {
	s, path := openStore(t)
	appendKeys(t, s, "k", 30)
	dir := t.TempDir()
	for _, suffix := range []string{"", "-wal", datafile.WatermarkSuffix} { // as the kernel has them when the process is killed
		content, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "berth.db"+suffix), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	killed, target := filepath.Join(dir, "berth.db"), filepath.Join(dir, "copy")
	snapshot, err := datafile.CopyUnused(t.Context(), killed, target)
	if err != nil || snapshot.At.Seq != 30 {
		t.Fatalf("got %+v, %v, want event 30", snapshot, err)
	}
	if got := openCopy(t, target).Last(); got != 30 {
		t.Errorf("the copy ends at event %d, want 30", got)
	}
	if _, err := datafile.CopyUnused(t.Context(), path, target+"2"); !fault.Is(err, fault.Conflict) {
		t.Errorf("in use: got %v", err)
	}
	if _, err := datafile.CopyUnused(t.Context(), filepath.Join(dir, "none"), target+"2"); !fault.Is(err, fault.NotFound) {
		t.Errorf("missing: got %v", err)
	}
	other := filepath.Join(dir, "other")
	if err := os.WriteFile(other, bytes.Repeat([]byte("text "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := datafile.CopyUnused(t.Context(), other, target+"2"); !fault.Is(err, fault.Internal) {
		t.Errorf("no database: got %v", err)
	}
	if err := os.Remove(killed + "-wal"); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(killed); err != nil {
		t.Fatal(err)
	}
	older, err := Open(t.Context(), Config{Window: newWindow(), Path: killed, AcceptDataLoss: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := older.Close(); err != nil {
		t.Fatal(err)
	}
	mark, err := os.ReadFile(path + datafile.WatermarkSuffix)
	if err == nil {
		err = os.WriteFile(killed+datafile.WatermarkSuffix, mark, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := datafile.CopyUnused(t.Context(), killed, target+"2"); !fault.Is(err, fault.Conflict) {
		t.Errorf("behind its watermark: got %v", err)
	}
}

// TestAdoptedCopyIsAnotherStore: a copy with an id of its own starts, and the file of the
// store that was copied is refused in its position, also if it has more events.
func TestAdoptedCopyIsAnotherStore(t *testing.T) {
	s, path := openStore(t)
	appendKeys(t, s, "k", 30)
	target := filepath.Join(t.TempDir(), "berth.db")
	if _, err := s.Snapshot(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	at, err := datafile.Adopt(t.Context(), target)
	if err != nil || at.Seq != 30 || at.Store == s.id || len(at.Store) != 32 {
		t.Fatalf("got %+v, %v", at, err)
	}
	if mark, found, err := datafile.ReadWatermark(target); err != nil || !found || mark != at {
		t.Errorf("the watermark is %+v, %v, %v, want %+v", mark, found, err, at)
	}
	restored := openCopy(t, target)
	appendKeys(t, restored, "after-", 3)
	if restored.id != at.Store || restored.Last() != 33 {
		t.Errorf("the copy is %s at event %d", restored.id, restored.Last())
	}
	if err := restored.Close(); err != nil {
		t.Fatal(err)
	}
	appendKeys(t, s, "more-", 30)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(target, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), Config{Window: newWindow(), Path: target})
	if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "is another store") {
		t.Errorf("the file of the store that was copied: got %v", err)
	}
}
