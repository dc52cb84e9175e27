package pgstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pgstore"
	"github.com/berth-host/berth/host/pgstore/pgtest"
)

// publisher appends events with the keys prefix-0 and on until an append fails, and notes what
// was acknowledged.
func publish(t *testing.T, s *pgstore.Store, prefix string, acked map[string]uint64) (failed error) {
	for i := 0; ; i++ {
		key := fmt.Sprintf("%s-%d", prefix, i)
		receipts, err := s.Append(t.Context(), []*event.Event{logtest.Make(t, event.Draft{IdempotencyKey: key})})
		if err != nil {
			return err
		}
		acked[key] = receipts[0].Seq
	}
}

// TestServerIsKilled kills the server under publishers, again and again. What was acknowledged
// is there afterwards with its Seq, and the store goes on by itself.
func TestServerIsKilled(t *testing.T) {
	s := openWith(t, pgstore.Config{Lost: func(err error) { t.Errorf("lost: %v", err) }})
	acked := make(map[string]uint64)
	for round := range 3 {
		const publishers = 8
		lists := make([]map[string]uint64, publishers)
		var wg sync.WaitGroup
		for p := range publishers {
			lists[p] = make(map[string]uint64)
			wg.Go(func() {
				err := publish(t, s, fmt.Sprintf("%d-%d", round, p), lists[p])
				if !fault.Is(err, fault.Unavailable) || fault.RetryAfter(err) <= 0 {
					t.Errorf("without a server: got %v", err)
				}
			})
		}
		if err := s.Wait(t.Context(), s.Last()+200); err != nil {
			t.Error(err)
		}
		pgtest.Kill(t)
		wg.Wait()
		pgtest.Restart(t)
		for _, list := range lists {
			for key, seq := range list {
				acked[key] = seq
			}
		}
		for key, seq := range acked {
			if rec, err := s.Event(t.Context(), key); err != nil || rec.Seq != seq {
				t.Fatalf("%s was acknowledged as event %d: got %+v, %v", key, seq, rec, err)
			}
		}
	}
	st, err := s.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := logtest.ReadAll(t, s, 1, 1000)
	var bytes int64
	for _, rec := range all {
		bytes += rec.Event.Size()
	}
	if st.Events != int64(len(all)) || st.Bytes != bytes || len(all) < len(acked) {
		t.Errorf("got %+v, counted %d events of %d bytes; %d were acknowledged", st, len(all), bytes, len(acked))
	}
}

// TestLostEvents sets the log back, as the restore of a backup does.
func TestLostEvents(t *testing.T) {
	schema := pgtest.Schema(t)
	lost := make(chan error, 1)
	s := openWith(t, pgstore.Config{Schema: schema, Lost: func(err error) { lost <- err }})
	if _, err := s.Append(t.Context(), logtest.Numbered(t, "k", 10)); err != nil {
		t.Fatal(err)
	}
	exec(t, `WITH gone AS (DELETE FROM `+schema+`.events WHERE seq > 6) UPDATE `+schema+`.head SET seq = 6, events = 6`)
	if err := <-lost; !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
	receipts, err := s.Append(t.Context(), logtest.Numbered(t, "new", 2))
	if err != nil || receipts[0].Seq != 7 {
		t.Fatalf("got %+v, %v", receipts, err)
	}
	if all := logtest.ReadAll(t, s, 1, 100); len(all) != 8 || all[7].Event.Metadata().IdempotencyKey != "new-1" {
		t.Errorf("got %d events", len(all))
	}
}

// TestSeenLog starts a host again with what it has seen: after a loss it starts and says so, and
// with another log it does not start.
func TestSeenLog(t *testing.T) {
	schema, other := pgtest.Schema(t), pgtest.Schema(t)
	var log bytes.Buffer
	cfg := pgstore.Config{Schema: schema, Seen: filepath.Join(t.TempDir(), "seen"), Logger: slog.New(slog.NewTextHandler(&log, nil))}
	s := openWith(t, cfg)
	if _, err := s.Append(t.Context(), logtest.Numbered(t, "k", 10)); err != nil {
		t.Fatal(err)
	}
	s.Close()                //nolint:errcheck // it returns none
	openWith(t, cfg).Close() //nolint:errcheck // it returns none
	if strings.Contains(log.String(), "has lost") {
		t.Errorf("without a loss: %s", log.String())
	}
	// Event 10 is another one now.
	exec(t, `UPDATE `+schema+`.events SET event_id = 'other' WHERE seq = 10`)
	openWith(t, cfg).Close() //nolint:errcheck // it returns none
	if !strings.Contains(log.String(), "event 10") {
		t.Errorf("after a loss: %s", log.String())
	}
	cfg.Schema, cfg.URL, cfg.Window = other, pgtest.URL(t), bus.NewWindow(bus.WindowConfig{})
	s, err := pgstore.Open(t.Context(), cfg)
	if err == nil {
		s.Close() //nolint:errcheck // it returns none
	}
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "another log") {
		t.Errorf("another log: got %v", err)
	}
}

// TestUnreadableEvent overwrites an envelope, as no host does: readers stop there until an
// operator skips the event.
func TestUnreadableEvent(t *testing.T) {
	schema := pgtest.Schema(t)
	s := openWith(t, pgstore.Config{Schema: schema, Window: bus.NewWindow(bus.WindowConfig{Events: 1})})
	if _, err := s.Append(t.Context(), logtest.Numbered(t, "k", 10)); err != nil {
		t.Fatal(err)
	}
	if err := s.SetCursor(t.Context(), event.Cursor{Name: "handler/h", Seq: 2}); err != nil {
		t.Fatal(err)
	}
	exec(t, `UPDATE `+schema+`.events SET envelope = 'x' WHERE seq = 5`)
	if records, err := s.Read(t.Context(), 1, 100); len(records) != 4 || err != nil {
		t.Errorf("before it: got %d events, %v", len(records), err)
	}
	var bad *event.Unreadable
	if _, err := s.Read(t.Context(), 5, 100); !errors.As(err, &bad) || bad.Seq != 5 || !fault.Is(err, fault.Unavailable) {
		t.Errorf("at it: got %v", err)
	}
	for _, tt := range []struct {
		from, to uint64
		want     fault.Code
	}{{4, 5, fault.Conflict}, {20, 21, fault.NotFound}, {5, 4, fault.Invalid}, {0, 1, fault.Invalid}} {
		_, err := s.Skip(t.Context(), tt.from, tt.to)
		logtest.WantCode(t, fmt.Sprint("skip ", tt.from, " to ", tt.to), err, tt.want)
	}
	for range 2 {
		done, err := s.Skip(t.Context(), 5, 5)
		if err != nil || len(done.Handlers) != 1 || done.Handlers[0] != "h" {
			t.Fatalf("Skip: got %+v, %v", done, err)
		}
	}
	if all := logtest.ReadAll(t, s, 1, 3); len(all) != 9 || all[4].Seq != 6 {
		t.Errorf("after the skip: got %d events", len(all))
	}
	if list, err := s.Events(t.Context(), event.Query{Limit: 100}); len(list) != 9 || err != nil {
		t.Errorf("the list: got %d events, %v", len(list), err)
	}
	if list, err := s.Deliveries(t.Context(), 5); err != nil || len(list) != 1 || list[0].ErrorClass != event.ClassUnreadable {
		t.Errorf("its delivery: got %+v, %v", list, err)
	}
	// A host that starts, or that gets the event from another one, passes over it too.
	other := openWith(t, pgstore.Config{Schema: schema})
	if all := logtest.ReadAll(t, other, 1, 100); len(all) != 9 {
		t.Errorf("another host: got %d events", len(all))
	}
}

// TestLargeEvents reads events that are too large for one page.
func TestLargeEvents(t *testing.T) {
	schema := pgtest.Schema(t)
	one, two := openWith(t, pgstore.Config{Schema: schema}), openWith(t, pgstore.Config{Schema: schema, Window: bus.NewWindow(bus.WindowConfig{Bytes: 1})})
	data := []byte(`"` + strings.Repeat("x", 1000_000) + `"`)
	var events []*event.Event
	for range 25 {
		events = append(events, logtest.Make(t, event.Draft{Data: data}))
	}
	receipts, err := one.Append(t.Context(), events)
	if err != nil {
		t.Fatal(err)
	}
	if err := two.Wait(t.Context(), receipts[24].Seq-1); err != nil {
		t.Fatal(err)
	}
	if records, err := two.Read(t.Context(), 1, 100); err != nil || len(records) == 0 || len(records) > 9 {
		t.Errorf("one read: got %d events, %v", len(records), err)
	}
	if all := logtest.ReadAll(t, two, 1, 100); len(all) != 25 {
		t.Errorf("got %d events", len(all))
	}
}
