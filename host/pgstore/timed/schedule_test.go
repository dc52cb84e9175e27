package timed_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/pgstore/conn"
	"github.com/berth-host/berth/host/pgstore/pglog"
	"github.com/berth-host/berth/host/pgstore/pgtest"
	"github.com/berth-host/berth/host/pgstore/timed"
	"github.com/berth-host/berth/host/spec"
)

func TestMain(m *testing.M) { pgtest.Start(m) }

// host is one of several hosts with one log.
type host struct {
	*pglog.Log
	*timed.Schedule
	db *conn.DB
}

func open(t *testing.T, schema string) host {
	t.Helper()
	db, err := conn.Open(t.Context(), conn.Config{URL: pgtest.URL(t), Schema: schema,
		Migrations: []string{conn.Units + pglog.Schema + timed.Schema, timed.SchemaBytes}})
	if err != nil {
		t.Fatal(err)
	}
	log, err := pglog.Open(t.Context(), pglog.Config{DB: db, Window: bus.NewWindow(bus.WindowConfig{})})
	if err != nil {
		t.Fatal(err)
	}
	s := timed.New(timed.Config{DB: db})
	t.Cleanup(func() {
		s.Close()
		log.Close()
		db.Close()
	})
	return host{log, s, db}
}

// later stores an event that is due after so many seconds.
func (h host) later(t *testing.T, key string, seconds int) event.Receipt {
	t.Helper()
	ev := logtest.Make(t, event.Draft{IdempotencyKey: key, Deferral: event.Deferral{After: time.Duration(seconds) * time.Second}})
	receipts, err := h.Append(t.Context(), []*event.Event{ev})
	if err != nil || receipts[0].Due.IsZero() {
		t.Fatalf("%s: got %+v, %v", key, receipts, err)
	}
	h.Added(receipts)
	return receipts[0]
}

func TestEventOfAnotherHostSignals(t *testing.T) {
	schema := pgtest.Schema(t)
	mover, other := open(t, schema), open(t, schema)
	other.later(t, "late", 3600)
	_, next, err := mover.MoveDue(t.Context(), time.Now(), 10)
	if err != nil || next.IsZero() {
		t.Fatalf("got %v, %v", next, err)
	}
	select {
	case <-mover.EarlierDue():
		t.Error("signaled without an event")
	default:
	}
	early := other.later(t, "early", 60)
	<-mover.EarlierDue()
	if _, next, err = mover.MoveDue(t.Context(), time.Now(), 10); !next.Equal(early.Due) || err != nil {
		t.Errorf("the next one is due at %v, %v, want %v", next, err, early.Due)
	}
}

// TestMoversOnTwoHostsMoveEachEventOnce also has events come and be cancelled.
func TestMoversOnTwoHostsMoveEachEventOnce(t *testing.T) {
	const hosts, each = 2, 60
	schema := pgtest.Schema(t)
	var list []host
	for range hosts {
		list = append(list, open(t, schema))
	}
	ctx := t.Context()
	far := time.Now().Add(time.Hour)
	var wg sync.WaitGroup
	var mu sync.Mutex
	moved, cancelled := 0, 0
	count := func(n *int, by int) {
		mu.Lock()
		defer mu.Unlock()
		*n += by
	}
	for i, h := range list {
		wg.Go(func() {
			for n := range each {
				key := fmt.Sprint(i, "-", n)
				h.later(t, key, 60+n%3)
				if n%4 == 0 {
					if _, err := list[(i+1)%hosts].CancelScheduled(ctx, key); err == nil {
						count(&cancelled, 1)
					}
				}
				if n%5 == 0 {
					got, _, err := h.MoveDue(ctx, far, 7)
					if err != nil {
						t.Error(err)
					}
					count(&moved, got)
				}
			}
		})
	}
	wg.Wait()
	for n := 1; n > 0; {
		var err error
		if n, _, err = list[0].MoveDue(ctx, far, 100); err != nil {
			t.Fatal(err)
		}
		moved += n
	}
	if moved+cancelled != hosts*each {
		t.Errorf("%d events were moved and %d cancelled, want %d", moved, cancelled, hosts*each)
	}
	st, err := list[1].Status(ctx)
	if err != nil || st.Events != int64(moved) || st.Scheduled != 0 {
		t.Errorf("got %+v, %v, want %d events", st, err, moved)
	}
	if n, err := list[1].TrimCancelled(ctx, far); n != cancelled || err != nil {
		t.Errorf("%d cancelled events were removed, %v, want %d", n, err, cancelled)
	}
	if err := list[0].CatchUp(ctx); err != nil {
		t.Fatal(err)
	}
	bytes := int64(0)
	for _, rec := range logtest.ReadAll(t, list[0], 1, 100) {
		bytes += rec.Event.Size()
	}
	if st, err := list[0].Status(ctx); err != nil || st.Bytes != bytes {
		t.Errorf("got %+v, %v, want %d bytes", st, err, bytes)
	}
}

func TestStaleFenceIsRefusedInEveryMethod(t *testing.T) {
	h := open(t, pgtest.Schema(t))
	if err := h.db.Write(t.Context(), "set an epoch", func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO units (name, epoch) VALUES (':schedule', 3)`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	h.later(t, "cancelled", 60)
	h.later(t, "due", 60)
	if _, err := h.CancelScheduled(t.Context(), "cancelled"); err != nil {
		t.Fatal(err)
	}
	far := time.Now().Add(time.Hour)
	before, err := h.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	calls := []struct {
		name string
		call func(context.Context) error
	}{
		{"TrimCancelled", func(ctx context.Context) error { _, err := h.TrimCancelled(ctx, far); return err }},
		{"MoveDue", func(ctx context.Context) error { _, _, err := h.MoveDue(ctx, far, 1); return err }},
		{"CancelScheduled", func(ctx context.Context) error {
			_, err := h.CancelScheduled(ctx, "due")
			if err == nil {
				err = errors.New("the event was moved before")
			}
			return err
		}},
	}
	for _, c := range calls {
		if err := c.call(spec.WithFence(t.Context(), spec.Fence{Unit: ":schedule", Epoch: 2})); !errors.Is(err, spec.ErrFenced) {
			t.Errorf("%s: got %v, want it fenced", c.name, err)
		}
	}
	if st, err := h.Status(t.Context()); st != before || err != nil {
		t.Errorf("the log was %+v and is %+v, %v", before, st, err)
	}
	for _, c := range calls[:2] {
		if err := c.call(spec.WithFence(t.Context(), spec.Fence{Unit: ":schedule", Epoch: 3})); err != nil {
			t.Errorf("%s in the present epoch: %v", c.name, err)
		}
	}
}

// TestServerIsKilledDuringMoves kills the server beside a mover: each event is in the log once.
func TestServerIsKilledDuringMoves(t *testing.T) {
	const events = 200
	h := open(t, pgtest.Schema(t))
	for i := range events {
		h.later(t, fmt.Sprint(i), 60+i)
	}
	far := time.Now().Add(time.Hour)
	var wg sync.WaitGroup
	begun := make(chan struct{})
	wg.Go(func() {
		once := sync.OnceFunc(func() { close(begun) })
		defer once()
		for {
			n, next, err := h.MoveDue(t.Context(), far, 3)
			if err == nil && n == 0 && next.IsZero() {
				return
			}
			if n > 0 {
				once()
			}
		}
	})
	<-begun
	pgtest.Kill(t)
	pgtest.Restart(t)
	wg.Wait()
	if err := h.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, rec := range logtest.ReadAll(t, h, 1, 100) {
		seen[rec.Event.Metadata().IdempotencyKey]++
	}
	for i := range events {
		if n := seen[fmt.Sprint(i)]; n != 1 {
			t.Errorf("event %d is in the log %d times", i, n)
		}
	}
	if st, err := h.Status(t.Context()); st.Events != events || st.Scheduled != 0 || err != nil {
		t.Errorf("got %+v, %v", st, err)
	}
}

// TestMigrationCountsBytes adds the count to a schema that has an event that is not due yet and a
// cancelled one.
func TestMigrationCountsBytes(t *testing.T) {
	name := pgtest.Schema(t)
	db, err := conn.Open(t.Context(), conn.Config{URL: pgtest.URL(t), Schema: name, Migrations: []string{conn.Units + pglog.Schema + timed.Schema}})
	if err != nil {
		t.Fatal(err)
	}
	waiting := logtest.Make(t, event.Draft{IdempotencyKey: "waiting"})
	err = db.Write(t.Context(), "insert", func(ctx context.Context, tx pgx.Tx) error {
		for i, ev := range []*event.Event{waiting, logtest.Make(t, event.Draft{IdempotencyKey: "cancelled"})} {
			m := ev.Metadata()
			if _, err := tx.Exec(ctx, `INSERT INTO scheduled (due, accepted_at, cancelled_at, event_id, idempotency_key, type, subject, envelope, origin)
				VALUES ($1, 1, $2, $3, $4, $5, $6, $7, '')`, time.Now().Add(time.Hour).UnixNano(), i, []byte(m.EventID), []byte(m.IdempotencyKey),
				string(ev.Type()), []byte(m.Subject), []byte(ev.Envelope())); err != nil {
				return err
			}
		}
		return nil
	})
	db.Close()
	if err != nil {
		t.Fatal(err)
	}
	if st, err := open(t, name).Status(t.Context()); err != nil || st.ScheduledBytes != waiting.Size() {
		t.Errorf("got %+v, %v, want %d scheduled bytes", st, err, waiting.Size())
	}
}
