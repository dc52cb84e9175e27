package doctor

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// must creates a file or directory with exactly this mode.
func must(t *testing.T, path, content string, mode os.FileMode) string {
	t.Helper()
	var err error
	if content == "" {
		err = os.MkdirAll(path, 0o700)
	} else {
		err = os.WriteFile(path, []byte(content), 0o600)
	}
	if err == nil {
		err = os.Chmod(path, mode)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	file := must(t, in("file"), "x", 0o600)
	private := func(path string) Finding {
		f, ok := PrivateFile("c", path)
		if !ok {
			f.Detail = "none"
		}
		return f
	}
	link := in("link")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	full := must(t, in("full"), "", 0o755)
	must(t, filepath.Join(full, "a.wasm"), "x", 0o644)
	for _, tt := range []struct {
		name   string
		got    Finding
		level  Level
		detail string
	}{
		{"a private directory", PrivateDir("c", must(t, in("p"), "", 0o700)), OK, "has mode 0700"},
		{"one that others read", PrivateDir("c", must(t, in("r"), "", 0o755)), Warning, "other users can see"},
		{"one that others write", PrivateDir("c", must(t, in("w"), "", 0o770)), Problem, "other users can change"},
		{"one below what all write", PrivateDir("c", must(t, filepath.Join(must(t, in("shared"), "", 0o777), "p"), "", 0o700)), Problem, "shared has mode 0777: any user could change"},
		{"plugins below what all write", PluginDir(must(t, in("shared/plugins"), "", 0o755)), Warning, "shared has mode 0777: any user could change"},
		{"a volume of this user's group", DataDir("c", must(t, in("g"), "", 0o770)), Warning, "mode 0770: other users can change"},
		{"a volume that all write", DataDir("c", must(t, in("all"), "", 0o777)), Problem, "all has mode 0777: any user could change"},
		{"one that is not there", PrivateDir("c", in("none/of/these")), OK, "the host creates it when it needs it"},
		{"one that cannot be", PrivateDir("c", in("file/below")), Problem, "not a directory"},
		{"a file for a directory", PrivateDir("c", file), Problem, "is not a directory"},
		{"a private file", private(file), OK, "has mode 0600"},
		{"one that others read", private(must(t, in("open"), "x", 0o640)), Problem, "other users can use it"},
		{"a link", private(link), Problem, "is not a regular file"},
		{"none", private(in("none")), "", "none"},
		{"plugins", PluginDir(full), OK, "has 1 module"},
		{"no plugins", PluginDir(must(t, in("empty"), "", 0o755)), OK, "has 0 modules"},
		{"plugins writable by all", PluginDir(must(t, in("all"), "", 0o777)), Warning, "any user of this machine"},
		{"plugins that are not there", PluginDir(in("none")), Warning, "the host waits for it"},
		{"a file for plugins", PluginDir(file), Problem, "is not a directory"},
		{"a configuration", Editable(file, probed(true, true, nil)), OK, "can be replaced"},
		{"through a link", Editable(link, probed(true, true, nil)), OK, file + " can be replaced"},
		{"mounted by itself", Editable(file, probed(false, true, errors.New("it is a mount point"))), OK, "can be overwritten, with a copy in the data directory: it cannot be replaced (it is a mount point)"},
		{"read-only", Editable(file, probed(false, false, errors.New("read-only"))), Warning, "cannot be written (read-only)"},
		{"none yet", Editable(in("none"), nil), OK, "the host creates it"},
	} {
		if tt.got.Level != tt.level || !strings.Contains(tt.got.Detail, tt.detail) {
			t.Errorf("%s: got %+v, want %s %q", tt.name, tt.got, tt.level, tt.detail)
		}
		if (tt.got.Level == Warning || tt.got.Level == Problem) != (tt.got.Advice != "") {
			t.Errorf("%s: advice %q for %s", tt.name, tt.got.Advice, tt.got.Level)
		}
	}
}

func TestClock(t *testing.T) {
	now := time.Now()
	ahead := must(t, filepath.Join(t.TempDir(), "ahead"), "x", 0o600)
	if err := os.Chtimes(ahead, time.Time{}, now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name       string
		began, now time.Time
		files      []string
		want       Level
		detail     string
	}{
		{"right", now, now.Add(time.Second), nil, OK, ""},
		{"never set", time.Unix(0, 0), time.Unix(1, 0), nil, Problem, "never set"},
		{"far ahead", now.AddDate(200, 0, 0), now.AddDate(200, 0, 0), nil, Problem, "never set"},
		{"set back", now, now, []string{"none", ahead}, Warning, "1h0m0s later"},
	} {
		got := Clock(tt.began, tt.now, tt.files...)
		if len(got) != 1 || got[0].Level != tt.want || !strings.Contains(got[0].Detail, tt.detail) {
			t.Errorf("%s: got %+v", tt.name, got)
		}
	}
}

func TestDisk(t *testing.T) {
	dir := t.TempDir()
	findings := Disk(dir)
	last := findings[len(findings)-1]
	if last.Check != "fsync" || last.Level == Problem {
		t.Errorf("got %+v", last)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("the probe left %v, %v", left, err)
	}
	for _, f := range Disk(filepath.Join(dir, "none", "yet")) {
		if f.Check == "fsync" {
			t.Error("a page was written beside a missing directory")
		}
	}
	for _, tt := range []struct {
		name string
		got  Finding
		want Level
	}{
		{"plenty", diskFree("/", 2<<30, 4<<30), OK},
		{"little", diskFree("/", 512<<20, 4<<30), Warning},
		{"nothing", diskFree("/", 1<<20, 4<<30), Problem},
		{"many inodes", inodes("/", 5_000, 10_000), OK},
		{"few", inodes("/", 500, 10_000), Warning},
		{"none", inodes("/", 5, 10_000), Problem},
		{"ext4", fileSystem("/", "ext4"), OK},
		{"unknown", fileSystem("/", ""), OK},
		{"tmpfs", fileSystem("/", "tmpfs"), Warning},
		{"fuse", fileSystem("/", "fuse"), Warning},
		{"overlay", fileSystem("/", "overlayfs"), Warning},
		{"nfs", fileSystem("/", "nfs"), Problem},
		{"many files", openFiles(65_536), OK},
		{"no limit", openFiles(unlimited), OK},
		{"few files", openFiles(512), Warning},
		{"hardly any", openFiles(64), Problem},
		{"half", Memory(4<<30, 8<<30, 0), OK},
		{"a small cgroup", Memory(4<<30, 8<<30, 2<<30), Warning},
		{"a large cgroup", Memory(4<<30, 8<<30, 16<<30), OK},
		{"not known", Memory(4<<30, 0, 0), OK},
	} {
		if tt.got.Level != tt.want {
			t.Errorf("%s: got %+v, want %s", tt.name, tt.got, tt.want)
		}
	}
}

func TestCgroupMemory(t *testing.T) {
	dir := t.TempDir()
	self := must(t, filepath.Join(dir, "self"), "12:cpu:/x\n0::/outer/inner\n", 0o600)
	mount := must(t, filepath.Join(dir, "mount"), "", 0o700)
	if got := cgroupMemory(self, mount); got != 0 {
		t.Errorf("without a limit: got %d", got)
	}
	must(t, filepath.Join(mount, "outer", "inner"), "", 0o700)
	must(t, filepath.Join(mount, "outer", "inner", "memory.max"), "max\n", 0o600)
	must(t, filepath.Join(mount, "outer", "memory.max"), "4096\n", 0o600)
	if got := cgroupMemory(self, mount); got != 4096 {
		t.Errorf("got %d, want the outer limit", got)
	}
	first := must(t, filepath.Join(dir, "first"), "9:name=systemd:/a\n5:cpu,memory:/a/b\n0::/none\n", 0o600)
	must(t, filepath.Join(mount, "memory", "a", "b"), "", 0o700)
	for _, tt := range []struct {
		outer, inner string
		want         uint64
	}{
		{"9223372036854771712", "9223372036854771712", 0}, // version 1 without a limit
		{"9223372036854771712", "4096", 4096},
		{"8192", "9223372036854771712", 8192},
		{"2048", "4096", 2048},
	} {
		for path, text := range map[string]string{"a": tt.outer, "a/b": tt.inner} {
			if err := os.WriteFile(filepath.Join(mount, "memory", path, "memory.limit_in_bytes"), []byte(text+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := cgroupMemory(first, mount); got != tt.want {
			t.Errorf("version 1, %s in %s: got %d, want %d", tt.inner, tt.outer, got, tt.want)
		}
	}
	if got := cgroupMemory(filepath.Join(dir, "none"), mount); got != 0 {
		t.Errorf("without a cgroup: got %d", got)
	}
}

func TestReport(t *testing.T) {
	var r Report
	r.Add(Good("a", "fine"), Warn("b", "hm", "look"), Bad("c", "no", "repair"))
	if r.Problems != 1 || r.Warnings != 1 || len(r.Checks) != 3 {
		t.Errorf("got %+v", r)
	}
}

func probed(replace, overwrite bool, reason error) func(string) (bool, bool, error) {
	return func(string) (bool, bool, error) { return replace, overwrite, reason }
}

func TestLowerLimit(t *testing.T) {
	for _, tt := range []struct {
		machine int64
		group   uint64
		want    int64
	}{{8, 0, 8}, {8, 7, 7}, {8, 8, 8}, {8, 9, 8}, {0, 5, 5}, {0, 0, 0}, {8, 1 << 63, 8}} {
		if got := lowerLimit(tt.machine, tt.group); got != tt.want {
			t.Errorf("machine %d, cgroup %d: got %d, want %d", tt.machine, tt.group, got, tt.want)
		}
	}
}
