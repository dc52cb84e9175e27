package fleet

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/berth-host/berth/cmd/cluster/internal/check"
	"github.com/berth-host/berth/cmd/cluster/internal/proxy"
	"github.com/berth-host/berth/host/pgstore/pgserver"
)

// Config sets up a fleet. Berth and Hosts are required.
type Config struct {
	Berth string // the binary
	Hosts int
	// Guest is the module that writes attempts to the recorder, and Handlers the number of
	// handlers that run it; 0 for none.
	Guest    string
	Handlers int
	Work     time.Duration // how long an attempt takes
	// Layout is how each handler of Guest and Computing is divided into shards; see SetLayout.
	Layout Layout
	// Computing is a module that computes as long as an event says; its handler is Computer. "" for none.
	Computing string
	// Plugins are files of plugins that each host has, and Routes the types of their events.
	Plugins []string
	Routes  []string

	// Installed is the name of a handler that records attempts too, once it is installed; its
	// module is that of Offer. After two failed attempts an event is its dead letter.
	Installed string

	Settings []string // of PostgreSQL, such as "wal_level=replica"
}

// Layout is how a handler is divided.
type Layout struct {
	Shards  int    // 0 and 1: it is not
	OrderBy string // "" is bySubject
}

// Key returns the pointer to the order key of an event.
func (l Layout) Key() string { return cmp.Or(l.OrderBy, bySubject) }

// The pointers to the key of an event, and to its group: events of one key have one group.
const (
	bySubject = "/metadata/subject"
	ByGroup   = "/data/group"
)

const (
	// EventType is the type of the events that the fleet's handlers take.
	EventType = "attempted"
	// Computer is the name of the handler that computes.
	Computer = "computer"
)

// Fleet is a running fleet.
type Fleet struct {
	Hosts    []*Host
	Recorder *Recorder
	Server   *pgserver.Server
	Dir      string

	cfg    Config // its Layout is the present one
	start  time.Time
	client http.Client

	mu        sync.Mutex
	incidents []check.Incident
}

// New starts the server and prepares the hosts, which do not run yet.
func New(cfg Config) (f *Fleet, err error) {
	if cfg.Berth, err = filepath.Abs(cfg.Berth); err != nil {
		return nil, err
	}
	if _, err := os.Stat(cfg.Berth); err != nil {
		return nil, fmt.Errorf("%w: run 'make build'", err)
	}
	f = &Fleet{cfg: cfg, start: time.Now()}
	f.client.Transport = &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: 10 * time.Second}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	if f.Dir, err = os.MkdirTemp("", "berth-cluster-"); err != nil {
		return f, err
	}
	if f.Recorder, err = NewRecorder(f.Clock, cfg.Work); err != nil {
		return f, err
	}
	if f.Server, err = pgserver.New(cfg.Settings...); err != nil {
		return f, err
	}
	for n := range cfg.Hosts {
		h, err := f.prepare(fmt.Sprintf("host-%d", n+1))
		if err != nil {
			return f, err
		}
		f.Hosts = append(f.Hosts, h)
	}
	return f, nil
}

// Clock returns the time since the start of the fleet.
func (f *Fleet) Clock() time.Duration { return time.Since(f.start) }

// Handlers returns the names of the recording handlers.
func (f *Fleet) Handlers() []string {
	list := make([]string, f.cfg.Handlers)
	for i := range list {
		list[i] = fmt.Sprintf("recorder-%d", i+1)
	}
	return list
}

// prepare makes the directory and the configuration of a host, and its proxy.
func (f *Fleet) prepare(name string) (*Host, error) {
	h := &Host{Name: name, fleet: f, binary: f.cfg.Berth, dir: filepath.Join(f.Dir, name)}
	plugins := filepath.Join(h.dir, "plugins")
	if err := os.MkdirAll(plugins, 0o700); err != nil {
		return nil, err
	}
	server, err := url.Parse(f.Server.URL())
	if err != nil {
		return nil, err
	}
	if h.Proxy, err = proxy.New("unix", f.Server.Socket()); err != nil {
		return nil, err
	}
	h.database = fmt.Sprintf("postgres://%s@%s%s?sslmode=disable", server.User.Username(), h.Proxy.Address(), server.Path)
	h.config = filepath.Join(h.dir, "berth.yaml")
	for _, file := range f.cfg.Plugins {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("%w: run 'make plugins'", err)
		}
		if err := os.WriteFile(filepath.Join(plugins, filepath.Base(file)), text, 0o600); err != nil {
			return nil, err
		}
	}
	for _, name := range f.Handlers() {
		if err := addPlugin(plugins, name, f.cfg.Guest, f.network()); err != nil {
			return nil, err
		}
	}
	if f.cfg.Computing != "" {
		if err := addPlugin(plugins, Computer, f.cfg.Computing); err != nil {
			return nil, err
		}
	}
	return h, f.configure(h)
}

// SetLayout divides the handlers in another way: each host reads its changed file by itself.
func (f *Fleet) SetLayout(l Layout) error {
	f.cfg.Layout = l
	var errs []error
	for _, h := range f.Hosts {
		errs = append(errs, f.configure(h))
	}
	return errors.Join(errs...)
}

// configure writes the configuration of a host, as a whole.
func (f *Fleet) configure(h *Host) error {
	handlers, routes, sources := make(map[string]any), make(map[string]any), make(map[string]any)
	for _, typ := range f.cfg.Routes {
		routes[typ] = struct{}{}
	}
	for _, name := range f.Handlers() {
		handler := f.handler(h, name, 100)
		handler["grants"] = []any{f.network()}
		f.cfg.Layout.divide(handler)
		handlers[name] = handler
	}
	if f.cfg.Computing != "" {
		handler := map[string]any{"start": "earliest"}
		f.cfg.Layout.divide(handler)
		handlers[Computer] = handler
	}
	if len(handlers) > 0 {
		routes[EventType] = struct{}{}
	}
	if f.cfg.Installed != "" {
		sources["allow_private_hosts"] = []string{"127.0.0.1"}
		handler := f.handler(h, f.cfg.Installed, 2)
		f.cfg.Layout.divide(handler)
		handlers[f.cfg.Installed] = handler
	}
	config, err := json.MarshalIndent(map[string]any{ // JSON is YAML
		"bus":                map[string]any{"engine": "postgres", "postgres": map[string]any{"url": h.database}},
		"cluster":            map[string]any{"name": h.Name},
		"plugin_directories": []string{filepath.Join(h.dir, "plugins")},
		"routes":             routes,
		"handlers":           handlers,
		"marketplace":        sources,
	}, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(h.config+".new", config, 0o600); err != nil {
		return err
	}
	return os.Rename(h.config+".new", h.config)
}

// divide adds the layout to the configuration of a handler.
func (l Layout) divide(handler map[string]any) {
	if l.Shards > 1 {
		handler["shards"] = l.Shards
	}
	handler["order_by"] = l.Key()
}

// addPlugin writes a plugin into a directory.
func addPlugin(dir, name, module string, capabilities ...any) error {
	content, err := os.ReadFile(module)
	if err != nil {
		return err
	}
	manifest, err := json.Marshal(map[string]any{"name": name, "capabilities": append([]any{}, capabilities...)})
	if err != nil {
		return err
	}
	// The manifest goes first, so that the host never sees a half of the pair.
	if err := os.WriteFile(filepath.Join(dir, name+".wasm.json"), manifest, 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name+".wasm"), content, 0o600)
}

// network is the capability that a recording handler needs.
func (f *Fleet) network() map[string]any {
	return map[string]any{"name": "http", "hosts": []string{f.Recorder.Address()}}
}

// handler is the configuration of a recording handler, without its grants.
func (f *Fleet) handler(h *Host, name string, attempts int) map[string]any {
	return map[string]any{
		"start":   "earliest",
		"config":  map[string]any{"url": "http://" + f.Recorder.Address() + "/" + h.Name + "/" + name},
		"retry":   map[string]any{"max_attempts": attempts, "backoff": "20ms", "max_backoff": "500ms"},
		"breaker": map[string]any{"failures": 1000},
	}
}

// Offer has the recorder offer the installed handler's module, with its manifest in it, and
// returns its URL and SHA-256.
func (f *Fleet) Offer(ctx context.Context) (url, sum string, err error) {
	name := f.cfg.Installed
	module, packed := filepath.Join(f.Dir, name+".wasm"), filepath.Join(f.Dir, name+".packed.wasm")
	content, err := os.ReadFile(f.cfg.Guest)
	if err != nil {
		return "", "", err
	}
	manifest, err := json.Marshal(map[string]any{"name": name, "version": "1.0.0", "capabilities": []any{f.network()}})
	if err := errors.Join(err, os.WriteFile(module, content, 0o600), os.WriteFile(module+".json", manifest, 0o600)); err != nil {
		return "", "", err
	}
	if out, err := exec.CommandContext(ctx, f.cfg.Berth, "plugin", "pack", module, "-o", packed).CombinedOutput(); err != nil {
		return "", "", fmt.Errorf("berth plugin pack: %w: %s", err, out)
	}
	if content, err = os.ReadFile(packed); err != nil {
		return "", "", err
	}
	f.Recorder.Offer(content)
	return "http://" + f.Recorder.Address() + "/" + name + ".wasm", fmt.Sprintf("%x", sha256.Sum256(content)), nil
}

// Replace leads the hosts to another server, and closes the one before it.
func (f *Fleet) Replace(server *pgserver.Server) {
	f.Server.Close()
	f.Server = server
	for _, h := range f.Hosts {
		h.Proxy.Target("unix", server.Socket())
	}
}

// StartAll starts all hosts at once and returns when they are ready.
func (f *Fleet) StartAll(ctx context.Context) error {
	for _, h := range f.Hosts {
		if err := h.Launch(); err != nil {
			return err
		}
	}
	var errs []error
	for _, h := range f.Hosts {
		errs = append(errs, h.AwaitReady(ctx))
	}
	return errors.Join(errs...)
}

// note writes down what is about to be done to a host.
func (f *Fleet) note(h *Host, what check.Harm) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.incidents = append(f.incidents, check.Incident{At: f.Clock(), Host: h.Name, What: what})
}

// Incidents returns what was done to the hosts.
func (f *Fleet) Incidents() []check.Incident {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.incidents)
}

// Close ends everything, and removes the directory.
func (f *Fleet) Close() error {
	var errs []error
	for _, h := range f.Hosts {
		if h.Running() {
			_ = h.cmd.Process.Kill()
			<-h.done
			h.log.Close()
		}
		errs = append(errs, h.Proxy.Close())
	}
	if f.Server != nil {
		f.Server.Close()
	}
	if f.Recorder != nil {
		errs = append(errs, f.Recorder.Close())
	}
	f.client.CloseIdleConnections()
	if f.Dir != "" {
		errs = append(errs, os.RemoveAll(f.Dir))
	}
	return errors.Join(errs...)
}
