package host

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"time"

	"github.com/berth-host/berth/host/audit"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/route"
	"github.com/berth-host/berth/host/wire"
)

// watchDebounce is how long the configuration file must be at rest before it is read.
const watchDebounce = 200 * time.Millisecond

// Who a reload is by in the audit log, when nobody has asked for it by the API.
// Who has written the file is not known.
const (
	byFile   = "the file"
	bySignal = "SIGHUP"
)

// startWatch reloads when the configuration file changes.
func (h *Host) startWatch() {
	h.background("the configuration watcher", func(ctx context.Context) {
		config.Watch(ctx, h.path, watchDebounce, h.editor.Edits, func(err error) {
			if err != nil {
				h.logger.Warn("the system refuses to watch the configuration file; it is looked at every few seconds instead, and watching is tried again", "error", err)
			} else {
				h.logger.Info("the configuration file is watched again")
			}
		}, func() {
			if err := h.fileChanged(ctx); err != nil {
				h.logger.Error("the configuration was not reloaded; the old one stays", "error", err)
			}
		})
	})
}

// InForce implements api.Reloader.
func (h *Host) InForce(handler string) wire.Settings {
	c := h.current.Load()
	var list []config.Setting
	if handler == "" {
		list = config.Started{Config: h.begun, Listen: h.listen(), DataDir: h.DataDir(), MemoryTotal: h.memoryTotal(), MaxInflight: h.maxInflight()}.InForce(c)
	} else {
		m, _ := h.plugins.Manifest(handler) // one that is not here asks for nothing
		list = config.SettingsOf(c, handler, m)
	}
	s := wire.Settings{File: h.path, Items: make([]wire.Setting, len(list)), NeedsRestart: config.Restarts(h.begun, c)}
	for i, one := range list {
		s.Items[i] = wire.Setting{Path: one.Path, Value: one.Value}
	}
	return s
}

// fileChanged takes over a file that was changed.
func (h *Host) fileChanged(ctx context.Context) error {
	h.reload.Lock()
	defer h.reload.Unlock()
	n, err := h.written()
	if err != nil || n == nil {
		return err
	}
	return h.catchUp(ctx, n)
}

// written reads the file for who has not been told to: it may be about to be
// written, which is when programs leave it empty, as a full disk does.
func (h *Host) written() (*reading, error) {
	n, err := h.read()
	if err == nil && n != nil && n.empty() && n.differs(h.current.Load()) {
		return nil, config.NewError(config.Problem{File: h.path, Line: 1,
			Reason: "the file is empty; what was read from it before stays in force. Write it again, or run berth config reload to go back to the defaults"})
	}
	return n, err
}

// catchUp takes over what somebody has written, by hand, since the file was last
// read. h.reload is held.
func (h *Host) catchUp(ctx context.Context, n *reading) error {
	result, err := h.takeOver(ctx, n)
	if err != nil {
		return err
	}
	if len(result.Changed) > 0 {
		h.logger.Info("the configuration was reloaded", "changed", result.Changed)
		h.auditReload(byFile, result, nil)
	}
	return nil
}

// Hangup is Reload by a signal; what comes of it is in the log and in the audit log.
func (h *Host) Hangup(ctx context.Context) error {
	result, err := h.Reload(ctx)
	h.auditReload(bySignal, result, err)
	if err != nil {
		h.logger.Error("SIGHUP: the configuration was not reloaded; the old one stays", "error", err)
		return err
	}
	h.logger.Info("SIGHUP: the configuration was reloaded", "changed", result.Changed, "needs_restart", result.NeedsRestart)
	return nil
}

// auditReload records what a reload brought.
func (h *Host) auditReload(who string, result wire.ReloadResult, failed error) {
	rec := audit.Record{ID: rand.Text()[:16], Stage: audit.End, Action: "reload-config", Who: who, Target: h.path, Result: "ok"}
	var err error
	if failed != nil {
		rec.Result, rec.Error = "failed", failed.Error()
	} else {
		rec.After, err = json.Marshal(result)
	}
	if err == nil {
		err = h.audit.Append(rec)
	}
	if err != nil {
		h.logger.Error("a reload is not in the audit log", "error", err)
	}
}

// Reload reads the configuration again and says what changed. Everything is
// checked before anything is in force: the YAML, the conditions, and each
// handler's config against its plugin's schema. A file that is wrong, or gone,
// changes nothing. What only a start can change (data_dir, server.listen,
// bus.engine) is named for as long as the file says otherwise than what is in force.
func (h *Host) Reload(ctx context.Context) (wire.ReloadResult, error) {
	h.reload.Lock()
	defer h.reload.Unlock()
	n, err := h.read()
	if err != nil {
		return wire.ReloadResult{}, err
	}
	if n == nil {
		return wire.ReloadResult{Changed: []string{}, NeedsRestart: []string{}}, nil
	}
	return h.takeOver(ctx, n)
}

// reading is a configuration that was read and is not in force yet.
type reading struct {
	config *config.Config
	table  *route.Table
	text   []byte
}

func (n *reading) differs(from *config.Config) bool {
	return len(config.Diff(from, n.config, nil)) > 0
}

func (n *reading) empty() bool { return len(bytes.TrimSpace(n.text)) == 0 }

// read reads the file. It answers nil when there is none and never was.
func (h *Host) read() (*reading, error) {
	c, table, text, err := load(h.path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !h.editor.Expecting():
		return nil, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, config.Gone(h.path)
	case err != nil:
		return nil, err
	}
	return &reading{c, table, text}, nil
}

// takeOver brings in force what was read. h.reload is held.
func (h *Host) takeOver(ctx context.Context, n *reading) (wire.ReloadResult, error) {
	if err := h.fits(ctx, n.config, n.text); err != nil {
		return wire.ReloadResult{}, err
	}
	formerConfig, formerTable := h.current.Load(), h.table.Load()
	h.current.Store(n.config)
	h.table.Store(n.table)
	// Whoever asked may go, the rest is done all the same; it only fails when
	// the host is closing, and then nothing is in force any more.
	if err := h.plugins.Reload(context.WithoutCancel(ctx), n.config.PluginDirectories); err != nil {
		h.current.Store(formerConfig)
		h.table.Store(formerTable)
		return wire.ReloadResult{}, err
	}
	h.editor.Expect()
	h.retention.Configure()
	h.sources.Reconfigure(formerConfig.Marketplace, n.config.Marketplace)
	waiting := config.Restarts(h.begun, n.config)
	return wire.ReloadResult{Changed: config.Diff(formerConfig, n.config, waiting), NeedsRestart: waiting}, nil
}

// edit changes the configuration's file and takes over what it says then. What
// somebody has written into it since it was read comes first, as by a reload: an
// edit must not bring in what a reload would refuse.
func (h *Host) edit(change func() (*config.Config, error)) error {
	h.reload.Lock()
	defer h.reload.Unlock()
	if h.plugins != nil { // not at the start, when it was read just now
		if err := h.editor.AwaitWriters(); err != nil {
			return err
		}
		n, err := h.written()
		if err == nil && n != nil && n.differs(h.current.Load()) {
			err = h.catchUp(context.Background(), n)
		}
		if err != nil {
			return err
		}
	}
	return h.write(change)
}

// takeBack undoes an edit: by memory in what is in force, and by file in the file.
// The former does not depend on what others have made of the file meanwhile: that may
// be empty, or nothing that can come in force.
func (h *Host) takeBack(file func() error, memory func(map[string]config.Handler)) error {
	h.reload.Lock()
	defer h.reload.Unlock()
	c := *h.current.Load()
	c.Handlers = maps.Clone(c.Handlers)
	memory(c.Handlers)
	h.current.Store(&c)
	err := file() // what others have written there the watcher takes over
	if h.plugins == nil {
		return err // at the start
	}
	ctx, cancel := context.WithTimeout(context.Background(), tidyTimeout)
	defer cancel()
	// What runs must not keep what was taken back.
	return errors.Join(err, h.plugins.Reload(ctx, c.PluginDirectories))
}

// write changes the file and takes over what it says then. h.reload is held.
func (h *Host) write(change func() (*config.Config, error)) error {
	c, err := change()
	if err != nil {
		return err
	}
	table, err := compile(h.path, c)
	if err != nil {
		return err
	}
	former := h.current.Swap(c)
	h.table.Store(table)
	h.sources.Reconfigure(former.Marketplace, c.Marketplace) // what a person wrote in this moment is in c as well
	return nil
}

// fits asks the plugins whether they would take the configuration.
func (h *Host) fits(ctx context.Context, c *config.Config, text []byte) error {
	misfits, err := h.plugins.Check(ctx, settingsUnder(c))
	if err != nil {
		return err
	}
	var problems []config.Problem
	for _, m := range misfits {
		for _, v := range m.Violations {
			way := append([]string{"handlers", m.Name, "config"}, v.Way()...)
			problems = append(problems, config.Problem{File: h.path, Line: config.Locate(text, way...), Path: "handlers." + m.Name + ".config" + v.Pointer, Reason: v.Reason})
		}
		if m.Violations == nil {
			problems = append(problems, config.Problem{File: h.path, Line: config.Locate(text, "handlers", m.Name), Path: "handlers." + m.Name, Reason: m.Err.Error()})
		}
	}
	if problems == nil {
		return nil
	}
	return config.NewError(problems...)
}
