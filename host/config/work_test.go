package config_test

import (
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

func TestResolveStateBatchAndFairness(t *testing.T) {
	batching := abi.Manifest{State: abi.StateAtomic, Batch: &abi.Batch{MaxEvents: 100, MaxWait: abi.Duration(50 * time.Millisecond)}}
	for name, tt := range map[string]struct {
		handler  string
		manifest abi.Manifest
		state    spec.StateMode
		batch    spec.BatchPolicy
		fair     spec.FairPolicy
	}{
		"no settings":      {"{}", abi.Manifest{}, spec.StateDirect, spec.BatchPolicy{}, spec.FairPolicy{}},
		"the manifest":     {"{}", batching, spec.StateAtomic, spec.BatchPolicy{MaxEvents: 100, MaxWait: 50 * time.Millisecond}, spec.FairPolicy{}},
		"the other state":  {"{state: direct}", batching, spec.StateDirect, spec.BatchPolicy{MaxEvents: 100, MaxWait: 50 * time.Millisecond}, spec.FairPolicy{}},
		"atomic":           {"{state: atomic}", abi.Manifest{}, spec.StateAtomic, spec.BatchPolicy{}, spec.FairPolicy{}},
		"no batches":       {"{batch: off}", batching, spec.StateAtomic, spec.BatchPolicy{MaxEvents: 1}, spec.FairPolicy{}},
		"smaller batches":  {"{batch: {max_events: 7}}", batching, spec.StateAtomic, spec.BatchPolicy{MaxEvents: 7, MaxWait: 50 * time.Millisecond}, spec.FairPolicy{}},
		"larger batches":   {"{batch: {max_events: 700, max_wait: 10s}}", batching, spec.StateAtomic, spec.BatchPolicy{MaxEvents: 100, MaxWait: 50 * time.Millisecond}, spec.FairPolicy{}},
		"no wait":          {"{batch: {max_wait: 0s}}", batching, spec.StateAtomic, spec.BatchPolicy{MaxEvents: 100}, spec.FairPolicy{}},
		"off, none to end": {"{batch: off}", abi.Manifest{}, spec.StateDirect, spec.BatchPolicy{}, spec.FairPolicy{}},
		"fair": {"{fair_by: /data/tenant, fair_weights: {gold: 3, 7: 2}}", abi.Manifest{}, spec.StateDirect, spec.BatchPolicy{},
			spec.FairPolicy{By: "/data/tenant", Weights: map[string]int{"gold": 3, "7": 2}}},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := config.Parse("f", []byte("handlers: {x: "+tt.handler+"}\n"))
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Check("x", tt.manifest); err != nil {
				t.Error(err)
			}
			s, _ := c.Resolve("x", tt.manifest)
			if s.State != tt.state || s.Batch != tt.batch || !reflect.DeepEqual(s.Fair, tt.fair) {
				t.Errorf("got %q, %+v, %+v; want %q, %+v, %+v", s.State, s.Batch, s.Fair, tt.state, tt.batch, tt.fair)
			}
		})
	}
}

func TestWorkSettingsRefuseBadValues(t *testing.T) {
	for handler, want := range map[string]string{
		"{shards: 0}":                                   "f:2: handlers.x.shards: ",
		"{shards: 65}":                                  "f:2: handlers.x.shards: ",
		"{shards: many}":                                "f:2: handlers.x.shards: ",
		"{shards: 2}":                                   "f:2: handlers.x.shards: needs bus.engine: postgres",
		"{state: durable}":                              "f:2: handlers.x.state: ",
		"{batch: on}":                                   `f:2: handlers.x.batch: must be off or bounds such as {max_events: 50, max_wait: 10ms}, not the text "on"`,
		"{batch: {}}":                                   `f:2: handlers.x.batch: sets neither max_events nor max_wait`,
		"{batch: 7}":                                    `must be off or bounds such as {max_events: 50, max_wait: 10ms}, not the number "7"`,
		"{batch: {max_events: 0}}":                      "f:2: handlers.x.batch.max_events: ",
		"{batch: {max_events: 1001}}":                   "f:2: handlers.x.batch.max_events: ",
		"{batch: {max_wait: 11s}}":                      "f:2: handlers.x.batch.max_wait: ",
		"{batch: {max: 3}}":                             "unknown key; the nearest known key is max_",
		"{fair_by: tenant}":                             `f:2: handlers.x.fair_by: "tenant" is not a JSON Pointer; write one like /data/tenant`,
		"{fair_by: /metadata/tenant}":                   `f:2: handlers.x.fair_by: "/metadata/tenant" names no member of the metadata, which are event_id, idempotency_key, source, subject, time, correlation_id, causation_id, traceparent, hops`,
		"{fair_by: /metadata/subject/0}":                `"/metadata/subject/0" names no member of the metadata`,
		"{fair_by: /metadata}":                          `"/metadata" names no member of the metadata`,
		"{fair_by: /tenant}":                            `"/tenant" names no part of the envelope, which are /event_type, /data and /metadata`,
		"{fair_weights: {gold: 3}}":                     "f:2: handlers.x.fair_weights: has no effect without fair_by",
		"{fair_by: /data/tenant, fair_weights: {a: 0}}": "f:2: handlers.x.fair_weights.a: ",
		"{fair_by: /data/tenant, fair_weights: [a]}":    "f:2: handlers.x.fair_weights: must be a mapping",
		"{fair_by: /data/tenant, fair_weights: {a: 1, a: 2}}": "f:2: handlers.x.fair_weights.a: is here twice",
	} {
		_, err := config.Parse("f", []byte("handlers:\n  x: "+handler+"\n"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", handler, err, want)
		}
	}
}

// TestBatchNeedsManifest: the configuration never enables batches.
func TestBatchNeedsManifest(t *testing.T) {
	for handler, refused := range map[string]bool{
		"{}": false, "{batch: off}": false, "{batch: {max_events: 1}}": false, "{batch: {max_events: 2}}": true, "{batch: {max_wait: 1s}}": true,
	} {
		c, err := config.Parse("f", []byte("handlers: {x: "+handler+"}\n"))
		if err != nil {
			t.Fatal(err)
		}
		err = c.Check("x", abi.Manifest{})
		if refusal, ok := errors.AsType[*config.Refusal](err); ok != refused || refused && refusal.Key != "batch" {
			t.Errorf("%s: got %v", handler, err)
		}
	}
}

func TestSettingsShowStateBatchAndFairness(t *testing.T) {
	c, err := config.Parse("f", []byte("handlers: {x: {batch: {max_events: 20}, fair_by: /data/tenant, fair_weights: {gold: 3}}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	shown := make(map[string]string)
	for _, s := range config.SettingsOf(c, "x", abi.Manifest{State: abi.StateAtomic, Batch: &abi.Batch{MaxEvents: 100}}) {
		shown[s.Path] = s.Value
	}
	for path, want := range map[string]string{
		"handlers.x.state": "atomic", "handlers.x.batch": "{max_events: 20, max_wait: 0s}",
		"handlers.x.fair_by": `"/data/tenant"`, "handlers.x.fair_weights": `{"gold":3}`,
	} {
		if shown[path] != want {
			t.Errorf("%s is %q, want %q", path, shown[path], want)
		}
	}
	changed := config.Diff(config.Default(), c, nil)
	if want := "handlers.x.batch: added, {max_events: 20}"; !strings.Contains(strings.Join(changed, "\n"), want) {
		t.Errorf("got %q, want %q", changed, want)
	}
}

func TestShards(t *testing.T) {
	for text, want := range map[string]int{
		"handlers: {x: {}}\n":          1,
		"handlers: {x: {shards: 1}}\n": 1,
		"handlers: {x: {shards: 16}}\nbus: {engine: postgres, postgres: {url: postgres://berth@db/berth}}\n": 16,
	} {
		c, err := config.Parse("f", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if s, _ := c.Resolve("x", abi.Manifest{}); s.Shards != want {
			t.Errorf("%s: got %d shards", text, s.Shards)
		}
		if shown := config.SettingsOf(c, "x", abi.Manifest{}); !slices.Contains(shown, wire.Setting{Path: "handlers.x.shards", Value: strconv.Itoa(want)}) {
			t.Errorf("%s: shown as %v", text, shown)
		}
	}
}
