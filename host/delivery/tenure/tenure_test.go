package tenure_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/berth-host/berth/host/delivery/tenure"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// lease is a Tenure of a test.
type lease struct {
	invalid atomic.Bool
	done    chan struct{}
	until   uint64
}

func (*lease) Fence() spec.Fence       { return spec.Fence{Unit: "h", Epoch: 3} }
func (l *lease) Valid() bool           { return !l.invalid.Load() }
func (l *lease) Done() <-chan struct{} { return l.done }
func (l *lease) Until() uint64         { return l.until }

func newHold() (*lease, *tenure.Hold) {
	l := &lease{done: make(chan struct{})}
	return l, tenure.New(l)
}

// TestBound: events behind it are for other shards.
func TestBound(t *testing.T) {
	var none *tenure.Hold
	for _, tt := range []struct {
		until, seq, bound uint64
	}{{0, 9, 9}, {5, 4, 4}, {5, 5, 5}, {5, 6, 5}} {
		x := tenure.New(&lease{until: tt.until})
		if got, err := x.Bound(tt.seq), x.Beyond(tt.seq); got != tt.bound || (err != nil) != (got != tt.seq) || err != nil && !fault.Is(err, fault.Conflict) {
			t.Errorf("%+v: got %d, %v", tt, got, err)
		}
		if none.Bound(tt.seq) != tt.seq || none.Beyond(tt.seq) != nil {
			t.Errorf("the only host has a bound of %d", none.Bound(tt.seq))
		}
	}
}

func TestNoHoldIsTheOnlyHost(t *testing.T) {
	var x *tenure.Hold
	if !x.Valid() || x.Context() != nil || x.Epoch() != 0 || x.Refused([]spec.Fence{{}}) {
		t.Errorf("%v, %v, %d", x.Valid(), x.Context(), x.Epoch())
	}
	if x.Lose(); x.Leaving().Done() != nil {
		t.Error("it ends")
	}
}

func TestContextHasTheFenceAndEndsWhenLost(t *testing.T) {
	_, x := newHold()
	if f, ok := spec.FenceOf(x.Context()); !ok || f != x.Fence() || f.Epoch != x.Epoch() || x.Epoch() != 3 {
		t.Errorf("got %+v", f)
	}
	for _, tt := range []struct {
		fences []spec.Fence
		want   bool
	}{
		{nil, false}, {[]spec.Fence{{Unit: "h", Epoch: 2}, {Unit: "g", Epoch: 3}}, false}, {[]spec.Fence{{Unit: "g"}, {Unit: "h", Epoch: 3}}, true},
	} {
		if got := x.Refused(tt.fences); got != tt.want {
			t.Errorf("%v: got %v", tt.fences, got)
		}
	}
	x.Leave()
	if x.Context().Err() != nil || x.Leaving().Err() == nil || !x.Valid() {
		t.Error("leaving ends the attempts")
	}
	x.Lose()
	if x.Context().Err() == nil || x.Valid() || !x.Lost() {
		t.Error("it goes on")
	}
}

type waiter chan struct{}

func (w waiter) Recheck() { w <- struct{}{} }

func TestHandlerAsksAgain(t *testing.T) {
	l, x := newHold()
	w := make(waiter, 8)
	if !x.MayStart(w) {
		t.Error("no attempt begins")
	}
	for range 2 {
		l.invalid.Store(true)
		for range 3 {
			if x.MayStart(w) {
				t.Error("an attempt begins")
			}
		}
		<-w
		l.invalid.Store(false)
		if !x.MayStart(w) || len(w) > 0 {
			t.Error("it was asked more than once, or no attempt begins")
		}
	}
}

// owners returns Owners of one open handler, h, which has the name of every hold.
func owners(h *handler) *tenure.Owners {
	return tenure.NewOwners(tenure.Config{Logger: slog.New(slog.DiscardHandler), Lock: func(context.Context, string) (tenure.Owned, func(), error) {
		h.name.Lock()
		if h.closed {
			return nil, h.name.Unlock, nil
		}
		return h, h.name.Unlock, nil
	}})
}

func TestOwnersGiveALostHandlerUpOnce(t *testing.T) {
	h := &handler{end: make(chan struct{})}
	close(h.end)
	o := owners(h)
	l := &lease{done: make(chan struct{})}
	if err := o.Own(t.Context(), "h", l); err != nil {
		t.Fatal(err)
	}
	x := o.Hold("h")
	if ctx, owned := o.Fenced(t.Context(), "h"); !owned || x == nil {
		t.Error("it is not owned")
	} else if f, fenced := spec.FenceOf(ctx); !fenced || f != l.Fence() {
		t.Errorf("the fence is %v", f)
	}
	close(l.done)
	<-x.Context().Done()
	o.Close()
	if err := o.Disown(t.Context(), "h"); err != nil {
		t.Error(err)
	}
	if !x.Lost() || o.Hold("h") != nil || h.has("flush") || h.count("unload") != 1 {
		t.Errorf("it called %v", h.calls)
	}
	if _, owned := o.Fenced(t.Context(), "h"); owned {
		t.Error("it is owned")
	}
	if err := o.Own(t.Context(), "h", l); !fault.Is(err, fault.Unavailable) {
		t.Errorf("after Close: got %v", err)
	}
}

func TestOwnEndsFormerTenure(t *testing.T) {
	h := &handler{end: make(chan struct{})}
	close(h.end)
	o := owners(h)
	defer o.Close()
	for range 2 {
		if err := o.Own(t.Context(), "h", &lease{done: make(chan struct{})}); err != nil {
			t.Fatal(err)
		}
	}
	if h.count("own") != 2 || h.count("unload") != 1 || o.Hold("h").Lost() {
		t.Errorf("it called %v", h.calls)
	}
	if err := o.Disown(t.Context(), "h"); err != nil || h.count("flush") != 1 {
		t.Errorf("got %v; it called %v", err, h.calls)
	}
}

func TestHandlerThatCannotLoadIsNotOwned(t *testing.T) {
	broken := errors.New("the database is gone")
	h := &handler{load: broken}
	o := owners(h)
	defer o.Close()
	if err := o.Own(t.Context(), "h", &lease{done: make(chan struct{})}); !errors.Is(err, broken) || o.Hold("h") != nil {
		t.Errorf("got %v", err)
	}
	h.closed = true // it is opened later
	if err := o.Own(t.Context(), "h", &lease{done: make(chan struct{})}); err != nil || o.Hold("h") == nil {
		t.Errorf("got %v", err)
	}
}

// handler is a Handler whose attempts end when end is closed or their context ends.
type handler struct {
	name   sync.Mutex
	closed bool
	load   error // of Own

	mu    sync.Mutex
	calls []string
	end   chan struct{}
	x     *tenure.Hold
	err   error // of Flush
}

func (h *handler) Own(_ context.Context, x *tenure.Hold) error {
	h.call("own")
	h.x = x
	return h.load
}

func (h *handler) Holds(x *tenure.Hold) bool { return h.x == x }

func (h *handler) has(call string) bool { return h.count(call) > 0 }

func (h *handler) count(call string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, one := range h.calls {
		if one == call {
			n++
		}
	}
	return n
}

func (h *handler) call(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, name)
}

func (h *handler) Suspend() { h.call("suspend") }
func (h *handler) Unload()  { h.call("unload") }

func (h *handler) Wait(ctx context.Context) error {
	h.call("wait")
	select {
	case <-h.end:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *handler) Flush(ctx context.Context) error {
	h.call("flush")
	if err := ctx.Err(); err != nil {
		return err
	}
	return h.err
}

func TestGiveUp(t *testing.T) {
	broken := errors.New("the disk is full")
	for _, tt := range []struct {
		name   string
		during func(h *handler, cancel func()) // while it waits for the attempts
		flush  error
		want   []string
	}{
		{"the attempts end", func(h *handler, _ func()) { close(h.end) }, nil, []string{"suspend", "wait", "flush", "unload"}},
		{"the outcomes cannot be written", func(h *handler, _ func()) { close(h.end) }, broken, []string{"suspend", "wait", "flush", "unload"}},
		{"they do not end in time", func(h *handler, cancel func()) {
			cancel()
			<-h.x.Context().Done()
			close(h.end)
		}, nil, []string{"suspend", "wait", "wait", "flush", "unload"}},
		{"it is lost meanwhile", func(h *handler, _ func()) {
			h.x.Lose()
			close(h.end)
		}, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, x := newHold()
			h := &handler{end: make(chan struct{}), x: x, err: tt.flush}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			given := make(chan error, 1)
			go func() { given <- tenure.GiveUp(ctx, x, h) }()
			<-x.Leaving().Done()
			tt.during(h, cancel)
			if err := <-given; !errors.Is(err, tt.flush) {
				t.Errorf("got %v", err)
			}
			if tt.want != nil && !slices.Equal(h.calls, tt.want) {
				t.Errorf("it called %v, want %v", h.calls, tt.want)
			}
			if tt.want == nil && (slices.Contains(h.calls, "flush") || h.calls[len(h.calls)-1] != "unload") {
				t.Errorf("it called %v", h.calls)
			}
		})
	}
}
