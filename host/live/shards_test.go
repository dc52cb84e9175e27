package live

import (
	"context"
	"encoding/json"
	"reflect"
	"testing"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/plugin"
	"github.com/berth-host/berth/host/shards"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/spec/sharedtest"
	"github.com/berth-host/berth/host/wire"
)

// tax is a host's plugins: tax, whose manifest orders by id, and one that is not readable.
type tax struct{ reloads int }

func (*tax) Check(context.Context, plugin.SettingsFunc) ([]plugin.Misfit, error) { return nil, nil }
func (p *tax) Reload(context.Context, []string) error {
	p.reloads++
	return nil
}
func (*tax) List() []wire.Plugin { return []wire.Plugin{{Name: "tax"}, {Name: "bad"}} }
func (*tax) Manifest(name string) (abi.Manifest, bool) {
	return abi.Manifest{Name: name, OrderBy: "/data/id"}, name == "tax"
}

// TestHostOfNoClusterHasOneShard: its file can already say what the next start applies.
func TestHostOfNoClusterHasOneShard(t *testing.T) {
	o := open(t, "routes: {}\n")
	o.write(o.Path(), "handlers: {tax: {shards: 4}}\nbus: {engine: postgres, postgres: {url: postgres://berth@db/berth}}\n")
	if err := o.fileChanged(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s, err := o.Settings("tax", abi.Manifest{}); err != nil || s.Shards != 1 {
		t.Errorf("got %d shards, %v", s.Shards, err)
	}
}

func TestShardsInForceAreThoseOfTheCluster(t *testing.T) {
	store := sharedtest.New()
	o := member(t, store, "handlers: {tax: {shards: 4}, other: {shards: 1}}\nbus: {engine: postgres, postgres: {url: postgres://berth@db/berth}}\n")
	plugins := &tax{}
	o.Attach(plugins)
	if got, want := o.Layouts(), map[string]string{"tax": "4 /data/id"}; !reflect.DeepEqual(got, want) {
		t.Errorf("wanted: got %v, want %v", got, want)
	}
	inForce := func(number int, orderBy string, reloads int) {
		t.Helper()
		if err := o.FollowShards(t.Context()); err != nil {
			t.Error(err)
		}
		m, _ := plugins.Manifest("tax")
		if s, err := o.Settings("tax", m); err != nil || s.Shards != number || s.OrderBy != orderBy || plugins.reloads != reloads {
			t.Errorf("got %d shards by %s after %d reloads, %v", s.Shards, s.OrderBy, plugins.reloads, err)
		}
	}
	revision := uint64(0)
	put := func(g shards.Generation) {
		t.Helper()
		body, err := json.Marshal(g)
		if err == nil {
			revision, err = store.Share(t.Context(), spec.SharedDocument{Kind: shards.Kind, ID: "tax", Body: body, Revision: revision})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	inForce(1, "/data/id", 0)
	put(shards.Generation{Number: 1, Layout: shards.New(3, "/metadata/subject")})
	inForce(3, "/metadata/subject", 1)
	inForce(3, "/metadata/subject", 1)
	if got := o.Layouts()["tax"]; got != "4 /data/id" {
		t.Errorf("the host wants %s", got)
	}
	put(shards.Generation{Number: 2, Layout: shards.New(1, "")})
	inForce(1, "/data/id", 2)
}
