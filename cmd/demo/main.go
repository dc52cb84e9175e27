// Command demo starts a host, moves sample orders through their statuses by the command line,
// and prints the answer of each handler. With -keep the host continues to run.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/wire"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// Timeouts, which only failures reach.
const (
	startTimeout  = 5 * time.Minute // a first start compiles every handler
	answerTimeout = 30 * time.Second
	stopTimeout   = 40 * time.Second
	pollEvery     = 50 * time.Millisecond
)

// handlers are built by `make plugins`; the demo waits for their answers.
var handlers = []string{"customer-notify", "order-audit"}

// sample is one order and its statuses.
type sample struct {
	customer string
	items    []string
	moves    []string
}

func samples() []sample {
	return []sample{
		{"ada", []string{"TEAPOT:1:2490", "CUP:4:890"}, []string{"confirmed", "processing", "shipped", "delivered"}},
		{"grace", []string{"LAMP:2:3900"}, []string{"confirmed", "cancelled", "refunded"}},
		{"linus", []string{"KETTLE:1:5400"}, []string{"cancelled"}},
	}
}

// cli runs the berth binary against one host.
type cli struct{ berth, dataDir string }

func (c cli) call(ctx context.Context, answer any, args ...string) error {
	cmd := exec.CommandContext(ctx, c.berth, append(args, "--data-dir", c.dataDir, "--json")...)
	cmd.Env = withoutHost(os.Environ())
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("berth %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	if err := json.Unmarshal(stdout.Bytes(), answer); err != nil {
		return fmt.Errorf("berth %s: unexpected JSON: %w", strings.Join(args, " "), err)
	}
	return nil
}

// withoutHost removes the variables that would send the sample orders to another host than
// the data directory's.
func withoutHost(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		return strings.HasPrefix(v, "BERTH_URL=") || strings.HasPrefix(v, "BERTH_TOKEN=")
	})
}

// running is the state that a host writes into its data directory.
type running struct {
	URL string
	PID int
}

func (c cli) host() (at running, err error) {
	text, err := os.ReadFile(filepath.Join(c.dataDir, "host.json"))
	if err != nil {
		return at, err
	}
	return at, json.Unmarshal(text, &at)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(stderr)
	berth := flags.String("berth", "bin/berth", "the berth binary")
	plugins := flags.String("plugins", "plugins", "where the example handlers are")
	keep := flags.Bool("keep", false, "run in this directory, with its configuration and plugins, until Ctrl-C")
	if err := flags.Parse(args); err != nil {
		return err
	}
	binary, err := filepath.Abs(*berth)
	if err != nil {
		return err
	}
	c := cli{berth: binary, dataDir: "data"}
	serve := []string{"serve", "--log-format", "text"} // which a person reads
	if !*keep {
		dir, err := os.MkdirTemp("", "berth-demo-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		c.dataDir = filepath.Join(dir, "data")
		config, err := alone(dir, *plugins)
		if err != nil {
			return err
		}
		serve = append(serve, "--config", config, "--listen", "127.0.0.1:0")
	}
	host, err := start(c.berth, append(serve, "--data-dir", c.dataDir), stderr)
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, "Starting the host; the first start compiles the handlers, which takes from a few seconds to a minute.")
	if host, err = host.moved(ctx, c, stdout); err != nil {
		return err
	}
	err = show(ctx, c, host, stdout, !*keep)
	if err == nil && *keep {
		return serveOn(ctx, c, host, stdout)
	}
	return errors.Join(err, host.stop())
}

// alone writes a configuration into a directory and copies the demo's handlers beside it, so
// that no other plugin takes part.
func alone(dir, plugins string) (config string, err error) {
	own := filepath.Join(dir, "plugins")
	if err := os.Mkdir(own, 0o700); err != nil {
		return "", err
	}
	for _, name := range handlers {
		for _, file := range []string{name + ".wasm.json", name + ".wasm"} {
			text, err := os.ReadFile(filepath.Join(plugins, file))
			if err != nil {
				return "", fmt.Errorf("%w: run 'make plugins'", err)
			}
			if err := os.WriteFile(filepath.Join(own, file), text, 0o600); err != nil {
				return "", err
			}
		}
	}
	config = filepath.Join(dir, "berth.yaml")
	return config, os.WriteFile(config, fmt.Appendf(nil, "plugin_directories: [%q]\nroutes: {order_status_changed: {}}\n", own), 0o600)
}

// process is the running host.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error // of the process, once done is closed
	said *tail // the end of its stderr
	args []string
}

// tail forwards its input, and keeps the end of it.
type tail struct {
	to io.Writer

	mu   sync.Mutex
	kept []byte
}

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	const limit = 4 << 10
	t.mu.Lock()
	t.kept = append(t.kept, p...)
	t.kept = t.kept[max(0, len(t.kept)-limit):]
	t.mu.Unlock()
	return t.to.Write(p)
}

func (t *tail) has(text string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return bytes.Contains(t.kept, []byte(text))
}

func start(berth string, args []string, stderr io.Writer) (*process, error) {
	// Without a context, which would kill the host: SIGTERM shuts it down in order.
	p := &process{cmd: exec.Command(berth, args...), done: make(chan struct{}), said: &tail{to: stderr}, args: args}
	p.cmd.Stdout, p.cmd.Stderr = stderr, p.said
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C signals the demo only, which stops the host
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// moved waits until the host answers or has ended. If another program has its port, the host
// is started again on a free one.
func (p *process) moved(ctx context.Context, c cli, stdout io.Writer) (*process, error) {
	err := p.until(ctx, startTimeout, "start the host", p.up(c))
	if err == nil {
		return p, nil
	}
	select {
	case <-p.done:
	default:
		return nil, errors.Join(err, p.stop())
	}
	if !p.said.has(syscall.EADDRINUSE.Error()) {
		return nil, err
	}
	fmt.Fprintln(stdout, "Another program has the host's port; it gets a free one.")
	again, err := start(p.cmd.Path, append(p.args, "--listen", "127.0.0.1:0"), p.said.to)
	if err != nil {
		return nil, err
	}
	if err := again.until(ctx, startTimeout, "start the host", again.up(c)); err != nil {
		return nil, errors.Join(err, again.stop())
	}
	return again, nil
}

// up reports whether this process answers, and not another host of the same data directory.
func (p *process) up(c cli) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) {
		at, err := c.host()
		if err != nil || at.PID != p.cmd.Process.Pid {
			return false, err
		}
		var list wire.List[wire.Plugin]
		err = c.call(ctx, &list, "plugin", "list")
		return err == nil, err
	}
}

// stop shuts the host down and waits for its end.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return p.err
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Kill()
		<-p.done
		return errors.New("the host did not stop in time and was killed")
	}
}

// until polls ok until it returns true, the host ends, or the limit expires.
func (p *process) until(ctx context.Context, limit time.Duration, what string, ok func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	var last error
	for {
		good, err := ok(ctx)
		if good {
			return nil
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s: the host has ended: %w", what, p.err)
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%s: not within %v", what, limit), last)
		case <-tick.C:
		}
	}
}

// show moves the sample orders and prints the answers of the handlers. With all, both of the
// demo's handlers must answer every event; otherwise those that are active and routed.
func show(ctx context.Context, c cli, host *process, stdout io.Writer, all bool) error {
	at, err := ready(ctx, c, host, stdout, all)
	if err != nil {
		return err
	}
	answers := 0
	for _, s := range samples() {
		args := []string{"orders", "create", "--customer", s.customer}
		for _, item := range s.items {
			args = append(args, "--item", item)
		}
		var order wire.Order
		if err := c.call(ctx, &order, args...); err != nil {
			return err
		}
		for i := 0; ; i++ {
			n, err := await(ctx, c, host, order, stdout, at, all)
			if answers += n; err != nil {
				return err
			}
			if i == len(s.moves) {
				break
			}
			if err := c.call(ctx, &order, "orders", "move", order.ID, s.moves[i]); err != nil {
				return err
			}
		}
	}
	if len(at) == 0 {
		fmt.Fprintln(stdout, "\nThe orders have moved; none of the example handlers is at work here.")
		return nil
	}
	fmt.Fprintf(stdout, "\nEvery answer came: %d.\n", answers)
	return nil
}

// ready waits until the demo's handlers are active, and returns their names. Unless all is
// set it skips handlers that the operator has switched off. Other plugins do not matter.
func ready(ctx context.Context, c cli, host *process, stdout io.Writer, all bool) (at []string, err error) {
	var off []string
	err = host.until(ctx, startTimeout, "start the handlers "+strings.Join(handlers, " and "), func(ctx context.Context) (bool, error) {
		var list wire.List[wire.Plugin]
		if err := c.call(ctx, &list, "plugin", "list"); err != nil {
			return false, err
		}
		at, off = nil, nil
		for _, name := range handlers {
			p, found := find(list.Items, name)
			switch {
			case p.State == wire.Active:
				at = append(at, name)
			case !found:
				return false, fmt.Errorf("plugin %s is not there yet: is the directory plugins one of plugin_directories?", name)
			case !all && idle(p.State):
				off = append(off, fmt.Sprintf("%s is %s: %s", name, p.State, p.Reason))
			default:
				return false, fmt.Errorf("plugin %s is %s: %s", name, p.State, p.Reason)
			}
		}
		return true, nil
	})
	for _, why := range off {
		fmt.Fprintf(stdout, "No answer is expected where the operator has decided so: %s.\n", why)
	}
	return at, err
}

// find returns the view of a plugin: the active one, since a file that claims the same name
// has a view as well.
func find(list []wire.Plugin, name string) (found wire.Plugin, ok bool) {
	for _, p := range list {
		if p.Name == name && (!ok || p.State == wire.Active) {
			found, ok = p, true
		}
	}
	return found, ok
}

// idle reports whether a plugin waits for the operator.
func idle(s wire.PluginState) bool {
	switch s {
	case wire.Disabled, wire.Paused, wire.Held, wire.NeedsApproval:
		return true
	}
	return false
}

// await prints the answers to the order's latest event, and counts those of the demo's
// handlers.
func await(ctx context.Context, c cli, host *process, order wire.Order, stdout io.Writer, at []string, all bool) (answers int, err error) {
	key := fmt.Sprintf("order:%s:v%d", order.ID, order.Version)
	var ev wire.Event
	err = host.until(ctx, answerTimeout, "answers to "+key, func(ctx context.Context) (bool, error) {
		ev = wire.Event{}
		if err := c.call(ctx, &ev, "events", "show", key); err != nil {
			return false, err
		}
		final, expected := 0, 0
		for _, d := range ev.Deliveries {
			if slices.Contains(at, d.Plugin) {
				expected++
				if d.Status == "ok" || d.Status == "dead" {
					final++
				}
			}
		}
		if all {
			expected = len(at)
		}
		return final == expected, fmt.Errorf("%d of %d handlers have answered", final, expected)
	})
	fmt.Fprintf(stdout, "\norder %s of %s is %s\n", order.ID, order.CustomerID, order.Status)
	for _, d := range ev.Deliveries {
		awaited := slices.Contains(at, d.Plugin)
		if !awaited && d.Status != "ok" && d.Status != "dead" {
			continue // such as one that waits for approval
		}
		answer := string(d.Result)
		if d.Error != nil {
			answer = d.Error.Class + ": " + event.Headline(d.Error.Message, 200)
		}
		fmt.Fprintf(stdout, "  %-16s %-4s %6.2f ms  %s\n", d.Plugin, d.Status, d.DurationMS, answer)
		if !awaited {
			continue
		}
		answers++
		if err == nil && all && (d.Status != "ok" || len(d.Result) == 0) {
			err = fmt.Errorf("%s did not handle %s: %s", d.Plugin, key, answer)
		}
	}
	return answers, err
}

// serveOn prints what to try and lets the host run until ctx ends.
func serveOn(ctx context.Context, c cli, host *process, stdout io.Writer) error {
	at, err := c.host()
	if err != nil {
		return errors.Join(err, host.stop())
	}
	fmt.Fprintf(stdout, `
The host goes on at %[1]s. Try, in another terminal:

  bin/berth events tail                                  what happens, as it happens
  bin/berth plugin add testdata/guests/echo.wasm         hot drop: one more handler, now
  bin/berth orders create --customer you --item TEA:2:450
  bin/berth plugin list
  curl -H "Authorization: Bearer $(cat data/admin.token)" %[1]s/api/v1/events

Ctrl-C stops it.
`, at.URL)
	select {
	case <-ctx.Done():
		fmt.Fprintln(stdout, "\nStopping.")
		return host.stop()
	case <-host.done:
		return fmt.Errorf("the host has ended: %w", host.err)
	}
}
