package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/berth-host/berth/host/fault"
)

// streamWrite bounds how long a reader of the stream may take to accept what is
// sent before its connection is closed.
const streamWrite = 10 * time.Second

// stream is GET /api/v1/events/stream: server-sent events, each named by its
// kind with a wire.Activity as data. It starts now and repeats nothing; a
// reader that cannot keep up gets "event: lagged" and the end of the stream.
func (s *Server) stream(c echo.Context) error {
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		return fault.New(fault.Unavailable, "there are %d event streams already, and no more are given", s.cfg.MaxStreams)
	}
	ctx, cancel := context.WithCancel(c.Request().Context())
	defer cancel()
	activities := s.cfg.Activities.Subscribe(ctx)

	w := c.Response()
	out := &sseWriter{w: w, control: http.NewResponseController(w)}
	if err := out.control.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("event stream: %w", err)
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // or nginx would collect it
	w.WriteHeader(http.StatusOK)
	out.comment("activity of this host, from now on")
	out.flush()

	heartbeat := time.NewTicker(s.cfg.Heartbeat)
	defer heartbeat.Stop()
	for out.err == nil {
		select {
		case a, open := <-activities:
			switch {
			case open:
				out.event(a.Kind, a)
			case ctx.Err() != nil: // the reader went away
				return nil
			default:
				out.event("lagged", map[string]string{"reason": "the reader was too slow; what followed is lost to this stream, not to the log"})
				out.flush()
				return out.err
			}
			if len(activities) == 0 {
				out.flush()
			}
		case <-heartbeat.C:
			out.comment("")
			out.flush()
		case <-s.closing:
			out.event("closing", map[string]string{"reason": "the host is shutting down"})
			out.flush()
			return out.err
		case <-ctx.Done():
			return nil
		}
	}
	return out.err
}

// sseWriter writes server-sent events (WHATWG HTML, section 9.2.5) and keeps
// its first error.
type sseWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	err     error
}

func (o *sseWriter) event(kind string, v any) {
	data, err := encode(v)
	if err != nil {
		o.fail(err)
		return
	}
	// JSON on one line: a line break inside would end the field.
	o.write(fmt.Appendf(nil, "event: %s\ndata: %s\n\n", kind, bytes.TrimSpace(data)))
}

func (o *sseWriter) comment(text string) { o.write([]byte(": " + text + "\n\n")) }

func (o *sseWriter) write(b []byte) {
	if o.err != nil {
		return
	}
	if err := o.control.SetWriteDeadline(time.Now().Add(streamWrite)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		o.fail(err)
		return
	}
	_, err := o.w.Write(b)
	o.fail(err)
}

func (o *sseWriter) flush() {
	if o.err == nil {
		o.fail(o.control.Flush())
	}
}

func (o *sseWriter) fail(err error) {
	if o.err == nil && err != nil {
		o.err = fmt.Errorf("event stream: %w", err)
	}
}
