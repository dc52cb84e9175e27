package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store/schema"
)

// historyChange is a write that changes blocks of outcomes.
type historyChange struct {
	name   string
	before func(t *testing.T, s *Store)
	change func(t *testing.T, s *Store) error
}

func saving(handler string, from, to uint64) func(*testing.T, *Store) error {
	return func(t *testing.T, s *Store) error {
		_, _, err := s.SaveDeliveries(t.Context(), nil, successesOf(handler, from, to), nil, []event.Cursor{{Name: handlerCursor(handler), Seq: to}})
		return err
	}
}

func saved(handler string, from, to uint64) func(*testing.T, *Store) {
	return func(t *testing.T, s *Store) { saveSuccesses(t, s, handler, from, to) }
}

func deliverySaved(d event.Delivery) func(*testing.T, *Store) {
	return func(t *testing.T, s *Store) {
		if _, _, err := s.SaveDeliveries(t.Context(), nil, nil, []event.Delivery{d}, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func both(list ...func(*testing.T, *Store)) func(*testing.T, *Store) {
	return func(t *testing.T, s *Store) {
		for _, f := range list {
			f(t, s)
		}
	}
}

var historyChanges = []historyChange{
	{"the first block", both(), saving("a", 1, 3)},
	{"a merge with the block before", saved("a", 1, 10), saving("a", 11, 40)},
	{"a merge with two blocks", both(saved("a", 1, 300), saved("a", 301, 420)), saving("a", 421, 600)},
	{"an outcome within a block", both(saved("a", 1, 10), saved("a", 20, 30)), saving("a", 12, 25)},
	{"a split", both(saved("a", 1, 200), saved("a", 400, 700)), saving("a", 150, 500)},
	{"an outcome that replaces a delivery", both(saved("a", 1, 10),
		deliverySaved(event.Delivery{Handler: "a", Seq: 15, Status: event.StatusRetrying, At: time.Unix(1, 0), Due: time.Unix(2, 0)})), saving("a", 11, 20)},
	{"a delivery that replaces an outcome", saved("a", 1, 10), func(t *testing.T, s *Store) error {
		_, _, err := s.SaveDeliveries(t.Context(), nil, successesOf("a", 9, 12),
			[]event.Delivery{{Handler: "a", Seq: 10, Status: event.StatusDead, At: time.Unix(1, 0)}}, nil)
		return err
	}},
	{"a success with a child", saved("a", 1, 10), func(t *testing.T, s *Store) error {
		s1 := successesOf("a", 11, 11)
		d := s1[0].Delivery(0)
		d.Children = []*event.Event{makeEvent(t, "child")}
		_, _, err := s.SaveDeliveries(t.Context(), nil, nil, []event.Delivery{d}, nil)
		return err
	}},
	{"a trim with a leftover", both(saved("a", 1, 10), saved("b", 1, 20),
		deliverySaved(event.Delivery{Handler: "c", Seq: 5, Status: event.StatusDead, At: time.Unix(1, 0)})), func(t *testing.T, s *Store) error {
		_, err := s.Trim(t.Context(), 12)
		return err
	}},
	{"moving deliveries into a block", both(saved("a", 50, 60), func(t *testing.T, s *Store) {
		for _, seq := range []uint64{40, 55, 70} {
			d := successesOf("a", seq, seq)[0].Delivery(0)
			err := s.submit(t.Context(), "store it as older versions did", &op{events: 1, run: func(g *group) error { return g.setDelivery(&d) }})
			if err != nil {
				t.Fatal(err)
			}
		}
	}), func(t *testing.T, s *Store) error { return s.convert(t.Context(), &conversion{}) }},
	{"forgetting a handler", both(saved("a", 1, 600), saved("b", 1, 10)), func(t *testing.T, s *Store) error {
		return s.ForgetHandler(t.Context(), "a")
	}},
}

// historyState describes every delivery, child, cursor and block.
func historyState(t *testing.T, s *Store) string {
	t.Helper()
	text := ""
	for seq := uint64(1); seq <= s.Last(); seq++ {
		list, err := s.Deliveries(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range list {
			text += fmt.Sprintf("%s %d %s %s %d; ", d.Handler, d.Seq, d.Status, d.Result, d.Fuel)
		}
	}
	cursors, err := s.Cursors(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var blocks, deliveries, packed int
	if err := s.reader.QueryRow(`SELECT count(*), coalesce(sum(outcomes), 0), (SELECT count(*) FROM deliveries) FROM outcome_blocks`).Scan(&blocks, &packed, &deliveries); err != nil {
		t.Fatal(err)
	}
	return text + fmt.Sprint("last ", s.Last(), " cursors ", cursors, " blocks ", blocks, " with ", packed, " deliveries ", deliveries)
}

// TestHistoryFaults fails every step of the transactions that change blocks, once each:
// the file has the whole change or none of it, here and after a restart, and a retry
// completes it.
func TestHistoryFaults(t *testing.T) {
	for _, tt := range historyChanges {
		want := func() string { // without a fault
			s := withEvents(t, filepath.Join(t.TempDir(), "berth.db"), 700)
			defer s.Close()
			tt.before(t, s)
			if err := tt.change(t, s); err != nil {
				t.Fatal(err)
			}
			return historyState(t, s)
		}()
		for _, step := range faultSteps {
			t.Run(tt.name+"/"+step.step, func(t *testing.T) {
				var armed trigger
				cfg := Config{Window: newWindow(), Path: filepath.Join(t.TempDir(), "berth.db")}
				if err := withEvents(t, cfg.Path, 700).Close(); err != nil {
					t.Fatal(err)
				}
				at := armed.at(step.step)
				at.keeps = true
				s, err := open(t.Context(), cfg, at)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { s.Close() }()
				tt.before(t, s)
				state := historyState(t, s)
				armed.fail(1)
				if err := tt.change(t, s); !errors.Is(err, errInjected) || !fault.Is(err, fault.Unavailable) {
					t.Fatalf("got %v, want the injected error", err)
				}
				if step.persisted {
					state = want
				}
				if got := historyState(t, s); got != state {
					t.Errorf("here: %s, want %s", got, state)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				if s, err = open(t.Context(), cfg, faults{keeps: true}); err != nil {
					t.Fatal(err)
				}
				if got := historyState(t, s); got != state {
					t.Errorf("opened again: %s, want %s", got, state)
				}
				if err := tt.change(t, s); err != nil {
					t.Errorf("trying again: %v", err)
				}
				if got := historyState(t, s); got != want {
					t.Errorf("after trying again: %s, want %s", got, want)
				}
			})
		}
	}
}

// TestTornHistory is a power failure during a write of outcomes: its part of the WAL is
// truncated at any position, or filled with garbage. Outcomes acknowledged before are
// there, and those of the last write all or none.
func TestTornHistory(t *testing.T) {
	const acknowledged, last = 650, 700
	path := filepath.Join(t.TempDir(), "berth.db")
	if err := withEvents(t, path, last).Close(); err != nil {
		t.Fatal(err)
	}
	blocked, release := make(chan struct{}), make(chan struct{})
	armed := false
	s, err := open(t.Context(), Config{Window: newWindow(), Path: path}, faults{committed: func() error {
		if armed {
			close(blocked)
			<-release
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	saveSuccesses(t, s, "a", 1, 600)
	saveSuccesses(t, s, "a", 601, acknowledged)
	flushed := len(mustRead(t, path+"-wal"))
	armed = true
	done := make(chan error, 1)
	go func() { done <- saving("a", acknowledged-20, last)(t, s) }() // also replaces 21
	<-blocked
	db, wal, watermark := mustRead(t, path), mustRead(t, path+"-wal"), mustRead(t, path+".watermark")
	close(release)
	armed = false
	if err := errors.Join(<-done, s.Close()); err != nil {
		t.Fatal(err)
	}
	whole, none := 0, 0
	for cut := len(wal); cut >= flushed; cut -= max(1, (len(wal)-flushed)/9) {
		for _, garbage := range []byte{0, 0xa5} {
			files := storeFiles{"berth.db": db, "berth.db.watermark": watermark, "berth.db-wal": append([]byte{}, wal[:cut]...)}
			for garbage != 0 && len(files["berth.db-wal"]) < len(wal) {
				files["berth.db-wal"] = append(files["berth.db-wal"], garbage)
			}
			s, err := Open(t.Context(), Config{Window: newWindow(), Path: files.put(t)})
			if err != nil {
				t.Fatal(err)
			}
			there := 0
			for seq := uint64(1); seq <= last; seq += 7 {
				if seq <= acknowledged {
					wantResult(t, s, "a", seq)
				} else if list, err := s.Deliveries(t.Context(), seq); err != nil {
					t.Fatal(err)
				} else {
					there += len(list)
				}
			}
			position, _, err := s.Cursor(t.Context(), handlerCursor("a"))
			switch {
			case err == nil && there == 0 && position == 0:
				none++
			case err == nil && there == (last-acknowledged)/7 && position == last:
				whole++
			default:
				t.Errorf("cut at %d: %d outcomes of the last write are there, cursor %d, %v", cut, there, position, err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if whole == 0 || none == 0 {
		t.Errorf("the last write was complete %d times and missing %d times, want both", whole, none)
	}
}

// TestOldDeliveriesRemain opens a file in which plain successes are deliveries, as older
// versions stored them: they are shown and replaced, and trimmed with the log.
func TestOldDeliveriesRemain(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "berth.db")
	schemaNineStore(t, path, 300)
	s, err := Open(ctx, Config{Window: newWindow(), Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for seq := uint64(1); seq <= 300; seq++ {
		wantResult(t, s, "a", seq)
	}
	saveSuccesses(t, s, "a", 100, 120) // a replay
	for seq := uint64(95); seq <= 125; seq++ {
		wantResult(t, s, "a", seq)
	}
	if b, err := s.LoadBacklog(ctx, "a"); err != nil || len(b.Done) != 300 {
		t.Errorf("%d are done, %v, want 300", len(b.Done), err)
	}
	if n, err := s.Trim(ctx, 201); n != 200 || err != nil {
		t.Errorf("Trim: got %d, %v", n, err)
	}
	if b, err := s.LoadBacklog(ctx, "a"); err != nil || len(b.Done) != 100 {
		t.Errorf("after Trim %d are done, %v, want 100", len(b.Done), err)
	}
}

// TestOldDeliveriesAreMovedIntoBlocks moves the deliveries of a file of schema 9, and
// only those that are plain successes of events above the mark of a trim.
func TestOldDeliveriesAreMovedIntoBlocks(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "berth.db")
	schemaNineStore(t, path, 1000)
	s, err := open(ctx, Config{Window: newWindow(), Path: path}, faults{keeps: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	deliverySaved(event.Delivery{Handler: "b", Seq: 10, Status: event.StatusDead, At: time.Unix(1, 0)})(t, s)
	deliverySaved(event.Delivery{Handler: "a", Seq: 700, Status: event.StatusRetrying, At: time.Unix(1, 0), Due: time.Unix(2, 0)})(t, s)
	saveSuccesses(t, s, "a", 990, 1000) // newer than the delivery that they replace
	if n, err := s.Trim(ctx, 21); n != 19 || err != nil {
		t.Fatalf("Trim: got %d, %v", n, err)
	}
	before := historyState(t, s)
	c := &conversion{}
	for calls := 0; !c.done; calls++ {
		if err := s.convert(ctx, c); err != nil || calls > 100 {
			t.Fatal(calls, err)
		}
	}
	state := func(text string) string { return text[:strings.Index(text, "blocks")] }
	if after := historyState(t, s); state(after) != state(before) || !strings.HasSuffix(after, "with 979 deliveries 3") {
		t.Errorf("got %s, want %s", after, before)
	}
	if c.moved != 968 { // 21 to 1000, less 700 and the newer ones
		t.Errorf("%d were moved, want 968", c.moved)
	}
	again := &conversion{}
	if err := s.convert(ctx, again); err != nil || !again.done || again.moved != 0 {
		t.Errorf("again: got %+v, %v", again, err)
	}
}

// TestKeeperMovesOldDeliveries waits for the keeper of a store that was just opened.
func TestKeeperMovesOldDeliveries(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	schemaNineStore(t, path, 300)
	s, err := Open(t.Context(), Config{Window: newWindow(), Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for left := 1; left > 0; {
		if err := s.reader.QueryRowContext(ctx, `SELECT count(*) FROM deliveries`).Scan(&left); err != nil {
			t.Fatal(err)
		}
	}
	for seq := uint64(1); seq <= 300; seq++ {
		wantResult(t, s, "a", seq)
	}
}

// schemaNineStore makes a file of schema 9 with n events and their plain successes for the
// handler a, as successesOf returns them, without digests.
func schemaNineStore(t *testing.T, path string, n uint64) {
	t.Helper()
	ctx := t.Context()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}()
	db.SetMaxOpenConns(1)
	if err := schema.Upgrade(ctx, db, path, schema.Skipped); err != nil {
		t.Fatal(err)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	size := int64(0)
	s := successesOf("a", 1, n)[0]
	for i := range s.List {
		d := s.Delivery(i)
		ev := makeEvent(t, fmt.Sprint("old", d.Seq))
		size += ev.Size()
		_, err1 := tx.Exec(`INSERT INTO events (seq, event_id, idempotency_key, type, subject, appended_at, envelope) VALUES (?, NULL, ?, 't', '', 5, ?)`, d.Seq, ev.ID(), ev.Envelope())
		_, err2 := tx.Exec(`INSERT INTO deliveries (handler, seq, status, attempts, result, error_class, error_message, duration, fuel, at, due, first_at)
			VALUES ('a', ?, 'ok', 1, ?, '', '', ?, ?, ?, 0, ?)`, d.Seq, d.Result, int64(d.Duration), d.Fuel, d.At.UnixNano(), d.FirstAttempt.UnixNano())
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tx.Exec(`UPDATE log_size SET events = ?, bytes = ?`, n, size); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}
