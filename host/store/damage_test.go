package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store/logread"
)

// damagedStore returns a store of 40 events of which several share a page. It was
// closed, damaged by damage, which gets the file's content, and opened again.
// marker(n) is in event n only.
func damagedStore(t *testing.T, cfg Config, damage func(content []byte)) *Store {
	t.Helper()
	path := filepath.Join(t.TempDir(), "berth.db")
	s, err := Open(t.Context(), Config{Window: newWindow(), Path: path})
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 40; n++ {
		ev, err := event.New(event.Draft{Type: "t", Subject: "s", IdempotencyKey: fmt.Sprint(n), Data: fmt.Appendf(nil, `{"marker":%q,"x":"%0600d"}`, marker(n), 1)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Append(t.Context(), []*event.Event{ev}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"behind", "ahead"} {
		if err := s.SetCursor(t.Context(), event.Cursor{Name: handlerCursor(name), Seq: map[string]uint64{"behind": 2, "ahead": 40}[name]}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content := mustRead(t, path)
	damage(content)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if cfg.Path = path; cfg.Window == nil {
		cfg.Window = newWindow()
	}
	if s, err = Open(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() }) //nolint:errcheck // the file is damaged
	return s
}

func marker(n int) string { return fmt.Sprintf("marker-%04d-marker", n) }

// at returns the offset of event n's marker in the file.
func at(t *testing.T, content []byte, n int) int {
	t.Helper()
	i := bytes.Index(content, []byte(marker(n)))
	if i < 0 {
		t.Fatalf("event %d is not in the file", n)
	}
	return i
}

// readAll reads the log like a subscriber and returns the Seqs of its events.
func readAll(ctx context.Context, s *Store) (got []uint64, err error) {
	for from := uint64(1); ; {
		records, err := s.Read(ctx, from, 7)
		if err != nil || len(records) == 0 {
			return got, err
		}
		for _, r := range records {
			got = append(got, r.Seq)
		}
		from = got[len(got)-1] + 1
	}
}

func TestDamagedEventIsNamedAndSkipped(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(t *testing.T, content []byte)
		page   bool // several events are lost
	}{
		{"an envelope that is no JSON", func(t *testing.T, content []byte) {
			content[at(t, content, 20)-1] = 'x' // the quote before
		}, false},
		{"an envelope of zeros", func(t *testing.T, content []byte) {
			i := at(t, content, 20)
			clear(content[i-20 : i+20])
		}, false},
		{"a page of rubbish", func(t *testing.T, content []byte) {
			page := at(t, content, 20) / 4096 * 4096
			copy(content[page:page+4096], bytes.Repeat([]byte{0xa5}, 4096))
		}, true},
		{"a page of zeros", func(t *testing.T, content []byte) {
			page := at(t, content, 20) / 4096 * 4096
			clear(content[page : page+4096])
		}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx := t.Context()
			s := damagedStore(t, Config{Window: bus.NewWindow(bus.WindowConfig{Events: 1})}, func(content []byte) { tt.damage(t, content) })
			got, err := readAll(ctx, s)
			var bad *event.Unreadable
			if !errors.As(err, &bad) || !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), bad.Events()+" cannot be read") {
				t.Fatalf("got %v, %v, want an unreadable event", got, err)
			}
			if len(got) != int(bad.Seq)-1 || bad.Seq > 20 || bad.To < 20 || (bad.To > bad.Seq) != tt.page {
				t.Fatalf("got %d events, then %+v", len(got), bad)
			}
			if all, err := s.Unreadable(ctx, 1); err != nil || all == nil || all.Seq != bad.Seq || all.To != bad.To {
				t.Errorf("Unreadable: got %+v, %v, want %+v", all, err, bad)
			}
			if found, err := logread.Check(ctx, s.path); err != nil || len(found.Events) != 1 || found.Events[0].Seq != bad.Seq || found.Events[0].To != bad.To || (len(found.Pages) > 0) != tt.page {
				t.Errorf("Check: got %+v, %v, want %+v", found, err, bad)
			}
			if _, err := s.Events(ctx, event.Query{Limit: 40}); err == nil {
				t.Error("a list without the unreadable events was returned without an error")
			}
			skipRefusals(t, s, bad)

			done, err := s.Skip(ctx, bad.Seq, bad.To)
			if err != nil || fmt.Sprint(done.Handlers) != "[behind]" {
				t.Fatalf("Skip: got %+v, %v", done, err)
			}
			want := 40 - int(bad.To-bad.Seq+1)
			if got, err := readAll(ctx, s); err != nil || len(got) != want {
				t.Errorf("after Skip: got %d events, want %d: %v", len(got), want, err)
			}
			for _, q := range []event.Query{{Limit: 40}, {Limit: 40, Type: "t"}, {Limit: 40, Subject: "s", Before: 41}} {
				if list, err := s.Events(ctx, q); err != nil || len(list) != want {
					t.Errorf("Events %+v: got %d, %v, want %d", q, len(list), err, want)
				}
			}
			for seq := bad.Seq; seq <= bad.To; seq++ {
				got, err := s.Deliveries(ctx, seq)
				if err != nil || len(got) != 1 || got[0].Handler != "behind" || got[0].Status != event.StatusDead || got[0].ErrorClass != event.ClassUnreadable {
					t.Errorf("event %d: got %+v, %v, want a dead delivery", seq, got, err)
				}
			}
			if dead, _, err := s.DeadLetters(ctx, event.DeadFilter{}, "", 10); err != nil || len(dead) != 0 {
				t.Errorf("dead letters without an event: %+v, %v", dead, err)
			}
			if n, err := s.SeqAt(ctx, time.Now().Add(time.Hour)); err != nil || n != 41 {
				t.Errorf("SeqAt: got %d, %v, want 41", n, err)
			}
			if found, err := logread.Check(ctx, s.path); err != nil || len(found.Events) != 0 || (len(found.Pages) > 0) != tt.page {
				t.Errorf("Check after it was skipped: got %+v, %v", found, err)
			}
			// Everything continues, and a second Skip changes nothing.
			if _, err := s.Append(ctx, []*event.Event{makeEvent(t, "next")}); err != nil {
				t.Error(err)
			}
			if _, err := s.Skip(ctx, bad.Seq, bad.To); err != nil {
				t.Error(err)
			}
		})
	}
}

func skipRefusals(t *testing.T, s *Store, bad *event.Unreadable) {
	t.Helper()
	for _, tt := range []struct {
		name     string
		from, to uint64
		want     fault.Code
	}{
		{"one that can be read", 1, 1, fault.Conflict},
		{"one more than is damaged", bad.Seq, bad.To + 1, fault.Conflict},
		{"no range", 5, 4, fault.Invalid},
		{"Seq 0", 0, 4, fault.Invalid},
		{"beyond the log", 41, 41, fault.NotFound},
		{"100,001 Seqs", 1, 100_001, fault.Invalid},
	} {
		if _, err := s.Skip(t.Context(), tt.from, tt.to); !fault.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
	var skipped int
	if err := s.reader.QueryRow(`SELECT count(*) FROM skipped`).Scan(&skipped); skipped != 0 || err != nil {
		t.Errorf("a refused call has skipped something: %v", err)
	}
}

// TestTrimOfDamagedPageFailsAlone has a page from which no event can be deleted.
func TestTrimOfDamagedPageFailsAlone(t *testing.T) {
	ctx := t.Context()
	s := damagedStore(t, Config{}, func(content []byte) {
		page := at(t, content, 20) / 4096 * 4096
		clear(content[page : page+4096])
	})
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				_, _ = s.Trim(ctx, 41)
			}
		}
	}()
	for n := range 50 {
		if _, err := s.Append(ctx, []*event.Event{makeEvent(t, fmt.Sprint("new", n))}); err != nil {
			t.Errorf("a publisher got %v", err)
		}
	}
	close(stop)
	<-stopped
}

// TestOpenWithDamageAmongTheNewest opens a store where one of the newest 256 events
// cannot be read. Lists by type are complete nevertheless.
func TestOpenWithDamageAmongTheNewest(t *testing.T) {
	s := damagedStore(t, Config{Window: bus.NewWindow(bus.WindowConfig{Events: 1})}, func(content []byte) {
		page := at(t, content, 20) / 4096 * 4096
		clear(content[page : page+4096])
	})
	bad, err := s.Unreadable(t.Context(), 1)
	if err != nil || bad == nil {
		t.Fatalf("got %v, %v", bad, err)
	}
	if _, err := s.Skip(t.Context(), bad.Seq, bad.To); err != nil {
		t.Fatal(err)
	}
	for n := range 300 { // into the next block
		if _, err := s.Append(t.Context(), []*event.Event{makeEvent(t, fmt.Sprint("new", n))}); err != nil {
			t.Fatal(err)
		}
	}
	list, err := s.Events(t.Context(), event.Query{Type: "t", Subject: "s", Limit: 100})
	if want := 40 - int(bad.To-bad.Seq+1); err != nil || len(list) != want {
		t.Errorf("got %d events, %v, want %d", len(list), err, want)
	}
}

// TestHealthReportsADamagedIndex has a page of the index of keys that cannot be read:
// publishers get an error, and the host is not ready.
func TestHealthReportsADamagedIndex(t *testing.T) {
	s := damagedStore(t, Config{}, func([]byte) {})
	if err := s.Health(); err != nil {
		t.Fatal(err)
	}
	if err := s.mergeKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	var root int64
	if err := s.reader.QueryRow(`SELECT rootpage FROM sqlite_schema WHERE name = 'event_keys'`).Scan(&root); err != nil {
		t.Fatal(err)
	}
	path := s.path
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content := mustRead(t, path)
	clear(content[(root-1)*4096 : root*4096])
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), Config{Window: newWindow(), Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Append(t.Context(), []*event.Event{makeEvent(t, "new")}); err == nil {
		t.Fatal("it was appended")
	}
	if err := s.Health(); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "the store is damaged") {
		t.Errorf("Health: got %v", err)
	}
	if got, err := readAll(t.Context(), s); err != nil || len(got) != 40 {
		t.Errorf("%d events can be read, %v", len(got), err)
	}
	if found, err := logread.Check(t.Context(), path); err != nil || len(found.Pages) == 0 {
		t.Errorf("Check: got %+v, %v", found, err)
	}
	// Writes that do not need the page succeed; the host is still not ready.
	if err := s.KVSet(t.Context(), "p", "k", nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Health(); err == nil {
		t.Error("Health: got nil, but no event can be appended")
	}
}
