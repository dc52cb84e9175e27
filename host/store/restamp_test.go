package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
)

const (
	restampAhead = 1 << 30 // seconds, of the clock that was ahead
	restampNow   = 2000    // of the clock that was set back
	// restampEvents have future timestamps: three steps.
	restampEvents = 2*trimStep + 100
)

// openAhead opens a log of one event of second 1000, and restampEvents with future
// timestamps.
func openAhead(t *testing.T, path string, f faults) (*Store, *atomic.Int64) {
	t.Helper()
	clock := new(atomic.Int64)
	s, err := open(t.Context(), Config{Window: newWindow(), Path: path, Now: func() time.Time { return time.Unix(clock.Load(), 0) }}, f)
	if err != nil {
		t.Fatal(err)
	}
	clock.Store(1000)
	if _, err := s.Append(t.Context(), []*event.Event{makeEvent(t, "first")}); err != nil {
		t.Fatal(err)
	}
	clock.Store(restampAhead)
	events := make([]*event.Event, restampEvents)
	for i := range events {
		events[i] = makeEvent(t, fmt.Sprint("ahead ", i))
	}
	if _, err := s.Append(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	clock.Store(restampNow)
	return s, clock
}

// ahead checks that timestamps do not decrease along the log, and counts the future
// ones.
func ahead(t *testing.T, s *Store, now int64) (n int) {
	t.Helper()
	rows, err := s.reader.QueryContext(t.Context(), `SELECT appended_at FROM events ORDER BY seq`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var before int64
	for i := 0; rows.Next(); i++ {
		var at int64
		if err := rows.Scan(&at); err != nil {
			t.Fatal(err)
		}
		if at < before {
			t.Fatalf("event %d was appended at %v, the one before at %v", i, time.Unix(0, at), time.Unix(0, before))
		}
		if before = at; time.Unix(0, at).After(time.Unix(now, 0)) {
			n++
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestRestampFaults fails each of the steps that replace future timestamps, at each
// point of its transaction. The steps before stay done, timestamps never decrease
// along the log, neither by later appends nor after a restart, and the next Trim
// replaces the remaining ones.
func TestRestampFaults(t *testing.T) {
	for _, tt := range faultSteps {
		for nth := 1; nth <= 3; nth++ {
			for _, restart := range []bool{false, true}[:1+nth%2] { // a restart after the first and the last
				t.Run(fmt.Sprintf("%s/%d/restart %v", tt.step, nth, restart), func(t *testing.T) {
					done := nth - 1
					if tt.persisted {
						done++
					}
					testRestampFault(t, tt.step, nth, done, restart)
				})
			}
		}
	}
}

func testRestampFault(t *testing.T, step string, nth, restamped int, restart bool) {
	ctx := t.Context()
	var armed trigger
	path := filepath.Join(t.TempDir(), "berth.db")
	s, clock := openAhead(t, path, armed.at(step))
	defer func() { s.Close() }()
	armed.fail(nth)
	if _, err := s.Trim(ctx, 2); !errors.Is(err, errInjected) {
		t.Fatalf("got %v, want the injected error", err)
	}
	left := max(restampEvents-restamped*trimStep, 0)
	if got := ahead(t, s, restampNow); got != left {
		t.Errorf("%d future timestamps remain; want %d", got, left)
	}
	if restart {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		var err error
		if s, err = open(ctx, Config{Window: newWindow(), Path: path, Now: func() time.Time { return time.Unix(clock.Load(), 0) }}, faults{}); err != nil {
			t.Fatal(err)
		}
	}
	from, err := s.SeqAt(ctx, time.Unix(restampNow, 1))
	if want := uint64(restampEvents + 2 - left); from != want || err != nil {
		t.Errorf("the first future timestamp: got %d, %v, want %d", from, err, want)
	}
	if _, err := s.Append(ctx, []*event.Event{makeEvent(t, "meanwhile")}); err != nil {
		t.Fatal(err)
	}
	if got := ahead(t, s, restampNow); got < left || got > left+1 {
		t.Errorf("%d are left after an append; want %d or one more", got, left)
	}
	clock.Add(10)
	if n, err := s.Trim(ctx, 2); n != 1 || err != nil {
		t.Fatalf("trying again: got %d, %v, want the first event removed", n, err)
	}
	if got := ahead(t, s, clock.Load()); got != 0 {
		t.Errorf("%d future timestamps remain", got)
	}
	next := s.Last() + 1
	clock.Add(10)
	if _, err := s.Append(ctx, []*event.Event{makeEvent(t, "after")}); err != nil {
		t.Fatal(err)
	}
	if got, err := s.SeqAt(ctx, time.Unix(clock.Load(), 0)); got != next || err != nil {
		t.Errorf("the last event: got %d, %v, want %d", got, err, next)
	}
	if got := ahead(t, s, clock.Load()); got != 0 {
		t.Errorf("%d future timestamps were appended", got)
	}
}

// TestRestampAmidPublishers: publishers continue while timestamps are replaced, and
// their events get timestamps that do not decrease; the clock may advance meanwhile,
// or be set back again.
func TestRestampAmidPublishers(t *testing.T) {
	ctx := t.Context()
	steps := 0              // of the writer goroutine
	var running atomic.Bool // clock is set
	var clock *atomic.Int64
	var s *Store
	s, clock = openAhead(t, filepath.Join(t.TempDir(), "berth.db"), faults{commit: func() error {
		if running.Load() {
			if steps++; steps%3 == 0 {
				clock.Add(-7)
			} else {
				clock.Add(5)
			}
		}
		return nil
	}})
	defer s.Close()
	running.Store(true)
	stop, cancel := context.WithCancel(ctx)
	var publishers sync.WaitGroup
	for p := range 4 {
		publishers.Go(func() {
			for i := 0; stop.Err() == nil; i++ {
				if _, err := s.Append(ctx, []*event.Event{makeEvent(t, fmt.Sprint(p, " ", i))}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	_, err := s.Trim(ctx, 0)
	left := ahead(t, s, restampNow+1000_000)
	cancel()
	publishers.Wait()
	if err != nil || left != 0 {
		t.Errorf("%v; %d are left", err, left)
	}
	if left := ahead(t, s, restampNow+1000_000); left != 0 {
		t.Errorf("%d future timestamps were appended", left)
	}
}

// TestRestampEnds: restamping catches up with a publisher that appends more per group
// than one step replaces, as an import of a file does.
func TestRestampEnds(t *testing.T) {
	ctx := t.Context()
	const batches = 40
	var s *Store
	var stepping atomic.Bool // no group is begun before the next one's operation waits
	s, _ = openAhead(t, filepath.Join(t.TempDir(), "berth.db"), faults{begin: func() error {
		for stepping.Load() && len(s.ops) == 0 && s.carried == nil {
			runtime.Gosched()
		}
		return nil
	}})
	defer s.Close()
	stepping.Store(true)
	done := make(chan error, 1)
	go func() {
		_, err := s.Trim(ctx, 0)
		stepping.Store(false)
		done <- err
	}()
	n := 0
	for ; n < batches && stepping.Load(); n++ {
		batch := make([]*event.Event, 2*trimStep)
		for i := range batch {
			batch[i] = makeEvent(t, fmt.Sprint(n, " ", i))
		}
		if _, err := s.Append(ctx, batch); err != nil {
			t.Error(err)
			break
		}
	}
	if stepping.Swap(false) {
		t.Errorf("%d batches were appended meanwhile without catching up", n)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if left := ahead(t, s, restampNow); left != 0 {
		t.Errorf("%d are left", left)
	}
}
