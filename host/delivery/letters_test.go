package delivery_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// The store of the tests that ask for no dead letters keeps none.

func (s *store) Redriven(context.Context, string, uint64, int) ([]event.Delivery, error) {
	return nil, nil
}

var errKeepsNone = errors.New("this store keeps no dead letters")

func (s *store) DeadLetters(context.Context, event.DeadFilter, string, int) ([]event.DeadLetter, string, error) {
	return nil, "", errKeepsNone
}
func (s *store) Redrive(context.Context, event.DeadFilter) (int, error) { return 0, errKeepsNone }
func (s *store) Purge(context.Context, event.DeadFilter) (int, error)   { return 0, errKeepsNone }
func (s *store) StartReplay(context.Context, string, uint64, uint64, time.Time) error {
	return errKeepsNone
}

// memory is a Dispatcher over the memory engine, with a guest that the test sets.
type memory struct {
	t interface {
		Fatalf(string, ...any)
		Helper()
	}
	engine *engine
	d      *delivery.Dispatcher

	mu     sync.Mutex
	handle func(handler string, a event.Attempt) event.Outcome
	seen   map[string][]uint64 // by handler: what was delivered, in order
	grown  chan struct{}
}

func onMemory(t *testing.T) *memory {
	e, stop := newEngine(t)
	m := newMemory(t, e)
	t.Cleanup(func() { m.close(t); stop() })
	return m
}

// hooked is an engine whose callers are held up at times.
type hooked struct {
	*engine
	redrive  func()           // before
	redriven func()           // after
	read     func(seq uint64) // before
}

func (h *hooked) Redrive(ctx context.Context, f event.DeadFilter) (int, error) {
	if h.redrive != nil {
		h.redrive()
	}
	return h.engine.Redrive(ctx, f)
}

func (h *hooked) Redriven(ctx context.Context, handler string, after uint64, limit int) ([]event.Delivery, error) {
	list, err := h.engine.Redriven(ctx, handler, after, limit)
	if h.redriven != nil && len(list) > 0 {
		h.redriven()
	}
	return list, err
}

func (h *hooked) Read(ctx context.Context, from uint64, limit int) ([]event.Record, error) {
	if h.read != nil && limit == 1 {
		h.read(from)
	}
	return h.engine.Read(ctx, from, limit)
}

// onHooked is onMemory over h.
func onHooked(t *testing.T, h *hooked) *memory {
	e, stop := newEngine(t)
	h.engine = e
	m := newMemory(t, e)
	m.close(t)
	m.d = delivery.New(delivery.Config{Store: h, Log: h})
	t.Cleanup(func() { m.close(t); stop() })
	return m
}

func newMemory(t interface {
	Fatalf(string, ...any)
	Helper()
}, e *engine) *memory {
	m := &memory{t: t, engine: e, seen: make(map[string][]uint64), grown: make(chan struct{})}
	m.d = delivery.New(delivery.Config{Store: e, Log: e})
	m.set(func(string, event.Attempt) event.Outcome { return event.Outcome{} })
	return m
}

func (m *memory) close(t interface{ Error(...any) }) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := m.d.Close(ctx); err != nil {
		t.Error(err)
	}
}

// set makes handle what guests answer.
func (m *memory) set(handle func(handler string, a event.Attempt) event.Outcome) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.handle = handle
}

func reject(string, event.Attempt) event.Outcome {
	return event.Outcome{Verdict: event.Reject, Class: event.ClassRejected, Message: "no"}
}

// open opens a handler that three instances take from; order is by subject.
func (m *memory) open(name string, p delivery.Policy) (h *delivery.Handler, stop func()) {
	m.t.Helper()
	p.Key = bySubject
	if p.Retry == (delivery.Retry{}) {
		p.Retry = delivery.Retry{MaxAttempts: 3, Backoff: time.Microsecond, MaxBackoff: time.Microsecond}
	}
	h, err := m.d.Open(context.Background(), delivery.HandlerConfig{Name: name, Policy: p})
	if err != nil {
		m.t.Fatalf("Open: %v", err)
	}
	return h, work(h, 3, func(a event.Attempt) event.Outcome {
		m.mu.Lock()
		handle := m.handle
		m.mu.Unlock()
		o := handle(name, a)
		m.mu.Lock()
		defer m.mu.Unlock()
		m.seen[name] = append(m.seen[name], a.Seq)
		close(m.grown)
		m.grown = make(chan struct{})
		return o
	})
}

func (m *memory) publish(subjects ...string) {
	m.t.Helper()
	for _, s := range subjects {
		ev, err := event.New(event.Draft{Type: "t", Subject: s, Data: json.RawMessage(`{}`)})
		if err == nil {
			_, err = m.engine.Append(context.Background(), []*event.Event{ev})
		}
		if err != nil {
			m.t.Fatalf("publish: %v", err)
		}
	}
}

// await waits until ok, which is asked again and again.
func (m *memory) await(what string, ok func() bool) {
	m.t.Helper()
	for end := time.Now().Add(patience); !ok(); {
		if time.Now().After(end) {
			m.t.Fatalf("never came: %s; h has %s", what, m.statuses("h"))
		}
		m.mu.Lock()
		grown := m.grown
		m.mu.Unlock()
		select {
		case <-grown:
		case <-time.After(time.Millisecond): // what is written later tells nobody
		}
	}
}

// statuses shows one handler's deliveries of all events, as the API would.
func (m *memory) statuses(handler string) string {
	m.t.Helper()
	records, err := m.engine.Read(context.Background(), 1, 1000)
	if err != nil {
		m.t.Fatalf("Read: %v", err)
	}
	var texts []string
	for _, rec := range records {
		text := "-"
		list, err := m.d.Deliveries(context.Background(), rec)
		if err != nil {
			m.t.Fatalf("Deliveries: %v", err)
		}
		for _, d := range list {
			if d.Plugin == handler {
				text = d.Status
			}
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, " ")
}

func (m *memory) awaitStatuses(handler, want string) {
	m.t.Helper()
	m.await(handler+" has "+want, func() bool { return m.statuses(handler) == want })
}

func (m *memory) sequence(handler string) []uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.seen[handler])
}

func (m *memory) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen = make(map[string][]uint64)
}

func (m *memory) redrive(f event.DeadFilter, want int) {
	m.t.Helper()
	if n, err := m.d.Redrive(context.Background(), f); n != want || err != nil {
		m.t.Fatalf("Redrive(%+v): got %d, %v, want %d", f, n, err, want)
	}
}

func TestRedriveOfAnOpenHandler(t *testing.T) {
	m := onMemory(t)
	m.set(reject)
	_, stop := m.open("h", delivery.Policy{})
	_, stopOther := m.open("other", delivery.Policy{})
	defer stop()
	defer stopOther()
	m.publish("a", "b", "a", "b")
	m.awaitStatuses("h", "dead dead dead dead")
	m.awaitStatuses("other", "dead dead dead dead")
	letters, next, err := m.d.DeadLetters(t.Context(), event.DeadFilter{Handler: "h"}, "", 10)
	if err != nil || next != "" || len(letters) != 4 {
		t.Fatalf("got %+v, %q, %v", letters, next, err)
	}
	if l := letters[0]; l.Seq != 4 || l.Event.Metadata().Subject != "b" || l.Reason != event.ReasonRejected || l.FirstAt.IsZero() || l.At.Before(l.FirstAt) || l.ErrorMessage != "no" {
		t.Errorf("got %+v", l)
	}
	// One that fails again is a dead letter again.
	m.redrive(event.DeadFilter{Handler: "h", EventID: letters[0].Event.ID()}, 1)
	m.await("the event again", func() bool { return len(m.sequence("h")) == 5 })
	m.awaitStatuses("h", "dead dead dead dead")
	// All of the handler, now that it works, and nobody else's.
	m.set(func(string, event.Attempt) event.Outcome { return event.Outcome{} })
	m.redrive(event.DeadFilter{Handler: "h"}, 4)
	m.awaitStatuses("h", "ok ok ok ok")
	m.redrive(event.DeadFilter{Handler: "h"}, 0)
	if got := m.statuses("other"); got != "dead dead dead dead" {
		t.Errorf("other has %s", got)
	}
	if got := len(m.sequence("other")); got != 4 {
		t.Errorf("other was given %d", got)
	}
	if n, err := m.d.Purge(t.Context(), event.DeadFilter{Handler: "other"}); n != 4 || err != nil {
		t.Errorf("Purge: got %d, %v", n, err)
	}
	m.redrive(event.DeadFilter{}, 0)
}

// TestRedrivenEventKeepsToItsKey holds one event of a key in flight: the redriven
// one of that key waits, that of another key goes on.
func TestRedrivenEventKeepsToItsKey(t *testing.T) {
	m := onMemory(t)
	m.set(reject)
	_, stop := m.open("h", delivery.Policy{})
	defer stop()
	m.publish("a", "b")
	m.awaitStatuses("h", "dead dead")
	m.forget()
	release := make(chan struct{})
	m.set(func(_ string, a event.Attempt) event.Outcome {
		if a.Seq == 3 {
			<-release
		}
		return event.Outcome{}
	})
	m.publish("a")
	m.awaitStatuses("h", "dead dead delivering")
	m.redrive(event.DeadFilter{Handler: "h"}, 2)
	m.awaitStatuses("h", "pending ok delivering")
	m.redrive(event.DeadFilter{Handler: "h"}, 0)
	close(release)
	m.awaitStatuses("h", "ok ok ok")
	if got := fmt.Sprint(m.sequence("h")); got != "[2 3 1]" {
		t.Errorf("delivered in the order %s", got)
	}
}

// TestRedriveOfWhatHasJustSucceeded redrives an old dead letter while a replay
// has its event in flight, which succeeds before the redrive is written and is
// itself not written yet: it comes once.
func TestRedriveOfWhatHasJustSucceeded(t *testing.T) {
	release := make(chan struct{})
	passed := make(chan struct{}, 8)
	h := &hooked{redriven: func() { passed <- struct{}{} }}
	m := onHooked(t, h)
	m.set(reject)
	_, stop := m.open("h", delivery.Policy{})
	defer stop()
	m.publish("a")
	m.awaitStatuses("h", "dead")
	m.forget()
	m.set(func(string, event.Attempt) event.Outcome {
		<-release
		return event.Outcome{}
	})
	if err := m.d.Replay(t.Context(), "h", 1, 1); err != nil {
		t.Fatal(err)
	}
	m.awaitStatuses("h", "delivering")
	var full atomic.Bool
	h.redrive = func() {
		full.Store(true)
		h.mu.Lock()
		h.fate = func() (bool, bool) { return full.Load(), false }
		h.mu.Unlock()
		close(release)
		m.awaitStatuses("h", "ok")
	}
	m.redrive(event.DeadFilter{Handler: "h"}, 1)
	<-passed
	full.Store(false)
	m.await("the outcome is written", func() bool {
		rows, err := m.engine.Deliveries(context.Background(), 1)
		return err == nil && len(rows) == 1 && rows[0].Status == event.StatusOK
	})
	m.publish("b")
	m.awaitStatuses("h", "ok ok")
	if got := fmt.Sprint(m.sequence("h")); got != "[1 2]" {
		t.Errorf("delivered: %s", got)
	}
}

// TestReaderBringsWhatTheFeederHasSeen lets the reader bring, and the guest
// handle, what the feeder has just read as pending: it comes once.
func TestReaderBringsWhatTheFeederHasSeen(t *testing.T) {
	h := &hooked{}
	m := onHooked(t, h)
	m.publish("a", "b")
	dead := event.Delivery{Handler: "h", Seq: 2, Status: event.StatusDead, Attempts: 1, At: time.Now()}
	if _, err := m.engine.SaveDeliveries(t.Context(), []event.Delivery{dead}, []event.Cursor{{Name: "handler/h"}}); err != nil {
		t.Fatal(err)
	}
	m.redrive(event.DeadFilter{}, 1)
	once := make(chan struct{}, 1)
	once <- struct{}{}
	fed := make(chan struct{})
	h.redriven = func() {
		select {
		case <-once:
			m.await("both are written", func() bool {
				b, err := m.engine.LoadBacklog(context.Background(), "h")
				return err == nil && b.Cursor == 2
			})
			close(fed)
		default:
		}
	}
	_, stop := m.open("h", delivery.Policy{})
	defer stop()
	<-fed
	m.publish("c")
	m.awaitStatuses("h", "ok ok ok")
	got := m.sequence("h")
	slices.Sort(got)
	if fmt.Sprint(got) != "[1 2 3]" {
		t.Errorf("delivered: %v", got)
	}
}

// TestCursorPassesWhatAReplaySkips looks at what is stored between a replay's
// last event and the handler's going on: a crash there must not deliver what
// lies between the replay and where the handler stood.
func TestCursorPassesWhatAReplaySkips(t *testing.T) {
	h := &hooked{}
	m := onHooked(t, h)
	m.publish("a", "a", "a", "a")
	rows := []event.Delivery{{Handler: "h", Seq: 3, Status: event.StatusRetrying, Attempts: 1, At: time.Now(), Due: time.Now()}}
	if _, err := m.engine.SaveDeliveries(t.Context(), rows, []event.Cursor{{Name: "handler/h", Seq: 4}}); err != nil {
		t.Fatal(err)
	}
	if err := m.d.Replay(t.Context(), "h", 1, 2); err != nil {
		t.Fatal(err)
	}
	goOn := make(chan struct{})
	h.read = func(seq uint64) {
		if seq == 3 { // what waited there
			<-goOn
		}
	}
	_, stop := m.open("h", delivery.Policy{})
	defer stop()
	var b event.Backlog
	m.await("a cursor beyond the replay", func() (ok bool) {
		var err error
		b, err = m.engine.LoadBacklog(context.Background(), "h")
		return err == nil && b.Cursor >= 2
	})
	if b.Cursor != 4 || b.Replay != nil || len(b.Open) != 1 {
		t.Errorf("got %+v", b)
	}
	close(goOn)
	m.await("the retry", func() bool { return fmt.Sprint(m.sequence("h")) == "[1 2 3]" })
}

func TestRedriveOfAHandlerThatIsNotOpen(t *testing.T) {
	m := onMemory(t)
	m.set(reject)
	h, stop := m.open("h", delivery.Policy{})
	m.publish("a", "b", "a")
	m.awaitStatuses("h", "dead dead dead")
	stop()
	if err := h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.redrive(event.DeadFilter{Handler: "h", Subject: "a"}, 2)
	if got := m.statuses("h"); got != "pending dead pending" {
		t.Errorf("got %s", got)
	}
	m.set(func(string, event.Attempt) event.Outcome { return event.Outcome{} })
	m.publish("b")
	_, stop = m.open("h", delivery.Policy{})
	defer stop()
	m.awaitStatuses("h", "ok dead ok ok")
}

// TestRedriveOfMoreThanTheWindow takes up more than a handler may have at once,
// while new events go on.
func TestRedriveOfMoreThanTheWindow(t *testing.T) {
	m := onMemory(t)
	m.set(reject)
	_, stop := m.open("h", delivery.Policy{})
	defer stop()
	const n = 6000
	var events []*event.Event
	for range n {
		ev, err := event.New(event.Draft{Type: "t"})
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, ev)
	}
	if _, err := m.engine.Append(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	m.await("all dead", func() bool { return len(m.sequence("h")) == n })
	m.forget()
	m.redriveUntil(n)
	m.await("all again", func() bool { return len(m.sequence("h")) >= n })
}

// redriveUntil redrives until so many were, as outcomes are written.
func (m *memory) redriveUntil(n int) {
	m.t.Helper()
	m.set(func(string, event.Attempt) event.Outcome { return event.Outcome{} })
	m.await("all redriven", func() bool {
		k, err := m.d.Redrive(context.Background(), event.DeadFilter{})
		if err != nil {
			m.t.Fatalf("Redrive: %v", err)
		}
		n -= k
		return n <= 0
	})
}

func TestReplayOfAnOpenHandler(t *testing.T) {
	m := onMemory(t)
	fail := true
	m.set(func(h string, a event.Attempt) event.Outcome {
		if a.Seq == 3 && h == "h" && fail {
			return event.Outcome{Verdict: event.Reject, Class: event.ClassRejected}
		}
		return event.Outcome{}
	})
	h, stop := m.open("h", delivery.Policy{})
	_, stopOther := m.open("other", delivery.Policy{})
	defer stop()
	defer stopOther()
	m.publish("a", "a", "a", "a", "b", "a")
	m.awaitStatuses("h", "ok ok dead ok ok ok")
	m.awaitStatuses("other", "ok ok ok ok ok ok")
	m.forget()

	// Held in flight, so that the statuses can be looked at.
	release := make(chan struct{})
	m.set(func(_ string, a event.Attempt) event.Outcome {
		if a.Number != 1 {
			return reject("", a)
		}
		<-release
		return event.Outcome{}
	})
	if err := m.d.Replay(t.Context(), "h", 2, 4); err != nil {
		t.Fatal(err)
	}
	m.awaitStatuses("h", "ok delivering pending pending ok ok")
	if s := h.Stats(); s.Lag != 3 {
		t.Errorf("the lag is %d, want 3", s.Lag)
	}
	m.publish("a")
	m.awaitStatuses("h", "ok delivering pending pending ok ok pending")
	close(release)
	m.awaitStatuses("h", "ok ok ok ok ok ok ok")
	if got := fmt.Sprint(m.sequence("h")); got != "[2 3 4 7]" {
		t.Errorf("delivered: %s", got)
	}
	m.awaitStatuses("other", "ok ok ok ok ok ok ok")
	if got := fmt.Sprint(m.sequence("other")); got != "[7]" {
		t.Errorf("other was given %s", got)
	}
	if s := h.Stats(); s.Lag != 0 {
		t.Errorf("the lag is %d, want 0", s.Lag)
	}
	// What is left of it in the store: the cursor is where it would be without.
	m.await("the cursor", func() bool {
		b, err := m.engine.LoadBacklog(context.Background(), "h")
		return err == nil && b.Cursor == 7 && b.Replay == nil
	})
}

func TestReplayOfAHandlerThatIsNotOpen(t *testing.T) {
	m := onMemory(t)
	h, stop := m.open("h", delivery.Policy{})
	m.publish("a", "b", "a", "b")
	m.awaitStatuses("h", "ok ok ok ok")
	stop()
	if err := h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.forget()
	if err := m.d.Replay(t.Context(), "h", 3, 0); err != nil {
		t.Fatal(err)
	}
	_, stop = m.open("h", delivery.Policy{})
	defer stop()
	m.await("both", func() bool { return len(m.sequence("h")) == 2 })
	m.publish("a")
	m.await("the new one", func() bool { return len(m.sequence("h")) == 3 })
	got := m.sequence("h")
	slices.Sort(got)
	if fmt.Sprint(got) != "[3 4 5]" {
		t.Errorf("delivered: %v", got)
	}
}

func TestReplayIsRefused(t *testing.T) {
	m := onMemory(t)
	m.publish("a", "a")
	if err := m.d.Claim(t.Context(), "h"); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		handler  string
		from, to uint64
		want     fault.Code
	}{
		{"nobody", 1, 2, fault.NotFound}, {"h", 2, 1, fault.Invalid}, {"h", 3, 0, fault.Invalid}, {"h", 0, 0, ""}, {"h", 2, 99, ""},
	} {
		if err := m.d.Replay(t.Context(), tt.handler, tt.from, tt.to); fault.CodeOf(err) != tt.want {
			t.Errorf("Replay(%s, %d, %d): got %v, want %q", tt.handler, tt.from, tt.to, err, tt.want)
		}
	}
}

// TestReplayWaitsForWhatIsInFlight gives up with its caller, and then changes
// nothing; or is closed over, and then happens at the next start.
func TestReplayWaitsForWhatIsInFlight(t *testing.T) {
	m := onMemory(t)
	release := make(chan struct{})
	m.set(func(_ string, a event.Attempt) event.Outcome {
		if a.Seq == 2 {
			<-release
		}
		return event.Outcome{}
	})
	h, stop := m.open("h", delivery.Policy{})
	m.publish("a", "b")
	m.awaitStatuses("h", "ok delivering")
	ctx, cancel := context.WithCancel(t.Context())
	answer := make(chan error, 1)
	go func() { answer <- m.d.Replay(ctx, "h", 1, 2) }()
	cancel()
	if err := <-answer; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
	m.publish("c") // it goes on
	m.awaitStatuses("h", "ok delivering ok")
	m.forget()

	go func() { answer <- m.d.Replay(context.Background(), "h", 1, 2) }()
	closed := make(chan error, 1)
	go func() { closed <- h.Close(context.Background()) }()
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	if err := <-answer; err != nil {
		t.Fatal(err)
	}
	close(release)
	stop()
	m.forget()
	_, stop = m.open("h", delivery.Policy{})
	defer stop()
	m.await("both again", func() bool { return len(m.sequence("h")) >= 2 })
	m.awaitStatuses("h", "ok ok ok")
	if got := m.sequence("h"); !slices.Contains(got, 1) || !slices.Contains(got, 2) {
		t.Errorf("delivered: %v", got)
	}
}

// TestReplayKeepsRetriesInTheirPlace replays a stretch with an event that waits
// for a retry, and goes on with one behind it that does.
func TestReplayKeepsRetriesInTheirPlace(t *testing.T) {
	m := onMemory(t)
	again := func(seq uint64) event.Delivery {
		return event.Delivery{Handler: "h", Seq: seq, Status: event.StatusRetrying, Attempts: 2, ErrorClass: event.ClassTrap, At: time.Now(), Due: time.Now()}
	}
	m.publish("k", "k", "k", "k", "k", "k")
	rows := []event.Delivery{again(2), again(4)}
	for _, seq := range []uint64{1, 3, 5} {
		rows = append(rows, event.Delivery{Handler: "h", Seq: seq, Status: event.StatusOK, Attempts: 1, At: time.Now()})
	}
	if _, err := m.engine.SaveDeliveries(t.Context(), rows, []event.Cursor{{Name: "handler/h", Seq: 5}}); err != nil {
		t.Fatal(err)
	}
	if err := m.d.Replay(t.Context(), "h", 1, 3); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	numbers := make(map[uint64]int)
	m.set(func(_ string, a event.Attempt) event.Outcome {
		mu.Lock()
		defer mu.Unlock()
		numbers[a.Seq] = a.Number
		return event.Outcome{}
	})
	_, stop := m.open("h", delivery.Policy{})
	defer stop()
	m.await("all", func() bool { return len(m.sequence("h")) == 5 })
	if got := fmt.Sprint(m.sequence("h")); got != "[1 2 3 4 6]" {
		t.Errorf("delivered: %s", got)
	}
	mu.Lock()
	defer mu.Unlock()
	if got := fmt.Sprint(numbers); got != "map[1:1 2:3 3:1 4:3 6:1]" {
		t.Errorf("attempts: %s", got)
	}
}

func TestANewReplayReplacesTheOneUnderWay(t *testing.T) {
	m := onMemory(t)
	_, stop := m.open("h", delivery.Policy{})
	defer stop()
	m.publish("k", "k", "k", "k", "k", "k")
	m.awaitStatuses("h", "ok ok ok ok ok ok")
	m.forget()
	held, release := make(chan struct{}), make(chan struct{})
	once := sync.OnceFunc(func() { close(held) })
	m.set(func(string, event.Attempt) event.Outcome {
		once()
		<-release
		return event.Outcome{}
	})
	if err := m.d.Replay(t.Context(), "h", 1, 5); err != nil {
		t.Fatal(err)
	}
	<-held
	answer := make(chan error, 1)
	go func() { answer <- m.d.Replay(t.Context(), "h", 4, 4) }()
	close(release)
	if err := <-answer; err != nil {
		t.Fatal(err)
	}
	m.publish("k")
	m.awaitStatuses("h", "ok ok ok ok ok ok ok")
	m.await("the last", func() bool { return slices.Contains(m.sequence("h"), 7) })
	got := m.sequence("h")
	if n := len(got); n < 3 || got[0] != 1 || got[n-1] != 7 || got[n-2] != 4 {
		t.Errorf("delivered: %v", got)
	}
}

func TestClaimStartsWhereItIsTold(t *testing.T) {
	m := onMemory(t)
	e := m.engine
	m.publish("a", "b", "c")
	asked := 0
	d := delivery.New(delivery.Config{Store: e, Log: e, Start: func(_ context.Context, handler string) (uint64, error) {
		asked++
		if handler == "broken" {
			return 0, errKeepsNone
		}
		return 1, nil
	}})
	defer d.Close(context.Background()) //nolint:errcheck // nothing is open
	for range 2 {
		if err := d.Claim(t.Context(), "h"); err != nil {
			t.Fatal(err)
		}
	}
	if seq, found, err := e.Cursor(t.Context(), "handler/h"); seq != 1 || !found || err != nil || asked != 1 {
		t.Errorf("got %d, %v, %v after being asked %d times", seq, found, err, asked)
	}
	if err := d.Claim(t.Context(), "broken"); !errors.Is(err, errKeepsNone) {
		t.Errorf("got %v", err)
	}
	if _, found, _ := e.Cursor(t.Context(), "handler/broken"); found {
		t.Error("a handler was claimed without a place")
	}
}
