package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// installTimeout bounds an installation: the download, the check and the start
// of the plugin. It takes the place of the server's bounds for that request.
const installTimeout = 3 * time.Minute

// install is POST /api/v1/plugins/install.
func (s *Server) install(c echo.Context) (reply, error) {
	in, err := decodeBody[wire.Install](c)
	if err != nil {
		return reply{}, err
	}
	switch {
	case in.URL == "" && in.SHA256 == "" && in.Name != "":
		return s.marketplace(c)
	case in.URL == "":
		return reply{}, fault.Field("url", "is required, with sha256")
	case in.SHA256 == "":
		return reply{}, fault.Field("sha256", "is required with a URL: the SHA-256 of the module, 64 hexadecimal digits")
	case in.Version != "":
		return reply{}, fault.Field("version", "is for a plugin of the marketplace; what a URL leads to has the version its manifest says")
	}
	control := http.NewResponseController(c.Response())
	for _, err := range []error{
		control.SetReadDeadline(time.Time{}), // or it would end the request as if the caller had gone
		control.SetWriteDeadline(time.Now().Add(installTimeout + writeTimeout)),
	} {
		if err != nil && !errors.Is(err, http.ErrNotSupported) {
			return reply{}, fmt.Errorf("install: %w", err)
		}
	}
	ctx, cancel := s.untilClosing(c.Request().Context(), installTimeout)
	defer cancel()
	p, err := s.cfg.Installer.Install(ctx, in)
	if err != nil {
		return reply{}, err
	}
	return reply{
		status: http.StatusCreated,
		header: map[string]string{"Location": "/api/v1/plugins/" + url.PathEscape(p.Name)},
		body:   whole(p),
	}, nil
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

// uninstall is DELETE /api/v1/plugins/uninstall/:name.
func (s *Server) uninstall(c echo.Context) (reply, error) {
	name, err := param(c, "name")
	if err != nil {
		return reply{}, err
	}
	if err := s.cfg.Installer.Uninstall(c.Request().Context(), name); err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusNoContent}, nil
}
