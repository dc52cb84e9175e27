package plugin_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/plugin"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// module makes the bytes of a module for the fake Loader: a manifest ("": none) and a
// text that says what the module does. It ends with a section that must be complete.
func module(manifest, text string) []byte {
	b := []byte("\x00asm\x01\x00\x00\x00")
	if manifest != "" {
		b = append(b, section(abi.ManifestSection, manifest)...)
	}
	return append(b, section("text", text)...)
}

func section(name, contents string) []byte {
	body := append([]byte{byte(len(name))}, name...)
	body = append(body, contents...)
	n := len(body)
	return append([]byte{0, byte(n&0x7f | 0x80), byte(n >> 7 & 0x7f)}, body...)
}

func versioned(name, version string) []byte {
	return module(`{"name":"`+name+`","version":"`+version+`"}`, version)
}

// fakes are a Loader and a Runner that keep books.
type fakes struct {
	mu        sync.Mutex
	loads     int
	starts    int
	parked    int // versions that are started and not promoted
	open      map[*fakeModule]bool
	live      map[string][]*fakeRunning // by plugin name, in the order of their starts
	claims    map[string]int
	broken    []string      // promises the Manager did not keep
	changed   chan struct{} // closed and replaced at every change
	steady    string        // the plugin that must not be without a version
	unclaimed string        // a plugin whose candidates are loaded without a claim

	condition plugin.Condition // of every Running

	// load and start, when set, are called before the fake does its work.
	load    func(ctx context.Context, name, text string) error
	start   func(ctx context.Context, spec plugin.Spec) error
	drain   func(ctx context.Context, name string) error
	promote func(ctx context.Context, spec plugin.Spec) error
	claim   func(name string) error
}

type fakeModule struct {
	f      *fakes
	text   string
	memory int64
	closed bool
	users  int
}

type fakeRunning struct {
	f       *fakes
	spec    plugin.Spec
	module  *fakeModule
	leaving bool
	drained bool
	paused  bool
	logs    spec.LogPolicy
	fair    spec.FairPolicy
}

func newFakes() *fakes {
	return &fakes{open: map[*fakeModule]bool{}, live: map[string][]*fakeRunning{}, claims: map[string]int{}, changed: make(chan struct{})}
}

func (f *fakes) signal() { close(f.changed); f.changed = make(chan struct{}) }

func (f *fakes) Load(ctx context.Context, name string, a spec.Artifact, memory int64) (plugin.Module, error) {
	text, found, err := abi.FindSection(a.Wasm(), "text")
	if err != nil || !found {
		f.mu.Lock()
		f.broken = append(f.broken, "half a module was loaded")
		f.mu.Unlock()
	}
	m := &fakeModule{f: f, text: string(text), memory: memory}
	if f.load != nil {
		if err := f.load(ctx, name, m.text); err != nil {
			return nil, err
		}
	}
	if reason, bad := strings.CutPrefix(m.text, "bad: "); bad {
		return nil, errors.New(reason)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.loads++
	f.open[m] = true
	if f.claims[name] == 0 && name != f.unclaimed {
		f.broken = append(f.broken, name+" was loaded before it was claimed")
	}
	f.signal()
	return m, nil
}

func (f *fakes) Claim(_ context.Context, name string) error {
	if f.claim != nil {
		if err := f.claim(name); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.claims[name]++
	f.signal()
	return nil
}

func (f *fakes) Prepare(ctx context.Context, spec plugin.Spec) (plugin.Prepared, error) {
	if f.start != nil {
		if err := f.start(ctx, spec); err != nil {
			return nil, err
		}
	}
	m := spec.Module.(*fakeModule)
	f.mu.Lock()
	defer f.mu.Unlock()
	if m.closed {
		f.broken = append(f.broken, spec.Name+" was started from a closed module")
	}
	m.users++
	f.starts++
	f.parked++
	f.signal()
	return &fakePrepared{f: f, spec: spec, module: m}, nil
}

// fakePrepared is a version that is started and gets no events.
type fakePrepared struct {
	f      *fakes
	spec   plugin.Spec
	module *fakeModule
	ended  bool
}

func (p *fakePrepared) Promote(ctx context.Context) (plugin.Running, error) {
	if p.f.promote != nil {
		if err := p.f.promote(ctx, p.spec); err != nil {
			return nil, err
		}
	}
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p.end()
	r := &fakeRunning{f: p.f, spec: p.spec, module: p.module, paused: p.spec.Settings.Paused, logs: p.spec.Settings.Logs, fair: p.spec.Settings.Fair}
	p.f.live[p.spec.Name] = append(p.f.live[p.spec.Name], r)
	p.f.signal()
	return r, nil
}

func (p *fakePrepared) Discard() {
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	p.end()
	p.module.users--
	p.f.signal()
}

func (p *fakePrepared) end() {
	if p.ended {
		p.f.broken = append(p.f.broken, p.spec.Name+" was promoted or discarded twice")
	}
	p.ended = true
	p.f.parked--
}

func (m *fakeModule) Style() string { return "loop" }

func (m *fakeModule) Close(context.Context) error {
	m.f.mu.Lock()
	defer m.f.mu.Unlock()
	if m.closed {
		m.f.broken = append(m.f.broken, "a module was closed twice")
	}
	if m.users > 0 {
		m.f.broken = append(m.f.broken, "a module was closed while in use")
	}
	m.closed = true
	delete(m.f.open, m)
	m.f.signal()
	return nil
}

func (r *fakeRunning) Drain(ctx context.Context) error {
	var err error
	r.f.mu.Lock()
	r.leaving = true
	replaced := slices.ContainsFunc(r.f.live[r.spec.Name], func(o *fakeRunning) bool { return !o.leaving })
	if !replaced && r.spec.Name == r.f.steady {
		r.f.broken = append(r.f.broken, r.spec.Name+" was drained without a successor")
	}
	r.f.mu.Unlock()
	if r.f.drain != nil {
		err = r.f.drain(ctx, r.spec.Name)
	}
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	if r.drained {
		r.f.broken = append(r.f.broken, "drained twice")
	}
	r.drained = true
	r.module.users--
	name := r.spec.Name
	r.f.live[name] = slices.DeleteFunc(r.f.live[name], func(o *fakeRunning) bool { return o == r })
	r.f.signal()
	return err
}

func (r *fakeRunning) Stats() plugin.Stats {
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	if r.drained {
		return plugin.Stats{Delivered: 1}
	}
	s := plugin.Stats{Instances: 1, Delivered: 1, Lag: 7, Condition: r.f.condition}
	if r.paused {
		s.Condition = plugin.Condition{State: wire.Paused, Since: time.Now()}
	}
	return s
}

func (r *fakeRunning) Apply(s spec.Settings) {
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	r.paused, r.logs, r.fair = s.Paused, s.Logs, s.Fair
}

func (f *fakes) setCondition(c plugin.Condition) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.condition = c
}

// world is a Manager over a directory and the fakes.
type world struct {
	*testing.T
	*fakes
	dir      string
	m        *plugin.Manager
	config   plugin.Config
	settings *settingsBook
}

// settingsBook holds settings, into which decisions are written.
type settingsBook struct {
	mu     sync.Mutex
	by     map[string]spec.Settings
	writes int
}

func (s *settingsBook) change(name string, edit func(*spec.Settings)) error {
	v, err := s.get(name, abi.Manifest{})
	if err == nil {
		edit(&v)
		s.set(name, v)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	return err
}

func (s *settingsBook) setEnabled(_ context.Context, name string, enabled bool) error {
	return s.change(name, func(v *spec.Settings) { v.Enabled, v.Hold = enabled, false })
}

func (s *settingsBook) setPaused(_ context.Context, name string, paused bool) error {
	return s.change(name, func(v *spec.Settings) { v.Paused = paused })
}

func (s *settingsBook) setGrants(_ context.Context, name string, grants []spec.Grant) error {
	return s.change(name, func(v *spec.Settings) { v.Grants = grants })
}

func (s *settingsBook) get(name string, _ abi.Manifest) (spec.Settings, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.by[name]; ok {
		if string(v.Config) == `"broken"` {
			return spec.Settings{}, errors.New("config: must be an object")
		}
		return v, nil
	}
	return spec.Settings{Enabled: true}, nil
}

func (s *settingsBook) set(name string, v spec.Settings) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.by[name] = v
}

func newWorld(t *testing.T) *world {
	w := &world{T: t, fakes: newFakes(), dir: t.TempDir(), settings: &settingsBook{by: map[string]spec.Settings{}}}
	w.config = plugin.Config{
		Directories: []string{w.dir},
		Loader:      w.fakes, Runner: w.fakes,
		Settings: w.settings.get, SetEnabled: w.settings.setEnabled, SetPaused: w.settings.setPaused, SetGrants: w.settings.setGrants,
		Debounce: 20 * time.Millisecond, Quiet: 100 * time.Millisecond,
	}
	t.Cleanup(w.end)
	return w
}

// run starts a Manager and waits until it is ready.
func (w *world) run() *world {
	w.Helper()
	w.begin()
	if err := w.m.WaitReady(w.bound()); err != nil {
		w.Fatal(err)
	}
	return w
}

func (w *world) begin() {
	w.Helper()
	m, err := plugin.New(w.config)
	if err != nil {
		w.Fatal(err)
	}
	w.m = m
	if err := m.Start(w.bound()); err != nil {
		w.Fatal(err)
	}
}

// end closes the Manager and looks at the books.
func (w *world) end() {
	if w.m == nil {
		return
	}
	w.mu.Lock()
	w.steady = ""
	w.mu.Unlock()
	if err := w.m.Close(w.bound()); err != nil {
		w.Error(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.open) != 0 {
		w.Errorf("%d modules are still open", len(w.open))
	}
	for name, live := range w.live {
		if len(live) != 0 {
			w.Errorf("%d versions of %s still run", len(live), name)
		}
	}
	if w.parked != 0 {
		w.Errorf("%d versions are still parked", w.parked)
	}
	for _, b := range w.broken {
		w.Error(b)
	}
}

func (w *world) bound() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	w.Cleanup(cancel)
	return ctx
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) write(name string, contents []byte) {
	w.Helper()
	if err := os.WriteFile(w.path(name), contents, 0o600); err != nil {
		w.Fatal(err)
	}
}

// replace puts a file in place at once, by renaming it.
func (w *world) replace(name string, contents []byte) {
	w.Helper()
	w.write("."+name+".new", contents)
	w.rename("."+name+".new", name)
}

func (w *world) rename(from, to string) {
	w.Helper()
	if err := os.Rename(w.path(from), w.path(to)); err != nil {
		w.Fatal(err)
	}
}

func (w *world) remove(name string) {
	w.Helper()
	if err := os.Remove(w.path(name)); err != nil {
		w.Fatal(err)
	}
}

// until waits for the condition, looking again at short intervals.
func (w *world) until(what string, ok func() bool) {
	w.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			list, _ := json.MarshalIndent(w.m.List(), "", " ")
			w.Fatalf("timeout waiting for %s; the list is %s", what, list)
		}
	}
}

// waitFor waits until the plugin is in the state, with a version ("": any) and
// a reason that contains the text, and nothing of it is being drained.
func (w *world) waitFor(name string, state wire.PluginState, version, reason string) wire.Plugin {
	w.Helper()
	var p wire.Plugin
	w.until(name+" to be "+string(state)+" "+version+" "+reason, func() bool {
		var err error
		p, err = w.m.Plugin(name)
		return err == nil && p.State == state && (version == "" || p.Version == version) && strings.Contains(p.Reason, reason) && (reason != "" || p.Reason == "")
	})
	return p
}

func (w *world) waitGone(name string) {
	w.Helper()
	w.until(name+" to be gone", func() bool {
		_, err := w.m.Plugin(name)
		return err != nil
	})
}

func (w *world) count(name string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.live[name])
}

// only waits until just this version of the plugin runs, and returns its Spec.
func (w *world) only(name, version string) plugin.Spec {
	w.Helper()
	var spec plugin.Spec
	w.until("just "+version+" of "+name+" to run", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.live[name]) != 1 {
			return false
		}
		spec = w.live[name][0].spec
		return spec.Manifest.Version == version
	})
	return spec
}
