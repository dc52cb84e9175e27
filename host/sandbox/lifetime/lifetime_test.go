package lifetime_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/berth-host/berth/host/sandbox/lifetime"
	"github.com/berth-host/berth/host/spec"
)

// lease is a lease of a test.
type lease struct {
	ctx context.Context
	end context.CancelFunc
}

func newLease() *lease {
	ctx, end := context.WithCancel(spec.WithFence(context.Background(), spec.Fence{Unit: "h", Epoch: 2}))
	return &lease{ctx, end}
}

func (l *lease) Context() context.Context { return l.ctx }
func (l *lease) Fenced()                  { l.end() }

// onlyHost is a lease of the only host.
type onlyHost struct{ lease }

func (onlyHost) Context() context.Context { return nil }

func TestOnlyThePoolEndsOtherLeases(t *testing.T) {
	for name, x := range map[string]any{"a lease without a context": struct{}{}, "one of the only host": onlyHost{}, "none": nil} {
		pool, end := context.WithCancel(t.Context())
		ctx, cancel := lifetime.With(x, pool, time.Hour)
		if lifetime.Ended(x) || lifetime.Done(x) != nil || ctx.Err() != nil {
			t.Errorf("%s: it has ended", name)
		}
		if _, fenced := spec.FenceOf(ctx); fenced {
			t.Errorf("%s: it has a fence", name)
		}
		end()
		if <-ctx.Done(); lifetime.Ended(x) {
			t.Errorf("%s: it has ended", name)
		}
		cancel()
	}
}

func TestContextEndsWithEither(t *testing.T) {
	for name, end := range map[string]func(x *lease, pool context.CancelFunc){
		"the lease": func(x *lease, _ context.CancelFunc) { x.end() },
		"the pool":  func(_ *lease, pool context.CancelFunc) { pool() },
	} {
		x := newLease()
		pool, endPool := context.WithCancel(t.Context())
		ctx, cancel := lifetime.With(x, pool, time.Hour)
		if f, fenced := spec.FenceOf(ctx); !fenced || f.Epoch != 2 || ctx.Err() != nil || lifetime.Ended(x) {
			t.Errorf("%s: got %+v, %v", name, f, ctx.Err())
		}
		end(x, endPool)
		<-ctx.Done()
		if lifetime.Ended(x) != (name == "the lease") {
			t.Errorf("%s: the attempts end: %v", name, lifetime.Ended(x))
		}
		cancel()
		endPool()
		x.end()
	}
}

func TestCallReportsTimeAndFences(t *testing.T) {
	refusal := fmt.Errorf("set k: %w", spec.ErrFenced)
	for _, tt := range []struct {
		name        string
		call        func(context.Context) error
		limit       time.Duration
		late, ended bool
		want        error
	}{
		{"it succeeds", func(context.Context) error { return nil }, time.Hour, false, false, nil},
		{"the time is up", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, 0, true, false, context.DeadlineExceeded},
		{"the store refuses it", func(context.Context) error { return refusal }, time.Hour, false, true, spec.ErrFenced},
	} {
		x := newLease()
		late, err := lifetime.Call(x, t.Context(), tt.limit, tt.call)
		if late != tt.late || !errors.Is(err, tt.want) || lifetime.Ended(x) != tt.ended {
			t.Errorf("%s: got %v, %v; the attempts end: %v", tt.name, late, err, lifetime.Ended(x))
		}
		x.end()
	}
}
