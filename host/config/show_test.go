package config_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/wire"
)

func TestSettingsHideConfigValues(t *testing.T) {
	c, err := config.Parse("f", []byte("defaults: {limits: {timeout: 9s}}\nhandlers: {x: {paused: true, config: {b: hunter2, a: [hunter2]}, retry: {max_attempts: 2}}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	all := config.Settings(c)
	for _, want := range []wire.Setting{
		{Path: "server.listen", Value: "127.0.0.1:8080"}, {Path: "defaults.limits.timeout", Value: "9s"}, {Path: "defaults.limits.memory", Value: "64MiB"}, {Path: "defaults.retry.max_attempts", Value: "5"},
		{Path: "handlers.x.config", Value: "{a: …, b: …}"}, {Path: "handlers.x.paused", Value: "true"}, {Path: "handlers.x.retry.max_attempts", Value: "2"},
	} {
		if !slices.Contains(all, want) {
			t.Errorf("%v is not among %v", want, all)
		}
	}
	one := config.SettingsOf(c, "x", abi.Manifest{})
	for _, want := range []wire.Setting{
		{Path: "handlers.x.enabled", Value: "true"}, {Path: "handlers.x.paused", Value: "true"}, {Path: "handlers.x.limits.timeout", Value: "9s"}, {Path: "handlers.x.retry.max_attempts", Value: "2"},
		{Path: "handlers.x.grants", Value: "[]"}, {Path: "handlers.x.order_by", Value: `"/metadata/subject"`}, {Path: "handlers.x.config", Value: "{a: …, b: …}"},
	} {
		if !slices.Contains(one, want) {
			t.Errorf("%v is not among %v", want, one)
		}
	}
	for _, s := range slices.Concat(all, one) {
		if strings.Contains(s.Value, "hunter2") {
			t.Errorf("%v shows a value", s)
		}
	}
}

// TestSettingsInForceHaveDerivedValues where the file sets none.
func TestSettingsInForceHaveDerivedValues(t *testing.T) {
	c, err := config.Parse("f", []byte("{}\n"))
	if err != nil {
		t.Fatal(err)
	}
	begun := config.Started{Config: c, Listen: "127.0.0.1:9", DataDir: "d", MemoryTotal: 3 << 30, MaxInflight: 96 << 20}
	for _, tt := range []struct{ list, want []wire.Setting }{
		{config.Settings(c), []wire.Setting{{Path: "defaults.memory_total", Value: "half of the machine's"}, {Path: "server.max_inflight_bytes", Value: "as the memory allows"}}},
		{begun.InForce(c), []wire.Setting{{Path: "defaults.memory_total", Value: "3GiB"}, {Path: "server.max_inflight_bytes", Value: "96MiB"}, {Path: "server.listen", Value: "127.0.0.1:9"}, {Path: "data_dir", Value: "d"}}},
	} {
		for _, want := range tt.want {
			if !slices.Contains(tt.list, want) {
				t.Errorf("%v is not among %v", want, tt.list)
			}
		}
	}
}
