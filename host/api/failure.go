package api

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/berth-host/berth/host/api/problem"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// fail answers a request with its error.
func (s *Server) fail(err error, c echo.Context) {
	if c.Response().Committed {
		s.cfg.Logger.Debug("answer ended early", "path", c.Path(), "error", err)
		return
	}
	header := c.Response().Header()
	err = s.routing(err, c)
	p := problem.Of(err)
	var refusal *problem.Refusal
	if errors.As(err, &refusal) && refusal.Header[0] != "" {
		header.Set(refusal.Header[0], refusal.Header[1])
	}
	if wait := problem.RetryAfter(err, p.Status); wait > 0 {
		header.Set("Retry-After", strconv.Itoa(seconds(wait)))
	}
	s.conceal(&p, err, c)
	text, err := encode(p)
	if err == nil {
		err = c.Blob(p.Status, "application/problem+json", text)
	}
	if err != nil {
		s.cfg.Logger.Debug("error not answered", "path", c.Path(), "error", err)
	}
}

// conceal replaces an internal error's text in the answer, and logs it.
func (s *Server) conceal(p *wire.Problem, err error, c echo.Context) {
	if p.Status != http.StatusInternalServerError {
		return
	}
	id := rand.Text()[:10]
	s.cfg.Logger.Error("internal error", "request", id, "method", c.Request().Method, "path", c.Request().URL.Path, "error", err)
	problem.Conceal(p, id)
}

// routing gives Echo's own errors, unknown path and wrong method, a text.
func (s *Server) routing(err error, c echo.Context) error {
	var he *echo.HTTPError
	if !errors.As(err, &he) {
		return err
	}
	r := c.Request()
	switch he.Code {
	case http.StatusNotFound:
		return fault.New(fault.NotFound, "there is nothing at %s", problem.Short(r.URL.Path))
	case http.StatusMethodNotAllowed:
		allow := strings.Join(s.allow[c.Path()], ", ")
		return &problem.Refusal{Status: he.Code, Header: [2]string{"Allow", allow},
			Err: fault.New(fault.Invalid, "%s is not a method of %s; it has %s", problem.Short(r.Method), problem.Short(r.URL.Path), allow)}
	}
	return fmt.Errorf("echo: %w", err)
}

func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
