package secret_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/secret"
)

func TestRead(t *testing.T) {
	outer := t.TempDir()
	dir := filepath.Join(outer, "secrets")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	put := func(name, content string, mode os.FileMode) {
		t.Helper()
		must(os.WriteFile(filepath.Join(dir, name), []byte(content), mode))
		must(os.Chmod(filepath.Join(dir, name), mode))
	}
	d := secret.Directory(dir)
	if _, err := d.Read("key"); !fault.Is(err, fault.NotFound) {
		t.Errorf("without a directory: got %v", err)
	}
	must(os.Mkdir(dir, 0o700))
	put("key", "s3cret\n", 0o600)
	put("Read.only-1", "a\n\n", 0o400)
	put("windows", "\xef\xbb\xbfs3cret\r\n", 0o600)
	put("return", "a\r", 0o600)
	put("empty", "", 0o600)
	put("largest", strings.Repeat("x", secret.MaxSize), 0o600)
	put("larger", strings.Repeat("s3cret", secret.MaxSize), 0o600)
	put("group", "s3cret", 0o640)
	put("others", "s3cret", 0o604)
	must(os.Mkdir(filepath.Join(dir, "directory"), 0o700))
	must(syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	must(os.WriteFile(filepath.Join(outer, "outside"), []byte("s3cret"), 0o600))
	must(os.Symlink("../outside", filepath.Join(dir, "escapes")))
	must(os.Symlink(filepath.Join(outer, "outside"), filepath.Join(dir, "absolute")))
	must(os.Symlink("key", filepath.Join(dir, "link")))
	must(os.Symlink("nowhere", filepath.Join(dir, "dangling")))
	for _, tt := range []struct {
		name, want string
		code       fault.Code
	}{
		{"key", "s3cret", ""},
		{"link", "s3cret", ""},
		{"Read.only-1", "a\n", ""},
		{"windows", "s3cret", ""},
		{"return", "a\r", ""},
		{"empty", "", ""},
		{"largest", strings.Repeat("x", secret.MaxSize), ""},
		{"larger", "", fault.Exhausted},
		{"none", "", fault.NotFound},
		{"KEY2", "", fault.NotFound},
		{"dangling", "", fault.NotFound},
		{"group", "", fault.Unavailable},
		{"others", "", fault.Unavailable},
		{"directory", "", fault.Unavailable},
		{"pipe", "", fault.Unavailable},
		{"escapes", "", fault.Unavailable},
		{"absolute", "", fault.Unavailable},
		{"", "", fault.Invalid},
		{".", "", fault.Invalid},
		{"..", "", fault.Invalid},
		{"../outside", "", fault.Invalid},
		{"directory/key", "", fault.Invalid},
		{".hidden", "", fault.Invalid},
		{"key\x00", "", fault.Invalid},
		{"key\n", "", fault.Invalid},
		{strings.Repeat("k", 129), "", fault.Invalid},
	} {
		got, err := d.Read(tt.name)
		if got != tt.want || fault.CodeOf(err) != tt.code {
			t.Errorf("%q: got %.20q, %v, want %.20q, %q", tt.name, got, err, tt.want, tt.code)
		}
		if err != nil && (strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), outer)) {
			t.Errorf("%q: the error shows the secret or the path: %v", tt.name, err)
		}
	}
	put("key", "changed", 0o600)
	if got, err := d.Read("key"); got != "changed" {
		t.Errorf("after a change: got %q, %v", got, err)
	}
}

// Secrets below a directory that other users can change are refused: their content may
// come from them.
func TestDirectoryWritableByOthersIsRefused(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "secrets")
	for _, err := range []error{os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "key"), []byte("s3cret"), 0o600)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		path string
		mode os.FileMode
		want string
	}{
		{dir, 0o777, "has mode 0777"},
		{dir, 0o777 | os.ModeSticky, ""}, // as a volume of secrets may be
		{dir, 0o700, ""},
		{top, 0o777, "has mode 0777"},
		{top, 0o755, ""},
	} {
		if err := os.Chmod(tt.path, tt.mode); err != nil {
			t.Fatal(err)
		}
		value, err := secret.Directory(dir).Read("key")
		if tt.want == "" && (err != nil || value != "s3cret") || tt.want != "" && (!fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), tt.want) || value != "") {
			t.Errorf("%s with mode %v: %q, %v", tt.path, tt.mode, value, err)
		}
	}
	if os.Geteuid() != 0 {
		return // only root can give files away
	}
	if err := os.Chown(filepath.Join(dir, "key"), 12345, 12345); err != nil {
		t.Fatal(err)
	}
	if _, err := secret.Directory(dir).Read("key"); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "key belongs to the user with the id 12345") {
		t.Errorf("another's secret: %v", err)
	}
}

// A file wins over the environment, even one that cannot be read.
func TestFileWinsOverEnvironment(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"both": 0o600, "shared": 0o644} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("file\n"), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{"BERTH_SECRET_BOTH": "environment", "BERTH_SECRET_SHARED": "environment", "BERTH_SECRET_API_KEY_V2": "environment\n",
		"BERTH_SECRET_EMPTY": "", "BERTH_SECRET_LARGE": strings.Repeat("s3cret", secret.MaxSize), "BERTH_SECRET_": "x", "PATH": "x"}
	s := secret.Source{Directory: secret.Directory(dir), Env: func(name string) (string, bool) { v, ok := env[name]; return v, ok }}
	for _, tt := range []struct {
		name, want string
		code       fault.Code
	}{
		{"both", "file", ""},
		{"shared", "", fault.Unavailable},
		{"api-key.v2", "environment\n", ""},
		{"API_KEY_V2", "environment\n", ""},
		{"empty", "", ""},
		{"large", "", fault.Exhausted},
		{"none", "", fault.NotFound},
		{"", "", fault.Invalid},
		{"../PATH", "", fault.Invalid},
	} {
		got, err := s.Read(tt.name)
		if got != tt.want || fault.CodeOf(err) != tt.code {
			t.Errorf("%q: got %.20q, %v", tt.name, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: the error shows the secret", tt.name)
		}
	}
	if _, err := (secret.Source{Directory: secret.Directory(dir)}).Read("api-key.v2"); !fault.Is(err, fault.NotFound) {
		t.Errorf("without an environment: got %v", err)
	}
}
