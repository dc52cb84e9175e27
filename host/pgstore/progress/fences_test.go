package progress_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/pgstore/conn"
	"github.com/berth-host/berth/host/pgstore/pgtest"
	"github.com/berth-host/berth/host/spec"
)

// take gives a unit its next epoch, as a take does, and returns that.
func take(t testing.TB, e *engine, unit string) (epoch uint64) {
	t.Helper()
	var n int64
	if err := e.db.Write(t.Context(), "take", func(ctx context.Context, tx pgx.Tx) error {
		if err := conn.LockUnits(ctx, tx, unit); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `INSERT INTO units AS u VALUES ($1, 'test', 1) ON CONFLICT (name) DO UPDATE SET epoch = u.epoch + 1 RETURNING epoch`,
			unit).Scan(&n)
	}); err != nil {
		t.Fatal(err)
	}
	return uint64(n)
}

// TestStaleContextIsRefused: no writing method stores anything under the fence of an epoch that
// is past, or is not there yet.
func TestStaleContextIsRefused(t *testing.T) {
	e := open(t, options{now: noon})
	prepare(t, e, logtest.Numbered(t, "k", 12))
	take(t, e, "h")
	present := take(t, e, "h")
	before := dump(t, e)
	for _, c := range changes(t) {
		for _, epoch := range []uint64{0, present - 1, present + 1} {
			ctx := spec.WithFence(t.Context(), spec.Fence{Unit: "h", Epoch: epoch})
			if err := c.do(ctx, e); !errors.Is(err, spec.ErrFenced) {
				t.Errorf("%s in epoch %d: got %v, want fenced", c.name, epoch, err)
			}
			if got := dump(t, e); got != before {
				t.Fatalf("%s in epoch %d: got\n%s\nwant\n%s", c.name, epoch, got, before)
			}
		}
	}
	if err := changes(t)[0].do(spec.WithFence(t.Context(), spec.Fence{Unit: "h", Epoch: present}), e); err != nil {
		t.Errorf("in the present epoch: %v", err)
	}
}

// TestFencedHandlerIsLeftOut: of a call with several handlers, what is of those that are owned
// is stored, in every form.
func TestFencedHandlerIsLeftOut(t *testing.T) {
	e := open(t, options{now: noon})
	prepare(t, e, logtest.Numbered(t, "k", 12))
	stale := spec.Fence{Unit: "stale", Epoch: take(t, e, "stale")}
	take(t, e, "stale")
	fences := []spec.Fence{stale, {Unit: "owned", Epoch: take(t, e, "owned")}, {Unit: "never taken"}}
	var successes []event.Successes
	var deliveries []event.Delivery
	var cursors []event.Cursor
	for _, h := range []string{"stale", "owned", "never taken"} {
		of := event.Successes{Handler: h}
		of.Append(4, event.Success{At: at(3)}, nil)
		successes = append(successes, of)
		deliveries = append(deliveries, event.Delivery{Handler: h, Seq: 5, Status: event.StatusDead, Attempts: 1, ErrorClass: event.ClassTrap, At: at(3)},
			event.Delivery{Handler: h, Seq: 6, Status: event.StatusOK, Attempts: 1, At: at(3), FirstAttempt: at(3), Effects: effects(h, "1"),
				Children: []*event.Event{logtest.Make(t, event.Draft{IdempotencyKey: h})}})
		cursors = append(cursors, event.Cursor{Name: "handler/" + h, Seq: 6})
	}
	saved, fenced, err := e.SaveDeliveries(t.Context(), fences, successes, deliveries, cursors)
	if err != nil || len(fenced) != 1 || fenced[0] != stale || len(saved.Refused)+len(saved.Conflicts) > 0 {
		t.Fatalf("got %+v, fenced %v, %v", saved, fenced, err)
	}
	for _, h := range []string{"owned", "never taken"} {
		b, err := e.LoadBacklog(t.Context(), h)
		past, err2 := e.Attempts(t.Context(), 5)
		_, err3 := e.Event(t.Context(), h)
		_, found, err4 := e.KVGet(t.Context(), "p", h)
		if err := errors.Join(err, err2, err3, err4); err != nil || b.Cursor != 6 || len(past) != 2 || !found {
			t.Errorf("%s: got %+v, %+v, %v, %v", h, b, past, found, err)
		}
		for seq := uint64(4); seq <= 6; seq++ {
			list, err := e.Deliveries(t.Context(), seq)
			if text := fmt.Sprint(list); err != nil || !strings.Contains(text, h) {
				t.Errorf("event %d: %s is missing: %s, %v", seq, h, text, err)
			}
		}
	}
	if text := dump(t, e); strings.Contains(text, "stale") || strings.Contains(text, fmt.Sprintf("%x", "stale")) {
		t.Errorf("something of stale is stored:\n%s", text)
	}
}

// TestTakeWaitsForOpenSave: a save of the present epoch is part of what the next owner loads,
// and one after the take is refused.
func TestTakeWaitsForOpenSave(t *testing.T) {
	e := open(t, options{now: noon})
	prepare(t, e, logtest.Numbered(t, "k", 12))
	mine := spec.Fence{Unit: "h", Epoch: take(t, e, "h")}
	save := func(seq uint64) ([]spec.Fence, error) {
		of := event.Successes{Handler: "h"}
		of.Append(seq, event.Success{At: at(3)}, nil)
		_, fenced, err := e.SaveDeliveries(context.WithoutCancel(t.Context()), []spec.Fence{mine}, []event.Successes{of}, nil, nil)
		return fenced, err
	}
	session, waiting := blocked(t, e, "outcome_blocks")
	saved := make(chan error, 1)
	go func() {
		fenced, err := save(10)
		if len(fenced) > 0 {
			err = fmt.Errorf("fenced: %v", fenced)
		}
		saved <- err
	}()
	waiting()
	taken := make(chan uint64, 1)
	go func() { taken <- take(t, e, "h") }()
	for n := 0; n == 0; { // until the take waits for its unit
		if err := session.QueryRow(t.Context(), `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid <> 77 AND NOT granted`).Scan(&n); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-taken:
		t.Fatal("the take did not wait for the save")
	default:
	}
	if _, err := session.Exec(t.Context(), `SELECT pg_advisory_unlock(77)`); err != nil {
		t.Fatal(err)
	}
	if err := <-saved; err != nil {
		t.Fatal(err)
	}
	<-taken
	if b, err := e.LoadBacklog(t.Context(), "h"); err != nil || fmt.Sprint(b.Done) != "[10]" {
		t.Errorf("the next owner: got %+v, %v", b, err)
	}
	pgtest.Exec(t, fmt.Sprintf(`DROP FUNCTION %s.inject CASCADE`, e.schema))
	if fenced, err := save(11); err != nil || len(fenced) != 1 {
		t.Errorf("after the take: got %v, %v", fenced, err)
	}
	if b, err := e.LoadBacklog(t.Context(), "h"); err != nil || fmt.Sprint(b.Done) != "[10]" {
		t.Errorf("after the refused save: got %+v, %v", b, err)
	}
}
