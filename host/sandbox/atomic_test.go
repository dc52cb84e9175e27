package sandbox_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"

	"context"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/spec"
)

// steps is an event for the guest atomic_steps.
func steps(t testing.TB, end string, list ...string) event.Attempt {
	t.Helper()
	data, err := json.Marshal(map[string]any{"steps": list, "end": end})
	if err != nil {
		t.Fatal(err)
	}
	return attempt(t, 1, string(data))
}

// commit applies effects as an engine does.
func (k *mapKV) commit(e *event.Effects) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, w := range e.Writes {
		_, found := k.values[w.Key]
		switch w.Kind {
		case event.EffectSet:
			k.values[w.Key], k.until[w.Key] = string(w.Value), w.Until
		case event.EffectSwap:
			k.values[w.Key] = string(w.Value)
		case event.EffectDelete:
			delete(k.values, w.Key)
			delete(k.until, w.Key)
		case event.EffectExpire:
			if found {
				k.until[w.Key] = w.Until
			}
		}
		if k.until[w.Key].IsZero() {
			delete(k.until, w.Key)
		}
	}
}

// TestAtomicAndDirectAreAlike: one delivery gets the same answers with state direct and
// atomic, and the same state after its commit; until then the store is as before.
func TestAtomicAndDirectAreAlike(t *testing.T) {
	m := load(t, guest(t, "atomic_steps"))
	for _, list := range [][]string{
		{"gk", "sk1", "gk", "sk22", "gk"},
		{"gp", "sp1", "dp", "gp", "dp"},
		{"ap1", "ak1", "ak2", "gk", "gp"},
		{"cp2", "gp", "ck2", "gk", "cq3"},
		{"xp", "cp7", "gp", "xk", "sk1", "xk", "l."},
		{"l.", "sa", "dp", "sz", "l.", "gz"},
		{"xp", "sp3", "xq", "dq", "xq", "l."},
	} {
		t.Run(strings.Join(list, " "), func(t *testing.T) {
			results := map[spec.StateMode]string{}
			states := map[spec.StateMode]*mapKV{}
			for _, mode := range []spec.StateMode{spec.StateDirect, spec.StateAtomic} {
				k := newMapKV(1 << 20)
				k.values["p"], k.values["q"] = "present", "also"
				before := maps.Clone(k.values)
				p, q := start(t, m, sandbox.PoolConfig{Name: "p", State: mode, Capabilities: sandbox.Capabilities{KV: k}})
				q.push(steps(t, "", list...))
				d := q.await(t)
				if e := d.outcome.Effects; (e != nil) != (mode == spec.StateAtomic) {
					t.Fatalf("%s: effects %+v", mode, e)
				} else if e != nil {
					if !maps.Equal(before, k.values) || k.writes != 0 {
						t.Errorf("the store has %v before the commit", k.values)
					}
					if memory := p.Memory(); e.Plugin != "p" || e.Release == nil {
						t.Errorf("%d bytes, %+v", memory, e)
					}
					used := p.Memory()
					e.Release()
					if freed := used - p.Memory(); freed <= 0 {
						t.Errorf("the release of the effects frees %d bytes", freed)
					}
					k.commit(e)
				}
				results[mode], states[mode] = d.result, k
			}
			if results[spec.StateDirect] != results[spec.StateAtomic] {
				t.Errorf("direct %s, atomic %s", results[spec.StateDirect], results[spec.StateAtomic])
			}
			direct, atomic := states[spec.StateDirect], states[spec.StateAtomic]
			if !maps.Equal(direct.values, atomic.values) || len(direct.until) != len(atomic.until) {
				t.Errorf("direct %v %v, atomic %v %v", direct.values, direct.until, atomic.values, atomic.until)
			}
		})
	}
}

// TestAtomicWritesAreDroppedUnlessOK: a retry and a reject leave nothing, and the next event
// begins without what the one before has read and written.
func TestAtomicWritesAreDroppedUnlessOK(t *testing.T) {
	k := newMapKV(1 << 20)
	p, q := start(t, load(t, guest(t, "atomic_steps")), sandbox.PoolConfig{State: spec.StateAtomic, Capabilities: sandbox.Capabilities{KV: k}, Limits: spec.Limits{Concurrency: 1}})
	q.push(steps(t, "", "gk"))
	q.await(t).outcome.Effects.Release()
	idle := p.Memory()
	for _, end := range []string{"retry", "reject"} {
		q.push(steps(t, end, "gk", "sk1", "gk"))
		if d := q.await(t); d.outcome.Effects != nil || d.outcome.Verdict == event.OK {
			t.Errorf("%s: got %+v", end, d.outcome)
		}
	}
	if used := p.Memory(); used != idle {
		t.Errorf("%d bytes are kept", used-idle)
	}
	q.push(steps(t, "", "gk"))
	if d := q.await(t); d.result != "[-4]" || len(d.outcome.Effects.Reads) != 1 || len(d.outcome.Effects.Writes) != 0 || k.writes != 0 {
		t.Errorf("got %s, %+v", d.result, d.outcome.Effects)
	}
}

// uncommitted is a queue whose leases know of pending writes.
type uncommitted struct {
	*queue
	writes []event.EffectWrite // ascending
}

type uncommittedLease struct {
	single
	of *uncommitted
}

func (q *uncommitted) Lease() sandbox.Lease { return &uncommittedLease{single{source: q.queue}, q} }

func (l *uncommittedLease) Pending(key string) (event.EffectWrite, bool) {
	for _, w := range l.of.writes {
		if w.Key == key {
			return w, true
		}
	}
	return event.EffectWrite{}, false
}

func (l *uncommittedLease) PendingKeys(prefix, after string, limit int) (list []event.EffectWrite) {
	for _, w := range l.of.writes {
		if strings.HasPrefix(w.Key, prefix) && w.Key > after && len(list) < limit {
			list = append(list, w)
		}
	}
	return list
}

// TestAtomicReadsSeeFinishedDeliveries: what they do to keys is above the store and below the
// event's own writes.
func TestAtomicReadsSeeFinishedDeliveries(t *testing.T) {
	k := newMapKV(1 << 20)
	k.values["d"], k.values["s"] = "stored", "stored"
	q := &uncommitted{newQueue(), []event.EffectWrite{
		{Kind: event.EffectDelete, Key: "d"}, {Kind: event.EffectSet, Key: "n", Value: []byte("new")}, {Kind: event.EffectSwap, Key: "s", Value: []byte("swapped")},
	}}
	p, err := load(t, guest(t, "atomic_steps")).NewPool(t.Context(), sandbox.PoolConfig{Source: q, State: spec.StateAtomic, Capabilities: sandbox.Capabilities{KV: k}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Drain(context.Background()); err != nil {
			t.Error(err)
		}
	})
	q.push(steps(t, "", "gd", "gn", "gs", "sn1", "gn", "cs2", "gs"))
	if d := q.await(t); d.result != `[-4,"new","swapped",0,"1",0,"2"]` {
		t.Errorf("got %s", d.result)
	}
	q.push(steps(t, "", "l."))
	if d := q.await(t); d.result != `["\u0001\u0000\u0000\u0000n\u0001\u0000\u0000\u0000s"]` {
		t.Errorf("got %s", d.result)
	}
}

// TestAtomicQuota: a write over the plugin's quota is TOO_LARGE at once.
func TestAtomicQuota(t *testing.T) {
	k := newMapKV(2*spec.KVEntry + 10)
	_, q := start(t, load(t, guest(t, "atomic_steps")), sandbox.PoolConfig{State: spec.StateAtomic, Capabilities: sandbox.Capabilities{KV: k}})
	q.push(steps(t, "", "sa1", "sb123456789", "sb1", "sc", "da", "sc"))
	if d := q.await(t); d.result != "[0,-5,0,-5,0,0]" {
		t.Errorf("got %s", d.result)
	}
}

// keys is an HTTP that collects the idempotency keys of its requests.
type keys struct {
	mu   sync.Mutex
	list []string
}

func (k *keys) Send(ctx context.Context, _ []byte) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.list = append(k.list, event.IdempotencyKeyOf(ctx))
	return fmt.Sprintf(`{"status":%d,"headers":{}}`, http.StatusOK), nil
}

// TestRequestsOfAtomicHandlersHaveKeys: they are the same when the event is delivered again,
// and others for another event; those of direct handlers have none.
func TestRequestsOfAtomicHandlersHaveKeys(t *testing.T) {
	m := load(t, guest(t, "http_fetch"))
	sent := &keys{}
	cfg := sandbox.PoolConfig{Name: "p", State: spec.StateAtomic, Capabilities: sandbox.Capabilities{HTTP: sent}, Limits: spec.Limits{Concurrency: 1}}
	_, q := start(t, m, cfg)
	first, second := attempt(t, 1, `{"request":{}}`), attempt(t, 1, `{"request":{}}`)
	for _, a := range []event.Attempt{first, first, second} {
		q.push(a)
		q.await(t)
	}
	if l := sent.list; len(l) != 3 || l[0] != event.RequestKey("p", first.Event.ID(), 1) || l[0] != l[1] || l[0] == l[2] || l[2] == "" {
		t.Errorf("got %q", l)
	}
	sent.list, cfg.State = nil, spec.StateDirect
	_, q = start(t, m, cfg)
	q.push(first)
	if q.await(t); len(sent.list) != 1 || sent.list[0] != "" {
		t.Errorf("a direct handler: got %q", sent.list)
	}
}
