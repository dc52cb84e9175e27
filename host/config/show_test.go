package config_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/config"
)

func TestSettings(t *testing.T) {
	c, err := config.Parse("f", []byte("defaults: {limits: {timeout: 9s}}\nhandlers: {x: {paused: true, config: {b: hunter2, a: [hunter2]}, retry: {max_attempts: 2}}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	all := config.Settings(c)
	for _, want := range []config.Setting{
		{"server.listen", "127.0.0.1:8080"}, {"defaults.limits.timeout", "9s"}, {"defaults.limits.memory", "64MiB"}, {"defaults.retry.max_attempts", "5"},
		{"handlers.x.config", "{a: …, b: …}"}, {"handlers.x.paused", "true"}, {"handlers.x.retry.max_attempts", "2"},
	} {
		if !slices.Contains(all, want) {
			t.Errorf("%v is not among %v", want, all)
		}
	}
	one := config.SettingsOf(c, "x", abi.Manifest{})
	for _, want := range []config.Setting{
		{"handlers.x.enabled", "true"}, {"handlers.x.paused", "true"}, {"handlers.x.limits.timeout", "9s"}, {"handlers.x.retry.max_attempts", "2"},
		{"handlers.x.grants", "[]"}, {"handlers.x.order_by", `"/metadata/subject"`}, {"handlers.x.config", "{a: …, b: …}"},
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

// TestSettingsInForce has what the machine's memory decides where the file is silent.
func TestSettingsInForce(t *testing.T) {
	c, err := config.Parse("f", []byte("{}\n"))
	if err != nil {
		t.Fatal(err)
	}
	begun := config.Started{Config: c, Listen: "127.0.0.1:9", DataDir: "d", MemoryTotal: 3 << 30, MaxInflight: 96 << 20}
	for _, tt := range []struct{ list, want []config.Setting }{
		{config.Settings(c), []config.Setting{{"defaults.memory_total", "half of the machine's"}, {"server.max_inflight_bytes", "as the memory allows"}}},
		{begun.InForce(c), []config.Setting{{"defaults.memory_total", "3GiB"}, {"server.max_inflight_bytes", "96MiB"}, {"server.listen", "127.0.0.1:9"}, {"data_dir", "d"}}},
	} {
		for _, want := range tt.want {
			if !slices.Contains(tt.list, want) {
				t.Errorf("%v is not among %v", want, tt.list)
			}
		}
	}
}
