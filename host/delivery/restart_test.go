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
	redriven map[uint64]bool   // may come after younger ones of their key
	handled  map[uint64]int
	since    map[uint64]bool // delivered since the last replay began
	from, to uint64          // the last replay
	calls    int
	lost     int // every so many answers of StartReplay; 0 for none
	wrong    string
}

func (l *lives) fail(format string, args ...any) {
	if l.wrong == "" {
		l.wrong = fmt.Sprintf(format, args...)
	}
}

// StartReplay moves the cursor, while no attempt is open.
func (l *lives) StartReplay(ctx context.Context, handler string, from, to uint64, at time.Time) error {
	for range 100 { // for who would begin an attempt now, and must not
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
			l.fail("a replay began with %d of key %s in flight", n, key)
		}
	}
	clear(l.last)
	clear(l.since)
	l.from, l.to = from, to
	if l.lost > 0 && l.calls%l.lost == 1 {
		return errors.New("written, and the answer lost")
	}
	return nil
}

// Redrive notes events that may be delivered out of order.
func (l *lives) Redrive(ctx context.Context, f event.DeadFilter) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := l.engine.Redrive(ctx, f)
	stored, err2 := l.Redriven(ctx, "h", 0, 1000) // all of which are, and none has begun since: begin needs the lock
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

// TestDeliveriesAcrossRestarts publishes, redrives and replays at random, across clean
// restarts and crashes, with failing writes. No key is ever in flight twice or out of order;
// in the end every event was handled, and every event of the last replay again.
func TestDeliveriesAcrossRestarts(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		e, stopEngine := newEngine(t)
		defer stopEngine()
		l := &lives{engine: e, inFlight: map[string]int{}, last: map[string]uint64{}, redriven: map[uint64]bool{},
			handled: map[uint64]int{}, since: map[uint64]bool{}}
		if rapid.IntRange(0, 4).Draw(rt, "faults") == 0 {
			writes := 0
			e.fate = func() (bool, bool) { writes++; return writes%17 == 5, writes%17 == 11 }
			l.lost = 3
		}
		failEvery, rejectEvery := rapid.IntRange(2, 9).Draw(rt, "failEvery"), rapid.IntRange(2, 9).Draw(rt, "rejectEvery")
		healed, calls := false, 0
		answer := func(a event.Attempt) event.Outcome {
			l.begin(a)
			l.mu.Lock()
			calls++
			o := event.Outcome{}
			switch {
			case healed:
			case calls%rejectEvery == 0:
				o = event.Outcome{Verdict: event.Reject, Class: event.ClassRejected}
			case calls%failEvery == 0:
				o = event.Outcome{Verdict: event.Failed, Class: event.ClassTrap}
			}
			l.mu.Unlock()
			l.end(a, o.Verdict == event.OK)
			return o
		}
		ctx := context.Background()
		published := uint64(0)
		publish := func(n int) {
			for range n {
				published++
				ev := makeEvent(t, event.Draft{Type: "parent", Subject: []string{"", "a", "b", "c"}[published%4]})
				if _, err := e.Append(ctx, []*event.Event{ev}); err != nil {
					rt.Fatal(err)
				}
			}
		}
		var d *delivery.Dispatcher
		replay := func(rt *rapid.T) {
			from := rapid.Uint64Range(1, published).Draw(rt, "from")
			to := rapid.Uint64Range(from, published).Draw(rt, "to")
			if err := d.Replay(ctx, "h", from, to); err != nil && l.lost == 0 {
				rt.Fatalf("Replay: %v", err)
			}
		}
		redrive := func() {
			if _, err := d.Redrive(ctx, event.DeadFilter{Handler: "h"}); err != nil {
				rt.Fatalf("Redrive: %v", err)
			}
		}
		d = delivery.New(delivery.Config{Store: l, Log: l})
		if err := d.Claim(ctx, "h"); err != nil && l.lost == 0 {
			rt.Fatal(err)
		}
		publish(rapid.IntRange(1, 20).Draw(rt, "at first"))
		total := rapid.IntRange(1, 4).Draw(rt, "lives")
		for life := range total {
			l.mu.Lock()
			clear(l.last)
			l.mu.Unlock()
			h := open(rt, d, "h", delivery.Policy{
				Key: bySubject, Retry: spec.RetryPolicy{MaxAttempts: 3, Backoff: time.Microsecond, MaxBackoff: time.Microsecond},
			})
			take := work
			if rapid.Bool().Draw(rt, "leases") {
				take = workLeases
			}
			stop := take(h, 3, answer)
			for range rapid.IntRange(0, 6).Draw(rt, "deeds") {
				switch rapid.SampledFrom([]string{"publish", "redrive", "replay", "flush"}).Draw(rt, "deed") {
				case "publish":
					publish(rapid.IntRange(1, 60).Draw(rt, "events"))
				case "redrive":
					redrive()
				case "replay":
					replay(rt)
				case "flush":
					awaitLag(rt, h, 0)
				}
			}
			if life == total-1 {
				l.mu.Lock()
				healed = true
				l.mu.Unlock()
				awaitAllOK(rt, l, d, h, published)
			}
			closing := ctx
			if rapid.Bool().Draw(rt, "crash") { // what is not written by now is forgotten
				dead, cancel := context.WithCancel(ctx)
				cancel()
				closing = dead
			}
			stop()
			if wrong := h.Inconsistency(); wrong != "" {
				rt.Fatal(wrong)
			}
			_ = d.Close(closing)
			d = delivery.New(delivery.Config{Store: l, Log: l})
			if rapid.Bool().Draw(rt, "while it is not open") && life < total-1 {
				publish(2)
				redrive()
				replay(rt)
			}
		}
		_ = d.Close(ctx)
		l.mu.Lock()
		defer l.mu.Unlock()
		for seq := uint64(1); seq <= published; seq++ {
			if l.handled[seq] == 0 {
				l.fail("%d was never handled", seq)
			}
		}
		for seq := l.from; seq > 0 && seq <= l.to; seq++ {
			if !l.since[seq] {
				l.fail("%d of the replay from %d to %d was not delivered again", seq, l.from, l.to)
			}
		}
		if l.wrong != "" {
			rt.Fatal(l.wrong)
		}
	})
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
