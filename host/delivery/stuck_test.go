package delivery_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/wire"
)

// damagedLog is a log with one event that cannot be read, until it is repaired or skipped.
type damagedLog struct {
	*log
	mu      sync.Mutex
	bad     uint64 // 0: none
	skipped bool
	once    bool  // only the first time
	err     error // instead of an unreadable event
}

func (l *damagedLog) set(bad uint64, skipped bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bad, l.skipped, l.err = bad, skipped, err
}

// readable returns the records before the damaged event.
func (l *damagedLog) readable(records []event.Record) ([]event.Record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, r := range records {
		switch {
		case r.Seq != l.bad:
		case l.skipped:
			return append(records[:i:i], records[i+1:]...), nil
		case i > 0:
			return records[:i], nil
		case l.once:
			l.bad = 0
			return nil, errors.New("once")
		case l.err != nil:
			return nil, l.err
		default:
			return nil, &event.Unreadable{Seq: l.bad, To: l.bad, Err: errors.New("it is damaged")}
		}
	}
	return records, nil
}

func (l *damagedLog) Read(ctx context.Context, from uint64, limit int) ([]event.Record, error) {
	records, err := l.log.Read(ctx, from, max(limit, 2)) // there is one after a skipped one
	if err != nil {
		return nil, err
	}
	return l.readable(records)
}

func (l *damagedLog) Subscribe(from uint64) delivery.Reader {
	return &damagedReader{l.log.Subscribe(from).(*reader), l}
}

type damagedReader struct {
	*reader
	damaged *damagedLog
}

func (r *damagedReader) Next(ctx context.Context, buf []event.Record) (int, error) {
	at := r.next
	n, err := r.reader.Next(ctx, buf)
	if err != nil {
		return 0, err
	}
	good, err := r.damaged.readable(buf[:n:n])
	if err != nil {
		r.next = at
		return 0, err
	}
	if len(good) == 0 {
		return r.Next(ctx, buf)
	}
	r.next = good[len(good)-1].Seq + 1
	return copy(buf, good), nil
}

func setUpDamaged(t *testing.T) (*damagedLog, *store, *delivery.Dispatcher, *conditions) {
	t.Helper()
	l, s, c := &damagedLog{log: newLog()}, newStore(), &conditions{changed: make(chan struct{})}
	d := delivery.New(delivery.Config{Store: s, Log: l, OnCondition: c.on})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
		defer cancel()
		if err := d.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return l, s, d, c
}

// TestStuckHandlerReportsPosition: of an event that cannot be read, or of a log that fails
// repeatedly. The handler continues when the cause is removed.
func TestStuckHandlerReportsPosition(t *testing.T) {
	for _, tt := range []struct {
		name    string
		err     error
		skipped bool
		want    string
		finals  int
	}{
		{"an unreadable event that is repaired", nil, false, "stuck at event 3: event 3 cannot be read: it is damaged", 5},
		{"an unreadable event that is skipped", nil, true, "stuck at event 3: event 3 cannot be read: it is damaged", 5},
		{"a log that fails", errors.New("no such luck"), false, "stuck at event 3: no such luck", 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, s, d, c := setUpDamaged(t)
			h := open(t, d, "h", delivery.Policy{})
			defer work(h, 1, ok)()
			l.set(3, false, tt.err)
			for range 5 {
				l.publish(t, "")
			}
			got := c.await(t, h, wire.Stuck)
			if name, at := d.Stuck(); name != "h" || at != "event 3" || !strings.HasPrefix(got.Reason, tt.want) {
				t.Errorf("got %q, %q; the condition %q", name, at, got.Reason)
			}
			s.await(t, "what is before it", func() bool { return s.finals("h") == 2 })
			if tt.skipped {
				if _, _, err := s.SaveDeliveries(t.Context(), nil, nil, []event.Delivery{{Handler: "h", Seq: 3, Status: event.StatusDead, ErrorClass: event.ClassUnreadable}}, nil); err != nil {
					t.Fatal(err)
				}
				l.set(3, true, nil)
			} else {
				l.set(0, false, nil)
			}
			c.await(t, h, "")
			if _, at := d.Stuck(); at != "" {
				t.Errorf("it is stuck at %s", at)
			}
			s.await(t, "the rest", func() bool { return s.finals("h") == tt.finals })
		})
	}
}

// TestOneFailureIsNotStuck: the handler continues after a single error.
func TestOneFailureIsNotStuck(t *testing.T) {
	l, s, d, c := setUpDamaged(t)
	h := open(t, d, "h", delivery.Policy{})
	defer work(h, 1, ok)()
	l.once = true
	l.set(1, false, nil)
	l.publish(t, "")
	s.await(t, "the event", func() bool { return s.finals("h") == 1 })
	if _, at := d.Stuck(); at != "" || c.calls != 0 {
		t.Errorf("it is stuck at %q, and OnCondition was called %d times", at, c.calls)
	}
}

// TestHandlerOpensWithUnreadableRetry: the other events are delivered, and the retry is
// dropped when its event is skipped.
func TestHandlerOpensWithUnreadableRetry(t *testing.T) {
	l, s, d, c := setUpDamaged(t)
	for range 3 {
		l.publish(t, "")
	}
	_, _, err := s.SaveDeliveries(t.Context(), nil, nil, []event.Delivery{{Handler: "h", Seq: 1, Status: event.StatusRetrying, Attempts: 1, Due: time.Now()}},
		[]event.Cursor{{Name: "handler/h", Seq: 2}})
	if err != nil {
		t.Fatal(err)
	}
	l.set(1, false, nil)
	h := open(t, d, "h", delivery.Policy{})
	defer work(h, 1, ok)()
	s.await(t, "the event behind it", func() bool { return s.finals("h") == 1 })
	if got := c.await(t, h, wire.Stuck); !strings.HasPrefix(got.Reason, "stuck at event 1: ") {
		t.Errorf("got %q", got.Reason)
	}
	l.set(1, true, nil)
	c.await(t, h, "")
	if n := s.finals("h"); n != 1 {
		t.Errorf("%d deliveries are final, want 1", n)
	}
}
