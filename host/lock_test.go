package host

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/config/lockfile"
	"github.com/berth-host/berth/host/install"
	"github.com/berth-host/berth/host/marketplace"
	"github.com/berth-host/berth/host/wire"
)

// TestRepairedLockRunsInstalledPlugins: without the lock an installed plugin is listed as
// rejected with the reason, even if its module has no name, and it runs without a
// restart once the lock is restored.
func TestRepairedLockRunsInstalledPlugins(t *testing.T) {
	wasm, err := os.ReadFile(filepath.Join("..", "testdata", "guests", "echo.wasm")) // has no manifest
	check(t, err)
	sum := sha256.Sum256(wasm)
	digest := hex.EncodeToString(sum[:])
	lock, err := lockfile.Codec{Header: install.LockHeader}.Marshal(install.Lock{Format: 1, Plugins: map[string]install.Entry{
		"my-echo": {Version: install.Version{SHA256: digest, Size: int64(len(wasm)), Source: "a test", InstalledAt: time.Now()}}}})
	check(t, err)
	for name, breakIt := range map[string]func(path string) error{
		"missing": os.Remove,
		"broken":  func(path string) error { return os.WriteFile(path, lock[:len(lock)/2], 0o600) },
		"empty":   func(path string) error { return os.Truncate(path, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, install.LockFile)
			there := func(c *Config) { c.DataDir = dir }
			t.Run("new", func(t *testing.T) { startHost(t, "", marketplace.Config{}, there) })
			check(t, os.MkdirAll(filepath.Join(dir, ".store", "sha256"), 0o700))
			check(t, os.WriteFile(filepath.Join(dir, ".store", "sha256", digest+".wasm"), wasm, 0o600))
			check(t, os.WriteFile(path, lock, 0o600))
			t.Run("whole", func(t *testing.T) {
				startHost(t, "routes: {\"*\": {}}\n", marketplace.Config{}, there).becomes("my-echo", wire.Active, "")
			})
			check(t, breakIt(path))
			s := startHost(t, "routes: {\"*\": {}}\n", marketplace.Config{}, there)
			s.becomes("my-echo", wire.Rejected, "plugins.lock.yaml")
			if status, p := s.call("POST", "/api/v1/plugins/my-echo/rollback", struct{}{}, nil); status != http.StatusConflict {
				t.Errorf("roll back: %d %+v", status, p)
			}
			check(t, os.WriteFile(path+".new", lock, 0o600))
			check(t, os.Rename(path+".new", path))
			s.becomes("my-echo", wire.Active, "")
		})
	}
}

// becomes waits until a plugin has a state and reason.
func (s *testHost) becomes(name string, state wire.PluginState, reason string) {
	s.t.Helper()
	var p wire.Plugin
	for deadline := time.After(2 * time.Minute); ; {
		status, _ := s.call("GET", "/api/v1/plugins/"+name, nil, &p)
		if status == http.StatusOK && p.State == state && strings.Contains(p.Reason, reason) {
			return
		}
		select {
		case <-deadline:
			s.t.Fatalf("%s is %s (%s), want %s (%s)", name, p.State, p.Reason, state, reason)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
