package host

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store"
)

// retained is an engine with its retention, a clock and what was logged.
type retained struct {
	eventLog
	retention *retention
	db        *boundedDB // nil for the memory engine

	mu       sync.Mutex
	at       time.Time
	settings config.Bus
	out      bytes.Buffer
}

func (r *retained) now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at
}

func (r *retained) pass(t *testing.T, after time.Duration) {
	t.Helper()
	r.mu.Lock()
	r.at = r.at.Add(after)
	r.mu.Unlock()
	if err := r.retention.pass(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// append adds n events of about 1 KiB each.
func (r *retained) append(t *testing.T, prefix string, n int) error {
	t.Helper()
	for i := range n {
		ev := logtest.Make(t, event.Draft{IdempotencyKey: fmt.Sprint(prefix, i), Data: fmt.Appendf(nil, "%q", strings.Repeat("x", 1000))})
		if _, err := r.Append(t.Context(), []*event.Event{ev}); err != nil {
			return err
		}
	}
	return nil
}

func (r *retained) place(t *testing.T, handler string, seq uint64) {
	t.Helper()
	if err := r.SetCursor(t.Context(), event.Cursor{Name: "handler/" + handler, Seq: seq}); err != nil {
		t.Fatal(err)
	}
}

func (r *retained) wantEvents(t *testing.T, first, last uint64) {
	t.Helper()
	st, err := r.Status(t.Context())
	if err != nil || st.FirstSeq != first || st.LastSeq != last || first > 0 && st.Events != int64(last-first+1) || first == 0 && st.Events != 0 {
		t.Errorf("the log is %+v, %v, want %d to %d", st, err, first, last)
	}
}

// onEngines runs a test on every engine.
func onEngines(t *testing.T, settings config.Bus, run func(*testing.T, *retained)) {
	for _, name := range []string{"memory", "store"} {
		t.Run(name, func(t *testing.T) {
			r := &retained{at: time.Unix(1e9, 0), settings: settings}
			var log eventLog
			var s *store.Store
			if name == "store" {
				var err error
				if s, err = store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "berth.db"), Now: r.now}); err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				log = s
			} else {
				m := bus.NewMemory(bus.MemoryConfig{Now: r.now})
				defer m.Close()
				log = m
			}
			r.retention = newRetention(log, func() config.Bus { return r.settings }, r.now, slog.New(slog.NewTextHandler(&r.out, nil)))
			r.eventLog = boundedLog{log, r.retention}
			if s != nil {
				r.db = &boundedDB{s, r.retention}
			}
			run(t, r)
		})
	}
}

const day = 24 * time.Hour

func TestRetentionWaitsForEveryKnownHandler(t *testing.T) {
	onEngines(t, config.Bus{Retention: 7 * day, MaxAge: 30 * day}, func(t *testing.T, r *retained) {
		if err := r.append(t, "k", 10); err != nil {
			t.Fatal(err)
		}
		r.place(t, "quick", 10)
		r.place(t, "disabled", 4) // nobody runs it, but it has a place
		r.pass(t, 6*day)
		r.wantEvents(t, 1, 10)
		r.pass(t, 2*day)
		r.wantEvents(t, 5, 10)
		if err := r.append(t, "l", 1); err != nil {
			t.Fatal(err)
		}
		if err := r.ForgetHandler(t.Context(), "disabled"); err != nil { // an uninstall
			t.Fatal(err)
		}
		r.pass(t, 0)
		r.wantEvents(t, 11, 11)
		r.pass(t, 8*day) // quick has not had it
		r.wantEvents(t, 11, 11)
		if strings.Contains(r.out.String(), "ERROR") {
			t.Errorf("an error was logged:\n%s", &r.out)
		}
	})
}

func TestRetentionGivesUpAtMaxAge(t *testing.T) {
	onEngines(t, config.Bus{Retention: 7 * day, MaxAge: 30 * day}, func(t *testing.T, r *retained) {
		if err := r.append(t, "old", 10); err != nil {
			t.Fatal(err)
		}
		r.place(t, "a", 2)
		r.place(t, "b", 7)
		r.place(t, "c", 10)
		r.pass(t, 29*day)
		r.wantEvents(t, 3, 10)
		if err := r.append(t, "new", 2); err != nil {
			t.Fatal(err)
		}
		r.pass(t, 2*day)
		r.pass(t, 0) // what is lost is counted once
		r.wantEvents(t, 11, 12)
		for handler, want := range map[string]uint64{"a": 8, "b": 3, "c": 0} {
			if got := r.retention.Lost(handler); got != want {
				t.Errorf("%s lost %d events, want %d", handler, got, want)
			}
			line := fmt.Sprintf("handler=%s events=%d max_age=720h0m0s", handler, want)
			if got := strings.Count(r.out.String(), line); got != 1 && want > 0 || got > 0 && want == 0 {
				t.Errorf("%q is logged %d times:\n%s", line, got, &r.out)
			}
		}
		r.settings.MaxAge = 0
		r.pass(t, 365*day)
		r.wantEvents(t, 11, 12)
	})
}

func TestRetentionMakesRoom(t *testing.T) {
	onEngines(t, config.Bus{Retention: 7 * day, MaxAge: 30 * day, MaxSize: 64 << 10}, func(t *testing.T, r *retained) {
		ctx := t.Context()
		r.place(t, "slow", 0)
		err := r.append(t, "a", 100)
		if !isFull(err) {
			t.Fatalf("got %v, want the log to be full", err)
		}
		st, _ := r.Status(ctx)
		if st.FirstSeq != 1 || st.Bytes > st.MaxBytes || st.Bytes < st.MaxBytes-4000 {
			t.Errorf("full at %+v", st)
		}
		if !strings.Contains(r.out.String(), "furthest_back=slow") {
			t.Errorf("nobody was told who holds the log up:\n%s", &r.out)
		}
		if r.db != nil {
			write := func() error {
				_, err := r.db.Write(ctx, func(*sql.Tx) ([]*event.Event, error) {
					return []*event.Event{logtest.Make(t, event.Draft{IdempotencyKey: "order:1:v1", Data: []byte(`"` + strings.Repeat("x", 2000) + `"`)})}, nil
				})
				return err
			}
			if err := write(); !isFull(err) {
				t.Errorf("an order: got %v", err)
			}
		}
		// The handler settles: its outcome, its child and its place need no room.
		child := logtest.Make(t, event.Draft{IdempotencyKey: "child", Data: []byte(`"` + strings.Repeat("y", 4000) + `"`)})
		if _, err := r.SaveDeliveries(ctx, []event.Delivery{{Handler: "slow", Seq: 20, Status: event.StatusOK, Children: []*event.Event{child}}},
			[]event.Cursor{{Name: "handler/slow", Seq: 20}}); err != nil {
			t.Fatal(err)
		}
		r.pass(t, time.Second) // the clock moves: it is looked at again
		if err := r.append(t, "b", 1); err != nil {
			t.Errorf("after an event was settled: %v", err)
		}
		st, _ = r.Status(ctx)
		if st.FirstSeq == 1 || st.FirstSeq > 21 {
			t.Errorf("room was made up to %+v", st)
		}
		// Publishing goes on as long as the handler does, without losing a thing.
		for range 50 {
			r.place(t, "slow", r.Last())
			if err := r.append(t, fmt.Sprint("c", r.Last()), 10); err != nil {
				t.Fatalf("with a handler that keeps up: %v", err)
			}
		}
		if n := r.retention.Lost("slow"); n != 0 {
			t.Errorf("%d events were lost", n)
		}
		r.settings.MaxSize = 0
		r.retention.configure()
		if err := r.append(t, "d", 100); err != nil {
			t.Errorf("without a bound: %v", err)
		}
	})
}

// TestRoomForALargeOne: one event that needs more than the usual room.
func TestRoomForALargeOne(t *testing.T) {
	onEngines(t, config.Bus{Retention: 7 * day, MaxAge: 30 * day, MaxSize: 64 << 10}, func(t *testing.T, r *retained) {
		if err := r.append(t, "a", 45); err != nil {
			t.Fatal(err)
		}
		large := logtest.Make(t, event.Draft{Data: []byte(`"` + strings.Repeat("x", 50<<10) + `"`)})
		if _, err := r.Append(t.Context(), []*event.Event{large}); err != nil {
			t.Errorf("got %v", err)
		}
		st, _ := r.Status(t.Context())
		never := logtest.Make(t, event.Draft{Data: []byte(`"` + strings.Repeat("x", 65<<10) + `"`)})
		_, err := r.Append(t.Context(), []*event.Event{never})
		if again, _ := r.Status(t.Context()); !isFull(err) || again != st {
			t.Errorf("one that never fits: got %v; the log was %+v and is %+v", err, st, again)
		}
	})
}

// TestMakeRoomConcurrently: publishers that meet a full log at once.
func TestMakeRoomConcurrently(t *testing.T) {
	onEngines(t, config.Bus{Retention: 7 * day, MaxAge: 30 * day, MaxSize: 64 << 10}, func(t *testing.T, r *retained) {
		var wg sync.WaitGroup
		for p := range 8 {
			wg.Go(func() {
				if err := r.append(t, fmt.Sprint(p, "-"), 40); err != nil {
					t.Errorf("no handler is known, so there is always room: %v", err)
				}
			})
		}
		wg.Wait()
		st, _ := r.Status(t.Context())
		if st.LastSeq < 320 || st.Bytes > st.MaxBytes {
			t.Errorf("got %+v", st)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := r.retention.pass(ctx); !errors.Is(err, context.Canceled) || fault.CodeOf(err) != fault.Unavailable {
			t.Errorf("ended: got %v", err)
		}
	})
}
