package live

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// HandlerConfig returns the config of a handler and the schema that its manifest has for
// it. fault.NotFound: no handler of this name is configured or installed.
func (l *Live) HandlerConfig(name string) (wire.HandlerConfig, error) {
	h, configured := l.Config().Handlers[name]
	plugins := *l.plugins.Load()
	if !configured && !slices.ContainsFunc(plugins.List(), func(p wire.Plugin) bool { return p.Name == name }) {
		return wire.HandlerConfig{}, fault.New(fault.NotFound, "no handler %s is configured in %s or installed", name, l.path)
	}
	c := wire.HandlerConfig{Config: h.Config}
	if c.Config == nil {
		c.Config = json.RawMessage("{}")
	}
	if m, known := plugins.Manifest(name); known && m.ConfigSchema != nil {
		c.Schema = m.ConfigSchema
	}
	return c, nil
}

// SetHandlerConfig writes handlers.<name>.config, a JSON object, and runs the plugin with
// it. precondition, unless nil, gets what HandlerConfig returns when the change begins, and
// refuses the change by its error. Nothing is written unless the plugin's schema takes the
// config: the error is a *document.Error then. Other errors are those of HandlerConfig and
// of config.Editor.
func (l *Live) SetHandlerConfig(ctx context.Context, name string, object json.RawMessage,
	precondition func(wire.HandlerConfig) error) (wire.HandlerConfig, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.adopt(); err != nil {
		return wire.HandlerConfig{}, err
	}
	now, err := l.HandlerConfig(name)
	if err == nil && precondition != nil {
		err = precondition(now)
	}
	if err != nil {
		return wire.HandlerConfig{}, err
	}
	if l.Joined() {
		err := l.decideConfig(ctx, name, object)
		if err != nil {
			return wire.HandlerConfig{}, err
		}
		return l.HandlerConfig(name)
	}
	c, err := l.editor.SetHandlerConfig(name, object, func(text []byte, c *config.Config) error {
		n, err := l.compile(c)
		if err != nil {
			return err
		}
		return l.check(ctx, &loaded{n, text})
	})
	if err != nil {
		return wire.HandlerConfig{}, err
	}
	edited, err := l.compile(c) // by the editor's check already
	if err != nil {
		return wire.HandlerConfig{}, err
	}
	if edited.config != l.Config() {
		if _, err := l.enforce(ctx, edited); err != nil {
			return wire.HandlerConfig{}, err
		}
	}
	return l.HandlerConfig(name)
}
