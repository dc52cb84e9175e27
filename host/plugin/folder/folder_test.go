package folder_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/berth-host/berth/host/plugin/folder"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestModuleOf(t *testing.T) {
	tests := []struct {
		path, want string
		ok         bool
	}{
		{"/d/x.wasm", "/d/x.wasm", true},
		{"/d/x.wasm.json", "/d/x.wasm", true},
		{"/d/.x.wasm", "", false},
		{"/d/.x.wasm.json", "", false},
		{"/d/.wasm", "", false},
		{"/d/x.wasm~", "", false},
		{"/d/x.wasm.tmp", "", false},
		{"/d/x.json", "", false},
		{"/d.wasm/x", "", false},
	}
	for _, test := range tests {
		if got, ok := folder.ModuleOf(test.path); ok != test.ok || ok && got != test.want {
			t.Errorf("ModuleOf(%q) = %q, %v, want %q, %v", test.path, got, ok, test.want, test.ok)
		}
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.wasm")
	read := func() (folder.Content, error) { return folder.Read(path, 10, 5) }

	if _, err := read(); !errors.Is(err, folder.ErrChanged) {
		t.Errorf("a file that is not there: %v", err)
	}
	must(t, os.WriteFile(path, []byte("0123456789"), 0o600))
	c, err := read()
	// The digest was computed with sha256sum.
	if err != nil || string(c.Wasm()) != "0123456789" || c.SidecarText != nil || c.Writing ||
		c.SHA256() != "84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882" {
		t.Errorf("got %+v, %v", c, err)
	}
	if s, err := folder.Stat(path); err != nil || s != c.State {
		t.Errorf("Stat answers %+v, %v, Read %+v", s, err, c.State)
	}
	must(t, os.WriteFile(path+".json", nil, 0o600))
	if c, err = read(); err != nil || c.SidecarText == nil || len(c.SidecarText) != 0 {
		t.Errorf("an empty sidecar: %+v, %v", c, err)
	}

	refusals := []struct {
		name, reason string
		make         func() error
	}{
		{"long sidecar", "its manifest " + path + ".json: it is 6 bytes long: the limit is 5", func() error { return os.WriteFile(path+".json", []byte("123456"), 0o600) }},
		{"sidecar that is a folder", "is a directory", func() error { return errors.Join(os.Remove(path+".json"), os.Mkdir(path+".json", 0o700)) }},
		{"long file", "it is 8589934592 bytes long: the limit is 10", func() error { return os.Truncate(path, 8<<30) }},
		{"pipe", "is a named pipe", func() error { return errors.Join(os.Remove(path), unix.Mkfifo(path, 0o600)) }},
		{"link", "is a symbolic link", func() error { return errors.Join(os.Remove(path), os.Symlink("/dev/zero", path)) }},
	}
	for _, r := range refusals {
		must(t, r.make())
		var refusal folder.Refusal
		if _, err := read(); !errors.As(err, &refusal) || !strings.Contains(err.Error(), r.reason) {
			t.Errorf("%s: got %v, want %q", r.name, err, r.reason)
		}
	}
}

// A device is not read, however much there would be to read. A file that may not
// be read says so; root may read every file.
func TestReadOfADeviceASocketAndALockedFile(t *testing.T) {
	var refusal folder.Refusal
	if _, err := folder.Read("/dev/zero", 10, 5); !errors.As(err, &refusal) || !strings.Contains(err.Error(), "is a device") {
		t.Errorf("a device: %v", err)
	}
	socket := filepath.Join(t.TempDir(), "s.wasm")
	l, err := net.Listen("unix", socket)
	must(t, err)
	defer l.Close()
	if _, err := folder.Read(socket, 10, 5); !errors.As(err, &refusal) || !strings.Contains(err.Error(), "is a socket") {
		t.Errorf("a socket: %v", err)
	}
	locked := filepath.Join(t.TempDir(), "x.wasm")
	must(t, os.WriteFile(locked, []byte("x"), 0o000))
	_, err = folder.Read(locked, 10, 5)
	if os.Geteuid() == 0 && err != nil || os.Geteuid() != 0 && (err == nil || !strings.Contains(err.Error(), "may not read it")) {
		t.Errorf("a file of mode 0: %v", err)
	}
}

func TestScan(t *testing.T) {
	dir := t.TempDir()
	notDir := filepath.Join(dir, "file")
	must(t, os.WriteFile(notDir, nil, 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "a.wasm"), nil, 0o600))
	must(t, os.Symlink("nowhere", filepath.Join(dir, "b.wasm")))
	must(t, os.WriteFile(filepath.Join(dir, "c.wasm.json"), nil, 0o600))
	must(t, os.Mkdir(filepath.Join(dir, "below"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "below", "d.wasm"), nil, 0o600))
	l := folder.Scan([]string{dir, filepath.Join(dir, "missing"), notDir, filepath.Join(notDir, "below")})
	if len(l.Files) != 2 || l.Files[filepath.Join(dir, "a.wasm")].Module.Kind() != "a regular file" ||
		l.Files[filepath.Join(dir, "b.wasm")].Module.Kind() != "a symbolic link" {
		t.Errorf("got %+v", l.Files)
	}
	if len(l.Unreadable) != 0 {
		t.Errorf("unreadable: %v", l.Unreadable)
	}
}

// A directory that cannot be read is not an empty one.
func TestScanOfAnUnreadableDirectory(t *testing.T) {
	loop := filepath.Join(t.TempDir(), "loop")
	must(t, os.Symlink(loop, loop))
	if l := folder.Scan([]string{loop}); l.Unreadable[loop] == nil {
		t.Errorf("got %+v", l)
	}
}

// TestScanGoesOn behind a directory that cannot be read, a missing one, and among files that
// are no modules.
func TestScanGoesOn(t *testing.T) {
	dir := t.TempDir()
	loop, full, last := filepath.Join(dir, "loop"), filepath.Join(dir, "full"), filepath.Join(dir, "last")
	must(t, os.Symlink("loop", loop))
	want := make(map[string]bool)
	for _, sub := range []string{full, last} {
		must(t, os.Mkdir(sub, 0o700))
		for c := 'a'; c <= 'p'; c++ {
			for _, name := range []string{".wasm", ".wasm.json", ".txt"} {
				must(t, os.WriteFile(filepath.Join(sub, string(c)+name), []byte("x"), 0o600))
			}
			want[filepath.Join(sub, string(c)+".wasm")] = true
		}
		must(t, os.WriteFile(filepath.Join(sub, "0.wasm.json"), []byte("x"), 0o600)) // without its module
	}
	got := folder.Scan([]string{loop, filepath.Join(dir, "missing"), full, last})
	if len(got.Unreadable) != 1 || got.Unreadable[loop] == nil {
		t.Errorf("unreadable: %v", got.Unreadable)
	}
	for path := range want {
		if _, ok := got.Files[path]; !ok {
			t.Errorf("%s is missing", path)
		}
	}
	if len(got.Files) != len(want) {
		t.Errorf("%d files, want %d", len(got.Files), len(want))
	}
}

func TestWatcher(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "a", "b")
	w := folder.NewWatcher()
	defer func() { must(t, w.Close()) }()
	follow := func() {
		t.Helper()
		if _, err := w.Follow([]string{dir}); err != nil {
			t.Fatal(err)
		}
	}
	poked := func(what string) {
		t.Helper()
		late := time.NewTimer(20 * time.Second)
		defer late.Stop()
		select {
		case <-w.Changed():
		case <-late.C:
			t.Fatalf("%s was not noticed", what)
		}
	}
	follow()
	for range 2 {
		must(t, os.Mkdir(filepath.Join(root, "a"), 0o700))
		poked("the parent")
		follow()
		must(t, os.Mkdir(dir, 0o700))
		poked("the directory")
		follow()
		path := filepath.Join(dir, "x.wasm")
		must(t, os.WriteFile(path, nil, 0o600))
		poked("a file")
		if got := w.Take(); len(got) != 1 || got[0] != path {
			t.Errorf("got %q", got)
		}
		if got := w.Take(); len(got) != 0 {
			t.Errorf("got %q again", got)
		}
		must(t, os.RemoveAll(filepath.Join(root, "a")))
		poked("the end of the directory")
		follow()
		w.Take()
		for drained := false; !drained; { // of the same end
			select {
			case <-w.Changed():
			default:
				drained = true
			}
		}
	}
}
