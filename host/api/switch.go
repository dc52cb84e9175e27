package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/labstack/echo/v4"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// enable is POST /api/v1/events/plugins/:name/enable.
func (s *Server) enable(c echo.Context) (reply, error) {
	return s.switchPlugin(c, s.cfg.Plugins.SetEnabled, true)
}

// disable is POST /api/v1/events/plugins/:name/disable.
func (s *Server) disable(c echo.Context) (reply, error) {
	return s.switchPlugin(c, s.cfg.Plugins.SetEnabled, false)
}

// pause is POST /api/v1/events/plugins/:name/pause.
func (s *Server) pause(c echo.Context) (reply, error) {
	if s.cfg.Pauser == nil {
		return reply{}, missing("pausing is")
	}
	return s.switchPlugin(c, s.cfg.Pauser.SetPaused, true)
}

// resume is POST /api/v1/events/plugins/:name/resume.
func (s *Server) resume(c echo.Context) (reply, error) {
	if s.cfg.Pauser == nil {
		return reply{}, missing("pausing is")
	}
	return s.switchPlugin(c, s.cfg.Pauser.SetPaused, false)
}

// switchPlugin changes a plugin by the operator's word, if it is still what
// If-Match says. One switch at a time, so that of two callers who have seen the
// same only the first succeeds.
func (s *Server) switchPlugin(c echo.Context, set func(context.Context, string, bool) (wire.Plugin, error), on bool) (reply, error) {
	name, err := param(c, "name")
	if err != nil {
		return reply{}, err
	}
	wanted, err := ifMatch(c)
	if err != nil {
		return reply{}, err
	}
	ctx := c.Request().Context()
	select {
	case s.switching <- struct{}{}:
		defer func() { <-s.switching }()
	case <-ctx.Done():
		return reply{}, fmt.Errorf("wait for another change: %w", ctx.Err())
	}
	if err := s.unchangedPlugin(name, wanted); err != nil {
		return reply{}, err
	}
	p, err := set(ctx, name, on)
	if err != nil {
		return reply{}, err
	}
	return pluginReply(p), nil
}

// unchangedPlugin answers whether the plugin is what If-Match says.
func (s *Server) unchangedPlugin(name string, wanted entityTags) error {
	if !wanted.given {
		return nil
	}
	p, found := s.cfg.Plugins.Plugin(name)
	if !found {
		return fault.New(fault.NotFound, "there is no plugin %q", shown(name))
	}
	return wanted.agree(p)
}

// agree refuses a plugin that is not what If-Match says.
func (t entityTags) agree(p wire.Plugin) error {
	if !t.given || t.any || t.match(pluginTag(p)) {
		return nil
	}
	return &fault.Error{Code: fault.Precondition, Field: "If-Match",
		Reason: fmt.Sprintf("the plugin has changed since: it is %s now, and its ETag %q", p.State, pluginTag(p))}
}

// pluginReply shows a plugin with its entity tag.
func pluginReply(p wire.Plugin) reply {
	return reply{body: whole(p), header: map[string]string{"ETag": `"` + pluginTag(p) + `"`}}
}

// pluginTag is a tag of what a plugin is and what was decided about it: its
// module, version, subscriptions and grants, those of a version that waits for
// approval, and whether it is to run. It leaves out what changes by itself:
// figures, and states on the way to running or through failures. So it says nothing about the answer as a whole, and GET
// takes no If-None-Match.
func pluginTag(p wire.Plugin) string {
	p = whole(p)
	decided := p.State
	switch p.State {
	case wire.Discovered, wire.Vetting, wire.NeedsApproval, wire.Active, wire.BreakerOpen, wire.Stuck, wire.Draining: // what it lacks is among the capabilities
		decided = wire.Active
	}
	parts := []any{p.Name, p.SHA256, p.Version, decided, p.Subscribes, p.Capabilities}
	if p.Pending != nil {
		parts = append(parts, *p.Pending)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%#v", parts))
	return hex.EncodeToString(sum[:12])
}
