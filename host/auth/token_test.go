package auth_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/berth-host/berth/host/auth"
	"github.com/berth-host/berth/host/fault"
)

func TestCreateThenLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "data")
	token, path, created, err := auth.LoadOrCreateToken(dir)
	if err != nil || !created || len(token) != 43 || path != filepath.Join(dir, "admin.token") {
		t.Fatalf("got %q, %q, %v, %v", token, path, created, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	again, _, created, err := auth.LoadOrCreateToken(dir)
	if err != nil || created || again != token {
		t.Errorf("got %q, %v, %v", again, created, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the directory has %v, %v", entries, err)
	}
}

func TestUnsafeTokenFileIsRefused(t *testing.T) {
	good := strings.Repeat("a", 43) + "\n"
	for _, tt := range []struct {
		name string
		make func(path string) error
		code fault.Code
		want string
	}{
		{"readable by the group", func(p string) error { return write(p, good, 0o640) }, fault.Denied, "mode 0640"},
		{"readable by all", func(p string) error { return write(p, good, 0o604) }, fault.Denied, "chmod 600"},
		{"writable by others", func(p string) error { return write(p, good, 0o602) }, fault.Denied, "mode 0602"},
		{"empty", func(p string) error { return write(p, "", 0o600) }, fault.Invalid, "does not hold a token"},
		{"short", func(p string) error { return write(p, "abc\n", 0o600) }, fault.Invalid, "32"},
		{"long", func(p string) error { return write(p, strings.Repeat("a", 600), 0o600) }, fault.Invalid, "512"},
		{"two lines", func(p string) error { return write(p, good+good, 0o600) }, fault.Invalid, "one line"},
		{"not ASCII", func(p string) error { return write(p, strings.Repeat("é", 30), 0o600) }, fault.Invalid, "ASCII"},
		{"a directory", func(p string) error { return os.Mkdir(p, 0o700) }, fault.Denied, "not a regular file"},
		{"a symlink", func(p string) error { return os.Symlink("/dev/null", p) }, fault.Denied, "not a regular file"},
		{"a dangling symlink", func(p string) error { return os.Symlink("nothing", p) }, fault.Denied, "not a regular file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := tt.make(filepath.Join(dir, auth.TokenFile)); err != nil {
				t.Fatal(err)
			}
			token, _, created, err := auth.LoadOrCreateToken(dir)
			if !fault.Is(err, tt.code) || !strings.Contains(err.Error(), tt.want) || token != "" || created {
				t.Errorf("got %q, %v, %v", token, created, err)
			}
		})
	}
	if _, err := auth.ReadToken(t.TempDir()); !fault.Is(err, fault.NotFound) {
		t.Errorf("none: got %v", err)
	}
}

// write creates a file with exactly this mode, regardless of the umask.
func write(path, text string, mode os.FileMode) error {
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

// Of many concurrent starts one creates the token, and all return the same one.
func TestConcurrentStartsShareOneToken(t *testing.T) {
	dir := t.TempDir()
	const n = 16
	tokens, made := make([]string, n), make([]bool, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			var err error
			if tokens[i], _, made[i], err = auth.LoadOrCreateToken(dir); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	count := 0
	for i := range n {
		if tokens[i] != tokens[0] || tokens[i] == "" {
			t.Errorf("token %d is %q, the first is %q", i, tokens[i], tokens[0])
		}
		if made[i] {
			count++
		}
	}
	if count != 1 {
		t.Errorf("%d calls created the token, want 1", count)
	}
}

// TestTokenThatCannotBeWritten: the directory's path is so long that the token's own fits
// in the system's limit and that of the temporary file beside it does not.
func TestTokenThatCannotBeWritten(t *testing.T) {
	const pathMax = 4096
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for want := pathMax - 1 - len("/"+auth.TokenFile) - 1; len(dir) < want; {
		dir += "/" + strings.Repeat("d", min(200, want-len(dir)-1))
	}
	token, _, created, err := auth.LoadOrCreateToken(dir)
	if err == nil || created || token != "" {
		t.Errorf("got token %q, created %v, error %v; want an error", token, created, err)
	}
}
