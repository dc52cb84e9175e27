package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/api/describe"
	"github.com/berth-host/berth/host/api/etag"
	"github.com/berth-host/berth/host/api/problem"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// reload is POST /api/v1/events/reload-config.
func (s *Server) reload(ctx context.Context, _ struct{}) (wire.ReloadResult, error) {
	result, err := s.cfg.Admin.Reloader.Reload(ctx)
	result.Changed, result.NeedsRestart = orEmpty(result.Changed), orEmpty(result.NeedsRestart)
	return result, err
}

// adopt is POST /api/v1/config/adopt.
func (s *Server) adopt(ctx context.Context, in wire.Adopt) (wire.Adopted, error) {
	adopted, err := s.cfg.Admin.Reloader.AdoptDecisions(ctx, !in.Keep)
	adopted.Cleared = orEmpty(adopted.Cleared)
	return adopted, err
}

// showConfig is GET /api/v1/config?handler.
func (s *Server) showConfig(r *request) (any, error) {
	q := r.query("handler")
	name := q.Get("handler")
	if q.Has("handler") && !abi.ValidName(name) {
		r.fail(fault.Field("handler", "%q is not the name of a handler", problem.Short(name)))
	}
	if r.err != nil {
		return nil, r.err
	}
	return s.cfg.Admin.Reloader.InForce(name)
}

// listAudit is GET /api/v1/audit?action&who&target&result&since&until&limit&cursor.
func (s *Server) listAudit(r *request) (any, error) {
	q := r.query("action", "who", "target", "result", "since", "until", "limit", "cursor")
	find := spec.AuditQuery{Action: q.Get("action"), Who: q.Get("who"), Target: q.Get("target"), Result: q.Get("result"),
		Since: r.time("since", q.Get("since")), Until: r.time("until", q.Get("until")), Cursor: q.Get("cursor"),
		Limit: r.limit(q, describe.MaxAudit)}
	if results := spec.AuditResults(); find.Result != "" && !slices.Contains(results, find.Result) {
		r.fail(fault.Field("result", "%q is not a result; there are %s", problem.Short(find.Result), strings.Join(results, ", ")))
	}
	if r.err != nil {
		return nil, r.err
	}
	list, next, err := s.cfg.Admin.AuditLog.Changes(find)
	page := wire.List[wire.AuditRecord]{Items: orEmpty(list)}
	if next != "" {
		page.Next = &next
	}
	return page, err
}

// showFile is GET /api/v1/config/file.
func (s *Server) showFile(ctx context.Context, _ struct{}) (wire.ConfigFile, error) {
	return s.cfg.Admin.Reloader.File(ctx)
}

// examine is GET /api/v1/doctor.
func (s *Server) examine(ctx context.Context, _ struct{}) (wire.Findings, error) {
	return s.cfg.Admin.Doctor(ctx), nil
}

// showDocument is GET /openapi.json.
func (s *Server) showDocument(c echo.Context) error {
	doc, err := s.document()
	if err != nil {
		return err
	}
	header := c.Response().Header()
	header.Set("ETag", doc.etag)
	header.Set("Cache-Control", "no-cache") // the document changes with the version
	same, err := etag.Unchanged(c.Request(), doc.etag)
	if err != nil {
		return err
	}
	if same {
		return c.NoContent(http.StatusNotModified)
	}
	if err := c.Blob(http.StatusOK, "application/json", doc.text); err != nil {
		return fmt.Errorf("answer the document: %w", err)
	}
	return nil
}

// status is the answer to a probe.
type status struct {
	Status string `json:"status"`
}

// health is GET /healthz: the process answers.
func (s *Server) health(context.Context, struct{}) (status, error) { return status{"ok"}, nil }

// ready is GET /readyz: the host takes events.
func (s *Server) ready(context.Context, struct{}) (status, error) {
	if s.isClosing() {
		return status{}, fault.New(fault.Unavailable, "the host is shutting down")
	}
	err := s.cfg.Admin.Ready()
	s.noteReady(err)
	if err != nil && !fault.Is(err, fault.Unavailable) { // the caller has no token
		err = fault.New(fault.Unavailable, "the host is not ready; its log says why")
	}
	return status{"ready"}, err
}

// noteReady logs when the readiness has changed since the last probe. Before the host was
// ready for the first time this is not a warning: a start takes as long as the modules that
// are new to it.
func (s *Server) noteReady(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	s.readiness.Lock()
	defer s.readiness.Unlock()
	before, first := s.readiness.said, !s.readiness.wasReady
	s.readiness.said, s.readiness.wasReady = text, !first || err == nil
	switch {
	case err == nil && before != "":
		s.cfg.Logger.Info("ready")
	case err == nil || text == before:
	case first && fault.Is(err, fault.Unavailable):
		s.cfg.Logger.Info("not ready yet", "error", err)
	default:
		s.cfg.Logger.Warn("not ready", "error", err)
	}
}
