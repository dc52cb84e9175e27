package auth_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berth-host/berth/host/auth"
)

// limitedDir names the data directory of a child process that may write no byte.
const limitedDir = "BERTH_TEST_AUTH_LIMITED"

func TestMain(m *testing.M) {
	if dir := os.Getenv(limitedDir); dir != "" {
		if err := createWithoutQuota(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// createWithoutQuota tries to create both kinds of tokens.
func createWithoutQuota(dir string) error {
	signal.Ignore(unix.SIGXFSZ)
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{}); err != nil {
		return err
	}
	if _, _, created, err := auth.LoadOrCreateToken(dir); err == nil || created {
		return fmt.Errorf("the admin token: created %v, %w", created, err)
	}
	if _, _, err := auth.Create(dir, "n", []string{"read"}, time.Time{}); err == nil {
		return errors.New("a token was created")
	}
	return nil
}

// TestNoTokenWithoutItsContent creates tokens where nothing can be written: an error, and no
// empty or partial file that a start would read.
func TestNoTokenWithoutItsContent(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), limitedDir+"="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for _, pattern := range []string{"*", ".*", "tokens/*", "tokens/.*"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		for _, file := range files {
			if info, e := os.Lstat(file); e == nil && !info.IsDir() {
				t.Errorf("%s is left", file)
			}
		}
		if err != nil {
			t.Error(err)
		}
	}
	if _, _, created, err := auth.LoadOrCreateToken(dir); err != nil || !created {
		t.Errorf("with capacity again: created %v, %v", created, err)
	}
}
