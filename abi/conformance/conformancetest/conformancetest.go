// Package conformancetest runs the conformance kit in a Go test.
package conformancetest

import (
	"slices"
	"testing"

	"github.com/berth-host/berth/abi/conformance"
)

// Test runs all vectors on a host, and reports each failure as one of a subtest.
func Test(t *testing.T, host conformance.Host) {
	t.Helper()
	Run(t, host, func(conformance.Vector) bool { return true })
}

// Run is Test for the vectors that are selected.
func Run(t *testing.T, host conformance.Host, selected func(conformance.Vector) bool) {
	t.Helper()
	vectors, err := conformance.Vectors()
	if err != nil {
		t.Fatal(err)
	}
	vectors = slices.DeleteFunc(vectors, func(v conformance.Vector) bool { return !selected(v) })
	for _, r := range conformance.Run(t.Context(), host, vectors) {
		t.Run(r.Group+"/"+r.Name, func(t *testing.T) {
			if r.Err != nil {
				t.Error(r.Err)
			}
		})
	}
}
