package bus_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/event"
)

// watchedLog counts the reads of a log, and can hold one up or damage a Seq.
type watchedLog struct {
	*bus.Memory
	reads   atomic.Int64
	damaged atomic.Uint64 // no Read passes this Seq; 0 for none
	before  func(ctx context.Context) error
}

func (l *watchedLog) Read(ctx context.Context, from uint64, limit int) ([]event.Record, error) {
	l.reads.Add(1)
	if l.before != nil {
		if err := l.before(ctx); err != nil {
			return nil, err
		}
	}
	records, err := l.Memory.Read(ctx, from, limit)
	bad := l.damaged.Load()
	if bad == 0 || err != nil || from > bad || from+uint64(len(records)) <= bad {
		return records, err
	}
	if from == bad {
		return nil, &event.Unreadable{Seq: bad, To: bad, Err: errors.New("damaged")}
	}
	return records[:bad-from], nil
}

// behind returns a log with events, all but ten of them behind the window.
func behind(t *testing.T, events int) (*watchedLog, *bus.Bus) {
	t.Helper()
	log := &watchedLog{Memory: newMemory(t, bus.MemoryConfig{Window: windowOf(10)})}
	b := start(t, bus.Config{Log: log})
	if _, err := b.PublishEvents(t.Context(), logtest.Numbered(t, "k", events)); err != nil {
		t.Fatal(err)
	}
	return log, b
}

// TestSubscriptionsShareReads: what one subscription behind the window has read, others at
// about the same position do not read again, wherever they began. Later ones read anew.
func TestSubscriptionsShareReads(t *testing.T) {
	const events, page, subscriptions = 2048, 256, 10
	log, b := behind(t, events)
	var subs []*bus.Subscription
	for i := range subscriptions {
		subs = append(subs, b.Subscribe(uint64(1+i*7)))
	}
	for n := 0; n < events; n += 64 {
		for i, sub := range subs {
			from := 1 + n + i*7
			wantSeqs(t, receive(t, sub, min(64, events+1-from)), uint64(from))
		}
	}
	if got := log.reads.Load(); got != events/page {
		t.Errorf("the log was read %d times, want %d", got, events/page)
	}
	if _, err := b.PublishEvents(t.Context(), logtest.Numbered(t, "new", 1)); err != nil {
		t.Fatal(err)
	}
	for _, sub := range subs { // in the window
		wantSeqs(t, receive(t, sub, 1), events+1)
	}
	wantSeqs(t, receive(t, b.Subscribe(1), 64), 1)
	if got := log.reads.Load(); got != events/page+1 {
		t.Errorf("the pages were kept although no subscription was behind: %d reads", got)
	}
}

// TestClosedSubscriptionReleasesPages: pages are kept for subscriptions that are open.
func TestClosedSubscriptionReleasesPages(t *testing.T) {
	log, b := behind(t, 1000)
	first, second := b.Subscribe(1), b.Subscribe(1)
	receive(t, first, 1)
	receive(t, second, 1)
	first.Close()
	receive(t, b.Subscribe(2), 1)
	if got := log.reads.Load(); got != 1 {
		t.Fatalf("%d reads while one was open, want 1", got)
	}
	log, b = behind(t, 1000)
	only := b.Subscribe(1)
	receive(t, only, 1)
	only.Close()
	receive(t, b.Subscribe(1), 1)
	if got := log.reads.Load(); got != 2 {
		t.Errorf("%d reads, want 2: no subscription was open between them", got)
	}
}

// TestPagesLoseTrimmedEvents: a page that was read before a trim is not used after it, nor
// one that was being read.
func TestPagesLoseTrimmedEvents(t *testing.T) {
	log, b := behind(t, 1000)
	keep := b.Subscribe(1)
	receive(t, keep, 1)
	if _, err := log.Trim(t.Context(), 101); err != nil {
		t.Fatal(err)
	}
	wantSeqs(t, receive(t, b.Subscribe(1), 5), 101)
	log.before = func(ctx context.Context) error {
		log.before = nil
		_, err := log.Trim(ctx, 301)
		return err
	}
	wantSeqs(t, receive(t, b.Subscribe(257), 5), 301)
	wantSeqs(t, receive(t, b.Subscribe(1), 5), 301)
}

// TestPagesPassDamage: a subscription beyond a damaged event reads on, one before it reads
// up to it, and one at it gets the log's error, until it is repaired.
func TestPagesPassDamage(t *testing.T) {
	log, b := behind(t, 1000)
	log.damaged.Store(300)
	before, beyond := b.Subscribe(260), b.Subscribe(301)
	wantSeqs(t, receive(t, before, 40), 260)
	var bad *event.Unreadable
	for range 2 {
		if _, err := before.Next(t.Context(), make([]event.Record, 8)); !errors.As(err, &bad) || bad.Seq != 300 {
			t.Fatalf("got %v, want that 300 is damaged", err)
		}
	}
	wantSeqs(t, receive(t, beyond, 690), 301)
	log.damaged.Store(0)
	wantSeqs(t, receive(t, before, 700), 300)
}

// TestPageIsReadOnce: many subscriptions at one position wait for one read. If its context
// ends, another one reads.
func TestPageIsReadOnce(t *testing.T) {
	log, b := behind(t, 1000)
	gone, cancel := context.WithCancel(t.Context())
	reading, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	log.before = func(ctx context.Context) error {
		first := false
		once.Do(func() { first = true })
		if !first {
			return nil
		}
		close(reading)
		<-release
		return ctx.Err()
	}
	var all sync.WaitGroup
	all.Go(func() {
		if _, err := b.Subscribe(1).Next(gone, make([]event.Record, 8)); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want the context's error", err)
		}
	})
	<-reading
	results := make(chan error, 8)
	for range cap(results) {
		sub := b.Subscribe(1)
		all.Go(func() {
			n, err := sub.Next(t.Context(), make([]event.Record, 8))
			if err == nil && n != 8 {
				err = errors.New("too few events")
			}
			results <- err
		})
	}
	impatient, end := context.WithCancel(t.Context())
	end()
	if _, err := b.Subscribe(1).Next(impatient, make([]event.Record, 8)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v while another one reads, want the context's error", err)
	}
	cancel()
	close(release)
	timeout := time.After(20 * time.Second) // only to end a hanging test
	for range cap(results) {
		select {
		case err := <-results:
			if err != nil {
				t.Error(err)
			}
		case <-timeout:
			t.Fatal("a subscription waits for a page that no other one reads")
		}
	}
	all.Wait()
	if got := log.reads.Load(); got > 4 {
		t.Errorf("%d reads for %d subscriptions", got, cap(results)+1)
	}
}

// TestLargePagesAreNotKept: pages are bounded by the size of their events.
func TestLargePagesAreNotKept(t *testing.T) {
	log := &watchedLog{Memory: newMemory(t, bus.MemoryConfig{Window: windowOf(1)})}
	b := start(t, bus.Config{Log: log})
	text := make([]byte, 1<<19)
	for i := range text {
		text[i] = '1'
	}
	for range 80 { // 40 MiB
		if _, err := b.Publish(t.Context(), event.Draft{Type: "t", Data: text}); err != nil {
			t.Fatal(err)
		}
	}
	first, second := b.Subscribe(1), b.Subscribe(1)
	receive(t, first, 40)
	receive(t, second, 40)
	if got := log.reads.Load(); got != 2 {
		t.Errorf("%d reads, want 2", got)
	}
}
