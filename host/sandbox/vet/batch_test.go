package vet_test

import (
	"strings"
	"testing"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox/vet"
	"github.com/berth-host/berth/host/spec"
)

// TestBatchNeedsLoopStyle: a manifest that asks for batches is refused in a module that takes
// one event at a time.
func TestBatchNeedsLoopStyle(t *testing.T) {
	for _, tt := range []struct{ guest, manifest, refused string }{
		{"stdio", `{"batch":{"max_events":10}}`, "its manifest has batch, but it is a module of the style stdio"},
		{"stdio", `{"state":"atomic"}`, ""},
		{"echo", `{"batch":{"max_events":10}}`, ""},
	} {
		wasm, err := abi.PutSection(guest(t, tt.guest), abi.ManifestSection, []byte(tt.manifest))
		if err != nil {
			t.Fatal(err)
		}
		_, err = vet.InProcess{}.Vet(t.Context(), spec.NewArtifact(wasm))
		if tt.refused == "" && err != nil || tt.refused != "" && (!fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), tt.refused)) {
			t.Errorf("%s with %s: got %v, want %q", tt.guest, tt.manifest, err, tt.refused)
		}
	}
}
