package bus_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// start makes a bus over an engine in memory, whose window is cfg.Window.
func start(t testing.TB, cfg bus.Config) *bus.Bus {
	t.Helper()
	if cfg.Log == nil {
		cfg.Log = newMemory(t, bus.MemoryConfig{})
	}
	if m, ok := cfg.Log.(interface{ Window() *bus.Window }); ok {
		cfg.Window = m.Window()
	}
	b, err := bus.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// windowOf is a window of this many events.
func windowOf(events int) *bus.Window { return bus.NewWindow(bus.WindowConfig{Events: events}) }

// receive takes events until it has n.
func receive(t testing.TB, s interface {
	Next(context.Context, []event.Record) (int, error)
}, n int) []event.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // only to end a hanging test
	defer cancel()
	var got []event.Record
	buf := make([]event.Record, 7)
	for len(got) < n {
		k, err := s.Next(ctx, buf[:min(len(buf), n-len(got))])
		if err != nil {
			t.Fatalf("Next, after %d of %d events: %v", len(got), n, err)
		}
		if k < 1 {
			t.Fatal("Next answered nothing without an error")
		}
		got = append(got, buf[:k]...)
	}
	return got
}

func wantSeqs(t testing.TB, got []event.Record, from uint64) {
	t.Helper()
	for i, r := range got {
		if want := from + uint64(i); r.Seq != want || r.Event == nil {
			t.Fatalf("record %d: got Seq %d, want %d", i, r.Seq, want)
		}
	}
}

func TestPublish(t *testing.T) {
	b := start(t, bus.Config{})
	ctx := t.Context()
	for _, tt := range []struct {
		name      string
		draft     event.Draft
		want      fault.Code
		duplicate bool
	}{
		{"new", event.Draft{Type: "t", IdempotencyKey: "k", Data: []byte("1")}, "", false},
		{"again", event.Draft{Type: "t", IdempotencyKey: "k", Data: []byte("1")}, "", true},
		{"other content", event.Draft{Type: "t", IdempotencyKey: "k", Data: []byte("2")}, fault.Conflict, false},
		{"no type", event.Draft{}, fault.Invalid, false},
		{"no JSON", event.Draft{Type: "t", Data: []byte("{")}, fault.Invalid, false},
		{"too large", event.Draft{Type: "t", Data: []byte(`"` + strings.Repeat("x", event.MaxSize) + `"`)}, fault.Exhausted, false},
	} {
		r, err := b.Publish(ctx, tt.draft)
		if got := fault.CodeOf(err); got != tt.want || r.Duplicate != tt.duplicate {
			t.Errorf("%s: got %+v, %v, want code %q, duplicate %v", tt.name, r, err, tt.want, tt.duplicate)
		}
	}
	if got := b.Last(); got != 1 {
		t.Errorf("Last: got %d, want 1", got)
	}
	if _, err := b.PublishEvents(ctx, []*event.Event{logtest.Make(t, event.Draft{}), nil}); !fault.Is(err, fault.Invalid) {
		t.Errorf("nil: got %v", err)
	}
	if receipts, err := b.PublishEvents(ctx, nil); len(receipts) != 0 || err != nil {
		t.Errorf("nothing: got %v, %v", receipts, err)
	}
}

func TestSubscribeBeforeDuringAndAfter(t *testing.T) {
	for _, size := range []int{1, 3, 8, 1000} {
		t.Run(fmt.Sprint("window of ", size), func(t *testing.T) {
			log := newMemory(t, bus.MemoryConfig{Window: windowOf(size)})
			if _, err := log.Append(t.Context(), logtest.Numbered(t, "old", 10)); err != nil {
				t.Fatal(err)
			}
			b := start(t, bus.Config{Log: log})
			before, middle, after := b.Subscribe(0), b.Subscribe(7), b.Subscribe(b.Last()+1)
			future := b.Subscribe(25)
			for _, ev := range logtest.Numbered(t, "new", 20) {
				if _, err := b.PublishEvents(t.Context(), []*event.Event{ev}); err != nil {
					t.Fatal(err)
				}
			}
			wantSeqs(t, receive(t, before, 30), 1)
			wantSeqs(t, receive(t, middle, 24), 7)
			wantSeqs(t, receive(t, after, 20), 11)
			wantSeqs(t, receive(t, future, 6), 25)
			wantSeqs(t, receive(t, b.Subscribe(30), 1), 30)
		})
	}
}

// TestNothingIsMissed checks the guarantee of a Subscription with random sizes.
func TestNothingIsMissed(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		window := bus.NewWindow(bus.WindowConfig{
			Events: rapid.IntRange(1, 20).Draw(rt, "window"),
			Bytes:  rapid.IntRange(1, 20_000).Draw(rt, "bytes"),
		})
		log := bus.NewMemory(bus.MemoryConfig{Window: window})
		defer log.Close()
		b, err := bus.New(bus.Config{Log: log, Window: window})
		if err != nil {
			rt.Fatal(err)
		}
		defer b.Close()
		n := rapid.IntRange(1, 100).Draw(rt, "events")
		from := rapid.IntRange(1, n).Draw(rt, "from")
		sub := b.Subscribe(uint64(from))
		buf := make([]event.Record, rapid.IntRange(1, 30).Draw(rt, "buffer"))
		next := uint64(from)
		for published := 0; published < n; {
			k := rapid.IntRange(1, n-published).Draw(rt, "publish")
			if _, err := b.PublishEvents(t.Context(), logtest.Numbered(t, fmt.Sprint(published), k)); err != nil {
				rt.Fatal(err)
			}
			published += k
			for until := uint64(rapid.IntRange(0, published).Draw(rt, "read")); next <= until; {
				k, err := sub.Next(t.Context(), buf)
				if err != nil {
					rt.Fatal(err)
				}
				for _, r := range buf[:k] {
					if r.Seq != next {
						rt.Fatalf("got Seq %d, want %d", r.Seq, next)
					}
					next++
				}
			}
		}
	})
}

func TestTrimmedIsSkipped(t *testing.T) {
	ctx := t.Context()
	log := newMemory(t, bus.MemoryConfig{Window: windowOf(4)})
	b := start(t, bus.Config{Log: log})
	all := b.Subscribe(1)
	if _, err := b.PublishEvents(ctx, logtest.Numbered(t, "a", 20)); err != nil {
		t.Fatal(err)
	}
	wantSeqs(t, receive(t, all, 20), 1) // so that the window is at the end
	sub, fromStart := b.Subscribe(1), b.Subscribe(1)
	wantSeqs(t, receive(t, fromStart, 3), 1)
	if _, err := log.Trim(ctx, 11); err != nil {
		t.Fatal(err)
	}
	wantSeqs(t, receive(t, sub, 5), 11)
	wantSeqs(t, receive(t, fromStart, 1), 4) // read from the log before the trim
	// Trimmed to nothing, with the subscription behind the window: it continues with
	// the next event, whatever its Seq.
	if _, err := log.Trim(ctx, 100); err != nil {
		t.Fatal(err)
	}
	if _, err := b.PublishEvents(ctx, logtest.Numbered(t, "b", 5)); err != nil {
		t.Fatal(err)
	}
	var last uint64
	for last < 25 {
		for _, r := range receive(t, sub, 1) {
			if r.Seq <= last {
				t.Fatalf("got Seq %d after %d", r.Seq, last)
			}
			last = r.Seq
		}
	}
	// A new bus over an empty log that has been used.
	if _, err := log.Trim(ctx, 100); err != nil {
		t.Fatal(err)
	}
	again := start(t, bus.Config{Log: log})
	old := again.Subscribe(1)
	if _, err := again.PublishEvents(ctx, logtest.Numbered(t, "c", 1)); err != nil {
		t.Fatal(err)
	}
	wantSeqs(t, receive(t, old, 1), 26)
}

// gapLog has every third Seq only, as a log may after lost Seqs.
type gapLog struct {
	*bus.Memory
	window *bus.Window
}

func (l gapLog) Window() *bus.Window { return l.window }

func (l gapLog) Append(ctx context.Context, events []*event.Event) ([]event.Receipt, error) {
	last := l.Last()
	receipts, err := l.Memory.Append(ctx, events)
	if err != nil {
		return nil, err
	}
	records, err := l.Read(ctx, last+1, len(events))
	l.window.Add(records)
	return receipts, err
}

func (l gapLog) Read(ctx context.Context, from uint64, limit int) ([]event.Record, error) {
	records, err := l.Memory.Read(ctx, (max(from, 1)+2)/3, limit)
	var list []event.Record
	for _, r := range records {
		list = append(list, event.Record{Seq: 3 * r.Seq, Event: r.Event})
	}
	return list, err
}

func (l gapLog) Last() uint64 { return 3 * l.Memory.Last() }

func TestGapsInSeq(t *testing.T) {
	b := start(t, bus.Config{Log: gapLog{newMemory(t, bus.MemoryConfig{}), windowOf(10)}})
	subs := []*bus.Subscription{b.Subscribe(0), b.Subscribe(1), b.Subscribe(3), b.Subscribe(4), b.Subscribe(20)}
	if _, err := b.PublishEvents(t.Context(), logtest.Numbered(t, "k", 30)); err != nil {
		t.Fatal(err)
	}
	for i, first := range []uint64{3, 3, 3, 6, 21} {
		for _, r := range receive(t, subs[i], int(90-first)/3+1) {
			if r.Seq != first {
				t.Fatalf("subscription %d: got Seq %d, want %d", i, r.Seq, first)
			}
			first += 3
		}
	}
}

func TestCloseWakes(t *testing.T) {
	b := start(t, bus.Config{})
	ctx := t.Context()
	errs := make(chan error, 3)
	next := func(ctx context.Context, s *bus.Subscription) {
		_, err := s.Next(ctx, make([]event.Record, 1))
		errs <- err
	}
	closed := b.Subscribe(0)
	go next(ctx, closed)
	closed.Close()
	closed.Close()
	if err := <-errs; !fault.Is(err, fault.Unavailable) {
		t.Errorf("a closed subscription: got %v", err)
	}
	canceled, cancel := context.WithCancel(ctx)
	sub := b.Subscribe(0)
	go next(canceled, sub)
	cancel()
	if err := <-errs; !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context: got %v", err)
	}
	if _, err := sub.Next(ctx, nil); !fault.Is(err, fault.Invalid) {
		t.Errorf("no capacity: got %v", err)
	}
	for range 3 {
		go next(ctx, b.Subscribe(0))
	}
	b.Close()
	for range 3 {
		if err := <-errs; !fault.Is(err, fault.Unavailable) {
			t.Errorf("a closed bus: got %v", err)
		}
	}
	if _, err := b.Publish(ctx, event.Draft{Type: "t"}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("publishing to a closed bus: got %v", err)
	}
	b.Close()
}

func TestNewRefusesAnIncompleteConfig(t *testing.T) {
	log := newMemory(t, bus.MemoryConfig{})
	for _, cfg := range []bus.Config{{}, {Log: log}, {Window: log.Window()}} {
		if _, err := bus.New(cfg); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: got %v", cfg, err)
		}
	}
}

// failingLog cannot be read while failing is set.
type failingLog struct {
	*bus.Memory
	failing atomic.Bool
}

func (l *failingLog) Read(ctx context.Context, from uint64, limit int) ([]event.Record, error) {
	if l.failing.Load() {
		return nil, fault.New(fault.Unavailable, "it is damaged")
	}
	return l.Memory.Read(ctx, from, limit)
}

// TestUnreadableLogStopsOnlySubscriptionsBehindTheWindow publishes while the log
// cannot be read: a subscription at its end receives the events from the window, one
// behind the window gets the error, and later each event once.
func TestUnreadableLogStopsOnlySubscriptionsBehindTheWindow(t *testing.T) {
	log := &failingLog{Memory: newMemory(t, bus.MemoryConfig{Window: windowOf(3)})}
	if _, err := log.Append(t.Context(), logtest.Numbered(t, "old", 5)); err != nil {
		t.Fatal(err)
	}
	b := start(t, bus.Config{Log: log})
	behind, end := b.Subscribe(1), b.Subscribe(6)
	log.failing.Store(true)
	if _, err := behind.Next(t.Context(), make([]event.Record, 1)); !fault.Is(err, fault.Unavailable) {
		t.Errorf("reading the log: got %v", err)
	}
	if _, err := b.PublishEvents(t.Context(), logtest.Numbered(t, "new", 3)); err != nil {
		t.Fatal(err)
	}
	wantSeqs(t, receive(t, end, 3), 6)
	log.failing.Store(false)
	wantSeqs(t, receive(t, behind, 8), 1)
}

// TestSubscriptionReportsAnUnreadableLog waits at the window's end when the engine
// resets the window, as it does after a write whose result it does not know, and the
// log cannot be read: the subscription returns the error instead of waiting for
// events that do not come, and later each event once.
func TestSubscriptionReportsAnUnreadableLog(t *testing.T) {
	log, window := &failingLog{Memory: newMemory(t, bus.MemoryConfig{})}, windowOf(8)
	b, err := bus.New(bus.Config{Log: log, Window: window})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	sub := b.Subscribe(1)
	defer sub.Close()
	log.failing.Store(true)
	failed := make(chan error, 1)
	go func() {
		_, err := sub.Next(t.Context(), make([]event.Record, 8))
		failed <- err
	}()
	publish := func() {
		t.Helper()
		if _, err := b.Publish(t.Context(), event.Draft{Type: "t"}); err != nil {
			t.Fatal(err)
		}
		window.Reset(log.Last())
	}
	publish()
	if err := <-failed; err == nil || !strings.Contains(err.Error(), "it is damaged") {
		t.Fatalf("got %v", err)
	}
	log.failing.Store(false)
	publish()
	publish()
	wantSeqs(t, receive(t, sub, 3), 1)
}

// TestHammer races publishers, subscriptions that come, go and give up, a
// trimmer and, at last, Close.
func TestHammer(t *testing.T) {
	log := newMemory(t, bus.MemoryConfig{Window: windowOf(16)})
	b := start(t, bus.Config{Log: log})
	ctx := t.Context()
	var publishing, receiving sync.WaitGroup
	for p := range 4 {
		publishing.Go(func() {
			for i := range 200 {
				if _, err := b.PublishEvents(ctx, logtest.Numbered(t, fmt.Sprintf("%d-%d", p, i), 1+i%5)); err != nil {
					t.Errorf("publish: %v", err)
				}
			}
		})
	}
	const total = 4 * 200 * 3
	var complete sync.WaitGroup
	for range 3 { // see everything, and nothing is trimmed until they have
		complete.Go(func() {
			sub := b.Subscribe(1)
			defer sub.Close()
			wantSeqs(t, receive(t, sub, total), 1)
		})
	}
	for range 4 {
		receiving.Go(func() { // come and go
			buf := make([]event.Record, 5)
			for i := 0; ; i++ {
				sub := b.Subscribe(uint64(i) % (b.Last() + 1))
				var last uint64
				for range 10 {
					call, cancel := context.WithCancel(ctx)
					if i%3 == 0 {
						go cancel()
					}
					n, err := sub.Next(call, buf)
					cancel()
					if fault.Is(err, fault.Unavailable) {
						return
					}
					for _, r := range buf[:n] {
						if r.Seq <= last {
							t.Errorf("got Seq %d after %d", r.Seq, last)
						}
						last = r.Seq
					}
				}
				sub.Close()
			}
		})
	}
	publishing.Wait()
	complete.Wait()
	for seq := uint64(1); seq < total; seq += 100 {
		if _, err := log.Trim(ctx, seq); err != nil {
			t.Error(err)
		}
	}
	b.Close()
	receiving.Wait()
}
