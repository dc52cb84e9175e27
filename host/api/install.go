package api

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/berth-host/berth/host/api/problem"
	"github.com/berth-host/berth/host/api/stream"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// installTimeout bounds an installation: the download, the check and the start of the
// plugin. It replaces the server's timeouts for that request.
const installTimeout = 3 * time.Minute

// work is an installation, an upgrade or a rollback that is ready to begin.
type work func(ctx context.Context, report func(wire.Progress)) (wire.Plugin, error)

// install is POST /api/v1/plugins/install.
func (s *Server) install(r *request) work {
	in := body[wire.Install](r)
	r.fail(checkSource(in.Version, in.URL, in.SHA256, in.Ref))
	if in.Name == "" && in.URL == "" && in.Ref == "" {
		r.fail(fault.Field("url", "is required, with sha256; or name, for a plugin of the marketplace; or ref"))
	}
	return func(ctx context.Context, report func(wire.Progress)) (wire.Plugin, error) {
		return s.cfg.Plugins.Installer.Install(ctx, in, report)
	}
}

// checkSource checks that at most one source is named, and completely.
func checkSource(version, rawURL, sha256, ref string) error {
	switch {
	case rawURL == "" && sha256 != "":
		return fault.Field("url", "is required, with sha256")
	case rawURL != "" && sha256 == "":
		return fault.Field("sha256", "is required with a URL: the SHA-256 of the module, 64 hexadecimal digits")
	case rawURL != "" && ref != "":
		return fault.Field("ref", "and url are two places; give one")
	case rawURL != "" && version != "":
		return fault.Field("version", "is for a plugin of the marketplace; what a URL leads to has the version its manifest says")
	case ref != "" && version != "":
		return fault.Field("version", "is for a plugin of the marketplace; a reference has the version in itself")
	}
	return nil
}

// upgrade is POST /api/v1/events/plugins/:name/upgrade.
func (s *Server) upgrade(r *request) work {
	name, in := r.pluginName(), optionalBody[wire.Upgrade](r)
	r.fail(checkSource(in.Version, in.URL, in.SHA256, in.Ref))
	check := s.ifUnchanged(r, name)
	return func(ctx context.Context, report func(wire.Progress)) (wire.Plugin, error) {
		return s.cfg.Plugins.Installer.Upgrade(ctx, name, in, check, report)
	}
}

// rollback is POST /api/v1/events/plugins/:name/rollback.
func (s *Server) rollback(r *request) work {
	name, in := r.pluginName(), optionalBody[wire.Rollback](r)
	check := s.ifUnchanged(r, name)
	return func(ctx context.Context, report func(wire.Progress)) (wire.Plugin, error) {
		return s.cfg.Plugins.Installer.Rollback(ctx, name, in.Version, check, report)
	}
}

// ifUnchanged refuses a request whose If-Match does not name the plugin as it is, and returns
// the precondition to check when the change starts; nil without If-Match.
func (s *Server) ifUnchanged(r *request, name string) func(wire.Plugin) error {
	wanted := r.ifMatch()
	if r.err != nil || !wanted.Given {
		return nil
	}
	r.fail(s.unchanged(name, wanted))
	return precondition(wanted)
}

// progress makes a handler that does work, and answers the plugin; or, for a caller that
// accepts text/event-stream, "progress" events on the way, and then one "plugin" or "problem"
// event.
func (s *Server) progress(status int, prepare func(*request) work) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := requestOf(c)
		do := prepare(r)
		if r.err != nil {
			return r.err
		}
		control := http.NewResponseController(c.Response())
		for _, err := range []error{
			control.SetReadDeadline(time.Time{}), // it would cancel the request's context
			control.SetWriteDeadline(time.Now().Add(installTimeout + s.cfg.WriteTimeout)),
		} {
			if err != nil && !errors.Is(err, http.ErrNotSupported) {
				return fmt.Errorf("install: %w", err)
			}
		}
		ctx, cancel := s.untilClosing(r.ctx(), installTimeout)
		defer cancel()
		if wantsStream(c.Request()) {
			return s.streamProgress(ctx, c, do)
		}
		p, err := do(ctx, nil)
		if err != nil {
			return err
		}
		answer := reply{status: status, body: whole(p)}
		if status == http.StatusCreated {
			answer.header = map[string]string{"Location": pluginAt(p.Name)}
		}
		return send(c, answer)
	}
}

// wantsStream reports whether the caller accepts text/event-stream by name.
func wantsStream(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept"), ",") {
		if kind, _, err := mime.ParseMediaType(part); err == nil && kind == stream.ContentType {
			return true
		}
	}
	return false
}

// streamProgress does work and streams its progress. It ends the work, by its context, when
// the reader disconnects.
func (s *Server) streamProgress(ctx context.Context, c echo.Context, do work) error {
	out := stream.NewWriter(c.Response())
	p, err := do(ctx, func(p wire.Progress) {
		out.Event("progress", p)
		out.Flush()
	})
	if err != nil {
		failure := problem.Of(err)
		s.conceal(&failure, err, c)
		out.Event("problem", failure)
	} else {
		out.Event("plugin", whole(p))
		noteAnswer(c, raw(whole(p)))
	}
	out.Flush()
	return err // the answer is complete; the audit log records the error
}

// untilClosing returns a context that also ends when the server begins to close, so that a
// long request does not delay that. The caller must call cancel.
func (s *Server) untilClosing(parent context.Context, timeout time.Duration) (ctx context.Context, cancel func()) {
	ctx, end := context.WithTimeout(parent, timeout)
	var waiting sync.WaitGroup
	waiting.Go(func() {
		select {
		case <-s.closing:
			end()
		case <-ctx.Done():
		}
	})
	return ctx, func() {
		end()
		waiting.Wait()
	}
}

// uninstall is DELETE /api/v1/plugins/uninstall/:name, with ?force=true if a route names the
// plugin, and ?purge=true to remove its stored values.
func (s *Server) uninstall(r *request) (any, error) {
	name, q := r.pluginName(), r.query("force", "purge")
	check := s.ifUnchanged(r, name)
	force, purge := r.flag(q, "force"), r.flag(q, "purge")
	if r.err != nil {
		return nil, r.err
	}
	out, err := s.cfg.Plugins.Installer.Uninstall(r.ctx(), name, force, purge, check)
	if err != nil || len(out.RemainsOn) == 0 {
		return reply{status: http.StatusNoContent}, err
	}
	return reply{body: out}, nil
}

// verify is GET /api/v1/plugins/verify.
func (s *Server) verify(ctx context.Context, _ struct{}) (wire.List[wire.Stored], error) {
	list, err := s.cfg.Plugins.Installer.Verify(ctx)
	return wire.List[wire.Stored]{Items: list}, err
}

// noQuery is nothing, for endpoints that refuse every parameter.
func noQuery(r *request) struct{} {
	r.query()
	return struct{}{}
}
