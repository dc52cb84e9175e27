package api

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/time/rate"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// Auditor keeps the audit log. What it takes without an error is durable.
type Auditor interface {
	Append(r wire.AuditRecord) error
}

// The stages of an audit record.
const (
	auditBegin   = "begin"
	auditEnd     = "end"
	auditRefused = "refused"
)

const (
	auditKey     = "berth.audit" // of the request's echo.Context: a *wire.AuditRecord
	maxAsked     = 8 << 10       // bytes of a body that are looked at
	refusalRate  = 1             // refused attempts written, a second
	refusalBurst = 20            // likewise, at once
)

// refusals bounds what refused attempts write.
type refusals struct {
	rate       *rate.Limiter
	suppressed atomic.Int64 // since the last one that was written
}

// audited writes down what a change is about before it is made, and what became
// of it. It wraps every route that changes something for the scopes operate and
// install; without the first record the change is not made. Of a plugin's route
// (:name) the states before and after are recorded, of others the answer.
func (s *Server) audited(method, path string, scope Scope, next echo.HandlerFunc) echo.HandlerFunc {
	if s.cfg.Audit == nil || method == http.MethodGet || scope != ScopeOperate && scope != ScopeInstall {
		return next
	}
	action := actionOf(path)
	return func(c echo.Context) error {
		rec := s.record(c, action)
		rec.Stage = auditBegin
		var err error
		if rec.Asked, err = asked(c.Request()); err != nil {
			return err
		}
		if rec.Target, err = param(c, "name"); err != nil {
			return err
		}
		if rec.Target == "" {
			rec.Target = named(rec.Asked)
		}
		rec.Before = s.snapshot(rec.Target)
		if err := s.cfg.Audit.Append(rec); err != nil {
			return fault.New(fault.CodeOf(err), "nothing was changed, because it could not be recorded: %w", err)
		}
		rec.Stage, rec.At, rec.Result = auditEnd, time.Time{}, "failed"
		rec.Status, rec.Error = http.StatusInternalServerError, "panic"
		defer func() {
			if err := s.cfg.Audit.Append(rec); err != nil {
				s.cfg.Logger.Error("the outcome of a change is not in the audit log", "action", action, "target", rec.Target, "id", rec.ID, "error", err)
			}
		}()
		c.Set(auditKey, &rec)
		err = next(c)
		if rec.Target == "" {
			rec.Target = named(rec.After)
		}
		if state := s.snapshot(rec.Target); state != nil || rec.Before != nil {
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

// noteAnswer keeps what a change was answered with.
func noteAnswer(c echo.Context, body []byte) {
	if rec, ok := c.Get(auditKey).(*wire.AuditRecord); ok {
		rec.After = bytes.TrimSpace(body)
	}
}

// auditRefusal records an attempt for which a right was missing. Many are not
// all written; the next one says how many were not.
func (s *Server) auditRefusal(c echo.Context, err error) {
	if err == nil || s.cfg.Audit == nil || c.Get(auditKey) != nil { // the latter has its record
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
	rec.Target, _ = param(c, "name") // what is malformed names nothing
	rec.Stage, rec.Status, rec.Error, rec.Suppressed = auditRefused, status, reason, int(s.refusals.suppressed.Swap(0))
	if err := s.cfg.Audit.Append(rec); err != nil {
		s.cfg.Logger.Error("a refused attempt is not in the audit log", "action", rec.Action, "remote", rec.Remote, "status", status, "error", err)
	}
}

// outcome is what an error says to the caller.
func (s *Server) outcome(err error, c echo.Context) (status int, reason string) {
	p := problemOf(s.routing(err, c))
	if p.Status == http.StatusInternalServerError {
		return p.Status, "internal error"
	}
	if p.Field != "" {
		p.Detail = p.Field + ": " + p.Detail
	}
	return p.Status, p.Detail
}

// record begins a record of this request.
func (s *Server) record(c echo.Context, action string) wire.AuditRecord {
	r, token := c.Request(), tokenOf(c)
	return wire.AuditRecord{ID: rand.Text()[:16], Action: action, Who: token.Name, TokenID: token.ID,
		Remote: r.RemoteAddr, Request: r.Method + " " + r.URL.Path}
}

// actionOf is the last word of a route that is no parameter.
func actionOf(path string) string {
	words := strings.Split(path, "/")
	for i := len(words) - 1; i >= 0; i-- {
		if words[i] != "" && words[i][0] != ':' && words[i][0] != '*' {
			return words[i]
		}
	}
	return ""
}

// snapshot is what of a plugin a change can change; nil when there is none.
func (s *Server) snapshot(name string) json.RawMessage {
	if name == "" {
		return nil
	}
	p, found := s.cfg.Plugins.Plugin(name)
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

// asked looks at the beginning of a body and leaves it to be read. A body that
// is no JSON is not recorded, and of a long one that it was long.
func asked(r *http.Request) (json.RawMessage, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	head, err := io.ReadAll(io.LimitReader(r.Body, maxAsked+1))
	if err != nil {
		return nil, fault.New(fault.Invalid, "the body ended early, after %d bytes: %w", len(head), err)
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(head), r.Body), r.Body}
	if len(head) > maxAsked {
		return raw(map[string]any{"not_recorded": fmt.Sprintf("the body is longer than %d bytes", maxAsked)}), nil
	}
	var v any
	dec := json.NewDecoder(bytes.NewReader(head))
	dec.UseNumber()
	if !json.Valid(head) || dec.Decode(&v) != nil {
		return nil, nil
	}
	return raw(withoutSecrets(v)), nil
}

// withoutSecrets takes out of URLs what may be a secret: user, password, query.
func withoutSecrets(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key := range v {
			v[key] = withoutSecrets(v[key])
		}
	case []any:
		for i := range v {
			v[i] = withoutSecrets(v[i])
		}
	case string:
		if !strings.Contains(v, "://") {
			return v
		}
		u, err := url.Parse(v)
		if err != nil {
			return "(a URL that is malformed)"
		}
		u.User, u.RawQuery, u.Fragment = nil, "", ""
		return u.String()
	}
	return v
}

// named is the plugin that a body or an answer is about. Keys count in their exact
// spelling only, as for who acts on the body.
func named(text json.RawMessage) string {
	var v map[string]any
	if json.Unmarshal(text, &v) != nil {
		return ""
	}
	if name, _ := v["plugin"].(string); name != "" {
		return name
	}
	name, _ := v["name"].(string)
	return name
}
