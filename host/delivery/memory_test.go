package delivery_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// memory is a Dispatcher over the memory engine, with the outcomes of a test.
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

// hooked is an engine with hooks that delay its callers.
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
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	if err := m.d.Close(ctx); err != nil {
		t.Error(err)
	}
}

// set sets the outcomes of guests.
func (m *memory) set(handle func(handler string, a event.Attempt) event.Outcome) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.handle = handle
}

func reject(string, event.Attempt) event.Outcome {
	return event.Outcome{Verdict: event.Reject, Class: event.ClassRejected, Message: "no"}
}

// open opens a handler that three instances take from; order is by subject.
func (m *memory) open(name string, p delivery.Policy) (h *handler, stop func()) {
	m.t.Helper()
	p.Key = bySubject
	if p.Retry == (spec.RetryPolicy{}) {
		p.Retry = spec.RetryPolicy{MaxAttempts: 3, Backoff: time.Microsecond, MaxBackoff: time.Microsecond}
	}
	h = open(m.t, m.d, name, p)
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

// await waits until ok returns true.
func (m *memory) await(what string, ok func() bool) {
	m.t.Helper()
	for end := time.Now().Add(testTimeout); !ok(); {
		if time.Now().After(end) {
			m.t.Fatalf("timeout: waiting for: %s; h has %s", what, m.statuses("h"))
		}
		m.mu.Lock()
		grown := m.grown
		m.mu.Unlock()
		select {
		case <-grown:
		case <-time.After(time.Millisecond): // a later write does not signal
		}
	}
}

// statuses returns one handler's deliveries of all events, as the API shows them.
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
