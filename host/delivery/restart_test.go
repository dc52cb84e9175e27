package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// lives follows one handler across restarts, replays and redrives, and checks its deliveries
// at every moment.
type lives struct {
	*engine
	mu       sync.Mutex
	inFlight map[string]int    // by key
	last     map[string]uint64 // by key: the highest Seq delivered since the handler was moved
	redriven map[uint64]bool   // may be delivered after younger ones of their key
	handled  map[uint64]int
	since    map[uint64]bool // delivered since the last replay started
	from, to uint64          // the last replay
	calls    int
	lost     int // the interval of lost responses of StartReplay; 0 for none
	wrong    string
}

func newLives(e *engine) *lives {
	return &lives{engine: e, inFlight: make(map[string]int), last: make(map[string]uint64), redriven: make(map[uint64]bool),
		handled: make(map[uint64]int), since: make(map[uint64]bool)}
}

// restarted notes that the handler starts again from the store.
func (l *lives) restarted() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.last)
}

func (l *lives) fail(format string, args ...any) {
	if l.wrong == "" {
		l.wrong = fmt.Sprintf(format, args...)
	}
}

// StartReplay moves the cursor, while no attempt is open.
func (l *lives) StartReplay(ctx context.Context, handler string, from, to uint64, at time.Time) error {
	for range 100 { // gives instances time to start an attempt, which they must not
		runtime.Gosched()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	if l.lost > 0 && l.calls%l.lost == 0 {
		return errors.New("not written")
	}
	if err := l.engine.StartReplay(ctx, handler, from, to, at); err != nil {
		return err
	}
	for key, n := range l.inFlight {
		if n > 0 {
			l.fail("a replay started with %d of key %s in flight", n, key)
		}
	}
	clear(l.last)
	clear(l.since)
	l.from, l.to = from, to
	if l.lost > 0 && l.calls%l.lost == 1 {
		return errors.New("written, and the response lost")
	}
	return nil
}

// Redrive notes events that may be delivered out of order.
func (l *lives) Redrive(ctx context.Context, f event.DeadFilter) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := l.engine.Redrive(ctx, f)
	stored, err2 := l.Redriven(ctx, "h", 0, 1000) // includes all of them: begin needs the lock
	for _, d := range stored {
		l.redriven[d.Seq] = true
	}
	return n, errors.Join(err, err2)
}

func (l *lives) begin(a event.Attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := a.Event.Metadata().Subject
	if l.inFlight[key]++; key != "" && l.inFlight[key] > 1 {
		l.fail("key %s is in flight twice, with %d", key, a.Seq)
	}
	if key != "" && a.Seq < l.last[key] && !l.redriven[a.Seq] {
		l.fail("%d of key %s came after %d", a.Seq, key, l.last[key])
	}
	if !l.redriven[a.Seq] {
		l.last[key] = max(l.last[key], a.Seq)
	}
	l.since[a.Seq] = true
}

func (l *lives) end(a event.Attempt, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inFlight[a.Event.Metadata().Subject]--
	if ok {
		l.handled[a.Seq]++
	}
}

// restarts is a handler whose guests answer with an interval of failures, until they heal.
type restarts struct {
	*lives
	d                      *delivery.Dispatcher
	failEvery, rejectEvery int
	attempts               int
	healed                 bool
	published              uint64
}

func newRestarts(t *rapid.T, e *engine) *restarts {
	x := &restarts{lives: newLives(e)}
	if rapid.IntRange(0, 4).Draw(t, "faults") == 0 {
		writes := 0
		e.fate = func() (bool, bool) { writes++; return writes%17 == 5, writes%17 == 11 }
		x.lost = 3
	}
	x.failEvery, x.rejectEvery = rapid.IntRange(2, 9).Draw(t, "failEvery"), rapid.IntRange(2, 9).Draw(t, "rejectEvery")
	x.d = delivery.New(delivery.Config{Store: x.lives, Log: x.lives})
	if err := x.d.Claim(t.Context(), "h"); err != nil && x.lost == 0 {
		t.Fatal(err)
	}
	return x
}

// TestDeliveriesAcrossRestarts publishes, redrives and replays at random, across clean
// restarts and crashes, with failing writes. No key is ever in flight twice or out of order;
// in the end every event was handled, and every event of the last replay again.
func TestDeliveriesAcrossRestarts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e, stopEngine := newEngine(t)
		defer stopEngine()
		x := newRestarts(t, e)
		x.publish(t, rapid.IntRange(1, 20).Draw(t, "at first"))
		total := rapid.IntRange(1, 4).Draw(t, "lives")
		for life := range total {
			x.live(t, life == total-1)
			if rapid.Bool().Draw(t, "while it is not open") && life < total-1 {
				x.publish(t, 2)
				x.redrive(t)
				x.replay(t)
			}
		}
		_ = x.d.Close(context.Background())
		x.check(t)
	})
}

// answer is the guest.
func (x *restarts) answer(a event.Attempt) (o event.Outcome) {
	x.begin(a)
	x.mu.Lock()
	x.attempts++
	switch {
	case x.healed:
	case x.attempts%x.rejectEvery == 0:
		o = event.Outcome{Verdict: event.Reject, Class: event.ClassRejected}
	case x.attempts%x.failEvery == 0:
		o = event.Outcome{Verdict: event.Failed, Class: event.ClassTrap}
	}
	x.mu.Unlock()
	x.end(a, o.Verdict == event.OK)
	return o
}

func (x *restarts) publish(t *rapid.T, n int) {
	for range n {
		x.published++
		ev := makeEvent(t, event.Draft{Type: "parent", Subject: []string{"", "a", "b", "c"}[x.published%4]})
		if _, err := x.engine.Append(context.Background(), []*event.Event{ev}); err != nil {
			t.Fatal(err)
		}
	}
}

func (x *restarts) replay(t *rapid.T) {
	from := rapid.Uint64Range(1, x.published).Draw(t, "from")
	to := rapid.Uint64Range(from, x.published).Draw(t, "to")
	if err := x.d.Replay(context.Background(), "h", from, to); err != nil && x.lost == 0 {
		t.Fatalf("Replay: %v", err)
	}
}

func (x *restarts) redrive(t *rapid.T) {
	if _, err := x.d.Redrive(context.Background(), event.DeadFilter{Handler: "h"}); err != nil {
		t.Fatalf("Redrive: %v", err)
	}
}

// live opens the handler, does something, and closes the dispatcher or lets it crash. In
// the last life it waits until all events are ok.
func (x *restarts) live(t *rapid.T, last bool) {
	x.restarted()
	h := open(t, x.d, "h", delivery.Policy{
		Key: bySubject, Retry: spec.RetryPolicy{MaxAttempts: 3, Backoff: time.Microsecond, MaxBackoff: time.Microsecond}, Fair: sharing(t),
	})
	take := work
	if rapid.Bool().Draw(t, "leases") {
		take = workLeases
	}
	stop := take(h, 3, x.answer)
	for range rapid.IntRange(0, 6).Draw(t, "actions") {
		switch rapid.SampledFrom([]string{"publish", "redrive", "replay", "flush"}).Draw(t, "action") {
		case "publish":
			x.publish(t, rapid.IntRange(1, 60).Draw(t, "events"))
		case "redrive":
			x.redrive(t)
		case "replay":
			x.replay(t)
		case "flush":
			awaitLag(t, h, 0)
		}
	}
	if last {
		x.mu.Lock()
		x.healed = true
		x.mu.Unlock()
		awaitAllOK(t, x.lives, x.d, h, x.published)
	}
	closing, cancel := context.WithCancel(context.Background())
	defer cancel()
	if rapid.Bool().Draw(t, "crash") {
		cancel() // unwritten outcomes are lost
	}
	stop()
	if wrong := h.Inconsistency(); wrong != "" {
		t.Fatal(wrong)
	}
	_ = x.d.Close(closing)
	x.d = delivery.New(delivery.Config{Store: x.lives, Log: x.lives})
}

// check checks that every event was handled, and those of the last replay again.
func (x *restarts) check(t *rapid.T) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for seq := uint64(1); seq <= x.published; seq++ {
		if x.handled[seq] == 0 {
			x.fail("%d was never handled", seq)
		}
	}
	for seq := x.from; seq > 0 && seq <= x.to; seq++ {
		if !x.since[seq] {
			x.fail("%d of the replay from %d to %d was not delivered again", seq, x.from, x.to)
		}
	}
	if x.wrong != "" {
		t.Fatal(x.wrong)
	}
}

func awaitLag(rt *rapid.T, h *handler, want uint64) {
	for end := time.Now().Add(testTimeout); h.Stats().Lag != want; {
		if time.Now().After(end) {
			rt.Fatalf("the lag stays at %d", h.Stats().Lag)
		}
		<-time.After(50 * time.Microsecond)
	}
}

// awaitAllOK waits until the handler is idle, and redrives dead letters, until every event
// is ok.
func awaitAllOK(rt *rapid.T, l *lives, d *delivery.Dispatcher, h *handler, published uint64) {
	for end := time.Now().Add(testTimeout); ; {
		awaitLag(rt, h, 0)
		if _, err := d.Redrive(context.Background(), event.DeadFilter{}); err != nil {
			rt.Fatal(err)
		}
		notOK := uint64(0)
		for seq := uint64(1); seq <= published; seq++ {
			stored, err := l.Deliveries(context.Background(), seq)
			if err != nil {
				rt.Fatal(err)
			}
			if len(stored) != 1 || stored[0].Status != event.StatusOK {
				notOK = seq
			}
		}
		if notOK == 0 && h.Stats().Lag == 0 {
			return
		}
		if time.Now().After(end) {
			stored, _ := l.Deliveries(context.Background(), notOK)
			b, _ := l.LoadBacklog(context.Background(), "h")
			rt.Fatalf("%d is never ok: %+v; %+v, %+v", notOK, stored, b, h.Stats())
		}
		<-time.After(100 * time.Microsecond)
	}
}
