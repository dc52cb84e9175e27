package browser

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// host is a running host with a directory of its own.
type host struct {
	t          *testing.T
	dir        string
	url, token string
}

const settings = `data_dir: %[1]s/data
server: {listen: "127.0.0.1:0"}
plugin_directories: [%[1]s/plugins]
routes: {"*": {}}
`

var upAt = regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+`)

// start starts a host; more is added to its configuration.
func start(t *testing.T, more ...string) *host {
	t.Helper()
	binary, err := filepath.Abs(os.Getenv("BERTH"))
	if err != nil || os.Getenv("BERTH") == "" {
		t.Fatal("BERTH must name the binary: run make browser")
	}
	h := &host{t: t, dir: t.TempDir()}
	if err := os.Mkdir(filepath.Join(h.dir, "plugins"), 0o755); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(h.dir, "berth.yaml")
	text := fmt.Sprintf(settings, h.dir) + strings.Join(more, "\n")
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "serve", "--config", config)
	cmd.Env = append(os.Environ(), "BERTH_TOKEN=", "BERTH_URL=")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	up, logged := make(chan string, 1), make(chan string, 1)
	go func() {
		var all strings.Builder
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			all.WriteString(lines.Text() + "\n")
			if strings.Contains(lines.Text(), "berth is up") {
				up <- upAt.FindString(lines.Text())
			}
		}
		logged <- all.String()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		text := <-logged
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Logf("the host: %v\n%s", err, text)
		}
	})
	select {
	case h.url = <-up:
	case text := <-logged:
		logged <- text
		t.Fatal("the host has ended")
	case <-time.After(limit):
		_ = cmd.Process.Kill()
		t.Fatal("the host does not start")
	}
	token, err := os.ReadFile(filepath.Join(h.dir, "data", "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	h.token = strings.TrimSpace(string(token))
	return h
}

// call makes a request of the API with the admin token and decodes the answer.
func (h *host) call(method, path string, body, into any) {
	h.t.Helper()
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			h.t.Fatal(err)
		}
	}
	r, err := http.NewRequestWithContext(h.t.Context(), method, h.url+"/api/v1"+path, bytes.NewReader(text))
	if err != nil {
		h.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+h.token)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	if answer.StatusCode >= 300 {
		h.t.Fatalf("%s %s: %d %s", method, path, answer.StatusCode, got)
	}
	if into != nil {
		if err := json.Unmarshal(got, into); err != nil {
			h.t.Fatalf("%s %s: %v", method, path, err)
		}
	}
}

type metadata struct {
	EventID        string `json:"event_id,omitempty"`
	IdempotencyKey string `json:"idempotency_key,omitempty"`
	Subject        string `json:"subject,omitempty"`
}

type newEvent struct {
	EventType string   `json:"event_type"`
	Data      any      `json:"data"`
	Metadata  metadata `json:"metadata"`
}

// publish publishes an event and returns its id.
func (h *host) publish(eventType, subject string, data any) string {
	h.t.Helper()
	var receipt struct {
		EventID string `json:"event_id"`
	}
	h.call("POST", "/events", newEvent{eventType, data, metadata{Subject: subject}}, &receipt)
	return receipt.EventID
}

// eventually waits until the answer to a request satisfies ok.
func eventually[T any](h *host, path, what string, ok func(T) bool) (last T) {
	h.t.Helper()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for end := time.Now().Add(limit); time.Now().Before(end); <-tick.C {
		var answer T
		h.call("GET", path, nil, &answer)
		if ok(answer) {
			return answer
		}
		last = answer
	}
	h.t.Fatalf("%s does not come: %+v", what, last)
	return last
}

// status is an event as these tests read it.
type status struct {
	Deliveries []struct {
		Plugin, Status string
		Attempts       int
	}
}

// is reports whether the delivery to the plugin has the status.
func (s status) is(plugin, want string) bool {
	for _, d := range s.Deliveries {
		if d.Plugin == plugin {
			return d.Status == want
		}
	}
	return false
}

// handler is a plugin that these tests write.
type handler struct {
	name, version string
	manifest      map[string]any // besides the name and the version
	module        []byte
}

// copyIn copies a handler into the watched directory, the manifest first, and waits until
// this version is active.
func (h *host) copyIn(p handler) {
	h.t.Helper()
	manifest := map[string]any{"name": p.name, "version": p.version}
	for key, value := range p.manifest {
		manifest[key] = value
	}
	if types, ok := manifest["subscribes"].([]string); ok {
		var list []map[string]string
		for _, eventType := range types {
			list = append(list, map[string]string{"event_type": eventType})
		}
		manifest["subscribes"] = list
	}
	text, err := json.Marshal(manifest)
	if err != nil {
		h.t.Fatal(err)
	}
	at := filepath.Join(h.dir, "plugins", p.name+".wasm")
	temporary := filepath.Join(h.dir, "plugins", "."+p.name+".tmp")
	for _, err := range []error{os.WriteFile(at+".json", text, 0o644), os.WriteFile(temporary, p.module, 0o644), os.Rename(temporary, at)} {
		if err != nil {
			h.t.Fatal(err)
		}
	}
	h.version(p.name, p.version)
}

// version waits until a plugin has the version.
func (h *host) version(name, version string) {
	h.t.Helper()
	type plugins struct {
		Items []struct{ Name, Version, State, Reason string }
	}
	eventually(h, "/events/plugins", name+" "+version, func(list plugins) bool {
		for _, p := range list.Items {
			if p.Name == name && p.State == "rejected" {
				h.t.Fatalf("%s is rejected: %s", name, p.Reason)
			}
			if p.Name == name && p.Version == version && p.State != "vetting" && p.State != "discovered" {
				return true
			}
		}
		return false
	})
}

// build compiles the guest of the incident.
func build(t *testing.T, flags ...string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "guest.wasm")
	cmd := exec.Command("go", append(append([]string{"build", "-trimpath"}, flags...), "-o", out, "./guest")...)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=-buildvcs=false")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the guest: %v\n%s", err, text)
	}
	module, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return module
}

// fixture reads a module of testdata/guests.
func fixture(t *testing.T, name string) []byte {
	t.Helper()
	module, err := os.ReadFile(filepath.Join("..", "..", "testdata", "guests", name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return module
}

// newToken makes a token with these scopes by the command line.
func (h *host) newToken(name, scopes string) string {
	h.t.Helper()
	cmd := exec.Command(os.Getenv("BERTH"), "token", "create", "--name", name, "--scope", scopes)
	cmd.Env = append(os.Environ(), "BERTH_DATA_DIR="+filepath.Join(h.dir, "data"))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		h.t.Fatalf("create a token: %v\n%s", err, stderr.String())
	}
	words := strings.Fields(string(out))
	return words[len(words)-1]
}

// subscribes is the part of a manifest with one subscription.
func subscribes(eventType string) map[string]any {
	return map[string]any{"subscribes": []map[string]string{{"event_type": eventType}}}
}
