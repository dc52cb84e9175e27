package api

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/time/rate"

	"github.com/berth-host/berth/host/api/asked"
	"github.com/berth-host/berth/host/api/problem"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// The stages of an audit record.
const (
	auditBegin   = "begin"
	auditEnd     = "end"
	auditRefused = "refused"
)

// The actions of which a part of the body is not recorded: the values of a handler's config,
// the data of an event, and the values of a plugin's state.
const (
	configAction = "config"
	copyAction   = "copy"
	stateAction  = "kv"
)

const (
	refusalRate  = 1  // refused attempts recorded, a second
	refusalBurst = 20 // likewise, at once
)

// refusals bounds the records of refused attempts.
type refusals struct {
	rate       *rate.Limiter
	suppressed atomic.Int64 // since the last recorded one
}

// audited records a change before it is made, and its outcome. It wraps every route that
// changes something with the scope operate or install, and the backup; the change is not made unless the
// first record is stored. Records of a plugin's route (:name) have its states before and
// after, others the answer.
func (s *Server) audited(method, path string, scope string, next echo.HandlerFunc) echo.HandlerFunc {
	if method == http.MethodGet || !slices.Contains([]string{spec.ScopeOperate, spec.ScopeInstall, spec.ScopeAdmin}, scope) {
		return next
	}
	action := actionOf(path)
	return func(c echo.Context) error {
		rec := s.record(c, action)
		rec.Stage = auditBegin
		var err error
		if rec.Asked, err = asked.Read(c.Request()); err != nil {
			return err
		}
		if rec.Target, err = param(c, "name"); err != nil {
			return err
		}
		secret := action == configAction
		if secret {
			rec.Asked = withoutConfig(rec.Asked)
		}
		if action == copyAction {
			rec.Asked = asked.WithoutData(rec.Asked)
		}
		if rec.Target == "" {
			rec.Target = asked.Plugin(rec.Asked)
		}
		ofState := action == stateAction // the plugin itself does not change
		if ofState {
			rec.Asked = asked.WithoutValue(rec.Asked)
		} else {
			rec.Before = s.snapshot(rec.Target)
		}
		if err := s.cfg.Admin.Audit.Append(rec); err != nil {
			return fault.New(fault.CodeOf(err), "nothing was changed, because it could not be recorded: %w", err)
		}
		rec.Stage, rec.At, rec.Result = auditEnd, time.Time{}, "failed"
		rec.Status, rec.Error = http.StatusInternalServerError, "panic"
		defer func() {
			if err := s.cfg.Admin.Audit.Append(rec); err != nil {
				s.cfg.Logger.Error("outcome of a change not in the audit log", "action", action, "target", rec.Target, "id", rec.ID, "error", err)
			}
		}()
		requestOf(c).audit = &rec
		err = next(c)
		if rec.Target == "" {
			rec.Target = asked.Plugin(rec.After)
		}
		if state := s.snapshot(rec.Target); !ofState && (state != nil || rec.Before != nil || secret) {
			rec.After = state
		}
		rec.Error = ""
		if err != nil {
			rec.Status, rec.Error = s.outcome(err, c)
			return err
		}
		rec.Status, rec.Result = c.Response().Status, "ok"
		return nil
	}
}

// noteAnswer keeps the answer to a change for its record.
func noteAnswer(c echo.Context, body []byte) {
	if rec := requestOf(c).audit; rec != nil {
		rec.After = bytes.TrimSpace(body)
	}
}

// auditRefusal records an attempt that was not authenticated or not authorised. Beyond the
// refusal rate they are only counted, and the next record has the number.
func (s *Server) auditRefusal(c echo.Context, err error) {
	if err == nil || requestOf(c).audit != nil { // a change has its own records
		return
	}
	status, reason := s.outcome(err, c)
	if status != http.StatusUnauthorized && status != http.StatusForbidden {
		return
	}
	if !s.refusals.rate.Allow() {
		s.refusals.suppressed.Add(1)
		return
	}
	rec := s.record(c, actionOf(c.Path()))
	rec.Target, _ = param(c, "name") // a malformed name is no target
	rec.Stage, rec.Status, rec.Error, rec.Suppressed = auditRefused, status, reason, int(s.refusals.suppressed.Swap(0))
	if err := s.cfg.Admin.Audit.Append(rec); err != nil {
		s.cfg.Logger.Error("refused attempt not in the audit log", "action", rec.Action, "remote", rec.Remote, "status", status, "error", err)
	}
}

// outcome returns the status and the reason that the caller gets for an error.
func (s *Server) outcome(err error, c echo.Context) (status int, reason string) {
	p := problem.Of(s.routing(err, c))
	if p.Status == http.StatusInternalServerError {
		return p.Status, "internal error"
	}
	if p.Field != "" {
		p.Detail = p.Field + ": " + p.Detail
	}
	return p.Status, p.Detail
}

// record returns a new record of this request.
func (s *Server) record(c echo.Context, action string) wire.AuditRecord {
	r, token := c.Request(), requestOf(c).caller.Token
	return wire.AuditRecord{ID: rand.Text()[:16], Action: action, Who: token.Name, TokenID: token.ID,
		Remote: r.RemoteAddr, Request: r.Method + " " + r.URL.Path}
}

// actionOf returns the last element of a route that is not a parameter.
func actionOf(path string) string {
	words := strings.Split(path, "/")
	for i := len(words) - 1; i >= 0; i-- {
		if words[i] != "" && words[i][0] != ':' && words[i][0] != '*' {
			return words[i]
		}
	}
	return ""
}

// snapshot returns the parts of a plugin that changes affect; nil when there is none.
func (s *Server) snapshot(name string) json.RawMessage {
	if name == "" {
		return nil
	}
	p, found := s.cfg.Plugins.Registry.Plugin(name)
	if !found {
		return nil
	}
	granted := []string{}
	for _, c := range p.Capabilities {
		if c.Granted {
			granted = append(granted, c.Name)
		}
	}
	return raw(map[string]any{"state": p.State, "version": p.Version, "sha256": p.SHA256, "granted": granted})
}

func raw(v any) json.RawMessage {
	text, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return text
}
