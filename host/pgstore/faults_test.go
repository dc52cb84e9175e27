package pgstore_test

import (
	"bytes"
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
