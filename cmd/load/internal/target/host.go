package target

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Time limits, which only failures use up.
const (
	startLimit = 5 * time.Minute
	stopLimit  = 2 * time.Minute
)

// Config says what to run.
type Config struct {
	Binary string // the berth binary
	Guests string // the directory testdata/guests
}

// Host is the measured host: a directory of its own, and the process while it runs. It is
// not safe for concurrent use, except API.
type Host struct {
	cfg   Config
	dir   string
	setup Setup

	cmd  *exec.Cmd // nil while it does not run
	done chan struct{}
	log  *os.File // what the process writes, kept for error messages

	API *API // of the running process
}

// New makes the directory of a host. Call Remove at the end.
func New(cfg Config, setup Setup) (*Host, error) {
	dir, err := os.MkdirTemp("", "berth-load-")
	if err != nil {
		return nil, err
	}
	h := &Host{cfg: cfg, dir: dir, setup: setup}
	if err := h.prepare(); err != nil {
		return nil, errors.Join(err, h.Remove())
	}
	return h, nil
}

func (h *Host) prepare() (err error) {
	if err := os.Mkdir(h.path("plugins"), 0o700); err != nil {
		return err
	}
	if err := h.setup.writePlugins(h.path("plugins"), h.cfg.Guests); err != nil {
		return err
	}
	if err := h.writeConfig(h.setup); err != nil {
		return err
	}
	h.log, err = os.Create(h.path("log"))
	return err
}

func (h *Host) path(name string) string { return filepath.Join(h.dir, name) }

func (h *Host) writeConfig(s Setup) error {
	text, err := s.document(h.path("plugins"))
	if err != nil {
		return err
	}
	// By rename, since the host watches the file.
	if err := os.WriteFile(h.path("berth.yaml.tmp"), text, 0o600); err != nil {
		return err
	}
	return os.Rename(h.path("berth.yaml.tmp"), h.path("berth.yaml"))
}

// Start starts the process and waits until it takes events; took is from the start of the
// process to that. Wait for handlers with API.AwaitHandlers.
func (h *Host) Start(ctx context.Context) (took time.Duration, err error) {
	_ = os.Remove(h.path("data/host.json"))
	cmd := exec.Command(h.cfg.Binary, "serve", "--config", h.path("berth.yaml"), "--data-dir", h.path("data"), "--listen", "127.0.0.1:0")
	cmd.Dir, cmd.Env = h.dir, withoutHost(os.Environ())
	cmd.Stdout, cmd.Stderr = h.log, h.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the generator, which stops the host
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start the host: %w", err)
	}
	done := make(chan struct{})
	h.cmd, h.done = cmd, done
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	err = h.until(ctx, startLimit, time.Millisecond, "the host starts", h.connect)
	return time.Since(began), err
}

// withoutHost removes the variables that name another host.
func withoutHost(env []string) (own []string) {
	for _, v := range env {
		if !strings.HasPrefix(v, "BERTH_") {
			own = append(own, v)
		}
	}
	return own
}

// connect succeeds when the process takes events.
func (h *Host) connect(ctx context.Context) error {
	text, err := os.ReadFile(h.path("data/host.json"))
	if err != nil {
		return err
	}
	var at struct {
		URL string
		PID int
	}
	if err := json.Unmarshal(text, &at); err != nil {
		return err
	}
	if at.PID != h.cmd.Process.Pid {
		return fmt.Errorf("host.json is of process %d", at.PID)
	}
	token, err := os.ReadFile(h.path("data/admin.token"))
	if err != nil {
		return err
	}
	h.API = &API{URL: at.URL, Token: strings.TrimSpace(string(token)), host: h}
	return h.API.Get(ctx, "/readyz", new(any))
}

// until calls ok every so often until it succeeds, the process ends, or the limit expires.
func (h *Host) until(ctx context.Context, limit, every time.Duration, what string, ok func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		err := ok(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-h.done:
			return fmt.Errorf("%s: the host has ended: %v; its log ends:\n%s", what, h.cmd.ProcessState, h.logEnd())
		case <-ctx.Done():
			return fmt.Errorf("%s: not within %v: %w: %w", what, limit, context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}

// logEnd returns the end of what the process has written.
func (h *Host) logEnd() string {
	const limit = 2 << 10
	text, err := os.ReadFile(h.path("log"))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-limit):])
}

// Reconfigure puts another setup of the same handlers in force.
func (h *Host) Reconfigure(ctx context.Context, s Setup) error {
	if err := h.writeConfig(s); err != nil {
		return err
	}
	h.setup = s
	return h.API.Post(ctx, "/api/v1/events/reload-config", nil, new(any))
}

// Stop shuts the process down in order and waits for its end. Without a process it does
// nothing.
func (h *Host) Stop() error {
	if h.cmd == nil {
		return nil
	}
	_ = h.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.NewTimer(stopLimit)
	defer timer.Stop()
	var err error
	select {
	case <-h.done:
		if code := h.cmd.ProcessState.ExitCode(); code != 0 {
			err = fmt.Errorf("the host ended with %v; its log ends:\n%s", h.cmd.ProcessState, h.logEnd())
		}
	case <-timer.C:
		_ = h.cmd.Process.Kill()
		<-h.done
		err = fmt.Errorf("the host did not stop within %v and was killed", stopLimit)
	}
	h.cmd = nil
	return err
}

// Remove stops the process and deletes the directory.
func (h *Host) Remove() error {
	err := h.Stop()
	if h.log != nil {
		_ = h.log.Close()
	}
	return errors.Join(err, os.RemoveAll(h.dir))
}

// StoreBytes returns the size of the store's files.
func (h *Host) StoreBytes() (total int64, err error) {
	err = filepath.WalkDir(h.path("data"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasPrefix(entry.Name(), "berth.db") {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	return total, err
}
