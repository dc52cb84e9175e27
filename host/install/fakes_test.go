package install_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/config/lockfile"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/install"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// module makes the bytes of a module with a manifest ("": none) that does what
// the text says: "bad" is refused by the vetter, "traps" when it is started.
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

func versioned(name, version, more string) []byte {
	return module(fmt.Sprintf(`{"name":%q,"version":%q%s}`, name, version, more), "ok "+version)
}

func digestOf(wasm []byte) string {
	sum := sha256.Sum256(wasm)
	return hex.EncodeToString(sum[:])
}

// shop is a Source that has releases by name and version.
type shop struct {
	mu       sync.Mutex
	releases map[string]install.Release // by name@version; the one without version is the latest
	blobs    map[string][]byte          // by digest
	opened   []int64                    // the offsets
	// open, when set, is what Open answers.
	open func(rel install.Release, offset int64) (io.ReadCloser, error)
}

func (s *shop) put(wasm []byte, change func(*install.Release)) install.Release {
	section, _, _ := abi.FindSection(wasm, abi.ManifestSection)
	m, _ := abi.ParseManifest(section)
	rel := install.Release{Name: m.Name, Version: m.Version, Publisher: "acme", SignedBy: "K1", SHA256: digestOf(wasm), Size: int64(len(wasm)),
		ABI: abi.ModuleName, Capabilities: m.Capabilities, Source: "marketplace https://plugins.example", Released: start}
	if change != nil {
		change(&rel)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.releases[rel.Name+"@"+rel.Version], s.releases[rel.Name+"@"] = rel, rel
	s.blobs[rel.SHA256] = wasm
	return rel
}

func (s *shop) Resolve(_ context.Context, r install.Request) (install.Release, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.URL != "" {
		return install.Release{Name: r.Name, SHA256: r.SHA256, Source: "url " + r.URL}, nil
	}
	if r.Ref != "" {
		r.Name = ""
	}
	rel, ok := s.releases[r.Name+"@"+r.Version]
	if !ok {
		return rel, fault.New(fault.NotFound, "there is no %s %s", r.Name, r.Version)
	}
	return rel, nil
}

func (s *shop) Open(_ context.Context, rel install.Release, offset int64) (io.ReadCloser, error) {
	s.mu.Lock()
	s.opened = append(s.opened, offset)
	open, blob := s.open, s.blobs[rel.SHA256]
	s.mu.Unlock()
	if open != nil {
		return open(rel, offset)
	}
	return io.NopCloser(bytes.NewReader(blob[min(offset, int64(len(blob))):])), nil
}

// host is the Plugins, Settings, State and Vetter of a world. Its settings are in a file
// of the data directory, so that a copy of that contains them.
type host struct {
	dir string

	mu       sync.Mutex
	running  map[string]spec.Pin
	dropped  map[string]bool
	parked   map[*candidate]bool // neither promoted nor discarded
	prepared []string
	stored   map[string]bool // by name: it has stored something
	outcomes map[string]bool // by name: it has a position and outcomes
	full     error           // of Forget and Purge
	others   []string        // hosts that have every plugin
	routes   map[string][]string
	admit    error  // of Admit
	refused  string // the digest of a module that does not start here
}

func (h *host) file() string { return filepath.Join(h.dir, "settings.json") }

func (h *host) settings() map[string][]string {
	all := map[string][]string{}
	text, err := os.ReadFile(h.file())
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		panic(err)
	}
	return all
}

func (h *host) write(all map[string][]string) error {
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return os.WriteFile(h.file(), text, 0o600)
}

func (h *host) Lacking(name string, asked []abi.Capability) (lacking []abi.Capability) {
	granted := h.settings()[name]
	for _, a := range asked {
		if !slices.Contains(granted, a.Name) {
			lacking = append(lacking, a)
		}
	}
	return lacking
}

func (h *host) Snapshot(name string, _ []abi.Capability) (json.RawMessage, error) {
	return json.Marshal(h.settings()[name])
}

func (h *host) Admit(name string, grants []abi.Capability) error {
	if h.admit != nil || len(grants) == 0 {
		return h.admit
	}
	all := h.settings()
	for _, g := range grants {
		all[name] = append(all[name], g.Name)
	}
	return h.write(all)
}

func (h *host) Restore(name string, snapshot json.RawMessage) error {
	var was []string
	if err := json.Unmarshal(snapshot, &was); err != nil {
		return err
	}
	all := h.settings()
	if slices.Equal(all[name], was) {
		return nil
	}
	if all[name] = was; was == nil {
		delete(all, name)
	}
	return h.write(all)
}

func (h *host) Remove(name string) error {
	all := h.settings()
	if _, ok := all[name]; !ok {
		return nil
	}
	delete(all, name)
	return h.write(all)
}

func (h *host) Routes(name string) []string { return h.routes[name] }

func (h *host) Forget(_ context.Context, name string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.full == nil {
		delete(h.outcomes, name)
	}
	return h.full
}

func (h *host) Purge(_ context.Context, name string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.full == nil {
		delete(h.stored, name)
	}
	return h.full
}

func (h *host) Elsewhere(context.Context, string) ([]string, error) { return h.others, nil }

func (h *host) Has(_ context.Context, name string) (forgettable, purgeable bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.outcomes[name], h.stored[name], nil
}

func (h *host) Vet(_ context.Context, module spec.Artifact) error {
	if bytes.Contains(module.Wasm(), []byte("bad")) {
		return fault.New(fault.Invalid, "it forks")
	}
	return nil
}

func (h *host) Free(_ context.Context, name string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.dropped[name] {
		return fault.New(fault.Conflict, "the name belongs to a file")
	}
	return nil
}

func (h *host) load(p spec.Pin) error {
	wasm, err := os.ReadFile(p.Path)
	switch {
	case err != nil:
		return err
	case digestOf(wasm) != p.SHA256:
		return fault.New(fault.Invalid, "does not match the lock")
	case bytes.Contains(wasm, []byte("traps")):
		return fault.New(fault.Trap, "it trapped")
	case p.SHA256 == h.refused:
		return fault.New(fault.Invalid, "not on this machine")
	}
	return nil
}

func (h *host) Prepare(_ context.Context, name string, module spec.Artifact, _ []abi.Capability) (install.Candidate, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.prepared = append(h.prepared, name)
	if bytes.Contains(module.Wasm(), []byte("traps")) {
		return nil, fault.New(fault.Trap, "it trapped")
	}
	c := &candidate{host: h, pin: spec.Pin{Name: name, SHA256: module.SHA256()}}
	h.parked[c] = true
	return c, nil
}

// candidate is a version that is started and gets no events.
type candidate struct {
	*host
	pin spec.Pin
}

// Promote reads the stored module, which must be there by now.
func (c *candidate) Promote(ctx context.Context, path string) (wire.Plugin, error) {
	c.Discard()
	c.pin.Path = path
	return c.Pin(ctx, c.pin)
}

func (c *candidate) Discard() {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.parked, c)
}

func (h *host) Pin(_ context.Context, p spec.Pin) (wire.Plugin, error) {
	if err := h.load(p); err != nil {
		return wire.Plugin{}, err
	}
	h.mu.Lock()
	h.running[p.Name], h.stored[p.Name], h.outcomes[p.Name] = p, true, true
	h.mu.Unlock()
	return h.Plugin(p.Name)
}

func (h *host) Unpin(_ context.Context, name string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.running[name]; !ok {
		return fault.New(fault.NotFound, "there is no %s", name)
	}
	delete(h.running, name)
	return nil
}

func (h *host) Uninstall(ctx context.Context, name string, commit func() error) error {
	h.mu.Lock()
	file := h.dropped[name]
	_, pinned := h.running[name]
	h.mu.Unlock()
	if !file && !pinned {
		return fault.New(fault.NotFound, "there is no plugin %q", name)
	}
	if commit != nil {
		if err := commit(); err != nil {
			return err
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.dropped, name)
	delete(h.running, name)
	return nil
}

func (h *host) Plugin(name string) (wire.Plugin, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p, ok := h.running[name]; ok {
		return wire.Plugin{Name: name, SHA256: p.SHA256, State: wire.Active}, nil
	}
	if h.dropped[name] {
		return wire.Plugin{Name: name, State: wire.Active}, nil
	}
	return wire.Plugin{}, fault.New(fault.NotFound, "there is no plugin %q", name)
}

func newCodec() lockfile.Codec { return lockfile.Codec{Header: "test"} }

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// world is an Installer over a directory and the fakes.
type world struct {
	testing.TB
	*shop
	*host
	cfg install.Config
	i   *install.Installer
}

func newWorld(t testing.TB) *world {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "settings.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	return openWorld(t, dir, &shop{releases: map[string]install.Release{}, blobs: map[string][]byte{}})
}

// openWorld starts an Installer as a host does: it recovers an interrupted transaction,
// then runs the pins.
func openWorld(t testing.TB, dir string, s *shop) *world {
	t.Helper()
	h := &host{dir: dir, running: map[string]spec.Pin{}, dropped: map[string]bool{}, stored: map[string]bool{}, outcomes: map[string]bool{}, routes: map[string][]string{}, parked: map[*candidate]bool{}}
	w := &world{TB: t, shop: s, host: h}
	w.cfg = install.Config{Dir: dir, Source: s, Vetter: h, Plugins: h, Settings: h, State: h, Codec: newCodec(),
		Now: func() time.Time { return start }, Backoff: time.Millisecond}
	w.open()
	t.Cleanup(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if len(h.parked) != 0 {
			t.Errorf("%d candidates are still parked", len(h.parked))
		}
	})
	if err := w.i.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, p := range w.i.Pins() {
		if p.Refusal == "" {
			h.running[p.Name] = p
		}
	}
	return w
}

func (w *world) open() {
	w.Helper()
	i, err := install.New(w.cfg)
	if err != nil {
		w.Fatal(err)
	}
	w.i = i
	w.Cleanup(func() { _ = i.Close() })
}

func (w *world) install(name string) error {
	_, err := w.i.Install(w.Context(), install.Request{Name: name}, "", nil)
	return err
}

func (w *world) upgrade(name string) error {
	_, err := w.i.Upgrade(w.Context(), name, install.Request{}, "", nil)
	return err
}

// state is all that a transaction may change, but for its downloads.
func (w *world) state() string {
	w.Helper()
	var b strings.Builder
	for _, line := range w.disk() {
		b.WriteString(line + "\n")
	}
	w.host.mu.Lock()
	defer w.host.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(w.running)) {
		fmt.Fprintf(&b, "runs %s %s\n", name, w.running[name].SHA256)
	}
	return b.String()
}

// disk returns the contents of the data directory, without downloads and the lock between
// processes.
func (w *world) disk() (lines []string) {
	w.Helper()
	err := filepath.WalkDir(w.cfg.Dir, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(w.cfg.Dir, path)
		switch {
		case err != nil:
			return err
		case rel == "downloads":
			return fs.SkipDir
		case d.IsDir() || rel == "install.lock":
			return nil
		}
		content, err := os.ReadFile(path)
		lines = append(lines, fmt.Sprintf("%s %s", rel, content))
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
	return lines
}

func (w *world) runs(name, version string, wasm []byte) {
	w.Helper()
	p, err := w.host.Plugin(name)
	if err != nil || p.SHA256 != digestOf(wasm) {
		w.Errorf("%s %s does not run: %+v, %v", name, version, p, err)
	}
	all, err := w.i.Installed()
	if err != nil || all[name].Version.Version != version || all[name].SHA256 != digestOf(wasm) {
		w.Errorf("the lock has %+v, %v, want %s %s", all[name], err, name, version)
	}
}

func wants(t testing.TB, err error, code fault.Code, text string) {
	t.Helper()
	if !fault.Is(err, code) || !strings.Contains(err.Error(), text) {
		t.Errorf("got %v (%s), want %s: %s", err, fault.CodeOf(err), code, text)
	}
}
