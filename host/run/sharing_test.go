package run

import (
	"testing"

	"github.com/berth-host/berth/host/spec"
)

// TestSharingNamesItsPointer: package delivery groups the waiting events anew when a changed
// configuration names another pointer, which it knows by By.
func TestSharingNamesItsPointer(t *testing.T) {
	for _, by := range []string{"/metadata/tenant", "/data/region"} {
		if p := sharing(spec.FairPolicy{By: by}); p == nil || p.By != by {
			t.Errorf("got %+v, want the pointer %s", p, by)
		}
	}
	if p := sharing(spec.FairPolicy{}); p != nil {
		t.Errorf("without a pointer: got %+v", p)
	}
}
