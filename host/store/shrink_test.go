package store

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/store/datafile"
	"github.com/berth-host/berth/host/store/schema"
)

// fill appends n events of about 1 KiB each.
func fill(t *testing.T, s *Store, n int) {
	t.Helper()
	const batch = 250
	data := fmt.Appendf(nil, `{"x":"%0900d"}`, 1)
	for n > 0 {
		events := make([]*event.Event, min(n, batch))
		for i := range events {
			ev, err := event.New(event.Draft{Type: "t", Data: data})
			if err != nil {
				t.Fatal(err)
			}
			events[i] = ev
		}
		if _, err := s.Append(t.Context(), events); err != nil {
			t.Fatal(err)
		}
		n -= len(events)
	}
}

func sizeOf(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// TestFileShrinks trims a log of 8 MB: the running store returns the free pages,
// except those that the next events will need.
func TestFileShrinks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	s, err := Open(t.Context(), Config{Window: newWindow(), Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	fill(t, s, 6_000)
	if _, err := s.Trim(t.Context(), s.Last()); err != nil {
		t.Fatal(err)
	}
	const kept = (datafile.MinFreePages + 200) * 4096
	waitFor(t, func() bool { return sizeOf(t, path) <= kept })
	p, err := datafile.CountPages(t.Context(), s.reader)
	if err != nil || p.Free < datafile.MinFreePages-1 {
		t.Errorf("got %+v, %v, want %d pages to stay free", p, err, datafile.MinFreePages)
	}
	fill(t, s, 100)
	if keys := integrity(t, s); keys != "ok" {
		t.Errorf("integrity_check: %s", keys)
	}
}

func integrity(t *testing.T, s *Store) (sound string) {
	t.Helper()
	if err := s.reader.QueryRow(`PRAGMA integrity_check`).Scan(&sound); err != nil {
		t.Fatal(err)
	}
	return sound
}

func TestSurplusPages(t *testing.T) {
	for _, tt := range []struct {
		p    datafile.Pages
		want int64
	}{
		{datafile.Pages{Total: 2000, Free: 1024, Incremental: true}, 0},
		{datafile.Pages{Total: 2001, Free: 1025, Incremental: true}, 1},
		{datafile.Pages{Total: 2001, Free: 1025, Incremental: false}, 0},
		{datafile.Pages{Total: 18000, Free: 2000, Incremental: true}, 0},
		{datafile.Pages{Total: 18001, Free: 2001, Incremental: true}, 1},
		{datafile.Pages{}, 0},
	} {
		if got := tt.p.Surplus(); got != tt.want {
			t.Errorf("%+v: got %d, want %d", tt.p, got, tt.want)
		}
	}
}

// oldStore creates a file as a version without incremental vacuum did, with an event
// and free pages.
func oldStore(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := schema.Upgrade(t.Context(), db, path, 7); err != nil {
		t.Fatal(err)
	}
	ev := makeEvent(t, "old")
	if _, err := db.Exec(`INSERT INTO events (seq, event_id, idempotency_key, type, subject, appended_at, envelope) VALUES (41, ?, 'old', 't', '', 5, ?)`, ev.ID(), ev.Envelope()); err != nil {
		t.Fatal(err)
	}
}

// TestOldFileIsRewrittenOnce opens a small one.
func TestOldFileIsRewrittenOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	oldStore(t, path)
	for range 2 {
		s, err := Open(t.Context(), Config{Window: newWindow(), Path: path})
		if err != nil {
			t.Fatal(err)
		}
		if p, err := datafile.CountPages(t.Context(), s.reader); err != nil || !p.Incremental {
			t.Errorf("got %+v, %v, want incremental vacuum", p, err)
		}
		if s.Last() != 41 || integrity(t, s) != "ok" {
			t.Errorf("Last is %d, want 41; %s", s.Last(), integrity(t, s))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCompact rewrites a file at once that could return its pages step by step.
func TestCompact(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	s, err := Open(t.Context(), Config{Window: newWindow(), Path: path})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, s, 2_000)
	if _, err := s.Trim(t.Context(), s.Last()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(t.Context(), Config{Window: newWindow(), Path: path, Compact: true}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if p, err := datafile.CountPages(t.Context(), s.reader); err != nil || p.Free != 0 {
		t.Errorf("got %+v, %v, want no free page", p, err)
	}
	if n := sizeOf(t, path); n > 60*4096 {
		t.Errorf("the file has %d bytes", n)
	}
	if st, err := s.Status(t.Context()); err != nil || st.Events != 1 {
		t.Errorf("got %+v, %v, want one event", st, err)
	}
}
