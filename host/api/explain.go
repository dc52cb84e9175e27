package api

import (
	"github.com/labstack/echo/v4"

	"github.com/berth-host/berth/host/event"
)

// explain is POST /api/v1/events/explain: the body is an event as for
// publishing, and nothing is published.
func (s *Server) explain(c echo.Context) (reply, error) {
	if err := checkMediaType(c.Request()); err != nil {
		return reply{}, err
	}
	body, err := s.readBody(c, maxBody, maxBody)
	if err != nil {
		return reply{}, err
	}
	d, err := event.ParseDraft(body)
	if err != nil {
		return reply{}, err
	}
	ev, err := event.New(d)
	if err != nil {
		return reply{}, err
	}
	answer, err := s.cfg.Explainer.Explain(c.Request().Context(), ev)
	if err != nil {
		return reply{}, err
	}
	return reply{body: answer}, nil
}
