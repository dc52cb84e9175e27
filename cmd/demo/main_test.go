package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/wire"
)

// testTimeout bounds what a test waits for: reached only by a hang.
const testTimeout = 3 * time.Minute

// output is what the demo prints. It calls seen with all of it.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
	seen func(string)
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(p)
	if o.seen != nil {
		o.seen(o.text.String())
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// binary builds berth.
func binary(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "berth")
	cmd := exec.Command("go", "build", "-o", path, "../berth")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

// surroundings is a directory with the demo's handlers, played by small guests, and
// all that may lie about: a third handler, one that never ends, a broken file and
// another that claims a name which is taken.
func surroundings(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	write := func(path string, contents []byte) {
		t.Helper()
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, contents, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	guest := func(name string) []byte {
		t.Helper()
		wasm, err := os.ReadFile("../../testdata/guests/" + name + ".wasm")
		if err != nil {
			t.Fatal(err)
		}
		return wasm
	}
	for file, name := range map[string]string{"customer-notify": "echo", "order-audit": "echo", "third": "echo", "never": "spin_on_event", "zz-second": "echo"} {
		write("plugins/"+file+".wasm", guest(name))
	}
	for file, name := range map[string]string{"customer-notify": "customer-notify", "order-audit": "order-audit", "zz-second": "order-audit"} {
		write("plugins/"+file+".wasm.json", []byte(`{"name": "`+name+`"}`))
	}
	write("plugins/broken.wasm", []byte("not a module"))
	return dir
}

// TestDemoDoesNotCareForWhatLiesAbout: it needs both answers to every event, and nothing else.
func TestDemoDoesNotCareForWhatLiesAbout(t *testing.T) {
	berth, dir := binary(t), surroundings(t)
	t.Chdir(dir)
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	var stdout, stderr output
	if err := run(ctx, []string{"-berth", berth}, &stdout, &stderr); err != nil {
		t.Fatalf("%v\n%s\n%s", err, stdout.String(), stderr.String())
	}
	if got := stdout.String(); !strings.Contains(got, "Every answer came: 22.") || strings.Contains(got, "third") {
		t.Errorf("got %s", got)
	}
	if _, err := os.Stat("data"); err == nil {
		t.Error("it made a data directory here")
	}
	if err := os.Remove("plugins/order-audit.wasm"); err != nil {
		t.Fatal(err)
	}
	if err := run(ctx, []string{"-berth", berth}, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), "run 'make plugins'") {
		t.Errorf("without a handler of its own: got %v", err)
	}
}

// TestRunWithOtherPortsAndPlugins keeps a host with the plugins and the configuration that
// are here, one of its own handlers switched off, a route more, and its port taken.
func TestRunWithOtherPortsAndPlugins(t *testing.T) {
	berth, dir := binary(t), surroundings(t)
	t.Chdir(dir)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if err := os.Mkdir("config", 0o700); err != nil {
		t.Fatal(err)
	}
	config := "server: {listen: \"" + taken.Addr().String() + "\"}\nplugin_directories: [plugins, nowhere]\n" +
		"routes: {order_status_changed: {}, \"*\": {}}\nhandlers: {customer-notify: {enabled: false}, never: {limits: {timeout: 100ms}, retry: {max_attempts: 1}}}\n"
	if err := os.WriteFile("config/event_handlers.yaml", []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	stdout, stderr := output{seen: func(text string) {
		if strings.Contains(text, "The host goes on at") {
			cancel() // as Ctrl-C does
		}
	}}, output{}
	if err := run(ctx, []string{"-berth", berth, "-keep"}, &stdout, &stderr); err != nil {
		t.Fatalf("%v\n%s\n%s", err, stdout.String(), stderr.String())
	}
	for _, want := range []string{"Another program has the host's port", "customer-notify is disabled", "Every answer came: 11.", "Stopping."} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("no %q in %s", want, stdout.String())
		}
	}
}

func TestFind(t *testing.T) {
	list := []wire.Plugin{{Name: "a", State: wire.Rejected}, {Name: "a", State: wire.Active}, {Name: "a", State: wire.Rejected}, {Name: "b", State: wire.Held}}
	for _, tt := range []struct {
		name  string
		state wire.PluginState
		found bool
	}{{"a", wire.Active, true}, {"b", wire.Held, true}, {"c", "", false}} {
		if p, found := find(list, tt.name); p.State != tt.state || found != tt.found {
			t.Errorf("%s: got %+v, %v", tt.name, p, found)
		}
	}
}

// The sample orders reach the demo's host, not the one at BERTH_URL.
func TestDemoIgnoresBerthURL(t *testing.T) {
	got := withoutHost([]string{"PATH=/bin", "BERTH_URL=https://production.example", "BERTH_TOKEN=t", "BERTH_URLS=x"})
	if want := []string{"PATH=/bin", "BERTH_URLS=x"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
