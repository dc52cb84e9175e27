package host

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// handlerSettings lets package install read and write what the configuration
// says of a handler.
type handlerSettings struct{ h *Host }

// Lacking implements install.Settings.
func (s handlerSettings) Lacking(name string, asked []abi.Capability) (lacking []abi.Capability) {
	for _, c := range asked {
		if !spec.Granted(s.h.current.Load().Handlers[name].Grants, c) {
			lacking = append(lacking, c)
		}
	}
	return lacking
}

// snapshot is the configuration's text before and after an Admit; both empty
// when it would not write.
type snapshot struct {
	Before []byte `json:"before,omitempty"`
	After  []byte `json:"after,omitempty"`
}

// Snapshot implements install.Settings.
func (s handlerSettings) Snapshot(name string, grants []abi.Capability) (json.RawMessage, error) {
	var shot snapshot
	if len(grants) > 0 {
		before, after, err := s.h.editor.Preview(func(e *config.Editor) error {
			_, err := e.SetHandlerGrants(name, s.admitted(name, grants))
			return err
		})
		if err != nil {
			return nil, err
		}
		shot = snapshot{before, after}
	}
	return json.Marshal(shot)
}

// Admit implements install.Settings.
func (s handlerSettings) Admit(name string, grants []abi.Capability) error {
	if len(grants) == 0 {
		return nil
	}
	return s.h.edit(func() (*config.Config, error) { return s.h.editor.SetHandlerGrants(name, s.admitted(name, grants)) })
}

// admitted returns the handler's grants extended by these.
func (s handlerSettings) admitted(name string, more []abi.Capability) []spec.Grant {
	grants := slices.Clone(s.h.current.Load().Handlers[name].Grants)
	for _, c := range more {
		grants = spec.AddGrant(grants, c)
	}
	return grants
}

// Restore implements install.Settings. The file becomes what it was, to the byte;
// where somebody has edited it since, the grants alone are taken back.
func (s handlerSettings) Restore(name string, raw json.RawMessage) error {
	var shot snapshot
	if err := json.Unmarshal(raw, &shot); err != nil {
		return fault.New(fault.Internal, "read the snapshot of handlers.%s: %w", name, err)
	}
	if len(shot.After) == 0 || string(shot.Before) == string(shot.After) {
		return nil
	}
	was, err := config.Parse(s.h.path, shot.Before)
	if err != nil {
		return err
	}
	former, had := was.Handlers[name]
	return s.h.takeBack(func() error {
		_, err := s.h.editor.Restore(shot.Before, shot.After)
		switch {
		case fault.Is(err, fault.NotFound): // there never was a file, or there is none any more
			return nil
		case !fault.Is(err, fault.Conflict):
			return err
		}
		// Somebody has edited it since.
		c, err := config.Load(s.h.path)
		if err != nil {
			return err
		}
		is, has := c.Handlers[name]
		switch {
		case !has:
		case !had && onlyGrants(is):
			_, err = s.h.editor.RemoveHandler(name)
		default:
			_, err = s.h.editor.SetHandlerGrants(name, former.Grants)
		}
		return err
	}, func(handlers map[string]config.Handler) {
		is, has := handlers[name]
		switch {
		case !has:
		case !had && onlyGrants(is):
			delete(handlers, name)
		default:
			is.Grants = former.Grants
			handlers[name] = is
		}
	})
}

// onlyGrants reports whether a section says nothing but its grants.
func onlyGrants(h config.Handler) bool {
	h.Grants = nil
	return reflect.DeepEqual(h, config.Handler{Config: json.RawMessage("{}")})
}

// Remove implements install.Settings.
func (s handlerSettings) Remove(name string) error {
	err := s.h.edit(func() (*config.Config, error) { return s.h.editor.RemoveHandler(name) })
	if err != nil {
		return fmt.Errorf("handlers.%s stays in %s, remove it by hand: %w", name, s.h.path, err)
	}
	return nil
}

// Routes implements install.Settings.
func (s handlerSettings) Routes(name string) (routes []string) {
	for _, r := range s.h.current.Load().Routes {
		if slices.Contains(r.Handlers, name) {
			routes = append(routes, r.Pattern)
		}
	}
	return routes
}
