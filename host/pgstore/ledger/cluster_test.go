package ledger_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/cluster"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pgstore/pgtest"
	"github.com/berth-host/berth/host/spec"
)

// fleet are hosts of one cluster, and what they run.
type fleet struct {
	t *testing.T

	mu      sync.Mutex
	owners  map[string]string // of the units that run, by name
	epochs  map[string]uint64 // in which they were started last
	changed chan struct{}
}

// node is one of the hosts. It is its cluster's ledger, which can be cut off, and worker.
type node struct {
	host
	*fleet
	name    string
	cluster *cluster.Cluster
	stop    context.CancelFunc
	ended   chan error
	cut     chan struct{} // closed: nothing reaches the database
}

func newFleet(t *testing.T) *fleet {
	return &fleet{t: t, owners: make(map[string]string), epochs: make(map[string]uint64), changed: make(chan struct{})}
}

func (f *fleet) start(name string, ledger host) *node {
	n := &node{host: ledger, fleet: f, name: name, ended: make(chan error, 1), cut: make(chan struct{})}
	n.cluster = cluster.New(cluster.Config{
		Ledger: n, Worker: n, Logger: slog.New(slog.DiscardHandler), Grace: time.Second,
		Member: func() spec.Member { return spec.Member{ID: "id-" + name, Name: name} },
		Methods: map[string]cluster.Method{"who": func(ctx context.Context, unit string, body []byte) ([]byte, error) {
			fence, _ := spec.FenceOf(ctx)
			return fmt.Appendf(nil, "%s runs %s in epoch %d: %s", name, unit, fence.Epoch, body), nil
		}},
	})
	ctx, stop := context.WithCancel(context.Background())
	n.stop = stop
	go func() { n.ended <- n.cluster.Run(ctx) }()
	return n
}

func (n *node) connected() error {
	select {
	case <-n.cut:
		return fault.New(fault.Unavailable, "the database cannot be reached")
	default:
		return nil
	}
}

func (n *node) Beat(ctx context.Context, m spec.Beating) (spec.ClusterView, error) {
	if err := n.connected(); err != nil {
		return spec.ClusterView{}, err
	}
	return n.host.Beat(ctx, m)
}

func (n *node) Leave(ctx context.Context, id string) error {
	if err := n.connected(); err != nil {
		return err
	}
	return n.host.Leave(ctx, id)
}

func (n *node) Give(ctx context.Context, f spec.Fence) error {
	if err := n.connected(); err != nil {
		return err
	}
	return n.host.Give(ctx, f)
}

func (n *node) Units() (units []string) {
	for i := range 9 {
		units = append(units, fmt.Sprintf("enrich/%d", i))
	}
	return units
}

func (n *node) Own(_ context.Context, unit string, t *cluster.Tenure) error {
	n.mu.Lock()
	n.epochs[unit] = t.Fence().Epoch
	n.mu.Unlock()
	n.set(unit, n.name)
	return nil
}

func (n *node) Disown(_ context.Context, unit string) error {
	n.set(unit, "")
	return nil
}

func (f *fleet) set(unit, owner string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if other := f.owners[unit]; owner != "" && other != "" {
		f.t.Errorf("%s runs on %s and %s", unit, other, owner)
	}
	f.owners[unit] = owner
	close(f.changed)
	f.changed = make(chan struct{})
}

// await waits until the hosts run that many units.
func (f *fleet) await(what string, want map[string]int) {
	f.t.Helper()
	f.awaitThat(what, func() bool {
		loads := make(map[string]int)
		for _, owner := range f.owners {
			loads[owner]++
		}
		for name, n := range want {
			if loads[name] != n {
				return false
			}
		}
		return true
	})
}

// awaitThat waits until a condition holds, which is evaluated with the lock.
func (f *fleet) awaitThat(what string, holds func() bool) {
	f.t.Helper()
	timeout := time.After(time.Minute)
	since := time.Now()
	for {
		f.mu.Lock()
		right, changed, now := holds(), f.changed, fmt.Sprint(f.owners, f.epochs)
		f.mu.Unlock()
		if right {
			f.t.Logf("%s after %v", what, time.Since(since))
			return
		}
		select {
		case <-changed:
		case <-timeout:
			f.t.Fatalf("not %s within a minute: %v", what, now)
		}
	}
}

// TestClusterOverPostgreSQL runs hosts over one database: they share the units, carry commands out for
// each other, and take over from a host that drains and from one that is cut off.
func TestClusterOverPostgreSQL(t *testing.T) {
	schema := pgtest.Schema(t)
	f := newFleet(t)
	a, b, c := f.start("a", open(t, schema)), f.start("b", open(t, schema)), f.start("c", open(t, schema))
	f.await("spread over three hosts", map[string]int{"a": 3, "b": 3, "c": 3})

	f.mu.Lock()
	owner := f.owners["enrich/4"]
	f.mu.Unlock()
	for _, n := range []*node{a, b, c} {
		since := time.Now()
		got, err := n.cluster.Do(t.Context(), "enrich/4", "who", []byte("1"))
		if m, _ := n.cluster.Owner("enrich/4"); err != nil || m.Name != owner || string(got) != fmt.Sprintf("%s runs enrich/4 in epoch %d: 1", owner, epochOf(n, "enrich/4")) {
			t.Errorf("asked on %s: got %s, %v; want the answer of %s", n.name, got, err, owner)
		}
		t.Logf("asked on %s: %v", n.name, time.Since(since))
	}

	a.cluster.SetDraining(true)
	f.await("none on the draining host", map[string]int{"a": 0, "": 0})
	a.stop()
	if err := <-a.ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	close(b.cut)
	f.await("all on the last host", map[string]int{"c": 9})
	if err := b.cluster.Ready(); !fault.Is(err, fault.Unavailable) {
		t.Errorf("Ready of the host that is cut off: %v", err)
	}
	b.stop()
	c.stop()
	for _, n := range []*node{b, c} {
		if err := <-n.ended; err != nil {
			t.Errorf("Run of %s: %v", n.name, err)
		}
	}
	view, err := c.host.Beat(t.Context(), spec.Beating{Member: spec.Member{ID: "last"}, Beat: 1})
	if err != nil || len(view.Members) != 1 {
		t.Errorf("got members %+v, %v after all have left", view.Members, err)
	}
	for _, u := range view.Units {
		if u.Owner != "" {
			t.Errorf("%+v has an owner after all have left", u)
		}
	}
}

func epochOf(n *node, unit string) uint64 {
	for _, u := range n.cluster.View().Units {
		if u.Name == unit {
			return u.Epoch
		}
	}
	return 0
}
