package joint_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/delivery/joint"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// model is the expected state of a plugin with shards on two hosts.
type model struct {
	*cluster
	hosts       []*host
	shards      int
	until       uint64 // 0: the shards are not being changed
	owners      []int  // by shard: its host, -1 for none
	maxAttempts int

	subjects []string
	waiting  map[string][]uint64 // the events of a key that are not final, in order
	attempts map[uint64]int      // made and counted
	final    map[uint64]event.Status
	flying   map[string]uint64 // the event of a key that is in flight

	moves, changes int
}

// host is a host with two instances of the plugin.
type host struct {
	d         *delivery.Dispatcher
	source    *joint.Source
	instances []*instance
}

type instance struct {
	*joint.Lease
	open *event.Attempt
}

var outcomes = []event.Outcome{
	{}, {}, {}, {},
	{Verdict: event.Retry, Class: event.ClassRetry},
	{Verdict: event.Reject, Class: event.ClassRejected},
	{Verdict: event.Failed, Class: event.ClassTrap},
	{Verdict: event.Failed, Class: event.ClassCancelled},
}

var cancelled = event.Outcome{Verdict: event.Failed, Class: event.ClassCancelled}

// TestShardsAgainstAModel runs a plugin with shards on two hosts. Events are published, attempts
// start and end in any way, shards move between the hosts, and their number changes: the shards
// stop at one event, end what is open, and others begin behind it. Each event is delivered by its
// shard, one of a key at a time and in order, and has one final outcome.
func TestShardsAgainstAModel(t *testing.T) {
	moves, changes := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		c, stop := newCluster(t)
		defer stop()
		m := &model{cluster: c, maxAttempts: rapid.IntRange(1, 3).Draw(t, "attempts"), waiting: make(map[string][]uint64),
			attempts: make(map[uint64]int), final: make(map[uint64]event.Status), flying: make(map[string]uint64)}
		for range 2 {
			m.hosts = append(m.hosts, &host{d: c.host(delivery.Config{Shared: true})})
		}
		defer func() {
			for _, h := range m.hosts {
				m.closeInstances(h)
				_ = h.d.Close(context.Background())
			}
		}()
		m.open(t, rapid.IntRange(2, 6).Draw(t, "shards"), 0)
		t.Repeat(map[string]func(*rapid.T){
			"publish": m.publish,
			"begin":   m.begin,
			"begin 2": m.begin,
			"end":     m.end,
			"end 2":   m.end,
			"move":    func(t *rapid.T) { m.move(t, rapid.IntRange(0, m.shards-1).Draw(t, "shard")) },
			"change":  m.change,
			"":        m.check,
		})
		m.finish(t)
		moves += m.moves
		changes += m.changes
	})
	if t.Log(moves, "moves,", changes, "changes of the number of shards"); moves == 0 || changes == 0 {
		t.Error("nothing was moved, or nothing changed")
	}
}

func (m *model) units() []string { return spec.Units("p", m.shards) }

// open opens shards on all hosts. Their positions are at a Seq.
func (m *model) open(t *rapid.T, shards int, at uint64) {
	m.shards, m.until, m.owners = shards, 0, nil
	for _, unit := range m.units() {
		m.setCursor(t, unit, at)
	}
	retry := spec.RetryPolicy{MaxAttempts: m.maxAttempts, Backoff: time.Nanosecond, MaxBackoff: time.Nanosecond}
	for _, h := range m.hosts {
		h.source = open(t, h.d, shards, delivery.Policy{Retry: retry})
		for range 2 {
			h.instances = append(h.instances, &instance{Lease: h.source.Lease()})
		}
	}
	for shard := range shards {
		m.owners = append(m.owners, -1)
		m.own(t, shard, rapid.IntRange(0, 1).Draw(t, "host"))
	}
}

func (m *model) own(t *rapid.T, shard, to int) {
	unit := m.units()[shard]
	x := m.take(unit)
	x.until = m.until
	if err := m.hosts[to].d.Own(context.Background(), unit, x); err != nil {
		t.Fatal(err)
	}
	m.owners[shard] = to
}

func (m *model) publish(t *rapid.T) {
	for range rapid.IntRange(1, 20).Draw(t, "events") {
		subject := rapid.SampledFrom([]string{"", "a", "b", "c", "d", "e"}).Draw(t, "key")
		m.subjects = append(m.subjects, subject)
		seq := uint64(len(m.subjects))
		m.waiting[m.key(seq)] = append(m.waiting[m.key(seq)], seq)
		m.cluster.publish(t, subject)
	}
}

func (m *model) key(seq uint64) string {
	if s := m.subjects[seq-1]; s != "" {
		return s
	}
	return fmt.Sprint("seq ", seq)
}

func (m *model) pick(t *rapid.T) (h int, x *instance) {
	h = rapid.IntRange(0, 1).Draw(t, "host")
	return h, m.hosts[h].instances[rapid.IntRange(0, 1).Draw(t, "instance")]
}

// elapsed has an instance that would wait end instead.
var elapsed = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

func (m *model) begin(t *rapid.T) {
	h, x := m.pick(t)
	if x.open != nil {
		return
	}
	taken, ok := x.NextBuffered()
	if !ok {
		taken, ok = x.Next(nil, elapsed)
	}
	if ok {
		m.begins(t, h, x, taken.Attempt)
	}
}

// begins checks an attempt that an instance of a host has started.
func (m *model) begins(t *rapid.T, h int, x *instance, a event.Attempt) {
	key := m.key(a.Seq)
	shard := shardOf(event.Record{Seq: a.Seq, Event: a.Event}, m.shards)
	f, _ := spec.FenceOf(x.Context())
	switch {
	case m.final[a.Seq] != "":
		t.Fatalf("%d was started though it is %s", a.Seq, m.final[a.Seq])
	case m.flying[key] != 0:
		t.Fatalf("%d was started while %d of the same key is in flight", a.Seq, m.flying[key])
	case m.waiting[key][0] != a.Seq:
		t.Fatalf("%d was started before %d, which is not final", a.Seq, m.waiting[key][0])
	case a.Number != m.attempts[a.Seq]+1:
		t.Fatalf("attempt %d of %d; %d were made", a.Number, a.Seq, m.attempts[a.Seq])
	case m.until != 0 && a.Seq > m.until:
		t.Fatalf("%d was started beyond %d", a.Seq, m.until)
	case m.owners[shard] != h:
		t.Fatalf("%d, of shard %d, was started on host %d, which is not the owner", a.Seq, shard, h)
	case f.Unit != m.units()[shard] || f.Epoch != m.epochs[f.Unit]:
		t.Fatalf("%d, of shard %d, has the fence %v", a.Seq, shard, f)
	}
	m.flying[key] = a.Seq
	x.open = &a
}

func (m *model) end(t *rapid.T) {
	if _, x := m.pick(t); x.open != nil {
		m.ends(x, rapid.SampledFrom(outcomes).Draw(t, "outcome"))
	}
}

func (m *model) ends(x *instance, o event.Outcome) {
	a := *x.open
	x.open = nil
	x.Done(&o)
	key := m.key(a.Seq)
	delete(m.flying, key)
	if o.Class == event.ClassCancelled {
		return
	}
	m.attempts[a.Seq]++
	switch {
	case o.Verdict == event.OK:
		m.final[a.Seq] = event.StatusOK
	case o.Verdict == event.Reject || m.attempts[a.Seq] == m.maxAttempts:
		m.final[a.Seq] = event.StatusDead
	default:
		return
	}
	m.waiting[key] = m.waiting[key][1:]
}

// disown gives a shard up; the open attempts of its host end.
func (m *model) disown(t *rapid.T, shard int) {
	h := m.hosts[m.owners[shard]]
	given := make(chan error, 1)
	go func() { given <- h.d.Disown(context.Background(), m.units()[shard]) }()
	for _, x := range h.instances {
		if x.open != nil {
			m.ends(x, rapid.SampledFrom(outcomes).Draw(t, "outcome"))
		}
		x.Flush()
	}
	if err := <-given; err != nil {
		t.Fatal(err)
	}
	m.owners[shard] = -1
}

func (m *model) move(t *rapid.T, shard int) {
	m.disown(t, shard)
	m.own(t, shard, rapid.IntRange(0, 1).Draw(t, "to"))
	m.moves++
}

// change begins to change the number of shards, or continues when they have ended.
func (m *model) change(t *rapid.T) {
	if m.until != 0 {
		m.replace(t)
		return
	}
	cut := uint64(0)
	for shard, unit := range m.units() {
		m.disown(t, shard)
		cut = max(cut, m.cursor(t, unit))
	}
	for seq := range m.attempts {
		cut = max(cut, seq)
	}
	cut = rapid.Uint64Range(cut, uint64(len(m.subjects))).Draw(t, "cut")
	if cut == 0 {
		for shard := range m.shards {
			m.own(t, shard, 0)
		}
		return
	}
	m.until = cut
	for shard := range m.shards {
		m.own(t, shard, rapid.IntRange(0, 1).Draw(t, "host"))
	}
}

// drained reports whether all events up to the bound are final.
func (m *model) drained() bool {
	for seq := uint64(1); seq <= m.until; seq++ {
		if m.final[seq] == "" {
			return false
		}
	}
	return true
}

// replace replaces shards that have ended by others. It returns false when one has not, and goes on.
func (m *model) replace(t *rapid.T) bool {
	if !m.drained() {
		return false
	}
	ended := true
	for shard, unit := range m.units() {
		m.disown(t, shard)
		ended = ended && m.cursor(t, unit) == m.until
	}
	if !ended {
		for shard := range m.shards {
			m.own(t, shard, rapid.IntRange(0, 1).Draw(t, "host"))
		}
		return false
	}
	m.closeShards(t)
	m.compare(t)
	m.changes++
	m.open(t, rapid.IntRange(2, 6).Draw(t, "shards"), m.until)
	return true
}

func (m *model) closeInstances(h *host) {
	for _, x := range h.instances {
		if x.open != nil {
			x.Done(&cancelled)
		}
		x.Close()
	}
	h.instances = nil
}

// closeShards closes shards that no host owns.
func (m *model) closeShards(t *rapid.T) {
	for _, h := range m.hosts {
		m.closeInstances(h)
		if err := h.source.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}

// compare checks that the store has what the model has: one final delivery of each event.
func (m *model) compare(t *rapid.T) {
	for i := range m.subjects {
		seq := uint64(i + 1)
		list, err := m.Deliveries(context.Background(), seq)
		if err != nil {
			t.Fatal(err)
		}
		want := m.final[seq]
		if len(list) > 1 || len(list) == 0 && m.attempts[seq] > 0 {
			t.Fatalf("event %d has the deliveries %v", seq, list)
		}
		for _, d := range list {
			if d.Status.Final() != (want != "") || want != "" && d.Status != want || d.Attempts != m.attempts[seq] {
				t.Fatalf("event %d is %q after %d attempts, want %q after %d", seq, d.Status, d.Attempts, want, m.attempts[seq])
			}
		}
	}
}

func (m *model) check(t *rapid.T) {
	for i, h := range m.hosts {
		if got := int(h.source.Stats().Open); got > len(m.subjects)-len(m.final)+2*64 {
			t.Fatalf("host %d has %d open events of %d", i, got, len(m.subjects)-len(m.final))
		}
	}
}

// finish has everything delivered, by the present shards and those behind a bound.
func (m *model) finish(t *rapid.T) {
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	if m.until != 0 {
		m.deliverAll(t, ctx, m.until)
		await(t, "the shards have ended", func() bool { return m.replace(t) })
	}
	m.deliverAll(t, ctx, uint64(len(m.subjects)))
	for shard := range m.shards {
		m.disown(t, shard)
	}
	m.closeShards(t)
	m.compare(t)
}

// deliverAll has one host deliver all events up to a Seq.
func (m *model) deliverAll(t *rapid.T, ctx context.Context, to uint64) {
	for shard := range m.shards {
		m.disown(t, shard)
		m.own(t, shard, 0)
	}
	x := m.hosts[0].instances[0]
	for left := int(to); left > 0; {
		left = 0
		for seq := uint64(1); seq <= to; seq++ {
			if m.final[seq] == "" {
				left++
			}
		}
		if left == 0 {
			break
		}
		taken, ok := x.NextBuffered()
		if !ok {
			taken, ok = x.Next(ctx.Done(), nil)
		}
		if !ok {
			t.Fatalf("%d events are left, and no attempt is ready: %+v", left, m.hosts[0].source.Stats())
		}
		m.begins(t, 0, x, taken.Attempt)
		m.ends(x, event.Outcome{})
	}
}
