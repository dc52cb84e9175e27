// Command demo shows Berth at work: it starts a host, moves a few sample orders
// through their statuses by the command line, and prints what each handler
// answered. With -keep the host goes on running.
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
	"strings"
	"syscall"
	"time"

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

// Bounds: reached only when something is wrong.
const (
	startTimeout  = 2 * time.Minute // a first start compiles every handler
	answerTimeout = 30 * time.Second
	stopTimeout   = 40 * time.Second
	pollEvery     = 50 * time.Millisecond
)

// handlers are what `make plugins` builds and the demo waits for.
var handlers = []string{"customer-notify", "order-audit"}

// sample is one order and the statuses it goes through.
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
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("berth %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	if err := json.Unmarshal(stdout.Bytes(), answer); err != nil {
		return fmt.Errorf("berth %s: its answer is not the JSON expected: %w", strings.Join(args, " "), err)
	}
	return nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(stderr)
	berth := flags.String("berth", "bin/berth", "the berth binary")
	keep := flags.Bool("keep", false, "leave the host running until Ctrl-C")
	if err := flags.Parse(args); err != nil {
		return err
	}
	binary, err := filepath.Abs(*berth)
	if err != nil {
		return err
	}
	serve := []string{"serve"}
	c := cli{berth: binary, dataDir: "data"}
	if !*keep {
		if c.dataDir, err = os.MkdirTemp("", "berth-demo-"); err != nil {
			return err
		}
		defer os.RemoveAll(c.dataDir)
		serve = append(serve, "--listen", "127.0.0.1:0")
	}
	host, err := start(c.berth, append(serve, "--data-dir", c.dataDir), stderr)
	if err != nil {
		return err
	}
	err = show(ctx, c, host, stdout)
	if err == nil && *keep {
		return serveOn(ctx, c, host, stdout)
	}
	return errors.Join(err, host.stop())
}

// process is the running host.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error // of the process, once done is closed
}

func start(berth string, args []string, stderr io.Writer) (*process, error) {
	// Not by a context: the host is to be stopped by SIGTERM, and in order.
	p := &process{cmd: exec.Command(berth, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = stderr, stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is the demo's to pass on
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// stop asks the host to shut down and waits until it has.
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

// until polls ok until it answers true, an error, or time is up.
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

// show moves the sample orders and prints what the handlers answer.
func show(ctx context.Context, c cli, host *process, stdout io.Writer) error {
	fmt.Fprintln(stdout, "Starting the host; the first start compiles the handlers.")
	err := host.until(ctx, startTimeout, "start the handlers "+strings.Join(handlers, " and "), func(ctx context.Context) (bool, error) {
		var list wire.List[wire.Plugin]
		if err := c.call(ctx, &list, "plugin", "list"); err != nil {
			return false, err
		}
		active := make(map[string]bool)
		for _, p := range list.Items {
			active[p.Name] = p.State == wire.Active
			if p.State == wire.Rejected {
				return false, fmt.Errorf("plugin %s was rejected: %s", p.Name, p.Reason)
			}
		}
		for _, name := range handlers {
			if !active[name] {
				return false, fmt.Errorf("plugin %s is not active yet", name)
			}
		}
		return true, nil
	})
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
			n, err := await(ctx, c, host, order, stdout)
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
	fmt.Fprintf(stdout, "\nEvery answer came: %d.\n", answers)
	return nil
}

// await prints what the handlers answered to the order's latest event.
func await(ctx context.Context, c cli, host *process, order wire.Order, stdout io.Writer) (int, error) {
	key := fmt.Sprintf("order:%s:v%d", order.ID, order.Version)
	var ev wire.Event
	err := host.until(ctx, answerTimeout, "answers to "+key, func(ctx context.Context) (bool, error) {
		ev = wire.Event{}
		if err := c.call(ctx, &ev, "events", "show", key); err != nil {
			return false, err
		}
		final := 0
		for _, d := range ev.Deliveries {
			if d.Status == "ok" || d.Status == "dead" {
				final++
			}
		}
		return final == len(handlers), fmt.Errorf("%d of %d handlers have answered", final, len(handlers))
	})
	fmt.Fprintf(stdout, "\norder %s of %s is %s\n", order.ID, order.CustomerID, order.Status)
	for _, d := range ev.Deliveries {
		fmt.Fprintf(stdout, "  %-16s %-4s %6.2f ms  %s\n", d.Plugin, d.Status, d.DurationMS, d.Result)
		if err == nil && (d.Status != "ok" || len(d.Result) == 0) {
			err = fmt.Errorf("%s did not handle %s: %+v", d.Plugin, key, d.Error)
		}
	}
	return len(ev.Deliveries), err
}

// serveOn says what to try and leaves the host running until ctx ends.
func serveOn(ctx context.Context, c cli, host *process, stdout io.Writer) error {
	state, err := os.ReadFile(filepath.Join(c.dataDir, "host.json"))
	if err != nil {
		return errors.Join(err, host.stop())
	}
	var at struct{ URL string }
	if err := json.Unmarshal(state, &at); err != nil {
		return errors.Join(err, host.stop())
	}
	fmt.Fprintf(stdout, `
The host goes on at %[1]s. Try, in another terminal:

  bin/berth events tail                                  what happens, as it happens
  cp testdata/guests/echo.wasm plugins/                  hot drop: one more handler, now
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
