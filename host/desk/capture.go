package desk

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// Line is a line of the log.
type Line struct {
	Level   string `json:"level"` // debug, info, warn or error
	Message string `json:"message"`
}

// capture collects the log of a pool. It is safe for concurrent use.
type capture struct {
	mu    sync.Mutex
	guest []Line
	host  []string // lines of the sandbox
}

func (c *capture) logger() *slog.Logger { return slog.New(captureHandler{c}) }

// take returns the lines of the guest since the last call, and those of the sandbox.
func (c *capture) take() (guest []Line, host []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	guest, host = c.guest, c.host
	c.guest, c.host = nil, nil
	return guest, host
}

// captureHandler is a slog.Handler. Lines of the guest have source=guest.
type captureHandler struct{ to *capture }

// Enabled implements slog.Handler.
func (h captureHandler) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (h captureHandler) Handle(_ context.Context, r slog.Record) error {
	attributes, guest := "", false
	r.Attrs(func(a slog.Attr) bool {
		guest = guest || a.Key == "source" && a.Value.String() == "guest"
		attributes += fmt.Sprintf(" %s=%v", a.Key, a.Value)
		return true
	})
	h.to.mu.Lock()
	defer h.to.mu.Unlock()
	if !guest {
		h.to.host = append(h.to.host, r.Message+attributes)
		return nil
	}
	h.to.guest = append(h.to.guest, Line{Level: strings.ToLower(r.Level.String()), Message: r.Message})
	return nil
}

// WithAttrs implements slog.Handler. The plugin's name is not collected.
func (h captureHandler) WithAttrs([]slog.Attr) slog.Handler { return h }

// WithGroup implements slog.Handler.
func (h captureHandler) WithGroup(string) slog.Handler { return h }
