package browser

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// market is a marketplace of files.
type market struct {
	t    *testing.T
	dir  string
	key  string // that signs the index
	tree *httptest.Server
}

func newMarket(t *testing.T) *market {
	t.Helper()
	m := &market{t: t, dir: t.TempDir()}
	m.berth("marketplace", "keygen", "acme", "--no-passphrase")
	m.berth("marketplace", "keygen", "shop", "--no-passphrase")
	text, err := os.ReadFile(filepath.Join(m.dir, "shop.pub"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(string(text))
	m.key = lines[len(lines)-1]
	m.tree = httptest.NewServer(http.FileServer(http.Dir(filepath.Join(m.dir, "tree"))))
	t.Cleanup(m.tree.Close)
	return m
}

// berth runs a command in the marketplace's directory.
func (m *market) berth(args ...string) {
	m.t.Helper()
	cmd := exec.Command(os.Getenv("BERTH"), args...)
	cmd.Dir = m.dir
	cmd.Env = append(os.Environ(), "BERTH_KEY_PASSPHRASE=")
	if out, err := cmd.CombinedOutput(); err != nil {
		m.t.Fatalf("berth %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// release offers a version of the plugin counter.
func (m *market) release(version, capabilities string) {
	m.t.Helper()
	at := filepath.Join(m.dir, "counter.wasm")
	manifest := fmt.Sprintf(`{"name":"counter","version":%q,"description":"Counts the orders of each customer.","license":"Apache-2.0","capabilities":[%s]}`, version, capabilities)
	for _, err := range []error{os.WriteFile(at, fixture(m.t, "kv_counter"), 0o644), os.WriteFile(at+".json", []byte(manifest), 0o644)} {
		if err != nil {
			m.t.Fatal(err)
		}
	}
	m.berth("marketplace", "release", "counter.wasm", "--publisher", "acme", "--key", "acme.key")
	m.berth("marketplace", "add", "tree", "counter-"+version, "--publisher-key", "acme.pub")
	m.berth("marketplace", "sign", "tree", "--name", "shop", "--key", "shop.key")
}

func TestMarketplaceInstallsUpgradesAndRemoves(t *testing.T) {
	m := newMarket(t)
	const kv = `{"name":"kv","required":true,"reason":"keeps the counts"}`
	m.release("1.0.0", kv)
	h := start(t, "marketplace: {enabled: true, index_url: "+m.tree.URL+"/, trusted_keys: ["+m.key+"], allow_private_hosts: [127.0.0.1]}")
	b := h.open(t, wide).login(h.token)
	b.visit("/marketplace")
	b.sees("tbody", "Counts the orders of each customer.")
	b.fits()
	b.axe()
	b.shot("marketplace-list")
	b.click("tbody a")
	b.until("it shows the plugin", `location.pathname === "/marketplace/counter"`)
	b.sees("main", "keeps the counts")
	b.expect("409") // the plan to approve
	b.act("Install")
	b.sees("dialog", "It asks for this")
	b.axe()
	b.shot("marketplace-plan")
	b.click(`dialog button[data-confirm="Agree"]`)
	b.sees(".toasts", "counter 1.0.0 is active")
	b.sees(".head", "installed 1.0.0")

	m.release("1.1.0", kv+`,{"name":"emit","event_types":["counted"],"reason":"reports the counts"}`)
	b.visit("/marketplace")
	b.click("[data-refresh]")
	b.sees("tbody", "update available")
	b.act("Upgrade")
	b.sees("dialog", "reports the counts")
	b.click(`dialog button[data-confirm="Agree"]`)
	b.sees(".toasts", "counter 1.1.0 is active")
	b.visit("/handlers/counter")
	b.sees("main", "kept")
	b.shot("handler-installed")
	b.act("Roll back")
	b.sees("dialog", "1.0.0")
	b.confirm("Roll back")
	b.sees(".head", "1.0.0")
	b.visit("/marketplace/counter")
	b.act("Uninstall")
	b.confirm("Uninstall")
	b.until("it shows the plugins", `location.pathname === "/plugins"`)
	b.sees("main", "No plugins yet")
}
