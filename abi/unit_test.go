package abi_test

import (
	"encoding/json"
	"testing"

	"github.com/berth-host/berth/abi"
	"gopkg.in/yaml.v3"
)

func TestSize(t *testing.T) {
	for text, want := range map[string]abi.Size{
		"1B": 1, "64KiB": 65536, "32MiB": 32 << 20, "3GiB": 3 << 30, "1025KiB": 1025 << 10, "8589934591GiB": 8589934591 << 30,
	} {
		var got abi.Size
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%s: got %d, %v; want %d", text, got, err, want)
		}
		if got.String() != text {
			t.Errorf("%s: written as %s", text, got)
		}
	}
	for _, text := range []string{"", "B", "MiB", "1", "0B", "-1B", "+1B", "1 MiB", "1mib", "1MB", "1M", "1.5MiB", "1KiBB", "BKiB", "8589934592GiB", "99999999999999999999B", "1e3B"} {
		var got abi.Size
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: got %d, want an error", text, got)
		}
	}
	if got := abi.Size(0).String(); got != "0B" {
		t.Errorf("zero is written as %s", got)
	}
}

// TestUnitsInDocuments proves that the units read alike from JSON and YAML.
func TestUnitsInDocuments(t *testing.T) {
	var j, y abi.Limits
	if err := json.Unmarshal([]byte(`{"timeout":"1m30s","memory":"64MiB"}`), &j); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte("timeout: 1m30s\nmemory: 64MiB\n"), &y); err != nil {
		t.Fatal(err)
	}
	if j != y || j.Memory != 64*abi.MiB {
		t.Errorf("JSON %+v, YAML %+v", j, y)
	}
	text, err := json.Marshal(j)
	if want := `{"timeout":"1m30s","memory":"64MiB"}`; err != nil || string(text) != want {
		t.Errorf("got %s, %v; want %s", text, err, want)
	}
	if err := yaml.Unmarshal([]byte("memory: 64\n"), &y); err == nil {
		t.Error("YAML: a size without a unit is no error")
	}
}
