package member_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"testing"

	"github.com/berth-host/berth/host/cluster"
	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/member"
	"github.com/berth-host/berth/host/shards"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

func TestEachPluginIsAModuleOrInactive(t *testing.T) {
	w := member.NewWork(member.WorkConfig{
		Plugins: func() []wire.Plugin {
			return []wire.Plugin{{Name: "tax", State: wire.Disabled, SHA256: "1"}, {Name: "mail", State: wire.Standby, SHA256: "2"},
				{Name: "old", State: wire.Active, SHA256: "3"}, {Name: "bad", State: wire.Rejected}}
		},
		Installed: func(name string) string {
			if name == "old" {
				return "4"
			}
			return ""
		}})
	if got, want := w.Modules(), map[string]string{"mail": "2"}; !reflect.DeepEqual(got, want) {
		t.Errorf("modules: got %v, want %v", got, want)
	}
	if got, want := w.Inactive(), []string{"bad", "old", "tax"}; !reflect.DeepEqual(got, want) {
		t.Errorf("inactive: got %v, want %v", got, want)
	}
}

// units are Units that refuse one.
type units struct {
	refused string
	until   uint64
}

func (units) Runnable(plugin string) []string { return spec.Units(plugin, 2) }

func (u units) Admit(_ context.Context, unit string) (until uint64, err error) {
	if unit == u.refused {
		return 0, fault.New(fault.Conflict, "not now")
	}
	return u.until, nil
}

// started are the units that were started.
type started []string

func (s *started) Own(_ context.Context, unit string, t delivery.Tenure) error {
	*s = append(*s, fmt.Sprint(unit, " until ", t.Until()))
	return nil
}

func (s *started) Claim(_ context.Context, unit string) error {
	*s = append(*s, "claim "+unit)
	if unit == "mail" {
		return errors.New("the database is gone")
	}
	return nil
}

func (s *started) Disown(context.Context, string) error { return nil }

type noIssues struct{}

func (noIssues) Own(context.Context, spec.Fence) error { return nil }
func (noIssues) Release(context.Context, string) error { return nil }

func TestUnitsThatAreRefusedDoNotStart(t *testing.T) {
	var ran started
	w := member.NewWork(member.WorkConfig{Handlers: &ran, Issues: noIssues{}, Units: units{"tax/1", 7}, Logger: slog.New(slog.DiscardHandler),
		Plugins: func() []wire.Plugin {
			return []wire.Plugin{{Name: "tax", State: wire.Standby}, {Name: "mail", State: wire.Disabled}}
		},
		Installed: func(string) string { return "" }})
	if got, want := w.Units(), []string{"tax/0", "tax/1"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, unit := range w.Units() {
		if err := w.Own(t.Context(), unit, new(cluster.Tenure)); (err != nil) != (unit == "tax/1") || err != nil && !fault.Is(err, fault.Conflict) {
			t.Errorf("%s: got %v", unit, err)
		}
	}
	if !slices.Equal(ran, started{"tax/0 until 7"}) {
		t.Errorf("started: %v", ran)
	}
}

// TestUnitClaimsItsPositionBeforeItStarts: one whose position was removed does not begin with the first event.
func TestUnitClaimsItsPositionBeforeItStarts(t *testing.T) {
	var ran started
	w := member.NewWork(member.WorkConfig{Handlers: &ran, Issues: noIssues{}, Units: units{}, Logger: slog.New(slog.DiscardHandler)})
	if err := w.Own(t.Context(), "tax", new(cluster.Tenure)); err != nil {
		t.Error(err)
	}
	if err := w.Own(t.Context(), "mail", new(cluster.Tenure)); err == nil {
		t.Error("it starts without a position")
	}
	if !slices.Equal(ran, started{"claim tax", "tax until 0", "claim mail"}) {
		t.Errorf("got %v", ran)
	}
}

// TestWishesAreThoseOfLiveMembers: a host that runs a plugin and says no layout, or one that cannot be
// read, agrees with no other.
func TestWishesAreThoseOfLiveMembers(t *testing.T) {
	one := func(id string, alive bool, layouts map[string]string, modules, inactive string) cluster.MemberView {
		return cluster.MemberView{Alive: alive, Member: spec.Member{ID: id, Name: "host-" + id, Layouts: layouts,
			Modules: map[string]string{modules: "1"}, Inactive: []string{inactive}}}
	}
	got := member.Wishes(func() cluster.View {
		return cluster.View{Members: []cluster.MemberView{
			one("1", true, map[string]string{"tax": "1", "mail": "4 /data/id"}, "tax", "mail"),
			one("2", true, map[string]string{"tax": "2"}, "tax", "off"),
			one("3", false, map[string]string{"tax": "3"}, "gone", "gone"),
			one("4", true, nil, "old", "tax"),
			one("5", true, map[string]string{"tax": "what a newer version writes"}, "tax", "mail"),
		}}
	})()
	unknown := shards.Layout{}
	want := shards.Wishes{
		Layouts: map[string][]shards.Layout{"tax": {shards.New(1, ""), shards.New(2, ""), unknown}, "mail": {shards.New(4, "/data/id")}, "old": {unknown}, "off": nil},
		Hosts:   map[string]string{"1": "host-1", "2": "host-2", "3": "host-3", "4": "host-4", "5": "host-5"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
