package issues

import (
	"context"
	"testing"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// hosts returns the trackers of two hosts with one store.
func hosts(t *testing.T) (a, b *bundle) {
	a, b = setup(t), setup(t)
	b.store = a.store
	for _, x := range []*bundle{a, b} {
		x.shared = true
		x.start()
	}
	return a, b
}

func (b *bundle) own(handler string, epoch uint64) {
	b.t.Helper()
	if err := b.Own(context.Background(), spec.Fence{Unit: handler, Epoch: epoch}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) release(handler string) {
	b.t.Helper()
	if err := b.Release(context.Background(), handler); err != nil {
		b.t.Error(err)
	}
}

// all returns the issues that the host shows, as of now.
func (b *bundle) all() []wire.Issue {
	b.t.Helper()
	if err := b.Refresh(context.Background()); err != nil {
		b.t.Error(err)
	}
	return b.list(spec.IssueQuery{})
}

func TestIssueGoesWithItsHandler(t *testing.T) {
	a, b := hosts(t)
	a.own("x", 1)
	b.own("y", 1)
	a.failure("x", event.ClassRejected, "no such order 7", "k1")
	b.failure("y", event.ClassRejected, "no such order 8", "k2")
	b.failure("x", event.ClassRejected, "no such order 9", "k3") // after b has lost x: not counted
	a.release("x")
	b.own("x", 2)
	b.failure("x", event.ClassRejected, "no such order 10", "k4")
	b.release("x")
	b.release("y")
	for name, host := range map[string]*bundle{"a": a, "b": b} {
		counts := make(map[string]uint64)
		for _, issue := range host.all() {
			counts[issue.Handler] += issue.Count
		}
		if counts["x"] != 2 || counts["y"] != 1 {
			t.Errorf("%s shows %v", name, counts)
		}
	}
	// The same failure has the same issue on every host, and others have others.
	if x, y := a.IssueOf("x", event.ClassRejected, "no such order 1"), b.IssueOf("x", event.ClassRejected, "no such order 1"); x != y || x == "" {
		t.Errorf("the issues are %q and %q", x, y)
	}
	if x, y := a.IssueOf("x", event.ClassRejected, "no such order 1"), a.IssueOf("y", event.ClassRejected, "no such order 1"); x == y {
		t.Errorf("two handlers have the issue %q", x)
	}
}

func TestIssueIsChangedByTheHostOfItsHandler(t *testing.T) {
	a, b := hosts(t)
	a.own("x", 1)
	a.failure("x", event.ClassRejected, "no such order", "k")
	a.release("x")
	a.own("x", 2)
	id := b.all()[0].ID
	if _, err := b.Change(t.Context(), id, wire.IssueResolved, "me", ""); !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
	if _, err := a.Change(t.Context(), id, wire.IssueResolved, "me", ""); err != nil {
		t.Fatal(err)
	}
	if got := b.all(); len(got) != 1 || got[0].State != wire.IssueResolved {
		t.Errorf("got %+v", got)
	}
}

// A host that lost a handler without knowing is refused, and repeats nothing.
func TestFencedIssuesAreDropped(t *testing.T) {
	a, _ := hosts(t)
	a.own("x", 1)
	a.failure("x", event.ClassRejected, "no such order", "k")
	a.store.fail(spec.ErrFenced)
	a.release("x")
	a.store.fail(nil)
	if got := a.all(); len(got) != 0 {
		t.Errorf("got %+v", got)
	}
}

// TestIssuesOfShards: each shard has issues of its own, which are shown and counted with the plugin.
func TestIssuesOfShards(t *testing.T) {
	a, b := hosts(t)
	a.own("x/0", 1)
	b.own("x/1", 1)
	b.own("x-y", 1)
	a.failure("x/0", event.ClassRejected, "no such order 7", "k1")
	b.failure("x/1", event.ClassRejected, "no such order 8", "k2")
	b.failure("x-y", event.ClassRejected, "no such order 9", "k3")
	a.release("x/0")
	b.release("x/1")
	for _, host := range []*bundle{a, b} {
		shards := make(map[string]bool)
		host.all()
		for _, i := range host.list(spec.IssueQuery{Handler: "x"}) {
			if i.Handler != "x" || i.Shard == nil {
				t.Fatalf("got %+v", i)
			}
			shards[spec.UnitName(i.Handler, i.Shard)] = true
			if one, err := host.Show(i.ID); err != nil || one.Handler != "x" || *one.Shard != *i.Shard {
				t.Errorf("got %+v, %v", one, err)
			}
		}
		if len(shards) != 2 || host.Active()["x"] != 2 {
			t.Errorf("got %v, %v", shards, host.Active())
		}
	}
	a.own("x/0", 2)
	for _, i := range a.list(spec.IssueQuery{Handler: "x"}) {
		changed, err := a.Change(t.Context(), i.ID, wire.IssueResolved, "ann", "")
		if *i.Shard == 1 && !fault.Is(err, fault.Unavailable) || *i.Shard == 0 && (err != nil || changed.Handler != "x" || *changed.Shard != 0) {
			t.Errorf("shard %d: got %+v, %v", *i.Shard, changed, err)
		}
	}
	if len(b.all()) != 3 {
		t.Errorf("got %+v", b.all())
	}
}
