package pathguard_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pathguard"
)

// TestTrustedDirectoriesAreExempt uses a volume like those of containers: every user
// can write to it, and this user cannot change that.
func TestTrustedDirectoriesAreExempt(t *testing.T) {
	top := t.TempDir()
	volume, other := dir(t, 0o777, top, "volume"), dir(t, 0o777, top, "other")
	own := dir(t, 0o700, volume, "own")
	open := dir(t, 0o777, volume, "open")
	leads := link(t, volume, top, "link")
	if err := pathguard.Check(volume); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "name it in BERTH_TRUSTED_DIRECTORIES") {
		t.Errorf("got %v, want the hint for containers", err)
	}
	for _, tt := range []struct {
		name, value, path string
		want              string // "" for none
	}{
		{"itself", volume, volume, ""},
		{"written otherwise", volume + "/./", volume, ""},
		{"one of two", "/nowhere:" + volume, volume, ""},
		{"below", volume, own, ""},
		{"by a link", volume, leads, ""},
		{"open below", volume, open, "open has mode 0777"},
		{"another", volume, other, "other has mode 0777"},
		{"above", top, volume, "volume has mode 0777"},
		{"a part of the name", volume[:len(volume)-1], volume, "volume has mode 0777"},
		{"the link's name", leads, leads, "volume has mode 0777"},
		{"none", "", volume, "volume has mode 0777"},
		{"not absolute", "volume", volume, "volume has mode 0777"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv(pathguard.TrustedEnv, tt.value)
			err := pathguard.Check(tt.path)
			if tt.want == "" && err != nil || tt.want != "" && (!fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	t.Run("a file in it", func(t *testing.T) {
		t.Setenv(pathguard.TrustedEnv, volume)
		if os.Geteuid() != 0 {
			return // only root can give files away
		}
		name := filepath.Join(volume, "file")
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(name, 12345, 0); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(name); err != nil || pathguard.Owner(name, info) == nil {
			t.Errorf("another user's file is accepted, %v", err)
		}
	})
}

func TestTrustedList(t *testing.T) {
	for value, want := range map[string][]string{
		"":                  {},
		"/":                 {},
		"/data":             {"/data"},
		"/data/:/a//b::c:.": {"/data", "/a/b"},
		"/data/..":          {},
		"//":                {},
	} {
		t.Setenv(pathguard.TrustedEnv, value)
		if got := pathguard.Trusted(); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", value, got, want)
		}
	}
}
