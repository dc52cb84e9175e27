package live

import (
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/spec/sharedtest"
	"github.com/berth-host/berth/host/wire"
)

// member opens a host of a cluster.
func member(t *testing.T, store *sharedtest.Store, text string) *opened {
	t.Helper()
	o := open(t, text)
	if err := o.Join(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	return o
}

func (o *opened) follow() {
	o.t.Helper()
	if err := o.Follow(o.t.Context()); err != nil {
		o.t.Error(err)
	}
}

func (o *opened) text() string {
	o.t.Helper()
	text, err := os.ReadFile(o.Path())
	if err != nil {
		o.t.Error(err)
	}
	return string(text)
}

func TestDecisionHoldsForAllHosts(t *testing.T) {
	store := sharedtest.New()
	const textA, textB = "handlers: {x: {enabled: false, config: {a: 1}}}\n", "routes: {}\n"
	a, b := member(t, store, textA), member(t, store, textB)
	kv := []spec.Grant{{Name: "kv"}}
	if err := errors.Join(a.SetEnabled(t.Context(), "x", true), b.SetPaused(t.Context(), "x", true), a.SetGrants(t.Context(), "x", kv)); err != nil {
		t.Fatal(err)
	}
	a.follow()
	b.follow()
	late := member(t, store, textB) // reads them when it joins
	for name, o := range map[string]*opened{"a": a, "b": b, "late": late} {
		h := o.Config().Handlers["x"]
		if h.Enabled == nil || !*h.Enabled || !h.Paused || !slices.EqualFunc(h.Grants, kv, func(x, y spec.Grant) bool { return x.Name == y.Name }) {
			t.Errorf("%s has %+v", name, h)
		}
	}
	if got := string(a.Config().Handlers["x"].Config); got != `{"a":1}` {
		t.Errorf("the config of the file of a is %s", got)
	}
	if a.text() != textA || b.text() != textB {
		t.Errorf("a file was changed: %q, %q", a.text(), b.text())
	}
	settings, err := a.InForce("x", config.Started{Config: a.Started()})
	if err != nil {
		t.Fatal(err)
	}
	var decided []string
	for _, s := range settings.Items {
		if s.Source == wire.FromDatabase {
			decided = append(decided, s.Path)
		}
	}
	if want := []string{"handlers.x.enabled", "handlers.x.grants", "handlers.x.paused"}; !slices.Equal(decided, want) {
		t.Errorf("from the database are %v, want %v", decided, want)
	}
}

// What the file says of other keys still counts, and so do its changes.
func TestFileCountsBesideDecisions(t *testing.T) {
	a := member(t, sharedtest.New(), "handlers: {x: {enabled: false}}\n")
	if err := a.SetPaused(t.Context(), "x", true); err != nil {
		t.Fatal(err)
	}
	a.write(a.Path(), "handlers: {x: {enabled: true, paused: false, order_by: /data/id}}\n")
	if err := a.fileChanged(t.Context()); err != nil {
		t.Fatal(err)
	}
	h := a.Config().Handlers["x"]
	if !*h.Enabled || !h.Paused || h.Overrides.OrderBy == nil || *h.Overrides.OrderBy != "/data/id" {
		t.Errorf("got %+v", h)
	}
	if err := a.SetPaused(t.Context(), "x", false); err != nil { // also a decision
		t.Fatal(err)
	}
	a.write(a.Path(), "handlers: {x: {paused: true}}\n")
	if err := a.fileChanged(t.Context()); err != nil || a.Config().Handlers["x"].Paused {
		t.Errorf("got %+v, %v", a.Config().Handlers["x"], err)
	}
}

func TestConcurrentDecisionsAreAllKept(t *testing.T) {
	store := sharedtest.New()
	hosts := []*opened{member(t, store, "routes: {}\n"), member(t, store, "routes: {}\n"), member(t, store, "routes: {}\n")}
	var wg sync.WaitGroup
	for i, o := range hosts {
		wg.Go(func() {
			var err error
			switch i {
			case 0:
				err = o.SetEnabled(t.Context(), "x", true)
			case 1:
				err = o.SetPaused(t.Context(), "x", true)
			default:
				err = o.SetGrants(t.Context(), "x", []spec.Grant{{Name: "kv"}})
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i, o := range hosts {
		o.follow()
		if h := o.Config().Handlers["x"]; h.Enabled == nil || !h.Paused || len(h.Grants) != 1 {
			t.Errorf("host %d has %+v", i, h)
		}
	}
}

func TestFilesDecideIfConfigured(t *testing.T) {
	store := sharedtest.New()
	other := member(t, store, "routes: {}\n")
	if err := other.SetPaused(t.Context(), "x", true); err != nil {
		t.Fatal(err)
	}
	a := member(t, store, "cluster: {settings: file}\n")
	if a.Config().Handlers["x"].Paused {
		t.Error("a decision counts although the file decides")
	}
	for name, err := range map[string]error{
		"enabled": a.SetEnabled(t.Context(), "x", true), "paused": a.SetPaused(t.Context(), "x", true),
		"grants": a.SetGrants(t.Context(), "x", nil),
	} {
		if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "change handlers.x."+name+" in "+a.Path()) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := (Handlers{a.Live}).Snapshot("x", []abi.Capability{{Name: abi.CapabilityKV}}); !fault.Is(err, fault.Conflict) {
		t.Errorf("an install with approvals: got %v", err)
	}
	if err := (Handlers{a.Live}).Remove("x"); err != nil {
		t.Errorf("an uninstallation: got %v", err)
	}
}

func TestDecisionThatIsNotStoredDoesNotCount(t *testing.T) {
	store := sharedtest.New()
	a := member(t, store, "routes: {}\n")
	store.Fail(fault.New(fault.Unavailable, "the database is away"))
	if err := a.SetPaused(t.Context(), "x", true); !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
	if err := a.Follow(t.Context()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("follow: got %v", err)
	}
	store.Fail(nil)
	if err := a.SetGrants(t.Context(), "x", []spec.Grant{{Name: "http"}}); !fault.Is(err, fault.Invalid) { // without hosts
		t.Errorf("an invalid grant: got %v", err)
	}
	a.follow()
	if _, found := a.Config().Handlers["x"]; found {
		t.Errorf("got %+v", a.Config().Handlers)
	}
}

func TestAdoptPrintsDecisionsAndClearsThem(t *testing.T) {
	store := sharedtest.New()
	a, b := member(t, store, "routes: {}\n"), member(t, store, "routes: {}\n")
	hosts := []spec.Grant{{Name: "http", Targets: spec.Targets{Hosts: []string{"a.example"}}}, {Name: "kv"}}
	if err := errors.Join(a.SetPaused(t.Context(), "x", true), a.SetGrants(t.Context(), "x", hosts), a.SetEnabled(t.Context(), "123", false)); err != nil {
		t.Fatal(err)
	}
	b.follow()
	const want = "handlers:\n  \"123\":\n    enabled: false\n  x:\n    paused: true\n    grants: [{name: \"http\", hosts: [\"a.example\"]}, \"kv\"]\n"
	shown, err := b.AdoptDecisions(t.Context(), false)
	if err != nil || shown.YAML != want || len(shown.Cleared) != 0 || !b.Config().Handlers["x"].Paused {
		t.Errorf("got %+v, %v", shown, err)
	}
	in, err := config.Parse("f", []byte(shown.YAML))
	if err != nil || !in.Handlers["x"].Paused || len(in.Handlers["x"].Grants) != 2 || *in.Handlers["123"].Enabled {
		t.Errorf("the YAML reads as %+v, %v", in, err)
	}
	adopted, err := b.AdoptDecisions(t.Context(), true)
	if err != nil || adopted.YAML != want || !slices.Equal(adopted.Cleared, []string{"123", "x"}) {
		t.Errorf("got %+v, %v", adopted, err)
	}
	a.follow()
	for _, o := range []*opened{a, b} {
		if len(o.Config().Handlers) != 0 {
			t.Errorf("still decided: %+v", o.Config().Handlers)
		}
	}
	if _, err := open(t, "routes: {}\n").AdoptDecisions(t.Context(), true); !fault.Is(err, fault.Conflict) {
		t.Errorf("a host alone: got %v", err)
	}
}

func TestUnreadableDecisionIsSkippedAndReported(t *testing.T) {
	store := sharedtest.New()
	a := member(t, store, "routes: {}\n")
	if err := a.SetPaused(t.Context(), "x", true); err != nil {
		t.Fatal(err)
	}
	for id, body := range map[string]string{"newer": `{"paused":true,"sharded":8}`, "wrong": `{"grants":[{"name":"fly"}]}`} {
		if _, err := store.Share(t.Context(), spec.SharedDocument{Kind: "setting", ID: id, Body: []byte(body)}); err != nil {
			t.Fatal(err)
		}
	}
	err := a.Follow(t.Context())
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "newer") || !strings.Contains(err.Error(), "wrong") {
		t.Errorf("got %v", err)
	}
	if !a.Config().Handlers["x"].Paused {
		t.Error("the readable decision does not count")
	}
	if _, err := a.AdoptDecisions(t.Context(), true); !fault.Is(err, fault.Invalid) {
		t.Errorf("adopt would lose a decision: got %v", err)
	}
	if err := a.SetPaused(t.Context(), "wrong", true); err != nil { // repairs it
		t.Error(err)
	}
}

func TestAdmitAndRestoreInCluster(t *testing.T) {
	store := sharedtest.New()
	a := member(t, store, "handlers: {x: {grants: [{name: http, hosts: [a.example]}]}}\n")
	s := Handlers{a.Live}
	asked := []abi.Capability{{Name: abi.CapabilityKV}}
	shot, err := s.Snapshot("x", asked)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Admit("x", asked); err != nil {
		t.Fatal(err)
	}
	if got := a.Config().Handlers["x"].Grants; len(got) != 2 || len(s.Lacking("x", asked)) != 0 {
		t.Errorf("admitted: %+v", got)
	}
	for range 2 {
		if err := s.Restore("x", shot); err != nil {
			t.Fatal(err)
		}
	}
	if got := a.Config().Handlers["x"].Grants; len(got) != 1 {
		t.Errorf("restored: %+v", got)
	}
	if docs, err := store.Shared(t.Context(), "setting"); err != nil || len(docs) != 0 {
		t.Errorf("left in the database: %v, %v", docs, err)
	}
}
