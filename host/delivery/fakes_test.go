package delivery_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// testTimeout bounds every wait of these tests; only a hang exceeds it.
const testTimeout = 30 * time.Second

// log is an event log in memory.
type log struct {
	mu      sync.Mutex
	records []event.Record
	grown   chan struct{} // closed and replaced when it grows
}

func newLog() *log { return &log{grown: make(chan struct{})} }

func (l *log) publish(t interface{ Fatal(...any) }, subject string) uint64 {
	return l.add(t, event.Draft{Type: "order_status_changed", Subject: subject, Data: json.RawMessage(`{}`)})
}

func (l *log) add(t interface{ Fatal(...any) }, draft event.Draft) uint64 {
	ev, err := event.New(draft)
	if err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = append(l.records, event.Record{Seq: uint64(len(l.records) + 1), Event: ev})
	close(l.grown)
	l.grown = make(chan struct{})
	return uint64(len(l.records))
}

// at returns a record; an event of another type when it is not published yet.
func (l *log) at(seq int) event.Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	if seq > len(l.records) {
		ev, _ := event.New(event.Draft{Type: "other"})
		return event.Record{Seq: uint64(seq), Event: ev}
	}
	return l.records[seq-1]
}

func (l *log) Last() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return uint64(len(l.records))
}

func (l *log) Read(_ context.Context, from uint64, limit int) ([]event.Record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if from > uint64(len(l.records)) {
		return nil, nil
	}
	records := l.records[from-1:]
	return slices.Clone(records[:min(limit, len(records))]), nil
}

func (l *log) Subscribe(from uint64) delivery.Reader { return &reader{l, from} }

type reader struct {
	log  *log
	next uint64
}

func (r *reader) Next(ctx context.Context, buf []event.Record) (int, error) {
	for {
		r.log.mu.Lock()
		grown := r.log.grown
		r.log.mu.Unlock()
		if got, _ := r.log.Read(ctx, r.next, len(buf)); len(got) > 0 {
			r.next += uint64(len(got))
			return copy(buf, got), nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func (r *reader) Close() {}

type key struct {
	handler string
	seq     uint64
}

// store is a Store in memory. It can refuse writes, and checks that no cursor passes an event
// without an outcome.
type store struct {
	mu         sync.Mutex
	deliveries map[key]event.Delivery
	cursors    map[string]uint64
	refuse     error
	refused    int // writes
	changed    chan struct{}
	wrong      string
	took       func(seq uint64) bool // nil: every event has a delivery

	children map[string]*event.Event // published, by key
	past     []event.PastAttempt
	kv       values
}

func newStore() *store {
	return &store{deliveries: make(map[key]event.Delivery), cursors: make(map[string]uint64), children: make(map[string]*event.Event), kv: make(values), changed: make(chan struct{})}
}

func (s *store) LoadBacklog(_ context.Context, handler string) (event.Backlog, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b event.Backlog
	b.Cursor, b.Found = s.cursors["handler/"+handler]
	for k, d := range s.deliveries {
		switch {
		case k.handler != handler:
		case !d.Status.Final():
			b.Open = append(b.Open, d)
		case k.seq > b.Cursor:
			b.Done = append(b.Done, k.seq)
		}
	}
	return b, nil
}

func (s *store) SaveDeliveries(_ context.Context, _ []spec.Fence, successes []event.Successes, deliveries []event.Delivery, cursors []event.Cursor) (
	saved event.Saved, fenced []spec.Fence, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil {
		s.refused++
		close(s.changed)
		s.changed = make(chan struct{})
		return saved, nil, s.refuse
	}
	for _, of := range successes {
		for i := range of.List {
			s.deliveries[key{of.Handler, of.List[i].Seq}] = of.Delivery(i)
		}
	}
	var last *event.Effects
	applied := false
	for _, d := range deliveries {
		if d.Effects != nil && d.Effects != last {
			last, applied = d.Effects, s.kv.apply(d.Effects)
		}
		if d.Effects != nil && !applied {
			d = d.Rerun()
			saved.Conflicts = append(saved.Conflicts, d)
		} else if err := s.publish(d.Children); err != nil {
			d = d.Refuse(err)
			saved.Refused = append(saved.Refused, d)
		}
		if a, kept := d.Past(); kept {
			s.past = append(s.past, a)
		}
		d.Children, d.Effects = nil, nil
		s.deliveries[key{d.Handler, d.Seq}] = d
	}
	for _, c := range cursors {
		handler, is := strings.CutPrefix(c.Name, "handler/")
		from, had := s.cursors[c.Name]
		had = had && is
		for seq := from + 1; had && seq <= c.Seq; seq++ {
			if _, ok := s.deliveries[key{handler, seq}]; !ok && (s.took == nil || s.took(seq)) {
				s.wrong = fmt.Sprintf("cursor %s passed %d, which has no outcome", c.Name, seq)
			}
		}
		s.cursors[c.Name] = c.Seq
	}
	close(s.changed)
	s.changed = make(chan struct{})
	return saved, nil, nil
}

// publish keeps the children's keys.
func (s *store) publish(children []*event.Event) error {
	for _, ev := range children {
		if first := s.children[ev.Metadata().IdempotencyKey]; first != nil && first.Digest() != ev.Digest() {
			return errors.New("the key was used before")
		}
	}
	for _, ev := range children {
		s.children[ev.Metadata().IdempotencyKey] = ev
	}
	return nil
}

func (s *store) Deliveries(_ context.Context, seq uint64) ([]event.Delivery, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var deliveries []event.Delivery
	for k, d := range s.deliveries {
		if k.seq == seq {
			deliveries = append(deliveries, d)
		}
	}
	return deliveries, nil
}

func (s *store) Attempts(_ context.Context, seq uint64) (list []event.PastAttempt, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.past {
		if a.Seq == seq {
			list = append(list, a)
		}
	}
	return list, nil
}

func (s *store) Cursor(_ context.Context, name string) (uint64, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seq, found := s.cursors[name]
	return seq, found, nil
}

// await waits until ok returns true. It calls ok under the store's lock.
func (s *store) await(t interface{ Fatalf(string, ...any) }, what string, ok func() bool) {
	timeout := time.After(testTimeout)
	for {
		s.mu.Lock()
		changed, good, wrong := s.changed, ok(), s.wrong
		s.mu.Unlock()
		if wrong != "" {
			t.Fatalf("%s", wrong)
		}
		if good {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("timeout: waiting for: %s", what)
		}
	}
}

func (s *store) finals(handler string) (n int) {
	for k, d := range s.deliveries {
		if k.handler == handler && d.Status.Final() {
			n++
		}
	}
	return n
}

func bySubject(ev *event.Event) string { return ev.Metadata().Subject }

// handler is a Source whose attempts are taken one at a time, each through a lease of
// its own.
type handler struct {
	*delivery.Source
	mu     sync.Mutex
	leases map[uint64]*delivery.Lease // by Seq
}

func single(s *delivery.Source) *handler {
	return &handler{Source: s, leases: make(map[uint64]*delivery.Lease)}
}

// Next waits for an attempt, as Lease.Next does. It ends with Done.
func (h *handler) Next(stop, retire <-chan struct{}) (event.Taken, bool) {
	x := h.Lease()
	taken, ok := x.Next(stop, retire)
	if !ok {
		x.Close()
		return taken, false
	}
	x.Flush()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.leases[taken.Seq] = x
	return taken, true
}

// Done completes an attempt of Next or TryNext.
func (h *handler) Done(a event.Attempt, o event.Outcome) {
	h.mu.Lock()
	x := h.leases[a.Seq]
	delete(h.leases, a.Seq)
	h.mu.Unlock()
	if x == nil {
		h.Source.Done(a, o)
		return
	}
	x.Done(&o)
	x.Close()
}

// Inconsistency includes the leases of open attempts.
func (h *handler) Inconsistency(leases ...*delivery.Lease) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.Source.Inconsistency(slices.AppendSeq(leases, maps.Values(h.leases))...)
}

// Update sets the policy.
func (h *handler) Update(p delivery.Policy) {
	h.Source.Update(func(now *delivery.Policy) { *now = p })
}

// work handles attempts one at a time in each of n goroutines until stop is called.
func work(h *handler, n int, handle func(event.Attempt) event.Outcome) (stop func()) {
	quit := make(chan struct{})
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for {
				taken, ok := h.Next(quit, nil)
				if !ok {
					return
				}
				h.Done(taken.Attempt, handle(taken.Attempt))
			}
		})
	}
	return sync.OnceFunc(func() { close(quit); wg.Wait() })
}

// workLeases is work with leases of several attempts, as instances have them.
func workLeases(h *handler, n int, handle func(event.Attempt) event.Outcome) (stop func()) {
	quit := make(chan struct{})
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			x := h.Lease()
			defer func() { x.Close() }()
			for n := 0; ; n++ {
				if n%16 == 15 { // the instance ends, and another one starts
					x.Close()
					x = h.Lease()
				}
				taken, ok := x.NextBuffered()
				if !ok {
					if taken, ok = x.Next(quit, nil); !ok {
						return
					}
				}
				if n%7 == 3 {
					x.Flush()
				}
				o := handle(taken.Attempt)
				x.Done(&o)
			}
		})
	}
	return sync.OnceFunc(func() { close(quit); wg.Wait() })
}

func ok(event.Attempt) event.Outcome { return event.Outcome{Result: []byte(`{"ok":true}`)} }

type fixture struct {
	log   *log
	store *store
	d     *delivery.Dispatcher
}

func setUp(t *testing.T) fixture { return setUpWith(t, delivery.Config{}) }

func setUpWith(t *testing.T, cfg delivery.Config) fixture {
	f := fixture{log: newLog(), store: newStore()}
	cfg.Store, cfg.Log = f.store, f.log
	f.d = delivery.New(cfg)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
		defer cancel()
		if err := f.d.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return f
}

func (f fixture) open(t *testing.T, name string, p delivery.Policy) *handler {
	t.Helper()
	return open(t, f.d, name, p)
}

// moduleDigest is the digest of the module of all handlers.
const moduleDigest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

// open opens a handler.
func open(t interface {
	Helper()
	Fatalf(string, ...any)
}, d *delivery.Dispatcher, name string, p delivery.Policy) *handler {
	t.Helper()
	s, err := d.Open(context.Background(), name, moduleDigest, p)
	if err != nil {
		t.Fatalf("open %s: %v", name, err)
	}
	return single(s)
}

// oldest returns the first event that is not final for h.
func oldest(t interface{ Fatal(...any) }, d *delivery.Dispatcher) uint64 {
	f, err := d.Figures(context.Background(), "h")
	if err != nil {
		t.Fatal(err)
	}
	return f.Oldest
}
