package api

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// installTimeout bounds an installation: the download, the check and the start
// of the plugin. It takes the place of the server's bounds for that request.
const installTimeout = 3 * time.Minute

// work is an installation, an upgrade or a rollback that is ready to begin.
type work func(ctx context.Context, report func(wire.Progress)) (wire.Plugin, error)

// install is POST /api/v1/plugins/install.
func (s *Server) install(c echo.Context) (work, error) {
	in, err := decodeBody[wire.Install](s, c)
	if err != nil {
		return nil, err
	}
	if err := checkSource(in.Version, in.URL, in.SHA256, in.Ref); err != nil {
		return nil, err
	}
	if in.Name == "" && in.URL == "" && in.Ref == "" {
		return nil, fault.Field("url", "is required, with sha256; or name, for a plugin of the marketplace; or ref")
	}
	return func(ctx context.Context, report func(wire.Progress)) (wire.Plugin, error) {
		return s.cfg.Installer.Install(ctx, in, report)
	}, nil
}

// checkSource checks that one place at most is named, and that one wholly.
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
func (s *Server) upgrade(c echo.Context) (work, error) {
	name, err := param(c, "name")
	if err != nil {
		return nil, err
	}
	in, err := decodeOptional[wire.Upgrade](s, c)
	if err != nil {
		return nil, err
	}
	if err := checkSource(in.Version, in.URL, in.SHA256, in.Ref); err != nil {
		return nil, err
	}
	agreed, err := s.ifUnchanged(c, name)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, report func(wire.Progress)) (wire.Plugin, error) {
		return s.cfg.Installer.Upgrade(ctx, name, in, agreed, report)
	}, nil
}

// rollback is POST /api/v1/events/plugins/:name/rollback.
func (s *Server) rollback(c echo.Context) (work, error) {
	name, err := param(c, "name")
	if err != nil {
		return nil, err
	}
	in, err := decodeOptional[wire.Rollback](s, c)
	if err != nil {
		return nil, err
	}
	agreed, err := s.ifUnchanged(c, name)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, report func(wire.Progress)) (wire.Plugin, error) {
		return s.cfg.Installer.Rollback(ctx, name, in.Version, agreed, report)
	}, nil
}

// ifUnchanged refuses a request whose If-Match does not name the plugin as it is, and
// returns what asks that again when the request's turn has come; nil where nothing is
// to be asked.
func (s *Server) ifUnchanged(c echo.Context, name string) (agreed func(wire.Plugin) error, err error) {
	wanted, err := ifMatch(c)
	if err != nil || !wanted.given {
		return nil, err
	}
	return wanted.agree, s.unchangedPlugin(name, wanted)
}

// decodeOptional is decodeBody of a body that may be absent.
func decodeOptional[T any](s *Server, c echo.Context) (v T, err error) {
	if c.Request().ContentLength == 0 {
		return v, nil
	}
	return decodeBody[T](s, c)
}

// progress does work, and answers the plugin; or, if it is asked for
// text/event-stream, "progress" events on the way, and then one "plugin" or
// "problem" event.
func (s *Server) progress(status int, prepare func(c echo.Context) (work, error)) echo.HandlerFunc {
	return func(c echo.Context) error {
		do, err := prepare(c)
		if err != nil {
			return err
		}
		control := http.NewResponseController(c.Response())
		for _, err := range []error{
			control.SetReadDeadline(time.Time{}), // or it would end the request as if the caller had gone
			control.SetWriteDeadline(time.Now().Add(installTimeout + writeTimeout)),
		} {
			if err != nil && !errors.Is(err, http.ErrNotSupported) {
				return fmt.Errorf("install: %w", err)
			}
		}
		ctx, cancel := s.untilClosing(c.Request().Context(), installTimeout)
		defer cancel()
		if wantsStream(c.Request()) {
			return s.streamProgress(ctx, c, do)
		}
		return serveJSON(func(echo.Context) (reply, error) {
			p, err := do(ctx, nil)
			if err != nil {
				return reply{}, err
			}
			r := reply{status: status, body: whole(p)}
			if status == http.StatusCreated {
				r.header = map[string]string{"Location": pluginAt(p.Name)}
			}
			return r, nil
		})(c)
	}
}

// wantsStream reports whether the caller names text/event-stream as what it takes.
func wantsStream(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept"), ",") {
		if kind, _, err := mime.ParseMediaType(part); err == nil && kind == "text/event-stream" {
			return true
		}
	}
	return false
}

// streamProgress does work and tells about it. A reader that goes away ends the
// work as well, by its context.
func (s *Server) streamProgress(ctx context.Context, c echo.Context, do work) error {
	w := c.Response()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	out := &sseWriter{w: w, control: http.NewResponseController(w)}
	p, err := do(ctx, func(p wire.Progress) {
		out.event("progress", p)
		out.flush()
	})
	if err != nil {
		problem := problemOf(err)
		s.conceal(&problem, err, c)
		out.event("problem", problem)
	} else {
		out.event("plugin", whole(p))
		noteAnswer(c, raw(whole(p)))
	}
	out.flush()
	return err // for the audit log: it is answered already. Who has gone away changes nothing of what was done
}

// untilClosing returns a context that ends when the server begins to close as
// well, so that a request that takes long does not hold that up. Call cancel.
func (s *Server) untilClosing(parent context.Context, timeout time.Duration) (ctx context.Context, cancel func()) {
	ctx, end := context.WithTimeout(parent, timeout)
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-s.closing:
			end()
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		end()
		<-done
	}
}

// uninstall is DELETE /api/v1/plugins/uninstall/:name, with ?force=true if a route
// names the plugin, and ?purge=true to drop what it has stored.
func (s *Server) uninstall(c echo.Context) (reply, error) {
	name, err := param(c, "name")
	if err != nil {
		return reply{}, err
	}
	q, err := query(c, "force", "purge")
	if err != nil {
		return reply{}, err
	}
	agreed, err := s.ifUnchanged(c, name)
	if err != nil {
		return reply{}, err
	}
	var flags [2]bool
	for i, key := range []string{"force", "purge"} {
		if value := q.Get(key); value != "" {
			if flags[i], err = strconv.ParseBool(value); err != nil {
				return reply{}, fault.Field(key, "must be true or false")
			}
		}
	}
	if err := s.cfg.Installer.Uninstall(c.Request().Context(), name, flags[0], flags[1], agreed); err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusNoContent}, nil
}

// verify is GET /api/v1/plugins/verify.
func (s *Server) verify(c echo.Context) (reply, error) {
	list, err := s.cfg.Installer.Verify(c.Request().Context())
	if err != nil {
		return reply{}, err
	}
	return reply{body: wire.List[wire.Stored]{Items: list}}, nil
}
