package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/berth-host/berth/cmd/cluster/internal/check"
	"github.com/berth-host/berth/cmd/cluster/internal/proxy"
)

// Timeouts, which only failures reach.
const (
	startLimit = 3 * time.Minute // a first start compiles the handlers
	stopLimit  = 60 * time.Second
	pollEvery  = 20 * time.Millisecond
)

// Host is one berth serve, in a process of its own. Its methods are not safe for concurrent
// use, except Call.
type Host struct {
	Name  string
	Proxy *proxy.Proxy // between it and the server

	fleet    *Fleet
	dir      string
	config   string // its path
	database string // its URL
	binary   string
	env      []string // beside this process's

	mu    sync.Mutex
	url   string
	token string

	cmd  *exec.Cmd
	log  *os.File
	done chan struct{}
	err  error // of the process, once done is closed
}

// Start starts the process, which does not run, and returns when it is ready.
func (h *Host) Start(ctx context.Context) error {
	if err := h.Launch(); err != nil {
		return err
	}
	return h.AwaitReady(ctx)
}

// Launch starts the process and does not wait for it.
func (h *Host) Launch() error {
	data := filepath.Join(h.dir, "data")
	if err := os.Remove(filepath.Join(data, "host.json")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err // a killed host leaves it behind
	}
	log, err := os.OpenFile(h.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	// Without a context, which would kill the host: SIGTERM shuts it down in order.
	cmd := exec.Command(h.binary, "serve", "--config", h.config, "--data-dir", data, "--listen", "127.0.0.1:0", "--log-format", "text")
	cmd.Dir, cmd.Stdout, cmd.Stderr = h.dir, log, log
	cmd.SysProcAttr = childAttributes()
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "BERTH_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, h.env...)
	if err := cmd.Start(); err != nil {
		return errors.Join(err, log.Close())
	}
	done := make(chan struct{})
	h.cmd, h.log, h.done = cmd, log, done
	go func() {
		h.err = cmd.Wait()
		close(done)
	}()
	return nil
}

// LogFile returns where the host's log is.
func (h *Host) LogFile() string { return filepath.Join(h.dir, "log") }

// AwaitReady returns when the host is ready, or has ended.
func (h *Host) AwaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	err := until(ctx, func() error {
		select {
		case <-h.done:
			return permanent{fmt.Errorf("host %s has ended: %w: %s", h.Name, h.err, h.lastLines())}
		default:
		}
		if err := h.readState(); err != nil {
			return err
		}
		return h.Call(ctx, http.MethodGet, "/readyz", nil, nil)
	})
	if err != nil {
		return fmt.Errorf("start host %s: %w", h.Name, err)
	}
	return nil
}

// lastLines is the end of the host's log.
func (h *Host) lastLines() string {
	text, err := os.ReadFile(h.LogFile())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2000):])
}

// readState reads the address and the token that the host has written.
func (h *Host) readState() error {
	data := filepath.Join(h.dir, "data")
	text, err := os.ReadFile(filepath.Join(data, "host.json"))
	if err != nil {
		return err
	}
	var state struct {
		URL string `json:"url"`
		PID int    `json:"pid"`
	}
	if err := json.Unmarshal(text, &state); err != nil {
		return err
	}
	if state.PID != h.cmd.Process.Pid {
		return errors.New("it has not written its address yet")
	}
	token, err := os.ReadFile(filepath.Join(data, "admin.token"))
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.url, h.token = state.URL, strings.TrimSpace(string(token))
	return nil
}

// StatusError is an answer that is no success.
type StatusError struct {
	Status int
	Later  bool // it says in Retry-After when to try again
	Text   string
}

// Error implements error.
func (e StatusError) Error() string { return fmt.Sprintf("status %d: %s", e.Status, e.Text) }

// Call sends a request to the host's API, with a body as JSON, and decodes the answer unless it
// is nil.
func (h *Host) Call(ctx context.Context, method, path string, body, answer any) error {
	h.mu.Lock()
	url, token := h.url, h.token
	h.mu.Unlock()
	if url == "" {
		return errors.New("the host has not started")
	}
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(text)
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url+path, content)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := h.fleet.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return StatusError{resp.StatusCode, resp.Header.Get("Retry-After") != "", strings.TrimSpace(string(text))}
	}
	if answer == nil || len(text) == 0 {
		return nil
	}
	return json.Unmarshal(text, answer)
}

// PID returns the number of the process.
func (h *Host) PID() int { return h.cmd.Process.Pid }

// Kill ends the process at once, as a failure of its machine does.
func (h *Host) Kill() error {
	h.fleet.note(h, check.Killed)
	err := h.cmd.Process.Signal(syscall.SIGKILL)
	<-h.done
	return errors.Join(ignoreEnded(err), h.log.Close())
}

// Stop stops the process without its knowledge; Continue lets it go on.
func (h *Host) Stop() error {
	h.fleet.note(h, check.Stopped)
	return h.cmd.Process.Signal(syscall.SIGSTOP)
}

// Continue lets a stopped process go on.
func (h *Host) Continue() error {
	h.fleet.note(h, check.Continued)
	return h.cmd.Process.Signal(syscall.SIGCONT)
}

// Cut changes the network between the host and the server; Heal makes it work again.
func (h *Host) Cut(mode proxy.Mode) {
	h.fleet.note(h, check.Cut)
	h.Proxy.Set(mode)
}

// Heal makes the network work again.
func (h *Host) Heal() {
	h.fleet.note(h, check.Healed)
	h.Proxy.Set(proxy.Forward)
}

// Terminate shuts the process down in order.
func (h *Host) Terminate() error {
	if err := ignoreEnded(h.cmd.Process.Signal(syscall.SIGTERM)); err != nil {
		return err
	}
	timer := time.NewTimer(stopLimit)
	defer timer.Stop()
	select {
	case <-h.done:
		if err := errors.Join(h.err, h.log.Close()); err != nil {
			return fmt.Errorf("host %s ended with %w: %s", h.Name, err, h.lastLines())
		}
		return nil
	case <-timer.C:
		return errors.Join(fmt.Errorf("host %s did not stop within %v", h.Name, stopLimit), h.Kill())
	}
}

// AwaitEnd returns when the process has ended by itself, with its log. A success is an error: a
// service manager starts only what has failed again.
func (h *Host) AwaitEnd(ctx context.Context) (string, error) {
	select {
	case <-h.done:
	case <-ctx.Done():
		return "", fmt.Errorf("host %s still runs: %w", h.Name, ctx.Err())
	}
	text, err := os.ReadFile(h.LogFile())
	if h.err == nil {
		err = errors.Join(err, fmt.Errorf("host %s has ended with success", h.Name))
	}
	return string(text), errors.Join(err, h.log.Close())
}

// Running reports whether the process runs.
func (h *Host) Running() bool {
	if h.cmd == nil {
		return false
	}
	select {
	case <-h.done:
		return false
	default:
		return true
	}
}

func ignoreEnded(err error) error {
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// permanent is an error after which until gives up.
type permanent struct{ error }

// Unwrap returns the cause.
func (p permanent) Unwrap() error { return p.error }

// until tries ok until it succeeds or ctx ends.
func until(ctx context.Context, ok func() error) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := ok()
		if err == nil || errors.As(err, new(permanent)) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// Until tries ok until it succeeds, within a limit.
func Until(ctx context.Context, limit time.Duration, ok func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return until(ctx, func() error { return ok(ctx) })
}
