package api

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/berth-host/berth/host/api/guard"
)

// page answers a path that is no endpoint: GET and HEAD outside of /api are the console's,
// if there is one. The console decides which paths it has, and may replace the header
// Cache-Control; its files need no token.
func (s *Server) page(c echo.Context) error {
	r := c.Request()
	if s.cfg.Console == nil || guard.UnderAPI(r) || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return echo.ErrNotFound
	}
	s.cfg.Console.ServeHTTP(c.Response(), r)
	return nil
}
