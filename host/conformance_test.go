package host

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/abi/conformance"
	"github.com/berth-host/berth/abi/conformance/conformancetest"
	"github.com/berth-host/berth/host/marketplace"
	"github.com/berth-host/berth/host/plugin/folder"
	"github.com/berth-host/berth/host/wire"
)

// TestConformance runs the conformance kit on a whole host, through its API, with the
// conformance handler of the Go SDK and with those of all languages that are built into
// testdata. Of the latter it leaves the vectors of thousands of events to the desk. With -short it
// runs it with those in C and C++: under the race detector modules compile slowly.
func TestConformance(t *testing.T) {
	if testing.Short() {
		paths, err := filepath.Glob("../testdata/languages/c*/conformance.wasm")
		check(t, err)
		runConformance(t, paths, "")
		return
	}
	wasm := filepath.Join(t.TempDir(), "conformance.wasm")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-w", "-o", wasm, ".")
	cmd.Dir = "../abi/go/conformance"
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=", "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the conformance handler: %v\n%s", err, text)
	}
	paths, err := filepath.Glob("../testdata/languages/*/conformance.wasm")
	check(t, err)
	runConformance(t, append(paths, wasm), wasm)
}

// runConformance runs the kit with handlers; wasm is the path of the one in Go.
func runConformance(t *testing.T, paths []string, wasm string) {
	t.Helper()
	for _, path := range paths {
		name := "go"
		if path != wasm {
			name = filepath.Base(filepath.Dir(path)) + " (built)"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel() // with hosts of their own, which mostly wait: for files to be unchanged, and for time limits
			module, err := os.ReadFile(path)
			check(t, err)
			conformancetest.Run(t, newConformanceHost(t, module), func(v conformance.Vector) bool {
				return path == wasm || !slices.ContainsFunc(v.Steps, func(s conformance.Step) bool { return s.Repeat > 1 })
			})
		})
	}
}

// conformanceHost is a running host as a host of the kit.
type conformanceHost struct {
	*testHost
	module  []byte
	plugins string // the watched directory
	logs    *conformanceLogs
	answers *httptest.Server

	mu        sync.Mutex
	exchanges []conformance.Exchange // of the present plugin
	started   int
}

func newConformanceHost(t *testing.T, module []byte) *conformanceHost {
	t.Helper()
	h := &conformanceHost{module: module, plugins: t.TempDir(), logs: &conformanceLogs{byEvent: make(map[string][]conformance.Log), failures: make(map[string]string)}}
	h.answers = httptest.NewServer(http.HandlerFunc(h.answer))
	t.Cleanup(h.answers.Close)
	h.testHost = startHost(t, h.settings(""), marketplace.Config{}, func(c *Config) { c.Logger = slog.New(h.logs) })
	return h
}

func (h *conformanceHost) settings(handlers string) string {
	return fmt.Sprintf("plugin_directories: [%s]\nbus: {engine: memory}\nvet: {cpu: 2m, wall: 4m}\nroutes: {\"*\": {}}\n%s", h.plugins, handlers)
}

// base is the address that the vectors use for recorded answers.
const base = "https://conform.example.com"

// answer answers a guest's request as it was recorded.
func (h *conformanceHost) answer(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	h.mu.Lock()
	i := slices.IndexFunc(h.exchanges, func(x conformance.Exchange) bool {
		return x.Request.Method == r.Method && x.Request.URL == base+r.URL.RequestURI() && x.Request.Header == r.Header.Get("x-conform") && x.Request.Body == string(body)
	})
	var x conformance.Exchange
	if i >= 0 {
		x = h.exchanges[i]
	}
	h.mu.Unlock()
	switch {
	case x.Response != nil:
		for name, value := range x.Response.Headers {
			w.Header().Set(name, value)
		}
		w.WriteHeader(x.Response.Status)
		_, _ = io.WriteString(w, x.Response.Body)
	case x.Error == "TIMEOUT":
		<-r.Context().Done()
	case x.Error == "TOO_LARGE":
		_, _ = w.Write(bytes.Repeat([]byte("x"), 1<<20+1))
	default:
		panic(http.ErrAbortHandler) // the connection breaks
	}
}

// Start implements conformance.Host.
func (h *conformanceHost) Start(ctx context.Context, setup conformance.Setup) (conformance.Plugin, error) {
	h.started++
	p := &conformancePlugin{host: h, name: fmt.Sprintf("conformance-%d", h.started)}
	h.mu.Lock()
	h.exchanges = setup.HTTP
	h.mu.Unlock()
	secret := filepath.Join(h.host.DataDir(), "secrets", "conform-secret")
	if err := os.RemoveAll(secret); err != nil {
		return nil, err
	}
	for name, value := range setup.Secrets {
		if err := os.MkdirAll(filepath.Dir(secret), 0o700); err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(filepath.Dir(secret), name), []byte(value), 0o600); err != nil {
			return nil, err
		}
	}
	manifest, settings, err := h.handler(p.name, setup)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(h.yaml, []byte(settings), 0o600); err != nil {
		return nil, err
	}
	if err := h.host.Hangup(ctx); err != nil {
		return nil, err
	}
	p.path = filepath.Join(h.plugins, p.name+".wasm")
	if err := folder.Put(p.path, h.module, manifest); err != nil {
		return nil, err
	}
	h.await(p.name+" is not active", func() bool {
		var plugin wire.Plugin
		h.call("GET", "/api/v1/events/plugins/"+p.name, nil, &plugin)
		return plugin.State == wire.Active
	})
	return p, nil
}

// await waits until a condition holds, for as long as a module may take to be vetted.
func (h *conformanceHost) await(what string, ok func() bool) {
	h.t.Helper()
	deadline := time.Now().Add(5 * time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			h.t.Fatal(what)
		}
		<-tick.C
	}
}

// handler returns the manifest of a plugin and the configuration of the host for it.
func (h *conformanceHost) handler(name string, setup conformance.Setup) (manifest []byte, settings string, err error) {
	m, err := abi.ParseManifest(conformance.Manifest)
	if err != nil {
		return nil, "", err
	}
	m.Name = name
	if setup.Apply(&m); m.Batch != nil {
		m.Subscribes = []abi.Subscription{{EventType: conformance.EventType}} // no child is in a batch
	}
	var grants []abi.Capability
	for i, c := range m.Capabilities {
		if c.Name == abi.CapabilityHTTP {
			m.Capabilities[i].Hosts = []string{h.answers.Listener.Addr().String()}
		}
		if !slices.Contains(setup.Deny, c.Name) {
			grants = append(grants, m.Capabilities[i])
		}
	}
	handler := map[string]any{
		"grants": grants,
		"limits": map[string]any{"concurrency": 1, "timeout": "2s"},
		"retry":  map[string]any{"max_attempts": setup.MaxAttempts(), "backoff": "1ms", "max_backoff": "1ms"},
	}
	if setup.Config != nil {
		handler["config"] = setup.Config
	}
	if manifest, err = json.Marshal(m); err != nil {
		return nil, "", err
	}
	handlers, err := json.Marshal(map[string]any{name: handler})
	return manifest, h.settings("handlers: " + string(handlers) + "\n"), err
}

// conformancePlugin is a plugin of a conformanceHost.
type conformancePlugin struct {
	host *conformanceHost
	name string
	path string
}

// Name implements conformance.Plugin.
func (p *conformancePlugin) Name() string { return p.name }

// Deliver implements conformance.Plugin.
func (p *conformancePlugin) Deliver(_ context.Context, drafts []json.RawMessage) ([]conformance.Outcome, error) {
	const maxBatch = 1000
	var ids []string
	before := p.delivered()
	for batch := range slices.Chunk(drafts, maxBatch) {
		list, err := p.host.publish(batch)
		if err != nil {
			return nil, err
		}
		for _, receipt := range list.Items {
			ids = append(ids, receipt.EventID)
		}
	}
	outcomes := make([]conformance.Outcome, len(ids))
	succeeded := before
	for i, id := range ids {
		outcomes[i] = p.outcome(id)
		if outcomes[i].Status == conformance.OK {
			succeeded++
		}
	}
	if len(ids) > maxWithChildren {
		return outcomes, nil
	}
	// A delivery is shown before it is stored, but counts, with children, only afterwards.
	p.host.await(ids[0]+" is not counted", func() bool { return p.delivered() >= succeeded })
	for i, id := range ids {
		outcomes[i].Children = p.children(id)
	}
	return outcomes, nil
}

// maxWithChildren is for how many events of a step the children are looked for: those of a
// batch have some, and those that are repeated thousands of times have none.
const maxWithChildren = 3

// publish publishes a batch as it is: encoding/json would change the spelling of its texts.
func (h *conformanceHost) publish(batch []json.RawMessage) (list wire.List[wire.BatchReceipt], err error) {
	body := append([]byte{'['}, bytes.Join(toBytes(batch), []byte(","))...)
	body = bytes.ReplaceAll(append(body, ']'), []byte(base), []byte("http://"+h.answers.Listener.Addr().String()))
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodPost, h.host.URL()+"/api/v1/events", bytes.NewReader(body))
	if err != nil {
		return list, err
	}
	req.Header.Set("Authorization", "Bearer "+h.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return list, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusAccepted {
		err = fmt.Errorf("publish: %s: %s", resp.Status, answer)
	}
	if err != nil {
		return list, err
	}
	return list, json.Unmarshal(answer, &list)
}

func toBytes(batch []json.RawMessage) [][]byte {
	out := make([][]byte, len(batch))
	for i, b := range batch {
		out[i] = b
	}
	return out
}

// outcome waits until the delivery of an event is final.
func (p *conformancePlugin) outcome(id string) conformance.Outcome {
	var ev wire.Event
	var d wire.Delivery
	p.host.await(id+" is not delivered", func() bool {
		p.host.call("GET", "/api/v1/events/"+id, nil, &ev)
		i := slices.IndexFunc(ev.Deliveries, func(d wire.Delivery) bool { return d.Plugin == p.name })
		if i < 0 {
			return false
		}
		d = ev.Deliveries[i]
		return d.Status == "ok" || d.Status == "dead"
	})
	o := conformance.Outcome{
		Envelope: fmt.Sprintf(`{"event_type":"%s","data":%s,"metadata":%s}`, ev.EventType, ev.Data, ev.Metadata),
		Status:   conformance.OK,
		Attempts: d.Attempts,
		Logs:     p.host.logs.of(id),

		NullIsNone: true,
	}
	if string(d.Result) != "null" {
		o.Result = string(d.Result)
	}
	if e := d.Error; e != nil {
		o.Message, o.Class = e.Message, e.Class
		switch e.Class {
		case "retry":
			o.Status = conformance.Retry
		case "rejected":
			o.Status = conformance.Reject
		default:
			o.Status = conformance.Failed
		}
	}
	return o
}

// delivered returns how many deliveries have succeeded.
func (p *conformancePlugin) delivered() uint64 {
	var plugin wire.Plugin
	p.host.call("GET", "/api/v1/events/plugins/"+p.name, nil, &plugin)
	return plugin.Delivered
}

// children returns the children of an event, in order, from the newest events.
func (p *conformancePlugin) children(id string) (children []conformance.Child) {
	var list, scheduled wire.List[wire.Event]
	p.host.call("GET", "/api/v1/events?limit=10", nil, &list)
	p.host.call("GET", "/api/v1/events/scheduled?limit=100", nil, &scheduled)
	slices.Reverse(list.Items)
	for _, ev := range append(list.Items, scheduled.Items...) {
		var m struct {
			Source      string `json:"source"`
			Subject     string `json:"subject"`
			Key         string `json:"idempotency_key"`
			CausationID string `json:"causation_id"`
		}
		check(p.host.t, json.Unmarshal(ev.Metadata, &m))
		if m.CausationID == id && m.Source == p.name {
			child := conformance.Child{Type: ev.EventType, Data: ev.Data, Subject: m.Subject, Key: m.Key}
			if ev.DueAt != nil {
				child.After = int(ev.DueAt.Sub(*ev.AcceptedAt).Round(time.Second) / time.Second)
			}
			children = append(children, child)
		}
	}
	return children
}

// Stop implements conformance.Plugin.
func (p *conformancePlugin) Stop(context.Context) error {
	for _, path := range []string{p.path, folder.Sidecar(p.path)} {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	p.host.await(p.name+" does not end", func() bool {
		status, _ := p.host.call("GET", "/api/v1/events/plugins/"+p.name, nil, nil)
		return status == http.StatusNotFound
	})
	return p.host.logs.failure(p.name)
}

// conformanceLogs is a slog.Handler that collects the lines of guests. It is safe for
// concurrent use.
type conformanceLogs struct {
	mu       sync.Mutex
	byEvent  map[string][]conformance.Log
	failures map[string]string // of instances without an event, by plugin
}

func (l *conformanceLogs) of(id string) []conformance.Log {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.byEvent[id]
}

func (l *conformanceLogs) failure(plugin string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if text, failed := l.failures[plugin]; failed {
		return fmt.Errorf("the instance did not return after END: %s", text)
	}
	return nil
}

// Enabled implements slog.Handler.
func (l *conformanceLogs) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (l *conformanceLogs) Handle(ctx context.Context, r slog.Record) error {
	return logsWith{l, nil}.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (l *conformanceLogs) WithAttrs(attrs []slog.Attr) slog.Handler { return logsWith{l, attrs} }

// WithGroup implements slog.Handler.
func (l *conformanceLogs) WithGroup(string) slog.Handler { return l }

// logsWith is conformanceLogs with attributes.
type logsWith struct {
	*conformanceLogs
	attrs []slog.Attr
}

// WithAttrs implements slog.Handler.
func (l logsWith) WithAttrs(attrs []slog.Attr) slog.Handler {
	return logsWith{l.conformanceLogs, slices.Concat(l.attrs, attrs)}
}

// Handle implements slog.Handler. A line of a guest has its plugin and its event.
func (l logsWith) Handle(_ context.Context, r slog.Record) error {
	values := make(map[string]string)
	for _, a := range l.attrs {
		values[a.Key] = a.Value.String()
	}
	r.Attrs(func(a slog.Attr) bool {
		values[a.Key] = a.Value.String()
		return true
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	id, plugin := values["event_id"], values["plugin"]
	switch {
	case values["source"] == "guest" && id != "" && plugin != "":
		l.byEvent[id] = append(l.byEvent[id], conformance.Log{Level: strings.ToLower(r.Level.String()), Message: r.Message})
	case r.Message == "instance failed without an event":
		l.failures[plugin] = values["error"]
	}
	return nil
}
