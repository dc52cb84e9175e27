package sandbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/spec"
)

// answered is the result of the guest any_call.
type answered struct {
	Code    abi.Code `json:"code"`
	Error   string   `json:"error"`
	Yielded string   `json:"yielded"`
}

// call is an event for the guest any_call.
func call(t testing.TB, name, text string, args ...any) event.Attempt {
	t.Helper()
	data, err := json.Marshal(map[string]any{"call": name, "text": text, "args": args})
	if err != nil {
		t.Fatal(err)
	}
	return attempt(t, 1, string(data))
}

func answerOf(t testing.TB, d done) answered {
	t.Helper()
	var a answered
	if d.outcome.Verdict != event.OK {
		t.Fatalf("got verdict %d: %s %s", d.outcome.Verdict, d.outcome.Class, d.outcome.Message)
	}
	if err := json.Unmarshal([]byte(d.result), &a); err != nil {
		t.Fatal(err)
	}
	return a
}

// capable grants all capabilities.
func capable(t testing.TB) sandbox.Capabilities {
	return sandbox.Capabilities{KV: newKV(t, 0), Emit: func(string) bool { return true }, HTTP: answering{}, Secrets: secrets{}}
}

// TestCapabilitiesCheckPointers: every function that needs a capability traps for every
// pointer that is not inside the memory, granted or not.
func TestCapabilitiesCheckPointers(t *testing.T) {
	m := load(t, guest(t, "any_call"))
	const end = 1 << 30 // beyond the memory
	for _, granted := range []bool{false, true} {
		cfg := sandbox.PoolConfig{}
		if granted {
			cfg.Capabilities = capable(t)
		}
		_, q := start(t, m, cfg)
		for _, f := range abi.Functions() {
			if f.Capability == "" {
				continue
			}
			for pair := 0; pair+1 < f.Params; pair += 2 {
				for name, bad := range map[string][2]any{
					"beyond": {end, 1}, "empty beyond": {end, 0}, "across the end": {"text", end}, "wrapping": {"text", -2},
				} {
					args := []any{"text", "len", "text", "len", "text", "len"}[:f.Params]
					args[pair], args[pair+1] = bad[0], bad[1]
					q.push(call(t, f.Name, "k", args...))
					if d := q.await(t); d.outcome.Class != event.ClassTrap {
						t.Errorf("%s, granted %v, pair %d %s: got %+v %s, want a trap", f.Name, granted, pair, name, d.outcome, d.result)
					}
				}
			}
		}
	}
}

func TestCapabilitiesAreDenied(t *testing.T) {
	_, q := start(t, load(t, guest(t, "any_call")), sandbox.PoolConfig{})
	for _, f := range abi.Functions() {
		if f.Capability == "" {
			continue
		}
		q.push(call(t, f.Name, "k", "text", "len", "buf", "cap", "text", "len"))
		want := answered{Code: abi.Denied, Error: fmt.Sprintf("the capability %s is not granted to this plugin", f.Capability)}
		if got := answerOf(t, q.await(t)); got != want {
			t.Errorf("%s: got %+v, want %+v", f.Name, got, want)
		}
	}
	q.push(call(t, abi.FuncKVCAS, "k", "text", "len", 1<<30, -1, "text", "len"))
	if got := answerOf(t, q.await(t)); got.Code != abi.Denied {
		t.Errorf("kv_cas without an old value: got %+v", got)
	}
}

// kv is the memory engine's state of one plugin.
type kv struct {
	*bus.Memory
	unlisted
}

// unlisted is the part of a sandbox.KV that fails.
type unlisted struct{}

func (unlisted) List(context.Context, string, string, int) ([]string, error) {
	return nil, fault.New(fault.Unavailable, "it is not listed")
}

func (unlisted) Expire(context.Context, string, time.Time) error {
	return fault.New(fault.Unavailable, "it does not expire")
}

func (unlisted) Usage(context.Context) (used, quota int64, err error) {
	return 0, 0, fault.New(fault.Unavailable, "it is not measured")
}

func newKV(t testing.TB, quota int64) kv {
	m := bus.NewMemory(bus.MemoryConfig{KVBytes: quota})
	t.Cleanup(func() { m.Close() })
	return kv{Memory: m}
}

func (k kv) Get(ctx context.Context, key string) ([]byte, bool, error) { return k.KVGet(ctx, "p", key) }
func (k kv) Cached(key string) (value []byte, found, ok bool)          { return k.KVCached("p", key) }
func (k kv) Newest(key string) (value []byte, found, ok bool, stored func(context.Context) error) {
	return k.KVNewest("p", key)
}
func (k kv) Set(ctx context.Context, key string, value []byte) error {
	return k.KVSet(ctx, "p", key, value)
}
func (k kv) CompareAndSet(ctx context.Context, key string, old, value []byte) error {
	return k.KVCAS(ctx, "p", key, old, value)
}
func (k kv) Delete(ctx context.Context, key string) error { return k.KVDelete(ctx, "p", key) }

func TestKV(t *testing.T) {
	_, q := start(t, load(t, guest(t, "any_call")), sandbox.PoolConfig{Capabilities: sandbox.Capabilities{KV: newKV(t, 2<<20)}})
	for _, tt := range []struct {
		name string
		call string
		text string
		args []any
		want answered // Error is not compared
	}{
		{"get none", "kv_get", "a", []any{"text", "len", "buf", "cap"}, answered{Code: abi.NotFound}},
		{"set", "kv_set", "a", []any{"text", "len", "text", "len"}, answered{}},
		{"get", "kv_get", "a", []any{"text", "len", "buf", "cap"}, answered{Code: 1, Yielded: "a"}},
		{"cas absent, there is one", "kv_cas", "a", []any{"text", "len", 0, -1, "text", "len"}, answered{Code: abi.Conflict}},
		{"cas another", "kv_cas", "a", []any{"text", "len", "text", 0, "text", "len"}, answered{Code: abi.Conflict}},
		{"cas", "kv_cas", "a", []any{"text", "len", "text", "len", "text", 0}, answered{}},
		{"get empty", "kv_get", "a", []any{"text", "len", "buf", "cap"}, answered{Code: 0}},
		{"cas of the empty value", "kv_cas", "a", []any{"text", "len", "text", 0, "text", "len"}, answered{}},
		{"delete", "kv_delete", "a", []any{"text", "len"}, answered{}},
		{"delete again", "kv_delete", "a", []any{"text", "len"}, answered{}},
		{"cas absent", "kv_cas", "a", []any{"text", "len", 1 << 30, -1, "text", "len"}, answered{}},
		{"get after all", "kv_get", "a", []any{"text", "len", "buf", "cap"}, answered{Code: 1, Yielded: "a"}},
		{"empty key get", "kv_get", "", []any{"text", "len", "buf", "cap"}, answered{Code: abi.Invalid}},
		{"empty key set", "kv_set", "", []any{"text", "len", "text", 1}, answered{Code: abi.Invalid}},
		{"empty key cas", "kv_cas", "", []any{"text", "len", "text", 0, "text", 0}, answered{Code: abi.Invalid}},
		{"empty key delete", "kv_delete", "", []any{"text", "len"}, answered{Code: abi.Invalid}},
		{"longest key", "kv_set", "", []any{"text", 256, "text", 1}, answered{}},
		{"long key get", "kv_get", "", []any{"text", 257, "buf", "cap"}, answered{Code: abi.TooLarge}},
		{"long key set", "kv_set", "", []any{"text", 257, "text", 1}, answered{Code: abi.TooLarge}},
		{"long key cas", "kv_cas", "", []any{"text", 257, 0, -1, "text", 1}, answered{Code: abi.TooLarge}},
		{"long key delete", "kv_delete", "", []any{"text", 257}, answered{Code: abi.TooLarge}},
	} {
		q.push(call(t, tt.call, tt.text, tt.args...))
		got := answerOf(t, q.await(t))
		if got.Code < 0 && got.Error == "" {
			t.Errorf("%s: a failure without a text", tt.name)
		}
		if got.Error = ""; got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func TestKVLimits(t *testing.T) {
	_, q := start(t, load(t, guest(t, "kv_set")), sandbox.PoolConfig{Capabilities: sandbox.Capabilities{KV: newKV(t, 3<<20)}})
	for _, tt := range []struct {
		key, value int
		want       abi.Code
	}{
		{256, 0, 0}, {257, 1, abi.TooLarge}, {0, 1, abi.Invalid}, {1, 1 << 20, 0}, {1, 1<<20 + 1, abi.TooLarge},
		{2, 1 << 20, 0}, {3, 1 << 20, abi.TooLarge}, // over the plugin's quota
		{3, 1000, 0},
	} {
		q.push(attempt(t, 1, fmt.Sprintf(`{"key_bytes":%d,"bytes":%d}`, tt.key, tt.value)))
		if got := answerOf(t, q.await(t)); got.Code != tt.want {
			t.Errorf("a key of %d bytes, a value of %d: got %v (%s), want %v", tt.key, tt.value, got.Code, got.Error, tt.want)
		}
	}
}

// TestKVCounts counts with compare and swap in several instances at once.
func TestKVCounts(t *testing.T) {
	const events = 40
	_, q := start(t, load(t, guest(t, "kv_counter")), sandbox.PoolConfig{Capabilities: sandbox.Capabilities{KV: newKV(t, 0)}, Limits: spec.Limits{Isolation: spec.IsolationEvent}})
	for range events {
		q.push(attempt(t, 1, `{}`))
	}
	seen := make(map[string]bool)
	for range events {
		seen[q.await(t).result] = true
	}
	if len(seen) != events || !seen[fmt.Sprintf(`{"count":%d}`, events)] {
		t.Errorf("got %d different counts: %v", len(seen), seen)
	}
}

// brokenKV fails, or waits for the end of its context.
type brokenKV struct {
	kv
	err   error
	waits chan struct{} // gets a token when a call waits
}

func (brokenKV) Cached(string) (value []byte, found, ok bool) { return nil, false, false }

func (brokenKV) Newest(string) (value []byte, found, ok bool, stored func(context.Context) error) {
	return nil, false, false, nil
}

func (k brokenKV) Get(ctx context.Context, _ string) ([]byte, bool, error) {
	if k.err != nil {
		return nil, false, k.err
	}
	k.waits <- struct{}{}
	<-ctx.Done()
	return nil, false, ctx.Err()
}

func TestKVFailures(t *testing.T) {
	get := []any{"text", "len", "buf", "cap"}
	for _, tt := range []struct {
		err  error
		want abi.Code
	}{
		{fault.New(fault.Unavailable, "/var/lib/x is locked"), abi.Unavailable},
		{fault.New(fault.Exhausted, "the disk is full"), abi.Unavailable},
		{fault.New(fault.Internal, "damaged"), abi.Unavailable},
		{fmt.Errorf("no code"), abi.Unavailable},
		{fault.New(fault.Timeout, "late"), abi.Timeout},
	} {
		_, q := start(t, load(t, guest(t, "any_call")), sandbox.PoolConfig{Capabilities: sandbox.Capabilities{KV: brokenKV{err: tt.err}}})
		q.push(call(t, "kv_get", "k", get...))
		got := answerOf(t, q.await(t))
		if got.Code != tt.want {
			t.Errorf("%v: got %v, want %v", tt.err, got.Code, tt.want)
		}
		if got.Code == abi.Unavailable && got.Error != "the plugin's state failed; trying again may help" {
			t.Errorf("%v: the guest gets %q", tt.err, got.Error)
		}
	}
}

func TestOutsideCallsEnd(t *testing.T) {
	m := load(t, guest(t, "any_call"))
	t.Run("with the event's time", func(t *testing.T) {
		waits := make(chan struct{}, 1)
		_, q := start(t, m, sandbox.PoolConfig{Capabilities: sandbox.Capabilities{KV: brokenKV{waits: waits}}, Limits: spec.Limits{Timeout: 50 * time.Millisecond}})
		q.push(call(t, "kv_get", "k", "text", "len", "buf", "cap"))
		if got := answerOf(t, q.await(t)); got.Code != abi.Timeout {
			t.Errorf("got %+v, want TIMEOUT", got)
		}
	})
	t.Run("with the pool", func(t *testing.T) {
		waits := make(chan struct{}, 1)
		q := newQueue()
		p, err := m.NewPool(t.Context(), sandbox.PoolConfig{Source: q, Capabilities: sandbox.Capabilities{KV: brokenKV{waits: waits}}, Limits: spec.Limits{Timeout: time.Hour}})
		if err != nil {
			t.Fatal(err)
		}
		q.push(call(t, "kv_get", "k", "text", "len", "buf", "cap"))
		<-waits
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
