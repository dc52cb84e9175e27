package shards

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// kept is a Store with documents and units in memory. Units without a state are free, at Seq 5.
type kept struct {
	documents map[string]spec.SharedDocument
	units     map[string]spec.UnitState
	failing   string // the plugin whose units cannot be read
	ended     []string
}

func (k *kept) Shared(context.Context, string) (list []spec.SharedDocument, err error) {
	for _, id := range slices.Sorted(maps.Keys(k.documents)) {
		list = append(list, k.documents[id])
	}
	return list, nil
}

func (k *kept) Share(_ context.Context, d spec.SharedDocument) (uint64, error) {
	if k.documents[d.ID].Revision != d.Revision {
		return 0, fault.New(fault.Conflict, "changed")
	}
	d.Revision++
	k.documents[d.ID] = d
	if d.Body == nil {
		delete(k.documents, d.ID)
	}
	return d.Revision, nil
}

func (k *kept) UnitStates(_ context.Context, units []string) (list []spec.UnitState, err error) {
	for _, name := range units {
		if spec.PluginOf(name) == k.failing {
			return nil, fault.New(fault.Unavailable, "the units of %s cannot be read", k.failing)
		}
		u, found := k.units[name]
		if !found {
			u = spec.UnitState{Cursor: 5, Found: true}
		}
		u.Name = name
		list = append(list, u)
	}
	return list, nil
}

func (k *kept) CutUnits(ctx context.Context, _ []string, document func(uint64) spec.SharedDocument) error {
	_, err := k.Share(ctx, document(5))
	return err
}

func (k *kept) BeginUnits(ctx context.Context, _, _ []string, _ uint64, d spec.SharedDocument) error {
	_, err := k.Share(ctx, d)
	return err
}

func (k *kept) EndUnits(ctx context.Context, units []string, d spec.SharedDocument) error {
	k.ended = append(k.ended, units...)
	_, err := k.Share(ctx, d)
	return err
}

// trial is a Coordinator with a clock.
type trial struct {
	*Coordinator
	store  *kept
	wishes Wishes
	now    time.Time
	log    bytes.Buffer
	t      *testing.T
}

func newTrial(t *testing.T) *trial {
	tr := &trial{store: &kept{documents: make(map[string]spec.SharedDocument), units: make(map[string]spec.UnitState)}, now: time.Unix(1000, 0), t: t,
		wishes: Wishes{Layouts: make(map[string][]Layout), Hosts: map[string]string{"id-a": "host-a"}}}
	tr.Coordinator = &Coordinator{Store: tr.store, Wishes: func() Wishes { return tr.wishes }, Logger: slog.New(slog.NewTextHandler(&tr.log, nil)),
		Grace: 20 * time.Second, Now: func() time.Time { return tr.now }}
	return tr
}

// after makes the steps that are possible a while later.
func (tr *trial) after(d time.Duration) {
	tr.t.Helper()
	tr.now = tr.now.Add(d)
	if err := tr.Step(tr.t.Context()); err != nil {
		tr.t.Fatal(err)
	}
}

// put stores a generation in place of that of p.
func (tr *trial) put(plugin string, g Generation) {
	tr.t.Helper()
	if _, err := tr.store.Share(tr.t.Context(), g.document(plugin, tr.store.documents[plugin].Revision)); err != nil {
		tr.t.Fatal(err)
	}
}

// want checks the generation of p.
func (tr *trial) want(stage Stage, l Layout) {
	tr.t.Helper()
	g := first()
	if d, found := tr.store.documents["p"]; found {
		var err error
		if g, err = Decode(d); err != nil {
			tr.t.Fatal(err)
		}
	}
	if g.Stage != stage || g.Layout != l {
		tr.t.Errorf("got %+v, want %s of %s", g, stage, l)
	}
}

// TestOneFailureHoldsNoOtherPlugin also holds that every failure is returned.
func TestOneFailureHoldsNoOtherPlugin(t *testing.T) {
	tr := newTrial(t)
	four := New(4, "")
	tr.store.documents["a"] = spec.SharedDocument{ID: "a", Body: []byte("of a newer version"), Revision: 1}
	tr.put("b", Generation{Layout: New(1, ""), Next: &four, Stage: Draining, Cut: 5})
	tr.put("p", Generation{Layout: New(1, ""), Next: &four, Stage: Draining, Cut: 5})
	tr.store.failing = "b"
	err := tr.Step(t.Context())
	if err == nil || !strings.Contains(err.Error(), "of a: ") || !strings.Contains(err.Error(), "of b: ") || !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v, want the failures of a and of b", err)
	}
	tr.want(Running, four)
	if joined, many := err.(interface{ Unwrap() []error }); !many || len(joined.Unwrap()) != 2 || errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want two failures", err)
	}
}

// TestChangeBeginsWhenTheWishIsSteady: while one of two hosts that want different shards is away for some
// seconds, nothing changes.
func TestChangeBeginsWhenTheWishIsSteady(t *testing.T) {
	tr := newTrial(t)
	one, four, five := New(1, ""), New(4, ""), New(5, "")
	want := func(l ...Layout) { tr.wishes.Layouts["p"] = l }
	for range 5 {
		want(one, four)
		tr.after(time.Minute)
		want(four)
		tr.after(time.Second)
		tr.after(9 * time.Second)
		want(five)
		tr.after(time.Second)
		tr.after(9 * time.Second)
	}
	tr.want(Running, one)
	tr.observed = nil // the coordinator is another host
	tr.after(9 * time.Second)
	tr.after(9 * time.Second)
	tr.want(Running, one)
	tr.after(time.Second)
	tr.want(Running, five)
}

func TestHostsThatKeepUnitsEndTheChange(t *testing.T) {
	tr := newTrial(t)
	one, two := New(1, ""), New(2, "")
	tr.put("p", Generation{Layout: two})
	tr.wishes.Layouts["p"] = []Layout{one}
	tr.store.units["p/1"] = spec.UnitState{Owner: "id-a", Cursor: 5, Found: true}
	begin := func() {
		t.Helper()
		tr.after(0)
		tr.want(Running, two)
		tr.after(10 * time.Second)
		tr.want(Stopping, two)
	}
	begin()
	tr.after(29 * time.Second)
	tr.want(Stopping, two)
	tr.after(time.Second)
	tr.want(Running, two)
	if got := tr.log.String(); strings.Count(got, "level=WARN") != 1 || !strings.Contains(got, `units="p/1 on host-a"`) || !strings.Contains(got, "plugin=p") {
		t.Errorf("got the log %s", got)
	}
	tr.observed = nil // another host is the coordinator
	tr.after(10 * time.Second)
	tr.after(10 * time.Second)
	tr.want(Stopping, two)
	tr.observed = nil
	tr.after(0)
	tr.after(30 * time.Second)
	tr.want(Running, two)
	for _, pause := range []time.Duration{1, 2, 4, 8, 16, 30, 30} { // minutes
		tr.after(pause*time.Minute - time.Second)
		tr.want(Running, two)
		tr.after(time.Second)
		tr.want(Stopping, two)
		tr.after(30 * time.Second)
		tr.want(Running, two)
	}
	tr.wishes.Layouts["p"] = []Layout{New(3, "")} // another wish need not wait
	begin()
	tr.store.units["p/1"] = spec.UnitState{} // never claimed
	tr.after(30 * time.Second)
	tr.want(Running, two)
	if got := tr.log.String(); !strings.Contains(got, "p/1 has no position in the log") {
		t.Errorf("got the log %s", got)
	}
	delete(tr.store.units, "p/1")
	tr.after(time.Minute)
	tr.want(Running, New(3, ""))
}

// TestForgottenHandlersBeginAnew: the generation of a handler ends when no live host has the plugin and
// nothing of it is left.
func TestForgottenHandlersBeginAnew(t *testing.T) {
	tr := newTrial(t)
	two, four := New(2, ""), New(4, "")
	tr.put("p", Generation{Number: 3, Layout: two, Next: &four, Stage: Draining, Cut: 9})
	tr.wishes.Layouts["p"] = nil // a host has it, disabled
	nothing, owned := spec.UnitState{}, spec.UnitState{Owner: "id-a"}
	tr.store.units["p/0"], tr.store.units["p/1"] = nothing, nothing
	tr.after(time.Minute)
	tr.want(Draining, two)
	delete(tr.wishes.Layouts, "p")
	tr.store.units["p/1"] = owned
	tr.after(time.Minute)
	tr.want(Draining, two)
	tr.store.units["p/1"] = spec.UnitState{Cursor: 4, Found: true}
	tr.after(time.Minute)
	tr.want(Draining, two)
	tr.store.units["p/1"] = nothing
	tr.after(time.Minute)
	tr.want(Running, first().Layout)
	if !slices.Equal(tr.store.ended, []string{"p/0", "p/1"}) || len(tr.store.documents) > 0 || len(tr.observed) > 1 {
		t.Errorf("ended %v, documents %v", tr.store.ended, tr.store.documents)
	}
	if got := tr.log.String(); strings.Count(got, "level=INFO") != 1 || strings.Contains(got, "level=WARN") || !strings.Contains(got, "forgotten") {
		t.Errorf("got the log %s", got)
	}
}
