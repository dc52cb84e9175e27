package host

import (
	"os"
	"testing"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/live"
)

// Restore revokes the grants in force whatever the file holds meanwhile, and applies no
// unchecked change of the file.
func TestRestoreRevokesGrantsWhateverTheFileHolds(t *testing.T) {
	asked := []abi.Capability{{Name: abi.CapabilityKV}}
	for name, tt := range map[string]struct {
		spoil func(path string) error
		fails bool
	}{
		"empty":  {func(path string) error { return os.WriteFile(path, nil, 0o600) }, false},
		"gone":   {os.Remove, false},
		"other":  {func(path string) error { return os.WriteFile(path, []byte("routes: {z: {}}\n"), 0o600) }, false},
		"broken": {func(path string) error { return os.WriteFile(path, []byte("routes: {\n"), 0o600) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := startWithEcho(t, "routes: {a: {}, b: {}}\n")
			settings := live.Handlers{Live: s.host.live}
			shot, err := settings.Snapshot("x", asked)
			check(t, err)
			check(t, settings.Admit("x", asked))
			check(t, tt.spoil(s.yaml))
			if err := settings.Restore("x", shot); (err != nil) != tt.fails {
				t.Errorf("got %v", err)
			}
			routes := s.host.live.Config().Routes
			if len(routes) != 2 && name != "other" {
				t.Errorf("the routes are %+v", routes)
			}
			if lacking := settings.Lacking("x", asked); len(lacking) != 1 {
				t.Error("the capability is still granted")
			}
		})
	}
}
