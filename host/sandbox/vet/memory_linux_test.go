package vet_test

import (
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/sandbox/vet"
	"github.com/berth-host/berth/host/spec"
)

// TestChildOutOfMemory is for Linux: elsewhere private memory has no limit.
func TestChildOutOfMemory(t *testing.T) {
	v := newVetter(t, vet.Config{Memory: 96 << 20, Wall: time.Minute, CPU: time.Minute})
	r := refusal(t, v, heavy())
	if r.Code != vet.CodeMemory || r.Max != 96<<20 || r.Unit != "bytes" || r.Measured == 0 || !strings.Contains(r.Reason, "more memory than the limit of 96 MiB") {
		t.Errorf("%+v", r)
	}
	if _, err := v.Vet(t.Context(), spec.NewArtifact(guest(t, "echo"))); err != nil {
		t.Errorf("a guest under the same limit: %v", err)
	}
}
