package retention

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
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/store"
)

// engine is a log with the methods that the tests call.
type engine interface {
	Log
	SaveDeliveries(ctx context.Context, fences []spec.Fence, successes []event.Successes, deliveries []event.Delivery, cursors []event.Cursor) (event.Saved, []spec.Fence, error)
	SetCursor(ctx context.Context, c event.Cursor) error
	ForgetHandler(ctx context.Context, handler string) error
}

// retained is an engine with its retention, a clock and a log output.
type retained struct {
	engine
	retention *Retention
	db        *store.Store // nil for the memory engine

	mu     sync.Mutex
	at     time.Time
	limits Limits
	out    bytes.Buffer
}

// Append appends with the retention.
func (r *retained) Append(ctx context.Context, events []*event.Event) ([]event.Receipt, error) {
	return r.retention.Append(ctx, events)
}

func (r *retained) now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at
}

func (r *retained) enforce(t *testing.T, after time.Duration) {
	t.Helper()
	r.mu.Lock()
	r.at = r.at.Add(after)
	r.mu.Unlock()
	if err := r.retention.Enforce(t.Context()); err != nil {
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

func (r *retained) setCursor(t *testing.T, handler string, seq uint64) {
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
func onEngines(t *testing.T, limits Limits, run func(*testing.T, *retained)) {
	for _, name := range []string{"memory", "store"} {
		t.Run(name, func(t *testing.T) {
			r := &retained{at: time.Unix(1e9, 0), limits: limits}
			if name == "store" {
				s, err := store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "berth.db"), Window: bus.NewWindow(bus.WindowConfig{}), Now: r.now})
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				r.engine, r.db = s, s
			} else {
				m := bus.NewMemory(bus.MemoryConfig{Now: r.now})
				defer m.Close()
				r.engine = m
			}
			r.retention = New(Config{Log: r.engine, Limits: func() Limits { return r.limits }, Now: r.now, Logger: slog.New(slog.NewTextHandler(&r.out, nil))})
			run(t, r)
		})
	}
}

const day = 24 * time.Hour

func TestRetentionWaitsForEveryKnownHandler(t *testing.T) {
	onEngines(t, Limits{Retention: 7 * day, MaxAge: 30 * day}, func(t *testing.T, r *retained) {
		if err := r.append(t, "k", 10); err != nil {
			t.Fatal(err)
		}
		r.setCursor(t, "quick", 10)
		r.setCursor(t, "disabled", 4) // it does not run, but it has a cursor
		r.enforce(t, 6*day)
		r.wantEvents(t, 1, 10)
		r.enforce(t, 2*day)
		r.wantEvents(t, 5, 10)
		if err := r.append(t, "l", 1); err != nil {
			t.Fatal(err)
		}
		if err := r.ForgetHandler(t.Context(), "disabled"); err != nil { // an uninstall
			t.Fatal(err)
		}
		r.enforce(t, 0)
		r.wantEvents(t, 11, 11)
		r.enforce(t, 8*day) // quick has not had event 11
		r.wantEvents(t, 11, 11)
		if strings.Contains(r.out.String(), "ERROR") {
			t.Errorf("an error was logged:\n%s", &r.out)
		}
	})
}

func TestRetentionGivesUpAtMaxAge(t *testing.T) {
	onEngines(t, Limits{Retention: 7 * day, MaxAge: 30 * day}, func(t *testing.T, r *retained) {
		if err := r.append(t, "old", 10); err != nil {
			t.Fatal(err)
		}
		r.setCursor(t, "a/0", 9)
		r.setCursor(t, "a/1", 2) // the slowest of its shards
		r.setCursor(t, "a/2", 5)
		r.setCursor(t, "b", 7)
		r.setCursor(t, "c", 10)
		r.enforce(t, 29*day)
		r.wantEvents(t, 3, 10)
		if err := r.append(t, "new", 2); err != nil {
			t.Fatal(err)
		}
		r.enforce(t, 2*day)
		r.enforce(t, 0) // losses are counted once
		r.wantEvents(t, 11, 12)
		for handler, want := range map[string]uint64{"a": 8, "b": 3, "c": 0} {
			if got := r.retention.Lost(handler); got != want {
				t.Errorf("%s lost %d events, want %d", handler, got, want)
			}
			line := fmt.Sprintf("plugin=%s events=%d max_age=720h0m0s", handler, want)
			if got := strings.Count(r.out.String(), line); got != 1 && want > 0 || got > 0 && want == 0 {
				t.Errorf("%q is logged %d times:\n%s", line, got, &r.out)
			}
		}
		r.limits.MaxAge = 0
		r.enforce(t, 365*day)
		r.wantEvents(t, 11, 12)
	})
}

func TestFullLogReclaimsDeliveredEvents(t *testing.T) {
	onEngines(t, Limits{Retention: 7 * day, MaxAge: 30 * day, MaxSize: 64 << 10}, func(t *testing.T, r *retained) {
		ctx := t.Context()
		r.setCursor(t, "slow", 0)
		err := r.append(t, "a", 100)
		if !IsFull(err) {
			t.Fatalf("got %v, want the log to be full", err)
		}
		st, _ := r.Status(ctx)
		if st.FirstSeq != 1 || st.Bytes > st.MaxBytes || st.Bytes < st.MaxBytes-4000 {
			t.Errorf("full at %+v", st)
		}
		if !strings.Contains(r.out.String(), "furthest_back=slow") {
			t.Errorf("the log does not name the slowest handler:\n%s", &r.out)
		}
		if r.db != nil {
			write := func() error {
				_, err := r.retention.Write(ctx, func() ([]event.Receipt, error) {
					return r.db.Write(ctx, func(*sql.Tx) ([]*event.Event, error) {
						return []*event.Event{logtest.Make(t, event.Draft{IdempotencyKey: "order:1:v1", Data: []byte(`"` + strings.Repeat("x", 2000) + `"`)})}, nil
					})
				})
				return err
			}
			if err := write(); !IsFull(err) {
				t.Errorf("an order: got %v", err)
			}
		}
		// The handler succeeds: its outcome, child and cursor are exempt from the limit.
		child := logtest.Make(t, event.Draft{IdempotencyKey: "child", Data: []byte(`"` + strings.Repeat("y", 4000) + `"`)})
		if _, _, err := r.SaveDeliveries(ctx, nil, nil, []event.Delivery{{Handler: "slow", Seq: 20, Status: event.StatusOK, Children: []*event.Event{child}}},
			[]event.Cursor{{Name: "handler/slow", Seq: 20}}); err != nil {
			t.Fatal(err)
		}
		r.enforce(t, time.Second) // the clock advances beyond the pause
		if err := r.append(t, "b", 1); err != nil {
			t.Errorf("after an event was delivered: %v", err)
		}
		st, _ = r.Status(ctx)
		if st.FirstSeq == 1 || st.FirstSeq > 21 {
			t.Errorf("events were deleted up to %+v", st)
		}
		// Publishing continues while the handler progresses, without a loss.
		for range 50 {
			r.setCursor(t, "slow", r.Last())
			if err := r.append(t, fmt.Sprint("c", r.Last()), 10); err != nil {
				t.Fatalf("with a handler that progresses: %v", err)
			}
		}
		if n := r.retention.Lost("slow"); n != 0 {
			t.Errorf("%d events were lost", n)
		}
		r.limits.MaxSize = 0
		r.retention.Configure()
		if err := r.append(t, "d", 100); err != nil {
			t.Errorf("without a limit: %v", err)
		}
	})
}

// TestFullLogReclaimsForLargeEvent: one event that exceeds the usual reserve.
func TestFullLogReclaimsForLargeEvent(t *testing.T) {
	onEngines(t, Limits{Retention: 7 * day, MaxAge: 30 * day, MaxSize: 64 << 10}, func(t *testing.T, r *retained) {
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
		if again, _ := r.Status(t.Context()); !IsFull(err) || again != st {
			t.Errorf("an event that never fits: got %v; the log was %+v and is %+v", err, st, again)
		}
	})
}

// TestConcurrentPublishersReclaim: concurrent publishers find the log full.
func TestConcurrentPublishersReclaim(t *testing.T) {
	onEngines(t, Limits{Retention: 7 * day, MaxAge: 30 * day, MaxSize: 64 << 10}, func(t *testing.T, r *retained) {
		var wg sync.WaitGroup
		for p := range 8 {
			wg.Go(func() {
				if err := r.append(t, fmt.Sprint(p, "-"), 40); err != nil {
					t.Errorf("without a known handler every append must succeed: %v", err)
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
		if err := r.retention.Enforce(ctx); !errors.Is(err, context.Canceled) || fault.CodeOf(err) != fault.Unavailable {
			t.Errorf("ended: got %v", err)
		}
	})
}
