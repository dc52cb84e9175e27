package api

import (
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/berth-host/berth/host/api/session"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

const (
	sessionPath = "/api/v1/session"
	loginPath   = "/login" // of the console's page
	maxLogin    = 4 << 10  // bytes of a login's body
)

// login is POST /api/v1/session: it begins a session of a browser. The cookie of an earlier
// session does not count, and that session ends.
func (s *Server) login(r *request) (any, error) {
	r.query()
	r.fail(checkMediaType(r.Request()))
	text := r.readBody(maxLogin, maxLogin)
	if r.err != nil {
		return nil, r.err
	}
	if !utf8.Valid(text) {
		return nil, fault.Field("", "the body is not valid UTF-8")
	}
	var in wire.Login
	if err := event.DecodeStrict(text, &in); err != nil {
		return nil, err
	}
	var token spec.Token
	var known bool
	reason := "the token is not known here, was revoked or has expired; the admin token is the file admin.token in the host's data directory"
	switch {
	case in.Token != "" && in.Code != "":
		return nil, fault.Field("code", "give a token or a code, not both")
	case in.Code != "":
		token, known = s.sessions.Redeem(in.Code)
		reason = "the link was used before or is older than 10 minutes; 'berth console' prints a new one"
	case in.Token != "":
		token, known = s.sessions.Verify(in.Token)
	default:
		return nil, fault.Field("token", "is required: the secret of a token")
	}
	if !known {
		return nil, s.guard.RefuseLogin(r.Request(), reason)
	}
	r.caller.Token = token
	if err := s.guard.TakeToken(token); err != nil {
		return nil, err
	}
	if err := s.auditSession(r, "login"); err != nil {
		return nil, err
	}
	if former := session.ID(r.Request()); former != "" {
		s.sessions.End(former)
	}
	id, begun := s.sessions.Begin(token)
	return reply{status: http.StatusCreated, body: s.sessionOf(token, &begun.Expires),
		header: map[string]string{"Set-Cookie": session.Cookie(r.Request(), id).String()}}, nil
}

// auditSession records the begin or the end of a session.
func (s *Server) auditSession(r *request, action string) error {
	rec := s.record(r, action)
	rec.Stage, rec.Result = auditEnd, "ok"
	if err := s.cfg.Admin.Audit.Append(rec); err != nil {
		return fault.New(fault.CodeOf(err), "nothing was changed, because it could not be recorded: %w", err)
	}
	return nil
}

// showSession is GET /api/v1/session.
func (s *Server) showSession(r *request) (any, error) {
	r.query()
	if r.err != nil {
		return nil, r.err
	}
	if found, ok := s.sessions.Find(r.caller.Session); ok {
		return s.sessionOf(found.Token, &found.Expires), nil
	}
	return s.sessionOf(r.caller.Token, nil), nil
}

// sessionOf describes a token to its owner.
func (s *Server) sessionOf(t spec.Token, expires *time.Time) wire.Session {
	return wire.Session{Token: t.ID, Name: t.Name, Scopes: orEmpty(t.Scopes), Expires: expires, Version: s.cfg.Version, Host: s.hostName}
}

// logout is DELETE /api/v1/session. A caller with a token has no session to end.
func (s *Server) logout(r *request) (any, error) {
	r.query()
	if r.err != nil {
		return nil, r.err
	}
	if r.caller.Session != "" {
		if err := s.auditSession(r, "logout"); err != nil {
			return nil, err
		}
		s.sessions.End(r.caller.Session)
	}
	return reply{status: http.StatusNoContent, header: map[string]string{"Set-Cookie": session.NoCookie(r.Request()).String()}}, nil
}

// newLoginLink is POST /api/v1/session/links. Its answer is a secret, which the audit log
// does not have.
func (s *Server) newLoginLink(r *request) (any, error) {
	r.query()
	if r.err != nil {
		return nil, r.err
	}
	return reply{status: http.StatusCreated, secret: true, body: s.LoginLink(r.caller.Token)}, nil
}

// LoginLink returns a link to the console that logs in once with the rights of a token.
func (s *Server) LoginLink(t spec.Token) wire.LoginLink {
	code, until := s.sessions.NewCode(t)
	return wire.LoginLink{Path: loginPath + "#code=" + code, Expires: until}
}
