package sandbox_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/sandbox/vet"
	"github.com/berth-host/berth/host/spec"
)

func TestMain(m *testing.M) {
	vet.RunIfChild()
	goleak.VerifyTestMain(m)
}

// testTimeout bounds every wait of these tests; only a hang exceeds it.
const testTimeout = 30 * time.Second

type done struct {
	attempt event.Attempt
	outcome event.Outcome
	result  string
}

// queue is a Source for tests.
type queue struct {
	mu      sync.Mutex
	waiting []event.Attempt
	parked  int
	wake    chan struct{}
	demand  chan struct{}
	taken   chan struct{} // a token for each attempt that an instance took
	dones   chan done
}

func newQueue() *queue {
	return &queue{wake: make(chan struct{}, 1024), demand: make(chan struct{}, 1), taken: make(chan struct{}, 4096), dones: make(chan done, 4096)}
}

func (q *queue) push(attempts ...event.Attempt) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, a := range attempts {
		q.waiting = append(q.waiting, a)
		if q.parked == 0 {
			select {
			case q.demand <- struct{}{}:
			default:
			}
		}
		q.wake <- struct{}{}
	}
}

func (q *queue) TryNext() (event.Attempt, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return event.Attempt{}, false
	}
	a := q.waiting[0]
	q.waiting = q.waiting[1:]
	return a, true
}

func (q *queue) Next(stop, retire <-chan struct{}) (event.Taken, bool) {
	for waited := false; ; waited = true {
		select {
		case <-stop:
			return event.Taken{}, false
		default:
		}
		if a, ok := q.TryNext(); ok {
			q.taken <- struct{}{}
			q.mu.Lock()
			defer q.mu.Unlock()
			return event.Taken{Attempt: a, More: len(q.waiting) > 0, Waited: waited}, true
		}
		q.mu.Lock()
		q.parked++
		q.mu.Unlock()
		retired := false
		select {
		case <-stop:
		case <-q.wake:
		case <-retire:
			retired = true
		}
		q.mu.Lock()
		q.parked--
		q.mu.Unlock()
		if retired {
			return event.Taken{}, false
		}
	}
}

func (q *queue) Done(a event.Attempt, o event.Outcome) {
	d := done{attempt: a, outcome: o, result: string(o.Result)}
	d.outcome.Result = nil
	q.dones <- d
}

func (q *queue) Demand() <-chan struct{} { return q.demand }
func (q *queue) Lease() sandbox.Lease    { return &single{source: q} }

// single is a Lease that buffers nothing.
type single struct {
	source interface {
		Next(stop, retire <-chan struct{}) (event.Taken, bool)
		Done(event.Attempt, event.Outcome)
	}
	a event.Attempt
}

func (s *single) NextBuffered() (event.Taken, bool) { return event.Taken{}, false }
func (s *single) TraceParent() string               { return "" }
func (s *single) Flush()                            {}
func (s *single) Close()                            {}

func (s *single) Next(stop, retire <-chan struct{}) (event.Taken, bool) {
	t, ok := s.source.Next(stop, retire)
	s.a = t.Attempt
	return t, ok
}

func (s *single) Done(o *event.Outcome) { s.source.Done(s.a, *o) }

func (q *queue) await(t testing.TB) done {
	t.Helper()
	select {
	case d := <-q.dones:
		return d
	case <-time.After(testTimeout):
		t.Fatal("no outcome")
		return done{}
	}
}

func guest(t testing.TB, name string) []byte {
	t.Helper()
	wasm, err := os.ReadFile(filepath.Join("..", "..", "testdata", "guests", name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

func attempt(t testing.TB, number int, data string) event.Attempt {
	t.Helper()
	ev, err := event.New(event.Draft{Type: "order_status_changed", Data: json.RawMessage(data), Subject: "o-1"})
	if err != nil {
		t.Fatal(err)
	}
	return event.Attempt{Seq: 1, Event: ev, Number: number}
}

// newEngine returns an Engine that vets in children of this test binary.
func newEngine(t testing.TB, memoryTotal int64) *sandbox.Engine {
	t.Helper()
	vetter, err := vet.New(vet.Config{CacheDir: t.TempDir(), CPU: time.Minute, Wall: 2 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	engine, err := sandbox.New(sandbox.Config{Vetter: vetter, MemoryTotal: memoryTotal, LinesWait: 2 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return engine
}

func load(t testing.TB, wasm []byte) *sandbox.Module {
	t.Helper()
	engine := newEngine(t, 0)
	m, err := engine.Load(t.Context(), spec.NewArtifact(wasm), sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return m
}

func start(t testing.TB, m *sandbox.Module, cfg sandbox.PoolConfig) (*sandbox.Pool, *queue) {
	t.Helper()
	q := newQueue()
	cfg.Source = q
	p, err := m.NewPool(t.Context(), cfg)
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

func TestOutcomes(t *testing.T) {
	tests := []struct {
		guest   string
		number  int
		data    string
		verdict event.Verdict
		class   event.Class
		result  string // when OK
		message string // a part of it
	}{
		{"echo", 1, `{"status":"shipped"}`, event.OK, "", `{"echo":"shipped"}`, ""},
		{"echo", 1, `{"status":"quote \" and é"}`, event.OK, "", `{"echo":"quote \" and é"}`, ""},
		{"echo", 1, `{}`, event.Reject, event.ClassRejected, "", "no /data/status"},
		{"no_finish", 1, `{}`, event.OK, "", "", ""},
		{"retry_once", 1, `{}`, event.Retry, event.ClassRetry, "", ""},
		{"retry_once", 2, `{}`, event.OK, "", "", ""},
		{"reject", 1, `{}`, event.Reject, event.ClassRejected, "", ""},
		{"trap_on_event", 1, `{"trap":true}`, event.Failed, event.ClassTrap, "", "unreachable"},
		{"trap_on_event", 1, `{"trap":false}`, event.OK, "", "", ""},
		{"oob_pointer", 1, `{"call":"log"}`, event.Failed, event.ClassTrap, "", "out of bounds"},
		{"oob_pointer", 1, `{"call":"wrap"}`, event.Failed, event.ClassTrap, "", "out of bounds"},
		{"oob_pointer", 1, `{"call":"edge"}`, event.Failed, event.ClassTrap, "", "out of bounds"},
		{"oob_pointer", 1, `{"call":"result"}`, event.Failed, event.ClassTrap, "", "out of bounds"},
		{"oob_pointer", 1, `{"call":"buffer"}`, event.Failed, event.ClassTrap, "", "out of bounds"},
		{"oob_pointer", 1, `{"call":"empty"}`, event.Failed, event.ClassTrap, "", "out of bounds"},
		{"return_open", 1, `{}`, event.Failed, event.ClassExit, "", "with the event open"},
		{"big_result", 1, `{"bytes":65537}`, event.Failed, event.ClassBadResult, "", "the limit is 65536"},
		{"bad_json", 1, `{}`, event.Failed, event.ClassBadResult, "", "not JSON"},
		{"spin_on_event", 1, `{"spin":true}`, event.Failed, event.ClassTimeout, "", "longer than 200ms"},
		{"config_echo", 1, `{}`, event.OK, "", `{"a":1}`, ""},
		{"start_only", 1, `{"status":"x"}`, event.OK, "", "", ""},
		{"initialize", 1, `{}`, event.OK, "", "", ""},
		{"big_envelope", 1, `{"pad":"` + strings.Repeat("x", 200_000) + `"}`, event.OK, "", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.guest+"/"+string(tt.class), func(t *testing.T) {
			_, q := start(t, load(t, guest(t, tt.guest)), sandbox.PoolConfig{Settings: `{"a":1}`, Limits: spec.Limits{Timeout: 200 * time.Millisecond}})
			q.push(attempt(t, tt.number, tt.data))
			got := q.await(t)
			if got.outcome.Verdict != tt.verdict || got.outcome.Class != tt.class {
				t.Fatalf("got verdict %d, class %q (%s); want %d, %q", got.outcome.Verdict, got.outcome.Class, got.outcome.Message, tt.verdict, tt.class)
			}
			if tt.result != "" && got.result != tt.result {
				t.Errorf("result %s, want %s", got.result, tt.result)
			}
			if !strings.Contains(got.outcome.Message, tt.message) {
				t.Errorf("message %q does not say %q", got.outcome.Message, tt.message)
			}
			// Whatever happened, the next event is served, by a fresh instance if need be.
			q.push(attempt(t, 2, `{"status":"next"}`))
			if next := q.await(t); next.outcome.Class == event.ClassCancelled {
				t.Errorf("the next event was cancelled: %s", next.outcome.Message)
			}
		})
	}
}

func TestGrowsToConcurrencyAndDrains(t *testing.T) {
	const n = 3
	m := load(t, guest(t, "spin_on_event"))
	p, q := start(t, m, sandbox.PoolConfig{Limits: spec.Limits{Concurrency: n, Timeout: time.Second}})
	for range n {
		q.push(attempt(t, 1, `{"spin":true}`))
	}
	for range n {
		if d := q.await(t); d.outcome.Class != event.ClassTimeout {
			t.Errorf("got %q, %s", d.outcome.Class, d.outcome.Message)
		}
	}
	if live := p.Instances(); live > n {
		t.Errorf("%d instances live; concurrency is %d", live, n)
	}
}

func TestDrainCompletesOpenAttemptsOnly(t *testing.T) {
	m := load(t, guest(t, "echo"))
	p, q := start(t, m, sandbox.PoolConfig{Limits: spec.Limits{Concurrency: 2}})
	for range 100 {
		q.push(attempt(t, 1, `{"status":"x"}`))
	}
	if err := p.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p.Instances() != 0 {
		t.Errorf("%d instances after drain", p.Instances())
	}
	left := len(q.waiting)
	if got := len(q.dones); got+left != 100 {
		t.Errorf("%d done and %d waiting: %d lost", got, left, 100-got-left)
	}
	for range len(q.dones) {
		if d := q.await(t); d.outcome.Verdict != event.OK {
			t.Errorf("%+v", d.outcome)
		}
	}
}

func TestDrainCancelsAttemptsThatDoNotEnd(t *testing.T) {
	m := load(t, guest(t, "spin_on_event"))
	q := newQueue()
	p, err := m.NewPool(t.Context(), sandbox.PoolConfig{Source: q, Limits: spec.Limits{Timeout: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	q.push(attempt(t, 1, `{"spin":true}`))
	<-q.taken
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := p.Drain(ctx); !fault.Is(err, fault.Timeout) {
		t.Errorf("got %v", err)
	}
	if d := q.await(t); d.outcome.Class != event.ClassCancelled {
		t.Errorf("got %q, want cancelled", d.outcome.Class)
	}
}

func TestLoadRejectsInvalidModules(t *testing.T) {
	engine := newEngine(t, 0)
	header := "\x00asm\x01\x00\x00\x00"
	tests := []struct{ name, wasm, want string }{
		{"empty", "", "not a WebAssembly module"},
		{"text", "hello, world", "not a WebAssembly module"},
		{"component", "\x00asm\x0d\x00\x01\x00", "core module"},
		{"no exports", header, "exports no memory"},
		{"half", string(guest(t, "echo")[:200]), ""},
		{"unknown import", header + "\x01\x04\x01\x60\x00\x00" + "\x02\x07\x01\x01a\x01b\x00\x00", "imports a.b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := engine.Load(t.Context(), spec.NewArtifact([]byte(tt.wasm)), sandbox.Options{})
			if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an invalid error with %q", err, tt.want)
			}
		})
	}
}
