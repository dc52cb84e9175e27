package delivery_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// owners are three hosts that own a handler one after the other, with its model: what the owner
// does counts.
type owners struct {
	*model
	*cluster
	hosts []*ownerHost
	owner int // -1: none
	lease *lease
	moved int // times that an owner was followed by another one
}

// ownerHost is a host with two instances.
type ownerHost struct {
	d         *delivery.Dispatcher
	source    *delivery.Source
	instances []*testInstance
}

// TestOwnershipAgainstAModel moves a handler between hosts at any moment, with notice to its
// owner and without, while events are published, attempts start, and end in any way. What is
// stored after a graceful move is what the owner did, exactly; and no outcome of a former owner is
// ever stored.
func TestOwnershipAgainstAModel(t *testing.T) {
	moved := 0
	rapid.Check(t, func(t *rapid.T) {
		c, stop := newCluster(t)
		defer stop()
		m := &owners{model: newModel(rapid.IntRange(1, 4).Draw(t, "attempts"), spec.BreakerPolicy{}), cluster: c, owner: -1}
		for range 3 {
			m.hosts = append(m.hosts, m.newHost(t))
		}
		defer func() {
			for _, h := range m.hosts {
				h.kill()
			}
		}()
		t.Repeat(map[string]func(*rapid.T){
			"publish": func(t *rapid.T) {
				for range rapid.IntRange(1, 20).Draw(t, "events") {
					m.publish(t, rapid.SampledFrom([]string{"", "", "a", "b", "c"}).Draw(t, "key"))
				}
			},
			"begin":  func(t *rapid.T) { m.begin(t, m.pickHost(t)) },
			"end":    func(t *rapid.T) { m.end(t, m.pickHost(t)) },
			"move":   m.move,
			"seize":  m.seize,
			"crash":  m.crash,
			"cancel": m.cancelAttempts,
			"":       m.check,
		})
		m.finish(t)
		moved += m.moved
	})
	if t.Log(moved, "moves"); moved == 0 {
		t.Error("no handler was moved")
	}
}

func (m *owners) newHost(t *rapid.T) *ownerHost {
	h := &ownerHost{d: m.host(delivery.Config{})}
	retry := spec.RetryPolicy{MaxAttempts: m.maxAttempts, Backoff: time.Nanosecond, MaxBackoff: time.Nanosecond}
	h.source = open(t, h.d, "h", delivery.Policy{Key: bySubject, Retry: retry}).Source
	for range 2 {
		h.instances = append(h.instances, &testInstance{Lease: h.source.Lease()})
	}
	return h
}

// kill ends a host: what it has not written is lost.
func (h *ownerHost) kill() {
	for _, x := range h.instances {
		if x.open != nil {
			x.Done(&event.Outcome{Verdict: event.Failed, Class: event.ClassCancelled})
		}
		x.Close()
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = h.d.Close(ctx)
}

func (m *owners) publish(t *rapid.T, subject string) {
	m.add(subject)
	m.cluster.publish(t, subject)
}

func (m *owners) pickHost(t *rapid.T) *ownerHost {
	return m.hosts[rapid.IntRange(0, len(m.hosts)-1).Draw(t, "host")]
}

func pickInstance(t *rapid.T, h *ownerHost) *testInstance {
	return h.instances[rapid.IntRange(0, len(h.instances)-1).Draw(t, "instance")]
}

func (m *owners) owns(h *ownerHost) bool { return m.owner >= 0 && m.hosts[m.owner] == h }

// begin starts an attempt. That of a host that does not know yet that it is no owner any more
// does not count.
func (m *owners) begin(t *rapid.T, h *ownerHost) {
	x := pickInstance(t, h)
	if x.open != nil {
		return
	}
	a, ok := begin(x.Lease)
	if !ok {
		return
	}
	f, fenced := spec.FenceOf(x.Context())
	if !fenced {
		t.Fatal("the attempt has no fence")
	}
	if m.owns(h) && f == m.lease.fence {
		if wrong := m.taken(a); wrong != "" {
			t.Fatal(wrong)
		}
	} else if f.Epoch == m.cluster.epochs["h"] {
		t.Fatalf("%d started on a host that is not the owner, in its epoch", a.Seq)
	}
	x.open = &a
}

func (m *owners) end(t *rapid.T, h *ownerHost) {
	x := pickInstance(t, h)
	if x.open == nil {
		return
	}
	o := rapid.SampledFrom(outcomes).Draw(t, "outcome")
	m.endWith(h, x, o)
}

func (m *owners) endWith(h *ownerHost, x *testInstance, o event.Outcome) {
	if x.Context().Err() != nil { // as the sandbox does
		o = event.Outcome{Verdict: event.Failed, Class: event.ClassCancelled}
	}
	a := *x.open
	x.open = nil
	if f, _ := spec.FenceOf(x.Context()); m.owns(h) && f == m.lease.fence {
		m.done(a, o)
	}
	x.Done(&o)
}

// endAll ends the open attempts of a host.
func (m *owners) endAll(h *ownerHost, o event.Outcome) {
	for _, x := range h.instances {
		if x.open != nil {
			m.endWith(h, x, o)
		}
		x.Flush()
	}
}

// move gives the handler to another host, or to the same: its attempts end first.
func (m *owners) move(t *rapid.T) {
	if m.owner >= 0 {
		h, o := m.hosts[m.owner], rapid.SampledFrom(outcomes).Draw(t, "outcome")
		given := make(chan error, 1)
		go func() { given <- h.d.Disown(context.Background(), "h") }()
		m.endAll(h, o)
		if err := <-given; err != nil {
			t.Fatal(err)
		}
		if h.source.Condition().State != wire.Standby {
			t.Fatal("it goes on")
		}
		m.compare(t)
	}
	m.acquire(t, rapid.IntRange(-1, len(m.hosts)-1).Draw(t, "to"))
}

// cancelAttempts is move when the attempts do not end in time.
func (m *owners) cancelAttempts(t *rapid.T) {
	if m.owner < 0 {
		return
	}
	h := m.hosts[m.owner]
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	given := make(chan error, 1)
	go func() { given <- h.d.Disown(ctx, "h") }()
	for _, x := range h.instances {
		if x.open != nil {
			<-x.Context().Done()
		}
	}
	m.endAll(h, event.Outcome{Verdict: event.Failed, Class: event.ClassCancelled})
	<-given // the outcomes may not be written
	m.acquire(t, rapid.IntRange(0, len(m.hosts)-1).Draw(t, "to"))
	m.reload(t)
}

// seize gives the handler to another host while its owner does not know.
func (m *owners) seize(t *rapid.T) {
	to := rapid.IntRange(0, len(m.hosts)-1).Draw(t, "to")
	if m.owner < 0 || to == m.owner {
		return
	}
	former := m.lease
	m.lease = m.take("h")
	m.reload(t)
	m.run(t, to)
	if rapid.Bool().Draw(t, "it notices") {
		close(former.done)
	}
}

// crash replaces a host by a new one.
func (m *owners) crash(t *rapid.T) {
	i := rapid.IntRange(0, len(m.hosts)-1).Draw(t, "host")
	m.hosts[i].kill()
	m.hosts[i] = m.newHost(t)
	if m.owner == i {
		m.acquire(t, rapid.IntRange(0, len(m.hosts)-1).Draw(t, "to"))
		m.reload(t)
	}
}

func (m *owners) acquire(t *rapid.T, to int) {
	if m.owner = -1; to >= 0 {
		m.lease = m.take("h")
		m.run(t, to)
	}
}

func (m *owners) run(t *rapid.T, to int) {
	h := m.hosts[to]
	// A host that has not noticed the end of its former tenure has to end its attempts.
	m.owner = -1
	ran := make(chan error, 1)
	go func() { ran <- h.d.Own(context.Background(), "h", m.lease) }()
	for _, x := range h.instances {
		if x.open != nil {
			<-x.Context().Done()
		}
	}
	m.endAll(h, event.Outcome{Verdict: event.Failed, Class: event.ClassCancelled})
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	m.owner = to
	m.moved++
}

// compare checks that the store has what the model has.
func (m *owners) compare(t *rapid.T) {
	for i := range m.subjects {
		seq := uint64(i + 1)
		d := m.cluster.stored(t, "h", seq)
		if status := m.final[seq]; d.Status.Final() != (status != "") || status != "" && d.Status != status || d.Attempts != m.attempts[seq] {
			t.Fatalf("event %d is %q after %d attempts, want %q after %d", seq, d.Status, d.Attempts, status, m.attempts[seq])
		}
	}
}

// reload sets the model to what is stored, which is all that its owner had written. It is a part
// of what the model has.
func (m *owners) reload(t *rapid.T) {
	was, attempts := m.final, m.attempts
	m.final, m.attempts, m.flying = make(map[uint64]event.Status), make(map[uint64]int), make(map[string]uint64)
	m.waiting = make(map[string][]uint64)
	for i := range m.subjects {
		seq := uint64(i + 1)
		d := m.cluster.stored(t, "h", seq)
		if m.attempts[seq] = d.Attempts; d.Attempts > attempts[seq] {
			t.Fatalf("event %d has %d attempts stored; the owners made %d", seq, d.Attempts, attempts[seq])
		}
		if !d.Status.Final() {
			m.waiting[m.key(seq)] = append(m.waiting[m.key(seq)], seq)
			continue
		}
		if m.final[seq] = d.Status; d.Status != was[seq] {
			t.Fatalf("event %d is stored as %s; it is %q", seq, d.Status, was[seq])
		}
	}
}

func (m *owners) check(t *rapid.T) {
	if wrong := m.fault(); wrong != "" {
		t.Fatal(wrong)
	}
}

// finish has one host complete everything.
func (m *owners) finish(t *rapid.T) {
	if m.owner < 0 {
		m.acquire(t, 0)
	}
	h := m.hosts[m.owner]
	m.endAll(h, event.Outcome{})
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	x := h.instances[0]
	h.instances[1].Close()
	h.instances = h.instances[:1]
	for len(m.final) < len(m.subjects) {
		taken, ok := x.NextBuffered()
		if !ok {
			taken, ok = x.Next(ctx.Done(), nil)
		}
		if !ok {
			t.Fatalf("%d of %d are final, and no attempt is ready: %s", len(m.final), len(m.subjects), fmt.Sprint(h.source.Stats()))
		}
		if wrong := m.taken(taken.Attempt); wrong != "" {
			t.Fatal(wrong)
		}
		m.done(taken.Attempt, event.Outcome{})
		x.Done(&event.Outcome{})
	}
	x.Flush()
	if err := h.d.Disown(ctx, "h"); err != nil {
		t.Fatal(err)
	}
	m.compare(t)
	m.check(t)
	for _, other := range m.hosts {
		for _, x := range other.instances {
			if x.open == nil {
				if a, ok := begin(x.Lease); ok && m.fence(x).Epoch == m.epochs["h"] {
					t.Fatalf("%d started after all were final", a.Seq)
				} else if ok {
					x.open = &a
				}
			}
		}
	}
}

func (m *owners) fence(x *testInstance) spec.Fence {
	f, _ := spec.FenceOf(x.Context())
	return f
}
