package live

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/config/overlay"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// Handlers are the sections of the handlers for installs: it implements
// install.Settings.
type Handlers struct{ *Live }

// Lacking implements install.Settings.
func (h Handlers) Lacking(name string, requested []abi.Capability) (lacking []abi.Capability) {
	for _, c := range requested {
		if !spec.Granted(h.Config().Handlers[name].Grants, c) {
			lacking = append(lacking, c)
		}
	}
	return lacking
}

// snapshot is the text of the configuration before and after an Admit; empty when it
// writes nothing.
type snapshot struct {
	Before []byte `json:"before,omitempty"`
	After  []byte `json:"after,omitempty"`
	// Decided are the grants before, where the hosts of a cluster share them; null: none.
	Decided *decidedGrants `json:"decided,omitempty"`
}

// decidedGrants are the grants of a handler in the decisions of the cluster.
type decidedGrants struct {
	Grants *[]spec.Grant `json:"grants"`
}

// Snapshot implements install.Settings.
func (h Handlers) Snapshot(name string, grants []abi.Capability) (json.RawMessage, error) {
	var s snapshot
	switch {
	case len(grants) > 0 && h.Joined():
		if err := h.shared.refusal(name, "grants", h.path); err != nil {
			return nil, err
		}
		s.Decided = &decidedGrants{h.now.Load().overlay.Section(name).Grants}
	case len(grants) > 0:
		before, after, err := h.editor.Preview(func(e *config.Editor) error {
			_, err := e.SetHandlerGrants(name, h.extended(name, grants))
			return err
		})
		if err != nil {
			return nil, err
		}
		s.Before, s.After = before, after
	}
	return json.Marshal(s)
}

// Admit implements install.Settings.
func (h Handlers) Admit(name string, grants []abi.Capability) error {
	if len(grants) == 0 {
		return nil
	}
	if h.Joined() {
		return h.SetGrants(context.Background(), name, h.extended(name, grants))
	}
	return h.edit(func(e *config.Editor) (*config.Config, error) {
		return e.SetHandlerGrants(name, h.extended(name, grants))
	})
}

// extended returns the handler's grants extended by these.
func (h Handlers) extended(name string, more []abi.Capability) []spec.Grant {
	grants := slices.Clone(h.Config().Handlers[name].Grants)
	for _, c := range more {
		grants = spec.AddGrant(grants, c)
	}
	return grants
}

// Restore implements install.Settings. It restores the file byte for byte, or only the
// grants when the file has been edited since.
func (h Handlers) Restore(name string, raw json.RawMessage) error {
	var s snapshot
	if err := json.Unmarshal(raw, &s); err != nil {
		return fault.New(fault.Internal, "read snapshot of handlers.%s: %w", name, err)
	}
	if s.Decided != nil {
		return h.decide(context.Background(), name, "grants", func(now *overlay.Section) { now.Grants = s.Decided.Grants })
	}
	if len(s.After) == 0 || string(s.Before) == string(s.After) {
		return nil
	}
	before, err := config.Parse(h.path, s.Before)
	if err != nil {
		return err
	}
	former, existed := before.Handlers[name]
	return h.revert(func(e *config.Editor) error {
		_, err := e.Restore(s.Before, s.After)
		switch {
		case fault.Is(err, fault.NotFound): // the file does not exist
			return nil
		case !fault.Is(err, fault.Conflict):
			return err
		}
		c, err := config.Load(h.path) // the file has been edited since
		if err != nil {
			return err
		}
		section, exists := c.Handlers[name]
		switch {
		case !exists:
		case !existed && onlyGrants(section):
			_, err = e.RemoveHandler(name)
		default:
			_, err = e.SetHandlerGrants(name, former.Grants)
		}
		return err
	}, func(handlers map[string]config.Handler) {
		section, exists := handlers[name]
		switch {
		case !exists:
		case !existed && onlyGrants(section):
			delete(handlers, name)
		default:
			section.Grants = former.Grants
			handlers[name] = section
		}
	})
}

// onlyGrants reports whether a section has no key but grants.
func onlyGrants(h config.Handler) bool {
	h.Grants = nil
	return reflect.DeepEqual(h, config.Handler{Config: json.RawMessage("{}")})
}

// Remove implements install.Settings.
func (h Handlers) Remove(name string) error {
	if h.Joined() { // the files of the hosts are not Berth's to write
		return h.undecide(context.Background(), name)
	}
	err := h.edit(func(e *config.Editor) (*config.Config, error) { return e.RemoveHandler(name) })
	if err != nil {
		return fmt.Errorf("handlers.%s stays in %s; remove it by hand: %w", name, h.path, err)
	}
	return nil
}

// Routes implements install.Settings.
func (h Handlers) Routes(name string) (routes []string) {
	for _, r := range h.Config().Routes {
		if slices.Contains(r.Handlers, name) {
			routes = append(routes, r.Pattern)
		}
	}
	return routes
}
