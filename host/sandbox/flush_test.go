package sandbox_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/spec"
)

// flushSignals is a queue whose leases signal a Flush with an attempt open.
type flushSignals struct {
	*queue
	flushed chan struct{}
}

type signallingLease struct {
	single
	open    atomic.Bool
	flushed chan struct{}
}

func (r flushSignals) Lease() sandbox.Lease {
	return &signallingLease{single: single{source: r.queue}, flushed: r.flushed}
}

func (l *signallingLease) Next(stop, retire <-chan struct{}) (event.Taken, bool) {
	taken, ok := l.single.Next(stop, retire)
	l.open.Store(ok)
	return taken, ok
}

func (l *signallingLease) Done(o *event.Outcome) {
	l.open.Store(false)
	l.single.Done(o)
}

func (l *signallingLease) Flush() {
	if !l.open.Load() {
		return
	}
	select {
	case l.flushed <- struct{}{}:
	default:
	}
}

// TestLongAttemptFlushesLease: an instance flushes its lease when its attempt takes long,
// and before a host call that can wait.
func TestLongAttemptFlushesLease(t *testing.T) {
	for _, name := range []string{"spin_on_event", "log_lines", "kv_counter"} {
		t.Run(name, func(t *testing.T) {
			m := load(t, guest(t, name))
			r := flushSignals{newQueue(), make(chan struct{}, 1)}
			p, err := m.NewPool(t.Context(), sandbox.PoolConfig{Source: r, Limits: spec.Limits{Concurrency: 1, Timeout: time.Hour},
				Capabilities: sandbox.Capabilities{KV: brokenKV{waits: make(chan struct{}, 1)}}})
			if err != nil {
				t.Fatal(err)
			}
			r.push(attempt(t, 1, `{"status":"shipped","spin":true}`))
			select {
			case <-r.flushed:
			case <-time.After(testTimeout):
				t.Error("the lease was never flushed")
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // stops the guest that spins
			_ = p.Drain(ctx)
		})
	}
}
