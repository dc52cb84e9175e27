package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/cluster"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// record notes on which hosts and in which epochs commands are carried out.
type record struct{ calls []string }

func (r *record) methods(h *simHost, cfg *cluster.Config) {
	cfg.Methods = map[string]cluster.Method{
		"redrive": func(ctx context.Context, unit string, body []byte) ([]byte, error) {
			h.pass()
			f, _ := spec.FenceOf(ctx)
			h.mu.Lock()
			defer h.mu.Unlock()
			r.calls = append(r.calls, fmt.Sprintf("%s %s %d %s", h.name, unit, f.Epoch, body))
			return []byte("from " + h.name), nil
		},
		"refuse": func(context.Context, string, []byte) ([]byte, error) {
			return nil, fmt.Errorf("redrive: %w", &fault.Error{Code: fault.Exhausted, Field: "filter.limit", Reason: "too many", RetryAfter: time.Second})
		},
		"start": func(context.Context, string, []byte) ([]byte, error) { // waits for the start of the handler, in vain
			<-time.After(time.Second)
			return nil, spec.ErrFenced
		},
		"slow": func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		},
	}
}

func (r *record) want(t *testing.T, w *world, calls ...string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if got := strings.Join(r.calls, ", "); got != strings.Join(calls, ", ") {
		t.Errorf("got calls %s, want %v", got, calls)
	}
	r.calls = nil
}

func do(h *simHost, unit, method, body string) (string, error) {
	answer, err := h.cluster.Do(context.Background(), unit, method, []byte(body))
	return string(answer), err
}

// commandWorld has a host a that owns mail, and b that can run audit only.
func commandWorld(w *world, r *record) (a, b *simHost) {
	a = w.add("a", []string{"mail"}, r.methods)
	w.await(3*time.Second, "a runs mail", func() bool { return w.owners()["mail"] == "a" })
	b = w.add("b", []string{"audit"}, r.methods)
	w.await(3*time.Second, "b runs audit", func() bool { return w.owners()["audit"] == "b" })
	return a, b
}

func TestCommandIsCarriedOutByTheOwner(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		r := &record{}
		a, b := commandWorld(w, r)
		for _, h := range []*simHost{a, b} {
			since := time.Now()
			if got, err := do(h, "mail", "redrive", h.name); got != "from a" || err != nil {
				t.Errorf("asked on %s: got %q, %v", h.name, got, err)
			}
			if took := time.Since(since); took > 500*time.Millisecond {
				t.Errorf("asked on %s: answered after %v", h.name, took)
			}
			if _, err := do(h, "mail", "refuse", ""); !fault.Is(err, fault.Exhausted) || fault.RetryAfter(err) != time.Second ||
				err.Error() != "redrive: filter.limit: too many" {
				t.Errorf("asked on %s: got %v, want the error of the method", h.name, err)
			}
			if _, err := do(h, "mail", "unknown", ""); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "same version") {
				t.Errorf("asked on %s: got %v, want that the method is unknown", h.name, err)
			}
		}
		r.want(t, w, "a mail 1 a", "a mail 1 b")
	})
}

func TestCommandForMember(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		r := &record{}
		a, b := commandWorld(w, r)
		for _, h := range []*simHost{a, b} {
			if got, err := do(h, cluster.MemberUnit(b.id), "redrive", h.name); got != "from b" || err != nil {
				t.Errorf("asked on %s: got %q, %v", h.name, got, err)
			}
		}
		if _, err := do(a, cluster.MemberUnit("gone"), "redrive", ""); !fault.Is(err, fault.NotFound) {
			t.Errorf("a member that is gone: got %v, want not found", err)
		}
		r.want(t, w, "b @"+b.id+" 0 a", "b @"+b.id+" 0 b")
	})
}

// TestCommandForUnitThatNoHostRuns holds that the asked host takes the unit for the command.
func TestCommandForUnitThatNoHostRuns(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		r := &record{}
		_, b := commandWorld(w, r)
		since := time.Now()
		if got, err := do(b, "paused", "redrive", "1"); got != "from b" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		if took := time.Since(since); took > time.Second {
			t.Errorf("answered after %v", took)
		}
		r.want(t, w, "b paused 1 1")
		w.run(100 * time.Millisecond)
		if u := w.ledger.Unit("paused"); u.Owner != "" || u.Epoch != 1 {
			t.Errorf("after the command: %+v, want it given back", u)
		}
	})
}

// A command for a handler that is open but that no host runs is refused once, and the unit is not taken again
// and again.
func TestCommandForUnitThatIsNotStarted(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		_, b := commandWorld(w, &record{})
		if _, err := do(b, "paused", "start", ""); !fault.Is(err, fault.Unavailable) || fault.RetryAfter(err) == 0 || !strings.Contains(err.Error(), "no host runs it") {
			t.Errorf("got %v", err)
		}
		w.run(5 * time.Second)
		if u := w.ledger.Unit("paused"); u.Owner != "" || u.Epoch != 1 {
			t.Errorf("got %+v, want it taken once", u)
		}
	})
}

func TestCommandSurvivesItsOwner(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		r := &record{}
		a, b := commandWorld(w, r)
		a.kill()
		if got, err := do(b, "mail", "redrive", "1"); got != "from b" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		r.want(t, w, "b mail 2 1")
	})
}

func TestCommandThatIsNotAnsweredInTime(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		_, b := commandWorld(w, &record{})
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_, err := b.cluster.Do(ctx, "mail", "slow", nil)
		if !fault.Is(err, fault.Timeout) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "host a") {
			t.Errorf("got %v, want a timeout that names the owner", err)
		}
	})
}

// TestCommandIsCarriedOutOncePerEpoch holds that a command whose answer cannot be stored is not
// carried out again by the same owner.
func TestCommandIsCarriedOutOncePerEpoch(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		r := &record{}
		a, b := commandWorld(w, r)
		lost := a
		ended := make(chan error, 1)
		go func() {
			got, err := do(b, "mail", "redrive", "1")
			if err == nil && got != "from a" {
				err = errors.New(got)
			}
			ended <- err
		}()
		w.await(time.Second, "the command has begun", func() bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			lost.cut = len(r.calls) > 0 // the answer gets lost
			return lost.cut
		})
		w.run(1500 * time.Millisecond)
		w.mu.Lock()
		lost.cut = false
		w.mu.Unlock()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		r.want(t, w, "a mail 1 1")
	})
}

func TestErrorsCrossHosts(t *testing.T) {
	for _, err := range []error{
		fault.Field("filter", "is wrong"),
		fault.New(fault.NotFound, "no such thing"),
		&fault.Error{Code: fault.Unavailable, Reason: "full", RetryAfter: 3 * time.Second},
		errors.New("without a code"),
	} {
		got := cluster.ReadFailure(cluster.FailureText(err))
		if got.Error() != err.Error() || fault.CodeOf(got) != fault.CodeOf(err) || fault.RetryAfter(got) != fault.RetryAfter(err) {
			t.Errorf("got %v (%s), want %v (%s)", got, fault.CodeOf(got), err, fault.CodeOf(err))
		}
	}
	if err := cluster.ReadFailure(cluster.FailureText(nil)); err != nil {
		t.Errorf("no error: got %v", err)
	}
	if err := cluster.ReadFailure("{broken"); !fault.Is(err, fault.Internal) {
		t.Errorf("a broken text: got %v", err)
	}
}
