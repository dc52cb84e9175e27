package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

var errInjected = fault.New(fault.Unavailable, "injected")

func newWindow() *bus.Window { return bus.NewWindow(bus.WindowConfig{}) }

func makeEvent(t *testing.T, key string) *event.Event {
	t.Helper()
	ev, err := event.New(event.Draft{Type: "t", IdempotencyKey: key})
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

// faultSteps are the steps of the writer's transaction that a test can fail.
// persisted: the transaction is committed nevertheless.
var faultSteps = []struct {
	step      string
	persisted bool
}{
	{"begin", false}, {"in an operation", false}, {"commit", false},
	{"committed", true}, // the flush was done, its result was lost
}

// trigger makes a step of the writer's transaction fail.
type trigger struct {
	left atomic.Int64
	seen func() // called when the step fails
}

// fail makes the nth execution of the step from now on fail.
func (tr *trigger) fail(nth int) { tr.left.Store(int64(nth)) }

// at returns the faults that fail the step.
func (tr *trigger) at(step string) (f faults) {
	fail := func() error {
		if tr.left.Add(-1) != 0 {
			return nil
		}
		if tr.seen != nil {
			tr.seen()
		}
		return errInjected
	}
	switch step {
	case "begin":
		f.begin = fail
	case "in an operation":
		f.inOp = fail
	case "commit":
		f.commit = fail
	case "committed":
		f.committed = fail
	}
	return f
}

// TestFaults fails every step of the writer's transaction, once each, and checks the
// results of the callers, the readers and the file.
func TestFaults(t *testing.T) {
	for _, tt := range faultSteps {
		for _, write := range []string{"append", "write", "trim", "deliveries"} {
			t.Run(tt.step+"/"+write, func(t *testing.T) {
				testFault(t, tt.step, write, tt.persisted)
			})
		}
	}
}

func testFault(t *testing.T, step, write string, persisted bool) {
	ctx := t.Context()
	cfg := Config{Window: newWindow(), Path: filepath.Join(t.TempDir(), "berth.db")}
	var armed trigger
	s, err := open(ctx, cfg, armed.at(step))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.Close() }()
	if _, err := s.Append(ctx, []*event.Event{makeEvent(t, "first")}); err != nil {
		t.Fatal(err)
	}
	second := makeEvent(t, "second")
	armed.fail(1)
	switch write {
	case "append":
		_, err = s.Append(ctx, []*event.Event{second})
	case "write":
		_, err = s.Write(ctx, func(tx *sql.Tx) ([]*event.Event, error) {
			_, err := tx.Exec(`INSERT INTO cursors VALUES ('by hand', 1)`)
			return []*event.Event{second}, err
		})
	case "trim":
		_, err = s.Trim(ctx, 2)
	case "deliveries":
		_, _, err = s.SaveDeliveries(ctx, nil, nil, []event.Delivery{{Handler: "h", Seq: 1, Status: event.StatusOK, Children: []*event.Event{second}}},
			[]event.Cursor{{Name: "handler/h", Seq: 1}})
	}
	if !errors.Is(err, errInjected) || !fault.Is(err, fault.Unavailable) {
		t.Fatalf("got %v, want the injected error", err)
	}
	// The same file, as this process sees it and as the next one does.
	checkFault(t, s, write, persisted)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = open(ctx, cfg, faults{}); err != nil {
		t.Fatal(err)
	}
	checkFault(t, s, write, persisted)
	if write == "trim" {
		return
	}
	if write == "deliveries" { // the recorder tries again: one outcome, one child
		saved, _, err := s.SaveDeliveries(ctx, nil, nil, []event.Delivery{{Handler: "h", Seq: 1, Status: event.StatusOK, Children: []*event.Event{second}}}, nil)
		if err != nil || saved.Refused != nil || s.Last() != 2 {
			t.Errorf("trying again: got %+v, %v, Last %d", saved, err, s.Last())
		}
		return
	}
	// The caller tries again: the event is stored once in any case.
	receipts, err := s.Append(ctx, []*event.Event{second})
	if err != nil || receipts[0].Seq != 2 || receipts[0].Duplicate != persisted {
		t.Errorf("trying again: got %+v, %v, want Seq 2, duplicate %v", receipts, err, persisted)
	}
}

// checkFault checks that the store has all of the failed write, or nothing of it.
func checkFault(t *testing.T, s *Store, write string, persisted bool) {
	t.Helper()
	ctx := t.Context()
	want := []string{"first"}
	switch {
	case write == "trim" && persisted:
		want = nil
	case write != "trim" && persisted:
		want = append(want, "second")
	}
	records, err := s.Read(ctx, 1, 10)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range records {
		got = append(got, r.Event.Metadata().IdempotencyKey)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the log has %v, want %v", got, want)
	}
	if want := uint64(max(1, len(want))); s.Last() != want {
		t.Errorf("Last: got %d, want %d", s.Last(), want)
	}
	if _, found, _ := s.Cursor(ctx, "by hand"); found != (write == "write" && persisted) {
		t.Errorf("the cursor written by hand is there: %v", found)
	}
	// The status and the lists agree with the log.
	status, err := s.Status(ctx)
	counted := event.LogStatus{LastSeq: s.Last(), OldestAt: status.OldestAt}
	for i, r := range records {
		if counted.Events, counted.Bytes = counted.Events+1, counted.Bytes+r.Event.Size(); i == 0 {
			counted.FirstSeq = r.Seq
		}
	}
	if status != counted || err != nil {
		t.Errorf("Status: got %+v, %v, want %+v", status, err, counted)
	}
	if list, err := s.Events(ctx, event.Query{Type: "t", Limit: 10}); len(list) != len(records) || err != nil {
		t.Errorf("Events: got %d, %v, want %d", len(list), err, len(records))
	}
	// A child is there exactly when its parent's outcome is, and the cursor.
	outcomes, err := s.Deliveries(ctx, 1)
	seq, found, err2 := s.Cursor(ctx, "handler/h")
	if want := write == "deliveries" && persisted; err != nil || err2 != nil || len(outcomes) == 1 != want || found != want || found && seq != 1 {
		t.Errorf("deliveries: got %+v, %v, cursor %d, %v, %v; want them there: %v", outcomes, err, seq, found, err2, want)
	}
}

// TestFailedCommitFailsItsGroup blocks the writer until several callers wait, so that
// they form one group, and fails that group's commit.
func TestFailedCommitFailsItsGroup(t *testing.T) {
	ctx := t.Context()
	inGroup := make(chan struct{})
	release := make(chan struct{})
	var commits atomic.Int32
	s, err := open(ctx, Config{Window: newWindow(), Path: filepath.Join(t.TempDir(), "berth.db")}, faults{commit: func() error {
		switch commits.Add(1) {
		case 1: // holds the writer while the group gathers
			close(inGroup)
			<-release
			return nil
		case 2:
			return errInjected
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const callers = 20
	answer, errs := make(chan error, 1), make(chan error, callers)
	call := func(key string, answer chan<- error) {
		_, err := s.Append(ctx, []*event.Event{makeEvent(t, key)})
		answer <- err
	}
	go call("hold", answer)
	<-inGroup
	for i := range callers {
		go call(fmt.Sprint("k", i), errs)
	}
	// A caller that gives up while it waits is not in the group.
	canceled, cancel := context.WithCancel(ctx)
	gaveUp := make(chan error)
	go func() {
		_, err := s.Append(canceled, []*event.Event{makeEvent(t, "gave up")})
		gaveUp <- err
	}()
	for len(s.ops) < callers+1 {
		runtime.Gosched()
	}
	cancel()
	if err := <-gaveUp; !errors.Is(err, context.Canceled) {
		t.Errorf("giving up: got %v", err)
	}
	close(release)
	if err := <-answer; err != nil {
		t.Errorf("the group before: %v", err)
	}
	for range callers {
		if err := <-errs; !errors.Is(err, errInjected) {
			t.Errorf("got %v, want the injected error", err)
		}
	}
	if got := s.Last(); got != 1 {
		t.Errorf("Last: got %d, want 1", got)
	}
	if _, err := s.Event(ctx, "gave up"); !fault.Is(err, fault.NotFound) {
		t.Errorf("the write that was given up: %v", err)
	}
	if receipts, err := s.Append(ctx, []*event.Event{makeEvent(t, "k1")}); err != nil || receipts[0].Seq != 2 {
		t.Errorf("after the failure: got %+v, %v", receipts, err)
	}
}

// TestFullDisk bounds the size of the file: SQLite returns the error of a full disk.
// The store takes writes again once there is capacity, without a restart.
func TestFullDisk(t *testing.T) {
	ctx := t.Context()
	s, err := open(ctx, Config{Window: newWindow(), Path: filepath.Join(t.TempDir(), "berth.db")}, faults{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	bound := func(pages int) {
		t.Helper()
		if _, err := s.writer.Exec(fmt.Sprintf("PRAGMA max_page_count = %d", pages)); err != nil {
			t.Fatal(err)
		}
	}
	var size int
	if err := s.writer.QueryRow("PRAGMA page_count").Scan(&size); err != nil {
		t.Fatal(err)
	}
	bound(size + 10)
	acked := 0
	var full *event.Event
	for i := 0; full == nil; i++ {
		ev := makeEvent(t, fmt.Sprint("k", i))
		switch _, err := s.Append(ctx, []*event.Event{ev}); {
		case err == nil:
			acked++
		case !fault.Is(err, fault.Exhausted):
			t.Fatalf("got %v, want %s", err, fault.Exhausted)
		default:
			full = ev
			t.Log(err)
		}
	}
	// Every write fails, also that of a caller that ignores its errors.
	if err := s.KVSet(ctx, "p", "k", make([]byte, 100<<10)); !fault.Is(err, fault.Exhausted) {
		t.Errorf("KVSet: got %v, want %s", err, fault.Exhausted)
	}
	_, err = s.Write(ctx, func(tx *sql.Tx) ([]*event.Event, error) {
		tx.Exec(`INSERT INTO kv VALUES ('p', 'careless', zeroblob(100000))`) //nolint:errcheck // the point
		return []*event.Event{full}, nil
	})
	if !fault.Is(err, fault.Exhausted) && !fault.Is(err, fault.Unavailable) && !fault.Is(err, fault.Internal) {
		t.Errorf("Write: got %v, want an error", err)
	}
	records, err := s.Read(ctx, 1, 4096)
	if err != nil || len(records) != acked || s.Last() != uint64(acked) {
		t.Fatalf("reading while full: %d events up to %d, %v, want %d", len(records), s.Last(), err, acked)
	}
	bound(1 << 30)
	receipts, err := s.Append(ctx, []*event.Event{full})
	if err != nil || receipts[0].Seq != uint64(acked)+1 || receipts[0].Duplicate {
		t.Fatalf("with capacity again: got %+v, %v", receipts, err)
	}
}
