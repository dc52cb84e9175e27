package operations

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// given is one call that gave events to the handler.
type given struct {
	call string
	seqs []uint64
	at   time.Time
}

// fakeHost is a log of events and the deliveries of one handler, "pricing".
type fakeHost struct {
	mu       sync.Mutex
	log      []event.Record
	state    map[uint64]event.Delivery
	cursor   uint64
	gone     bool          // the handler
	missing  bool          // its file
	loaded   chan struct{} // closed when the handlers are loaded; nil: they are
	paused   bool          // pending events are not begun
	calls    []given
	docs     map[string]event.Document
	failures map[string]error // by call
	entered  chan struct{}    // receives a value at each call that gives events, unless nil
}

// newFakeHost returns a host whose handler is at the log's end. Event n is of the type a or b
// by turns, and of one of five subjects; of every ten events one is dead, one retries, and the
// others are done. Their errors belong to the issues 1 and 2.
func newFakeHost(t testing.TB, events int) *fakeHost {
	h := &fakeHost{state: make(map[uint64]event.Delivery), docs: make(map[string]event.Document), failures: make(map[string]error)}
	for i := range events {
		seq := uint64(i + 1)
		ev, err := event.New(event.Draft{Type: []string{"type_a", "type_b"}[i%2], Subject: fmt.Sprint("S-", i%5), Data: []byte("{}")})
		if err != nil {
			t.Fatal(err)
		}
		h.log = append(h.log, event.Record{Seq: seq, Event: ev})
		d := event.Delivery{Handler: "pricing", Seq: seq, Status: event.StatusOK}
		switch i % 10 {
		case 3:
			d.Status, d.ErrorClass, d.ErrorMessage = event.StatusDead, event.ClassTrap, fmt.Sprint("issue ", i/10%2+1)
		case 7:
			d.Status, d.ErrorClass, d.ErrorMessage = event.StatusRetrying, event.ClassTimeout, fmt.Sprint("issue ", i/10%2+1)
		}
		h.state[seq] = d
	}
	h.cursor = uint64(events)
	return h
}

func (h *fakeHost) enter(call string) (func(), error) {
	h.mu.Lock()
	return h.mu.Unlock, h.failures[call]
}

func (h *fakeHost) give(ctx context.Context, call string, seqs []uint64, from ...event.Status) (n int, err error) {
	if h.entered != nil {
		select {
		case h.entered <- struct{}{}:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	leave, err := h.enter(call)
	defer leave()
	if err != nil {
		return 0, err
	}
	h.calls = append(h.calls, given{call, slices.Clone(seqs), time.Now()})
	for _, seq := range seqs {
		d, known := h.state[seq]
		if known && slices.Contains(from, d.Status) {
			d.Status = event.StatusOK
			if h.paused {
				d.Status = event.StatusPending
			}
			h.state[seq] = d
			n++
		}
	}
	return n, nil
}

func (h *fakeHost) Requeue(ctx context.Context, _ string, seqs []uint64) (int, error) {
	return h.give(ctx, "requeue", seqs, event.StatusOK, event.StatusDead)
}

func (h *fakeHost) RetryNow(ctx context.Context, _ string, seqs []uint64) (int, error) {
	return h.give(ctx, "retry", seqs, event.StatusRetrying, event.StatusDead)
}

func (h *fakeHost) Replay(_ context.Context, _ string, from, to uint64) error {
	leave, err := h.enter("replay")
	defer leave()
	if err == nil {
		h.cursor = from - 1
		h.calls = append(h.calls, given{"replay", []uint64{from, to}, time.Now()})
	}
	return err
}

func (h *fakeHost) Retrying(_ context.Context, _ string, after uint64, limit int) (list []event.Delivery, err error) {
	leave, err := h.enter("retrying")
	defer leave()
	for _, rec := range h.log {
		if d := h.state[rec.Seq]; d.Status == event.StatusRetrying && d.Seq > after && len(list) < limit {
			list = append(list, d)
		}
	}
	return list, err
}

func (h *fakeHost) DeadLetters(_ context.Context, f event.DeadFilter, cursor string, limit int) (list []event.DeadLetter, next string, err error) {
	leave, err := h.enter("dead letters")
	defer leave()
	if err != nil {
		return nil, "", err
	}
	after, err := event.ParseDeadPosition(cursor)
	for _, rec := range slices.Backward(h.log) {
		d := h.state[rec.Seq]
		if d.Status != event.StatusDead {
			continue
		}
		l := d.DeadLetter(rec.Event)
		if !f.Selects(l) || after != (event.DeadPosition{}) && !after.Before(l.Position()) {
			continue
		}
		if len(list) == limit {
			return list, list[limit-1].Position().String(), err
		}
		list = append(list, l)
	}
	return list, "", err
}

func (h *fakeHost) Read(_ context.Context, from uint64, limit int) ([]event.Record, error) {
	leave, err := h.enter("read")
	defer leave()
	if err != nil {
		return nil, err
	}
	from = min(from, uint64(len(h.log))+1)
	return h.log[from-1 : min(int(from)-1+limit, len(h.log))], nil
}

func (h *fakeHost) Last() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return uint64(len(h.log))
}

// SeqAt has one event in every minute before now.
func (h *fakeHost) SeqAt(_ context.Context, t time.Time) (uint64, error) {
	last := int(h.Last())
	return uint64(min(max(last+1-int(time.Since(t)/time.Minute), 1), last+1)), nil
}

func (h *fakeHost) PutDocuments(_ context.Context, list []event.Document) error {
	leave, err := h.enter("put")
	defer leave()
	if err != nil {
		return err
	}
	for _, d := range list {
		if h.docs[d.ID] = d; d.Body == "" {
			delete(h.docs, d.ID)
		}
	}
	return nil
}

func (h *fakeHost) Documents(context.Context, string) ([]event.Document, error) {
	leave, err := h.enter("documents")
	defer leave()
	return slices.SortedFunc(maps.Values(h.docs), func(a, b event.Document) int { return cmp.Compare(a.ID, b.ID) }), err
}

func (h *fakeHost) Cursors(context.Context) ([]event.Cursor, error) {
	leave, err := h.enter("cursor")
	defer leave()
	list := []event.Cursor{{Name: "handler/other", Seq: 1}, {Name: "thinned-to/pricing", Seq: 1}}
	if !h.gone {
		list = append(list, event.Cursor{Name: "handler/pricing", Seq: h.cursor})
	}
	return list, err
}

func (h *fakeHost) CountRedriven(_ context.Context, _ string, from, to uint64) (n int, err error) {
	leave, err := h.enter("count")
	defer leave()
	for seq, d := range h.state {
		if d.Status == event.StatusPending && seq >= from && seq <= to {
			n++
		}
	}
	return n, err
}

// seqs returns the Seqs that one kind of call was given, in order.
func (h *fakeHost) seqs(call string) (list []uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.calls {
		if c.call == call {
			list = append(list, c.seqs...)
		}
	}
	return list
}

func (h *fakeHost) do(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

// setup returns a runner of a host.
func setup(t testing.TB, h *fakeHost) *Runner {
	t.Helper()
	r, err := Open(context.Background(), Config{Deliveries: h, Log: h, Store: h,
		Compile: func(glob, when string) (func(*event.Event) bool, error) {
			if when == "bad" {
				return nil, fault.Field("when", "is bad")
			}
			prefix, isGlob := strings.CutSuffix(glob, "*")
			return func(ev *event.Event) bool {
				typed := glob == "" || string(ev.Type()) == glob || isGlob && strings.HasPrefix(string(ev.Type()), prefix)
				return typed && (when == "" || ev.Subject() == when)
			}, nil
		},
		Filter: func(string) (func(*event.Event) bool, error) {
			if h.missing {
				return nil, fault.New(fault.Conflict, "the file is missing")
			}
			return func(ev *event.Event) bool { return ev.Subject() != "S-4" }, nil
		},
		Ready: func(ctx context.Context) error {
			if h.loaded == nil {
				return nil
			}
			select {
			case <-h.loaded:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		},
		IssueOf: func(_ string, _ event.Class, message string) string {
			return strings.TrimPrefix(message, "issue ")
		},
		Issue: func(id string) (wire.Issue, error) {
			switch id {
			case "1", "2":
				return wire.Issue{ID: id, Handler: "pricing"}, nil
			case "3":
				return wire.Issue{ID: id, Handler: "other"}, nil
			}
			return wire.Issue{}, fault.New(fault.NotFound, "there is no issue %s", id)
		},
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func closeRunner(t testing.TB, r *Runner) {
	t.Helper()
	if err := r.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

func start(t testing.TB, r *Runner, in wire.NewOperation) wire.Operation {
	t.Helper()
	if in.Plugin == "" {
		in.Plugin = "pricing"
	}
	o, err := r.Start(context.Background(), in, "ada")
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// ended waits until an operation is final, and returns it.
func ended(t testing.TB, r *Runner, id string) wire.Operation {
	t.Helper()
	o, err := r.find(id)
	if err != nil {
		t.Fatal(err)
	}
	<-o.finished
	shown, err := r.Show(id)
	if err != nil {
		t.Fatal(err)
	}
	return shown
}
