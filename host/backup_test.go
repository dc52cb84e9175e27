package host

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/berth-host/berth/host/backup"
	"github.com/berth-host/berth/host/config/lockfile"
	"github.com/berth-host/berth/host/doctor"
	"github.com/berth-host/berth/host/install"
	"github.com/berth-host/berth/host/marketplace"
	"github.com/berth-host/berth/host/wire"
)

// TestRestoredHostHasInstalledPlugins: a plugin that is installed by the lock is active in a
// host that was restored from a backup, and continues after the event that it had.
func TestRestoredHostHasInstalledPlugins(t *testing.T) {
	wasm, err := os.ReadFile(filepath.Join("..", "testdata", "guests", "echo.wasm"))
	check(t, err)
	sum := sha256.Sum256(wasm)
	digest := hex.EncodeToString(sum[:])
	lock, err := lockfile.Codec{Header: install.LockHeader}.Marshal(install.Lock{Format: 1, Plugins: map[string]install.Entry{
		"my-echo": {Version: install.Version{SHA256: digest, Size: int64(len(wasm)), Source: "a test", InstalledAt: time.Now()}}}})
	check(t, err)
	data, restored := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "restored")
	const config = "plugin_directories: []\nroutes: {\"*\": {}} # of the backup\n"
	t.Run("backup", func(t *testing.T) {
		check(t, os.MkdirAll(filepath.Join(data, ".store", "sha256"), 0o700))
		check(t, os.WriteFile(filepath.Join(data, ".store", "sha256", digest+".wasm"), wasm, 0o600))
		check(t, os.WriteFile(filepath.Join(data, install.LockFile), lock, 0o600))
		s := startHost(t, config, marketplace.Config{}, func(c *Config) { c.DataDir, c.AcceptDataLoss = data, true })
		s.becomes("my-echo", wire.Active, "")
		s.delivers("before", "my-echo")
		file := s.backup()
		s.delivers("after", "my-echo")
		_, err := backup.Restore(t.Context(), bytes.NewReader(file), restored, doctor.StoreFile)
		check(t, err)
	})
	text, err := os.ReadFile(filepath.Join(restored, backup.ConfigName))
	if err != nil || string(text) != config {
		t.Errorf("the configuration is %q, %v", text, err)
	}
	s := startHost(t, string(text), marketplace.Config{}, func(c *Config) { c.DataDir = restored })
	s.becomes("my-echo", wire.Active, "")
	var list wire.List[wire.Stored]
	if status, p := s.call("GET", "/api/v1/plugins/verify", nil, &list); status != http.StatusOK || len(list.Items) != 1 || !list.Items[0].OK {
		t.Errorf("verify: %d %+v %+v", status, p, list)
	}
	if status, _ := s.call("GET", "/api/v1/events/after", nil, nil); status != http.StatusNotFound {
		t.Errorf("an event of after the backup: %d", status)
	}
	var ev wire.Event
	if status, p := s.call("GET", "/api/v1/events/before", nil, &ev); status != http.StatusOK || len(ev.Deliveries) != 1 || ev.Deliveries[0].Attempts != 1 {
		t.Errorf("the event of before the backup: %d %+v %+v", status, p, ev.Deliveries)
	}
	s.delivers("later", "my-echo")
}

// backup gets a backup by the API.
func (s *testHost) backup() []byte {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), "POST", s.host.URL()+"/api/v1/backup", nil)
	check(s.t, err)
	req.Header.Set("Authorization", "Bearer "+s.token)
	resp, err := http.DefaultClient.Do(req)
	check(s.t, err)
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	check(s.t, err)
	if resp.StatusCode != http.StatusOK {
		s.t.Fatalf("backup: %d %s", resp.StatusCode, content)
	}
	return content
}

// delivers publishes an event and waits until a handler has had it.
func (s *testHost) delivers(key, handler string) {
	s.t.Helper()
	event := map[string]any{"event_type": "t", "data": map[string]string{"status": key}, "metadata": map[string]string{"idempotency_key": key}}
	if status, p := s.call("POST", "/api/v1/events", event, nil); status != http.StatusAccepted {
		s.t.Fatalf("publish: %d %+v", status, p)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(2 * time.Minute); ; {
		var ev wire.Event
		if status, _ := s.call("GET", "/api/v1/events/"+key, nil, &ev); status == http.StatusOK {
			for _, d := range ev.Deliveries {
				if d.Plugin == handler && d.Status == "ok" {
					return
				}
			}
		}
		select {
		case <-deadline:
			s.t.Fatalf("%s is not delivered: %+v", key, ev.Deliveries)
		case <-tick.C:
		}
	}
}
