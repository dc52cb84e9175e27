package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/store"
)

// provisionalKV returns values that are not durable until the test says so.
type provisionalKV struct {
	kv
	asked  chan struct{} // gets a token when a call waits for such a value
	result chan error    // of its write
	mu     *sync.Mutex
	newest *int // calls of Newest
}

func newProvisionalKV(t testing.TB) provisionalKV {
	return provisionalKV{newKV(t, 0), make(chan struct{}, 16), make(chan error, 16), new(sync.Mutex), new(int)}
}

func (k provisionalKV) Newest(key string) (value []byte, found, ok bool, stored func(context.Context) error) {
	k.mu.Lock()
	*k.newest++
	k.mu.Unlock()
	value, found, ok = k.Cached(key)
	return value, found, ok, func(ctx context.Context) error {
		k.asked <- struct{}{}
		select {
		case err := <-k.result:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (k provisionalKV) asks() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return *k.newest
}

var (
	callGet = []any{"text", "len", "buf", "cap"}
	callCAS = []any{"text", "len", 0, -1, "text", "len"}
)

// swapAndRead starts a guest whose first attempt swaps a key, and whose second reads it
// and has a value that is not durable.
func swapAndRead(t *testing.T, k provisionalKV, limits spec.Limits) (*sandbox.Pool, *queue) {
	t.Helper()
	limits.Concurrency = 1
	q := newQueue()
	p, err := load(t, guest(t, "any_call")).NewPool(t.Context(), sandbox.PoolConfig{Source: q, Capabilities: sandbox.Capabilities{KV: k}, Limits: limits})
	if err != nil {
		t.Fatal(err)
	}
	q.push(call(t, "kv_cas", "k", callCAS...))
	if got := answerOf(t, q.await(t)); got.Code != 0 {
		t.Fatalf("the swap: %+v", got)
	}
	q.push(call(t, "kv_get", "k", callGet...))
	<-k.asked
	return p, q
}

// TestOutcomeWaitsForReadValue: an attempt that read a value which is not durable is
// completed when that is, and retried, by another instance, when it never will be.
func TestOutcomeWaitsForReadValue(t *testing.T) {
	t.Run("stored", func(t *testing.T) {
		k := newProvisionalKV(t)
		p, q := swapAndRead(t, k, spec.Limits{})
		if len(q.dones) != 0 {
			t.Error("the outcome was reported before the value was durable")
		}
		k.result <- nil
		if got := answerOf(t, q.await(t)); got.Code != 1 || got.Yielded != "k" {
			t.Errorf("got %+v", got)
		}
		drain(t, p)
	})
	t.Run("not stored", func(t *testing.T) {
		k := newProvisionalKV(t)
		p, q := swapAndRead(t, k, spec.Limits{})
		k.result <- errors.New("the disk is full")
		if d := q.await(t); d.outcome.Verdict != event.Retry || d.outcome.Class != event.ClassRetry || len(d.outcome.Children) != 0 {
			t.Errorf("got %+v, want a retry", d.outcome)
		}
		q.push(call(t, "kv_get", "k", callGet...)) // the former instance would have it retried too
		if got := answerOf(t, q.await(t)); got.Code != 1 {
			t.Errorf("the next event: got %+v", got)
		}
		drain(t, p)
	})
	t.Run("too late", func(t *testing.T) {
		k := newProvisionalKV(t)
		p, q := swapAndRead(t, k, spec.Limits{Timeout: 200 * time.Millisecond})
		if d := q.await(t); d.outcome.Verdict != event.Failed || d.outcome.Class != event.ClassTimeout {
			t.Errorf("got %+v, want a timeout", d.outcome)
		}
		drain(t, p)
	})
	t.Run("stopped", func(t *testing.T) {
		k := newProvisionalKV(t)
		p, q := swapAndRead(t, k, spec.Limits{Timeout: time.Hour})
		now, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.Drain(now); err == nil {
			t.Error("Drain stopped an event and does not say so")
		}
		if d := q.await(t); d.outcome.Class != event.ClassCancelled {
			t.Errorf("got %+v, want it cancelled", d.outcome)
		}
	})
}

func drain(t *testing.T, p *sandbox.Pool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	if err := p.Drain(ctx); err != nil {
		t.Error(err)
	}
}

// TestOnlySwappingInstanceReadsProvisionally: an instance reads values that are not durable
// during an attempt that has swapped, and during the one after it.
func TestOnlySwappingInstanceReadsProvisionally(t *testing.T) {
	k := newProvisionalKV(t)
	close(k.result) // every value is durable
	_, q := start(t, load(t, guest(t, "any_call")), sandbox.PoolConfig{Capabilities: sandbox.Capabilities{KV: k}, Limits: spec.Limits{Concurrency: 1}})
	for i, step := range []struct {
		call string
		args []any
		want int // calls of Newest so far
	}{
		{"kv_get", callGet, 0}, {"kv_set", []any{"text", "len", "text", "len"}, 0}, {"kv_get", callGet, 0},
		{"kv_cas", callCAS, 0}, {"kv_get", callGet, 1}, {"kv_get", callGet, 1}, {"kv_delete", []any{"text", "len"}, 1},
		{"kv_cas", callCAS, 1}, {"kv_cas", callCAS, 1}, {"kv_get", callGet, 2},
	} {
		q.push(call(t, step.call, "k", step.args...))
		if got := answerOf(t, q.await(t)); got.Code < 0 && got.Code != abi.Conflict && got.Code != abi.NotFound {
			t.Errorf("step %d: got %+v", i, got)
		}
		if got := k.asks(); got != step.want {
			t.Errorf("step %d, %s: Newest was called %d times, want %d", i, step.call, got, step.want)
		}
	}
}

// TestOneKeyInStore counts with one key in many instances on the engine sqlite: each event
// has a number of its own, and none is missing.
func TestOneKeyInStore(t *testing.T) {
	s, err := store.Open(t.Context(), store.Config{Window: bus.NewWindow(bus.WindowConfig{}), Path: filepath.Join(t.TempDir(), "berth.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	const events = 600
	_, q := start(t, load(t, guest(t, "kv_counter")), sandbox.PoolConfig{Capabilities: sandbox.Capabilities{KV: storeKV{Engine: s}}, Limits: spec.Limits{Concurrency: 16}})
	for range events {
		q.push(attempt(t, 1, `{}`))
	}
	seen := make(map[string]bool)
	for range events {
		seen[q.await(t).result] = true
	}
	for n := 1; n <= events; n++ {
		if !seen[fmt.Sprintf(`{"count":%d}`, n)] {
			t.Errorf("no event has number %d", n)
		}
	}
	if value, _, err := s.KVGet(t.Context(), "p", "count"); string(value) != fmt.Sprint(events) || err != nil {
		t.Errorf("the store has %q, %v, want %d", value, err, events)
	}
}

// storeKV is the state of one plugin in an engine.
type storeKV struct {
	bus.Engine
	unlisted
}

func (k storeKV) Cached(key string) (value []byte, found, ok bool) { return k.KVCached("p", key) }
func (k storeKV) Newest(key string) (value []byte, found, ok bool, stored func(context.Context) error) {
	return k.KVNewest("p", key)
}
func (k storeKV) Get(ctx context.Context, key string) ([]byte, bool, error) {
	return k.KVGet(ctx, "p", key)
}
func (k storeKV) Set(ctx context.Context, key string, value []byte) error {
	return k.KVSet(ctx, "p", key, value)
}
func (k storeKV) CompareAndSet(ctx context.Context, key string, old, value []byte) error {
	return k.KVCAS(ctx, "p", key, old, value)
}
func (k storeKV) Delete(ctx context.Context, key string) error { return k.KVDelete(ctx, "p", key) }

// TestFailedAttemptEndsInstanceThatReadProvisionally: an attempt that the host fails does not
// wait for the values that it has read, but its instance, which may have kept one, gets no
// other event.
func TestFailedAttemptEndsInstanceThatReadProvisionally(t *testing.T) {
	k := newProvisionalKV(t)
	_, q := start(t, load(t, guest(t, "any_call")), sandbox.PoolConfig{Capabilities: sandbox.Capabilities{KV: k}, Limits: spec.Limits{Concurrency: 1}})
	q.push(call(t, "kv_cas", "k", callCAS...))
	if got := answerOf(t, q.await(t)); got.Code != 0 {
		t.Fatalf("the swap: %+v", got)
	}
	if err := k.Set(t.Context(), "k", []byte{0xff}); err != nil { // the guest answers with it, which is not JSON
		t.Fatal(err)
	}
	q.push(call(t, "kv_get", "k", callGet...))
	q.push(call(t, "kv_set", "kept", "text", "len", "buf", 1))
	if d := q.await(t); d.outcome.Verdict != event.Failed || d.outcome.Class != event.ClassBadResult || k.asks() != 1 {
		t.Fatalf("got %+v after %d values that are not durable", d.outcome, k.asks())
	}
	if got := answerOf(t, q.await(t)); got.Code != 0 {
		t.Fatalf("the next event: got %+v", got)
	}
	if value, _, err := k.Get(t.Context(), "kept"); err != nil || len(value) != 1 || value[0] != 0 {
		t.Errorf("the guest has kept %x, %v", value, err)
	}
}
