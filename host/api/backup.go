package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/berth-host/berth/host/api/describe"
)

// backup is POST /api/v1/backup. It makes the backup before it answers, so that a failure is
// an error of the API; then it sends the archive. A reader that takes no byte for
// Limits.BackupStall ends the request.
func (s *Server) backup(c echo.Context) error {
	r := requestOf(c)
	if r.query(); r.err != nil {
		return r.err
	}
	control := http.NewResponseController(c.Response())
	for _, set := range []func(time.Time) error{control.SetReadDeadline, control.SetWriteDeadline} { // those of other requests are too early
		if err := set(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return fmt.Errorf("backup: %w", err)
		}
	}
	ctx, cancel := s.untilClosing(r.ctx(), backupTimeout)
	defer cancel()
	made, err := s.cfg.Admin.Backups.Make(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err := made.Close(); err != nil {
			s.cfg.Logger.Warn("work directory of a backup not removed", "error", err)
		}
	}()
	noteAnswer(c, raw(made.Summary()))
	header := c.Response().Header()
	header.Set("Content-Type", describe.BackupType)
	header.Set("Content-Length", strconv.FormatInt(made.Size(), 10))
	header.Set("Content-Disposition", `attachment; filename="`+made.Name()+`"`)
	c.Response().WriteHeader(http.StatusOK)
	// net/http closes the connection of an answer that is shorter than its length, so that a
	// reader detects a failure from here on.
	return made.Write(&backupWriter{ctx: ctx, to: c.Response(), control: control, stall: s.cfg.BackupStall})
}

// backupTimeout bounds a backup, from the request to the last byte.
const backupTimeout = 24 * time.Hour

// backupWriter sends a backup. Each write has a deadline of its own.
type backupWriter struct {
	ctx     context.Context // of one request
	to      io.Writer
	control *http.ResponseController
	stall   time.Duration
}

// Write implements io.Writer.
func (w *backupWriter) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	if err := w.control.SetWriteDeadline(time.Now().Add(w.stall)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return w.to.Write(p)
}
