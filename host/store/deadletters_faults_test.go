package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// TestDeadLetterFaults fails every step of the transactions that redrive, purge, start
// a replay and remove a leftover, once each: the call returns an error, and the file
// has the whole change or none of it. A retry completes the change.
func TestDeadLetterFaults(t *testing.T) {
	changes := []struct {
		name          string
		do            func(context.Context, *Store) error
		before, after string // as deadLetterState returns
	}{
		{"redrive", func(ctx context.Context, s *Store) error {
			_, err := s.Redrive(ctx, event.DeadFilter{Handler: "h"})
			return err
		},
			"log [k1 k2 k3] dead 2 pending [] cursor 3", "log [k1 k2 k3] dead 0 pending [1 2] cursor 3"},
		{"purge", func(ctx context.Context, s *Store) error {
			_, err := s.Purge(ctx, event.DeadFilter{Handler: "h"})
			return err
		},
			"log [k1 k2 k3] dead 2 pending [] cursor 3", "log [k1 k2 k3] dead 0 pending [] cursor 3"},
		{"replay", func(ctx context.Context, s *Store) error { return s.StartReplay(ctx, "h", 2, 3, time.Unix(9, 0)) },
			"log [k1 k2 k3] dead 2 pending [] cursor 3", "log [k1 k2 k3] dead 2 pending [] cursor 1 replay 2-3 resume 3"},
		{"trim", func(ctx context.Context, s *Store) error { _, err := s.Trim(ctx, 3); return err },
			"log [k1 k2 k3] dead 1 pending [] cursor 3", "log [k1 k3] dead 1 pending [] cursor 3"},
	}
	for _, tt := range faultSteps {
		for _, change := range changes {
			t.Run(tt.step+"/"+change.name, func(t *testing.T) {
				ctx := t.Context()
				var armed trigger
				cfg := Config{Window: newWindow(), Path: filepath.Join(t.TempDir(), "berth.db")}
				s, err := open(ctx, cfg, armed.at(tt.step))
				if err != nil {
					t.Fatal(err)
				}
				defer func() { s.Close() }()
				withDeadLetters(t, s)
				if change.name == "trim" { // of a leftover: k2, which a purge lets go
					if n, err := s.Purge(ctx, event.DeadFilter{EventID: "k2"}); n != 1 || err != nil {
						t.Fatal(n, err)
					}
				}
				if got := deadLetterState(t, s); got != change.before {
					t.Fatalf("before: %s", got)
				}
				armed.fail(1)
				if err := change.do(ctx, s); !errors.Is(err, errInjected) || !fault.Is(err, fault.Unavailable) {
					t.Fatalf("got %v, want the injected error", err)
				}
				want := change.before
				if tt.persisted {
					want = change.after
				}
				if got := deadLetterState(t, s); got != want {
					t.Errorf("here: %s, want %s", got, want)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				if s, err = open(ctx, cfg, faults{}); err != nil {
					t.Fatal(err)
				}
				if got := deadLetterState(t, s); got != want {
					t.Errorf("opened again: %s, want %s", got, want)
				}
				if err := change.do(ctx, s); err != nil {
					t.Errorf("trying again: %v", err)
				}
				if got := deadLetterState(t, s); got != change.after {
					t.Errorf("after trying again: %s, want %s", got, change.after)
				}
			})
		}
	}
}

// withDeadLetters appends three events, of which k1 and k2 are dead letters of h,
// below the mark of a trim.
func withDeadLetters(t *testing.T, s *Store) {
	ctx := t.Context()
	if _, err := s.Append(ctx, []*event.Event{makeEvent(t, "k1"), makeEvent(t, "k2"), makeEvent(t, "k3")}); err != nil {
		t.Fatal(err)
	}
	var outcomes []event.Delivery
	for seq, st := range []event.Status{event.StatusDead, event.StatusDead, event.StatusOK} {
		outcomes = append(outcomes, event.Delivery{Handler: "h", Seq: uint64(seq + 1), Status: st, At: time.Unix(1, 0)})
	}
	if _, _, err := s.SaveDeliveries(ctx, nil, nil, outcomes, []event.Cursor{{Name: "handler/h", Seq: 3}}); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Trim(ctx, 3); n != 0 || err != nil || s.trimmed.Load() != 2 {
		t.Fatalf("Trim: got %d, %v, trimmed to %d", n, err, s.trimmed.Load())
	}
}

func deadLetterState(t *testing.T, s *Store) string {
	t.Helper()
	ctx := t.Context()
	records, err := s.Read(ctx, 1, 10)
	dead, _, err2 := s.DeadLetters(ctx, event.DeadFilter{}, "", 10)
	redriven, err3 := s.Redriven(ctx, "h", 0, 10)
	b, err4 := s.LoadBacklog(ctx, "h")
	if err := errors.Join(err, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, r := range records {
		keys = append(keys, r.Event.Metadata().IdempotencyKey)
	}
	seqs := []uint64{}
	for _, d := range redriven {
		seqs = append(seqs, d.Seq)
	}
	text := fmt.Sprintf("log %v dead %d pending %v cursor %d", keys, len(dead), seqs, b.Cursor)
	if b.Replay != nil {
		text += fmt.Sprintf(" replay %d-%d resume %d", b.Replay.From, b.Replay.To, b.Replay.Resume)
	}
	return text
}

// TestTrimExaminesEachEventOnce checks that a log with many dead letters is cheap to
// trim: leftovers are behind the mark, and none of them is queued.
func TestTrimExaminesEachEventOnce(t *testing.T) {
	ctx := t.Context()
	s, err := open(ctx, Config{Window: newWindow(), Path: filepath.Join(t.TempDir(), "berth.db")}, faults{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	withDeadLetters(t, s)
	queue := func(want int) {
		t.Helper()
		var n int
		if err := s.reader.QueryRow(`SELECT count(*) FROM released`).Scan(&n); err != nil || n != want {
			t.Errorf("%d are queued, %v, want %d", n, err, want)
		}
	}
	queue(0)
	if _, _, err := s.SaveDeliveries(ctx, nil, nil, []event.Delivery{{Handler: "h", Seq: 1, Status: event.StatusOK, At: time.Unix(2, 0)}, {Handler: "h", Seq: 3, Status: event.StatusOK, At: time.Unix(2, 0)}}, nil); err != nil {
		t.Fatal(err)
	}
	queue(1)
	if n, err := s.Trim(ctx, math.MaxUint64); n != 2 || err != nil {
		t.Errorf("Trim: got %d, %v, want k1 and k3", n, err)
	}
	queue(0)
}
