package pathguard_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pathguard"
)

// dir creates a directory with a mode.
func dir(t *testing.T, mode fs.FileMode, path ...string) string {
	t.Helper()
	name := filepath.Join(path...)
	if err := errors.Join(os.MkdirAll(name, 0o700), os.Chmod(name, mode)); err != nil {
		t.Fatal(err)
	}
	return name
}

func link(t *testing.T, target string, path ...string) string {
	t.Helper()
	name := filepath.Join(path...)
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestModes(t *testing.T) {
	const sticky = fs.ModeSticky
	top := t.TempDir()
	open, shared := dir(t, 0o777, top, "open"), dir(t, 0o777|sticky, top, "shared")
	good := dir(t, 0o700, top, "good")
	file := filepath.Join(good, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, path, want string // want: "" for none
		shared           bool   // accepted by CheckShared
	}{
		{"private", good, "", true},
		{"readable", dir(t, 0o755, top, "readable"), "", true},
		{"writable for all", open, "open has mode 0777", false},
		{"writable for all but the group", dir(t, 0o702, top, "others"), "others has mode 0702", false},
		{"sticky", shared, "shared has mode 1777", true},
		{"below one that is writable for all", dir(t, 0o700, open, "own"), "open has mode 0777", false},
		{"far below one", dir(t, 0o700, open, "own", "further"), "open has mode 0777", false},
		{"below a sticky one", dir(t, 0o700, shared, "own"), "", true},
		{"the group is this user's", dir(t, 0o770, top, "group"), "", true},
		{"a link to a good one", link(t, good, top, "link"), "", true},
		{"a relative link", link(t, "../good", good, "relative"), "", true},
		{"a link to a bad one", link(t, open, top, "bad"), "open has mode 0777", false},
		{"a link in a bad one", link(t, good, open, "link"), "open has mode 0777", false},
		{"a link through a bad one", link(t, filepath.Join("open", "own"), top, "through"), "open has mode 0777", false},
		{"a link to itself", link(t, "self", top, "self"), "more than 40 symbolic links", false},
		{"below a file", filepath.Join(file, "x"), "file is not a directory", false},
	} {
		err := pathguard.Check(tt.path)
		if tt.want == "" && err != nil || tt.want != "" && (!fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
		if err := pathguard.CheckShared(tt.path); (err == nil) != tt.shared {
			t.Errorf("%s: CheckShared: got %v", tt.name, err)
		}
	}
	if err := pathguard.Check(filepath.Join(good, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: got %v", err)
	}
}

// TestFilesOfOtherUsersAreRefused checks as another user, or changes the owner of
// files when it runs as root.
func TestFilesOfOtherUsersAreRefused(t *testing.T) {
	top := t.TempDir()
	own := dir(t, 0o700, top, "own")
	info, err := os.Stat(own)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(pathguard.Check(own), pathguard.Owner(own, info)); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		err := pathguard.As(os.Geteuid() + 1).Check(own)
		if !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "belongs to the user with the id") {
			t.Errorf("got %v", err)
		}
		return
	}
	const other, another = 12345, 12346
	if err := os.Chown(own, other, 0); err != nil {
		t.Fatal(err)
	}
	inside := dir(t, 0o700, own, "inside")
	otherLink := link(t, dir(t, 0o700, top, "mine"), top, "link")
	if err := os.Lchown(otherLink, other, 0); err != nil {
		t.Fatal(err)
	}
	group := dir(t, 0o770, top, "group")
	if err := os.Chown(group, 0, other); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{own: "own belongs to the user with the id 12345", inside: "own belongs to", otherLink: "link belongs to",
		group: "users of its group could change", dir(t, 0o700, group, "below"): "group has mode 0770"} {
		if err := pathguard.Check(path); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
	}
	if err := pathguard.As(other).Check(own); err != nil {
		t.Errorf("its owner: %v", err)
	}
	if err := pathguard.As(another).Check(own); err == nil {
		t.Error("another user: no error")
	}
	if info, err = os.Stat(own); err != nil || pathguard.Owner(own, info) == nil {
		t.Errorf("Owner: no error, %v", err)
	}
}
