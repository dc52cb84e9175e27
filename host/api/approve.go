package api

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// approve is POST /api/v1/events/plugins/:name/approve. Without a body everything
// that the plugin asks for is approved. If-Match or sha256 must say of which plugin
// the caller has seen what it asks for.
func (s *Server) approve(c echo.Context) (reply, error) {
	name, err := param(c, "name")
	if err != nil {
		return reply{}, err
	}
	var in wire.Approval
	if r := c.Request(); r.ContentLength != 0 {
		if in, err = decodeBody[wire.Approval](s, c); err != nil {
			return reply{}, err
		}
	}
	if in.SHA256 != "" && !isSHA256(in.SHA256) {
		return reply{}, fault.Field("sha256", "must be 64 hexadecimal digits in lower case")
	}
	wanted, err := ifMatch(c)
	if err != nil {
		return reply{}, err
	}
	if in.SHA256 == "" && len(wanted.list) == 0 {
		return reply{}, &refusal{status: http.StatusPreconditionRequired, error: &fault.Error{Code: fault.Precondition, Field: "If-Match",
			Reason: "is required, or sha256 in the body: look at what the plugin asks for (GET " + pluginAt(name) + "), and send the ETag of that answer as If-Match"}}
	}
	var agreed func(wire.Plugin) error
	if len(wanted.list) > 0 {
		agreed = wanted.agree
	}
	p, err := s.cfg.Plugins.Approve(c.Request().Context(), name, in, agreed)
	if err != nil {
		return reply{}, err
	}
	return pluginReply(p), nil
}

func isSHA256(s string) bool {
	for _, r := range s {
		if (r < '0' || r > '9') && (r < 'a' || r > 'f') {
			return false
		}
	}
	return len(s) == 64
}
