package api

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/berth-host/berth/host/api/guard"
)

// Console serves the files of the console, outside of /api. It may replace the header
// Cache-Control. It must be safe for concurrent use.
type Console interface {
	http.Handler
	// Has reports whether it has something at a path.
	Has(path string) bool
}

// page answers a path that is no endpoint: GET and HEAD outside of /api are the console's,
// if there is one and it has the path; its files need no token.
func (s *Server) page(c echo.Context) error {
	r := c.Request()
	if s.cfg.Console == nil || guard.UnderAPI(r) || r.Method != http.MethodGet && r.Method != http.MethodHead ||
		!s.cfg.Console.Has(r.URL.Path) {
		return echo.ErrNotFound
	}
	s.cfg.Console.ServeHTTP(c.Response(), r)
	return nil
}
