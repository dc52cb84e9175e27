package spec_test

import (
	"testing"

	"github.com/berth-host/berth/host/spec"
)

// TestCompareVersions: the example of semver.org, section 11, and builds.
func TestCompareVersions(t *testing.T) {
	order := []string{"0.9.10", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.2", "1.0.10", "1.2.0", "2.0.0-1", "2.0.0", "99999999999999999999.0.0", "100000000000000000000.0.0"}
	for a := range order {
		for b := range order {
			want := 0
			switch {
			case a < b:
				want = -1
			case a > b:
				want = 1
			}
			if got := spec.CompareVersions(order[a]+"+build.7", order[b]); got != want {
				t.Errorf("%s and %s: got %d, want %d", order[a], order[b], got, want)
			}
		}
	}
}
