package live

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/audit"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/plugin"
)

// opened is a configuration that has been read from a file.
type opened struct {
	*Live
	t       *testing.T
	audited []audit.Record
}

func open(t *testing.T, text string) *opened {
	t.Helper()
	o := &opened{t: t}
	path := filepath.Join(t.TempDir(), "berth.yaml")
	o.write(path, text)
	var err error
	o.Live, err = Open(Config{Path: path, Logger: slog.New(slog.DiscardHandler), Audit: func(r audit.Record) error {
		o.audited = append(o.audited, r)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// write replaces a file.
func (o *opened) write(path, text string) {
	o.t.Helper()
	if err := errors.Join(os.WriteFile(path+".new", []byte(text), 0o600), os.Rename(path+".new", path)); err != nil {
		o.t.Fatal(err)
	}
}

func TestEmptyFileIsNotAppliedUnasked(t *testing.T) {
	l := open(t, "routes: {\"*\": {}}\n")
	l.write(l.Path(), " \n")
	if err := l.fileChanged(t.Context()); err == nil || !strings.Contains(err.Error(), "is empty") {
		t.Errorf("got %v", err)
	}
	if got := l.Config().Routes; len(got) != 1 {
		t.Errorf("the routes are %+v", got)
	}
}

// An edit parses and compiles the text that it writes, and neither the watch of the file
// nor a reload does so again.
func TestEditParsesAndCompilesOnce(t *testing.T) {
	l := open(t, "routes: {\"*\": {when: \"true\"}}\n")
	before := *l.now.Load()
	if err := l.SetEnabled(t.Context(), "x", false); err != nil {
		t.Fatal(err)
	}
	edited := *l.now.Load()
	if edited.config == before.config || edited.table == before.table {
		t.Error("the edit is not in force")
	}
	if err := l.fileChanged(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.SetEnabled(t.Context(), "x", false); err != nil { // as it is
		t.Fatal(err)
	}
	if now := *l.now.Load(); now != edited {
		t.Error("the file was parsed or compiled again")
	}
	if len(l.audited) != 0 {
		t.Errorf("an edit was audited as a reload: %+v", l.audited)
	}
}

// Before the plugins are attached a change by hand is applied and audited before an edit.
func TestEditWithoutPluginsAppliesManualChange(t *testing.T) {
	l := open(t, "routes: {a: {}}\n")
	l.write(l.Path(), "routes: {a: {}, b: {}}\n")
	if err := l.SetPaused(t.Context(), "x", true); err != nil {
		t.Fatal(err)
	}
	if c := l.Config(); len(c.Routes) != 2 || !c.Handlers["x"].Paused {
		t.Errorf("in force is %+v", c)
	}
	if len(l.audited) != 1 || l.audited[0].Who != byFile {
		t.Errorf("audited is %+v", l.audited)
	}
	if err := os.Remove(l.Path()); err != nil {
		t.Fatal(err)
	}
	if err := l.SetPaused(t.Context(), "x", false); err == nil || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "is missing") {
		t.Errorf("without the file: got %v", err)
	}
}

// countingPlugins counts how often they were checked and reloaded.
type countingPlugins struct {
	noPlugins
	checks, reloads int
}

func (p *countingPlugins) Check(context.Context, plugin.SettingsFunc) ([]plugin.Misfit, error) {
	p.checks++
	return nil, nil
}

func (p *countingPlugins) Reload(context.Context, []string) error {
	p.reloads++
	return nil
}

// An edit reads the file again under its lock, and may put in force what somebody wrote
// by hand while it waited. The watcher, which calls fileChanged, then lets all plugins
// follow it, once.
func TestManualChangeDuringEditIsAppliedToPlugins(t *testing.T) {
	l := open(t, "routes: {\"*\": {}}\n")
	p := &countingPlugins{}
	l.Attach(p)
	err := l.edit(func(e *config.Editor) (*config.Config, error) {
		l.write(l.Path(), "routes: {\"*\": {}}\nhandlers: {other: {enabled: false}}\n")
		return e.SetHandlerEnabled("x", true)
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := l.fileChanged(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if h := l.Config().Handlers["other"]; h.Enabled == nil || *h.Enabled || p.checks != 1 || p.reloads != 1 {
		t.Errorf("in force: %+v; %d checks, %d reloads; want it disabled, 1, 1", h, p.checks, p.reloads)
	}
}

// batchless has one plugin, x, whose manifest does not ask for batches.
type batchless struct{ noPlugins }

func (batchless) Check(_ context.Context, settings plugin.SettingsFunc) ([]plugin.Misfit, error) {
	if _, err := settings("x", abi.Manifest{}); err != nil {
		return []plugin.Misfit{{Name: "x", Err: err}}, nil
	}
	return nil, nil
}

// TestReloadRefusesBatchesOfPluginWithoutThem: the error names the line of the setting.
func TestReloadRefusesBatchesOfPluginWithoutThem(t *testing.T) {
	l := open(t, "handlers: {}\n")
	l.Attach(batchless{})
	l.write(l.Path(), "handlers:\n  x:\n    paused: true\n    batch: {max_events: 50}\n")
	_, err := l.Reload(t.Context())
	if err == nil || !strings.Contains(err.Error(), ":4: handlers.x.batch: the plugin's manifest does not ask for batches") {
		t.Errorf("got %v", err)
	}
	if l.Config().Handlers["x"].Paused {
		t.Error("the refused file is in force")
	}
	l.write(l.Path(), "handlers: {x: {batch: off}}\n")
	if _, err := l.Reload(t.Context()); err != nil {
		t.Error(err)
	}
}
