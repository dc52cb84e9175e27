package store

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/store/datafile"
)

// frozen returns a store whose writer is blocked after the commit of a group and
// before its callers return. flushed is the length of the WAL when the group before
// was acknowledged.
func frozen(t *testing.T, groups, each int) (path string, flushed int64, acknowledged, unanswered []string) {
	t.Helper()
	ctx := t.Context()
	path = filepath.Join(t.TempDir(), "berth.db")
	n, frozen, release := 0, make(chan struct{}), make(chan struct{})
	s, err := open(ctx, Config{Window: newWindow(), Path: path}, faults{committed: func() error {
		switch n++; n {
		case groups - 1:
			info, err := os.Stat(path + "-wal")
			if err != nil {
				return err
			}
			flushed = info.Size()
		case groups:
			close(frozen)
			<-release
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		for g := range groups {
			events := make([]*event.Event, each)
			keys := make([]string, each)
			for i := range events {
				keys[i] = fmt.Sprintf("%d-%d", g, i)
				events[i] = makeEvent(t, keys[i])
			}
			if g == groups-1 {
				unanswered = keys
			}
			if _, err := s.Append(ctx, events); err != nil {
				done <- err
				return
			}
			if g < groups-1 {
				acknowledged = append(acknowledged, keys...)
			}
		}
		done <- nil
	}()
	<-frozen
	t.Cleanup(func() {
		close(release)
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return path, flushed, acknowledged, unanswered
}

// opened writes the files of a crash to another directory, opens them, and returns the
// keys of the events. The watermark is among the files: it must not be ahead of the
// WAL.
func opened(t *testing.T, db, wal, watermark []byte) map[string]bool {
	t.Helper()
	path := filepath.Join(t.TempDir(), "berth.db")
	for name, content := range map[string][]byte{path: db, path + "-wal": wal, path + datafile.WatermarkSuffix: watermark} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return keysIn(t, path)
}

func keysIn(t *testing.T, path string) map[string]bool {
	t.Helper()
	s, err := Open(t.Context(), Config{Window: newWindow(), Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var sound string
	if err := s.reader.QueryRow(`PRAGMA integrity_check`).Scan(&sound); err != nil || sound != "ok" {
		t.Errorf("integrity_check: %s, %v", sound, err)
	}
	keys, size := make(map[string]bool), int64(0)
	for from := uint64(1); ; {
		records, err := s.Read(t.Context(), from, 4096)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			keys[r.Event.Metadata().IdempotencyKey] = true
			size += r.Event.Size()
			from = r.Seq + 1
		}
		if len(records) == 0 {
			break
		}
	}
	if st, err := s.Status(t.Context()); err != nil || st.Bytes != size || st.Events != int64(len(keys)) {
		t.Errorf("%d events of %d bytes are there; the status says %+v, %v", len(keys), size, st, err)
	}
	return keys
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// TestTornTail is a power failure during the last group's write: its part of the WAL
// is truncated at any position, or filled with garbage. Events acknowledged before are
// there, and the last group is complete or missing.
func TestTornTail(t *testing.T) {
	path, flushed, acknowledged, unanswered := frozen(t, 6, 20)
	db, wal, watermark := mustRead(t, path), mustRead(t, path+"-wal"), mustRead(t, path+datafile.WatermarkSuffix)
	if len(wal) <= int(flushed) {
		t.Fatalf("the WAL is %d bytes and was %d: there is nothing to cut", len(wal), flushed)
	}
	whole, none := 0, 0
	for cut := len(wal); cut >= int(flushed); cut -= max(1, (len(wal)-int(flushed))/11) {
		for _, garbage := range []bool{false, true} {
			torn := wal[:cut:cut]
			if garbage {
				torn = append(torn, bytes.Repeat([]byte{0xa5}, len(wal)-cut)...)
			}
			got := opened(t, db, torn, watermark)
			last := 0
			for _, key := range unanswered {
				if got[key] {
					last++
				}
			}
			switch {
			case last == 0:
				none++
			case last == len(unanswered):
				whole++
			default:
				t.Errorf("cut at %d: %d of the last group's %d events are there", cut, last, len(unanswered))
			}
			for _, key := range acknowledged {
				if !got[key] {
					t.Fatalf("cut at %d: %s was acknowledged and is lost", cut, key)
				}
			}
		}
	}
	if whole == 0 || none == 0 {
		t.Errorf("the last group was complete %d times and missing %d times, want both", whole, none)
	}
}

// TestTornCheckpoint is a power failure while the WAL is being copied into the file:
// each of its pages may be old or new, as long as the WAL is there.
func TestTornCheckpoint(t *testing.T) {
	path, _, acknowledged, unanswered := frozen(t, 8, 30)
	before, wal, watermark := mustRead(t, path), mustRead(t, path+"-wal"), mustRead(t, path+datafile.WatermarkSuffix)
	// A checkpoint of the copy, by the code that does it.
	copied := filepath.Join(t.TempDir(), "berth.db")
	for name, content := range map[string][]byte{copied: before, copied + "-wal": wal} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := len(keysIn(t, copied)) // Close leaves everything in the file
	after := mustRead(t, copied)
	if want != len(acknowledged)+len(unanswered) || len(after) <= len(before) {
		t.Fatalf("%d events in %d bytes after %d", want, len(after), len(before))
	}
	const page = 4096
	for mix := range 8 {
		torn := bytes.Clone(after)
		if mix == 1 {
			torn = torn[:len(torn)/page/2*page] // it had not grown yet
		}
		for at := 0; at+page <= len(before) && at+page <= len(torn); at += page {
			if (at/page)>>(mix%3)&1 == mix/3%2 {
				copy(torn[at:at+page], before[at:])
			}
		}
		if got := opened(t, torn, wal, watermark); len(got) != want {
			t.Errorf("mix %d: %d events are there, want %d", mix, len(got), want)
		}
	}
}
