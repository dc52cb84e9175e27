package store

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/store/scheduled"
)

// TestScheduledFaults fails every step of the transactions that accept, move and cancel events
// that are due later, and opens the store again: each event is in the log or scheduled, once.
func TestScheduledFaults(t *testing.T) {
	for _, tt := range faultSteps {
		for _, write := range []string{"accept", "move", "cancel"} {
			t.Run(tt.step+"/"+write, func(t *testing.T) { testScheduledFault(t, tt.step, write, tt.persisted) })
		}
	}
}

func testScheduledFault(t *testing.T, step, write string, persisted bool) {
	ctx, now := t.Context(), time.Now()
	cfg := Config{Window: newWindow(), Path: filepath.Join(t.TempDir(), "berth.db")}
	var armed trigger
	s, err := open(ctx, cfg, armed.at(step))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.Close() }()
	build := func(key string) *event.Event {
		ev, err := event.New(event.Draft{Type: "t", IdempotencyKey: key, Deferral: event.Deferral{At: now.Add(time.Hour)}})
		if err != nil {
			t.Fatal(err)
		}
		return ev
	}
	if _, err := s.Append(ctx, []*event.Event{build("first")}); err != nil {
		t.Fatal(err)
	}
	second, later := build("second"), now.Add(2*time.Hour)
	armed.fail(1)
	want := "first"
	switch write {
	case "accept":
		if _, err = s.Append(ctx, []*event.Event{second}); persisted {
			want = "first second"
		}
	case "move":
		if _, _, err = s.MoveDue(ctx, later, 10); persisted {
			want = "logged first"
		}
	case "cancel":
		if _, err = s.CancelScheduled(ctx, "first"); persisted {
			want = ""
		}
	}
	if !errors.Is(err, errInjected) {
		t.Fatalf("got %v, want the injected error", err)
	}
	check := func(want string) {
		t.Helper()
		got := ""
		list, _, err := s.ScheduledEvents(ctx, event.ScheduledQuery{Limit: 10}, "")
		if err != nil {
			t.Fatal(err)
		}
		records, err := s.Read(ctx, 1, 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range records {
			got += " logged " + rec.Event.Metadata().IdempotencyKey
		}
		for _, e := range list {
			got += " " + e.Event.Metadata().IdempotencyKey
		}
		if got != "" {
			got = got[1:]
		}
		st, err := s.Status(ctx)
		if got != want || err != nil || st.Scheduled != int64(len(list)) || st.Events != int64(len(records)) {
			t.Errorf("got %q, %+v, %v, want %q", got, st, err, want)
		}
	}
	check(want)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	cfg.Window = newWindow()
	if s, err = open(ctx, cfg, faults{}); err != nil {
		t.Fatal(err)
	}
	check(want)
	// The caller tries again.
	switch write {
	case "accept":
		receipts, err := s.Append(ctx, []*event.Event{second})
		if err != nil || receipts[0].Due.IsZero() || receipts[0].Duplicate != persisted {
			t.Errorf("trying again: got %+v, %v", receipts, err)
		}
		check("first second")
	case "move":
		if moved, _, err := s.MoveDue(ctx, later, 10); err != nil || moved == 1 == persisted {
			t.Errorf("trying again: got %d, %v", moved, err)
		}
		check("logged first")
	}
}

// TestUnreadableScheduledEvent: one that cannot be read waits, is reported and can be
// cancelled; the others are moved.
func TestUnreadableScheduledEvent(t *testing.T) {
	ctx, now := t.Context(), time.Now()
	s, err := Open(ctx, Config{Window: newWindow(), Path: filepath.Join(t.TempDir(), "berth.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range 3 {
		ev, err := event.New(event.Draft{Type: "t", IdempotencyKey: fmt.Sprint("k-", i), Deferral: event.Deferral{At: now.Add(time.Hour)}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Append(ctx, []*event.Event{ev}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.writeScheduled(ctx, "damage", 1, func(tx scheduled.Tx) error {
		_, err := tx.(conn).g.tx.Exec(`UPDATE scheduled SET envelope = 'x' WHERE idempotency_key = 'k-1'`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if moved, next, err := s.MoveDue(ctx, now.Add(2*time.Hour), 10); moved != 2 || next.IsZero() || err == nil {
		t.Errorf("MoveDue: got %d, %v, %v", moved, next, err)
	}
	receipts, err := s.Append(ctx, []*event.Event{makeEvent(t, "k-1"), makeEvent(t, "other")})
	if err != nil || receipts[0].Err == nil || receipts[1].Err != nil {
		t.Errorf("Append: got %+v, %v", receipts, err)
	}
	if _, err := s.CancelScheduled(ctx, "k-1"); err != nil {
		t.Errorf("CancelScheduled: %v", err)
	}
	if moved, next, err := s.MoveDue(ctx, now.Add(2*time.Hour), 10); moved != 0 || !next.IsZero() || err != nil {
		t.Errorf("MoveDue after that: got %d, %v, %v", moved, next, err)
	}
}
