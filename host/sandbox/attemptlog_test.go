package sandbox_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/spec"
)

// logged is the lines of an outcome as text.
func logged(t *testing.T, o event.Outcome) string {
	t.Helper()
	var list []string
	for _, line := range o.Logs {
		if age := time.Since(line.At); age < 0 || age > time.Hour {
			t.Errorf("%q is of %v", line.Message, line.At)
		}
		list = append(list, line.Level+" "+line.Message)
	}
	return strings.Join(list, "; ")
}

// copying is a Source whose outcomes keep their lines beyond the call.
type copying struct{ *queue }

func (q copying) Done(a event.Attempt, o event.Outcome) {
	o.Logs = append([]spec.GuestLine(nil), o.Logs...)
	q.queue.Done(a, o)
}

func (q copying) Lease() sandbox.Lease { return &single{source: q} }

func startCopying(t *testing.T, guest []byte, policy spec.LogPolicy) (*sandbox.Pool, *queue) {
	t.Helper()
	q := newQueue()
	p, err := load(t, guest).NewPool(t.Context(), sandbox.PoolConfig{Source: copying{q}, Logs: policy, Settings: `{"currency":"EUR"}`,
		Limits: spec.Limits{Concurrency: 1, Timeout: testTimeout}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
		defer cancel()
		if err := p.Drain(ctx); err != nil {
			t.Error(err)
		}
	})
	return p, q
}

// A failed attempt has what the guest logged and wrote during it, and nothing of another
// one; a successful one only if the handler keeps it.
func TestOutcomesHaveLogLines(t *testing.T) {
	const lines = "debug a detail; info a line; info to stderr; warn a warning; info and more"
	p, q := startCopying(t, guest(t, "log_and_end"), spec.LogPolicy{})
	for _, tt := range []struct {
		data, want string
		change     *spec.LogPolicy // before the attempt
		instance   int
	}{
		{`{"end":0}`, "", nil, 1},
		{`{"end":1}`, lines, nil, 1},
		{`{"end":2}`, lines, nil, 1},
		{`{"end":3}`, lines, nil, 1},
		{`{"end":0}`, "", nil, 2},
		{`{"end":0}`, lines, &spec.LogPolicy{Kept: spec.LogsOfAll}, 2},
		{`{"end":4}`, "", nil, 2},
		{`{"end":1}`, "info a line; info to stderr; warn a warning; info and more", &spec.LogPolicy{Level: spec.LevelInfo}, 2},
		{`{"end":2}`, "warn a warning", &spec.LogPolicy{Level: spec.LevelWarn}, 2},
		{`{"end":2}`, "", &spec.LogPolicy{Level: spec.LevelError}, 2},
		{`{"end":0}`, "", &spec.LogPolicy{Kept: spec.LogsOfFailures}, 2},
	} {
		if tt.change != nil {
			p.SetLogs(*tt.change)
		}
		q.push(attempt(t, 1, tt.data))
		o := q.await(t).outcome
		if got := logged(t, o); got != tt.want || o.Instance != tt.instance {
			t.Errorf("%s: instance %d, %s\nwant instance %d, %s", tt.data, o.Instance, got, tt.instance, tt.want)
		}
		if tt.want == "" && o.Logs != nil {
			t.Errorf("%s: %v", tt.data, o.Logs)
		}
	}
}

// A pool counts the memory of its own instances, also in the engine's, and returns it.
func TestPoolCountsItsMemory(t *testing.T) {
	e := newEngine(t, 0)
	var pools []*sandbox.Pool
	for _, name := range []string{"echo", "log_and_end"} {
		m, err := e.Load(t.Context(), spec.NewArtifact(guest(t, name)), sandbox.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = m.Close(context.Background()) })
		p, err := m.NewPool(t.Context(), sandbox.PoolConfig{Source: newQueue(), Limits: spec.Limits{Concurrency: 1}})
		if err != nil {
			t.Fatal(err)
		}
		pools = append(pools, p)
	}
	sum := pools[0].Memory() + pools[1].Memory()
	if min(pools[0].Memory(), pools[1].Memory()) < 64<<10 || sum != e.MemoryUsed() {
		t.Errorf("%d and %d bytes, %d in all", pools[0].Memory(), pools[1].Memory(), e.MemoryUsed())
	}
	for _, p := range pools {
		if err := p.Drain(t.Context()); err != nil || p.Memory() != 0 {
			t.Errorf("%d bytes after the end: %v", p.Memory(), err)
		}
	}
}

// In the stdio style every event has an instance, and stderr has the lines.
func TestStdioOutcomesHaveLogLines(t *testing.T) {
	_, q := startCopying(t, guest(t, "stdio"), spec.LogPolicy{})
	for i, tt := range []struct{ data, want string }{{`{"exit":75}`, "info read the event"}, {`{"exit":0}`, ""}, {`{"exit":3}`, "info read the event"}} {
		q.push(attempt(t, 1, tt.data))
		o := q.await(t).outcome
		if got := logged(t, o); got != tt.want || o.Instance <= i {
			t.Errorf("%s: instance %d, %s, want %s", tt.data, o.Instance, got, tt.want)
		}
	}
}

// A guest of the Extism style logs through its kernel, and its panic is among its lines.
func TestExtismOutcomesHaveLogLines(t *testing.T) {
	_, q := startCopying(t, buildExtismGo(t), spec.LogPolicy{Kept: spec.LogsOfAll})
	for _, tt := range []struct{ data, want string }{
		{`{"order_id":"o-1","status":"shipped"}`, "info an order"},
		{`{"order_id":"o-3","status":"boom"}`, "info panic: boom; info goroutine 1 [running]:"},
	} {
		q.push(attempt(t, 1, tt.data))
		if got := logged(t, q.await(t).outcome); !strings.Contains(got, tt.want) {
			t.Errorf("%s: %s, want %s", tt.data, got, tt.want)
		}
	}
}
