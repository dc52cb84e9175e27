package plugins

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/cmd/berth/internal/client"
	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/cmd/berth/internal/console"
	"github.com/berth-host/berth/host/toolchain"
	"github.com/berth-host/berth/host/wire"
)

const (
	// saveQuiet is the time without a change after which the sources are built: an editor
	// writes a file in several steps.
	saveQuiet = 150 * time.Millisecond
	// reconnectPause is the pause before a stream that has ended is opened again.
	reconnectPause = time.Second
)

func (a app) dev() *cobra.Command {
	var lang string
	var add addition
	cmd := command.New("dev [DIR]", "Build a plugin's project at every change, and run it in the host on this machine",
		func(ctx context.Context, args []string) error {
			if add.timeout <= 0 {
				return command.Usage("--timeout must be above zero")
			}
			c, err := a.Connect()
			if err != nil {
				return err
			}
			if !client.Loopback(c.URL) {
				return fmt.Errorf("the host at %s is not on this machine: a file reaches it by 'berth plugin install'", c.URL)
			}
			return a.develop(ctx, c, directory(args), lang, add)
		})
	cmd.Long = `Builds the project in DIR, or in this directory, adds the module to the host on this machine
as 'berth plugin add' does, and waits until it is active. Then it shows the plugin's log, and
its deliveries with their answers and errors, until a source changes: it is built again, and
the host exchanges the versions without losing an event. If a build fails, its errors are
shown and the version before continues. Ctrl-C ends the command; the plugin remains in the
host.`
	cmd.Example = "  berth plugin dev\n  berth plugin dev stock-alert --data-dir ../data"
	cmd.Flags().StringVar(&a.DataDir, "data-dir", "", "data directory of the host (default: $BERTH_DATA_DIR, or data)")
	languageFlag(cmd, &lang, "the project's language, if its files do not show it")
	cmd.Flags().StringVar(&add.dir, "dir", "", "the watched directory to copy to (default: the first of plugin_directories)")
	cmd.Flags().BoolVar(&add.replaces, "replace", false, "replace a plugin of that name without asking")
	cmd.Flags().DurationVar(&add.timeout, "timeout", 2*time.Minute, "wait no longer until a version is active")
	return cmd
}

// development is one run of plugin dev.
type development struct {
	app
	client *client.Client
	dir    string
	lang   string
	add    addition
	name   atomic.Pointer[string] // of the plugin, once it was added
}

// develop builds and adds the project at every change, until ctx ends.
func (a app) develop(ctx context.Context, c *client.Client, dir, lang string, add addition) error {
	p, err := toolchain.Open(dir, lang)
	if err != nil {
		return err
	}
	position, err := latestLine(ctx, c, p.Name)
	if err != nil {
		return err
	}
	w, err := toolchain.Watch(dir, saveQuiet)
	if err != nil {
		return err
	}
	defer w.Close()
	streams := &sync.Mutex{} // three goroutines print
	env := *a.Env
	env.Console = &console.Console{In: a.In, Out: lockedWriter{streams, a.Out}, Err: lockedWriter{streams, a.Err}, AtTerminal: a.AtTerminal}
	d := &development{app: app{&env}, client: c, dir: dir, lang: lang, add: add}
	var tail sync.WaitGroup
	defer tail.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	tail.Go(func() { d.tail(ctx) })
	tail.Go(func() { d.tailLog(ctx, position) })
	for {
		err := d.exchange(ctx)
		switch {
		case ctx.Err() != nil:
		case errors.As(err, new(refused)):
			return err
		case err != nil:
			d.Note("berth: %s\n", console.Lines(err.Error()))
		}
		if ctx.Err() == nil {
			d.Note("Waiting for a change of %s; Ctrl-C ends.\n", dir)
		}
		select {
		case <-w.Changed():
			d.Note("Building after a change.\n")
		case <-ctx.Done():
			if name := d.name.Load(); name != nil {
				d.Note("Plugin %s remains in the host; it goes with: berth plugin uninstall %s\n", *name, *name)
			}
			return nil
		}
	}
}

// refused is an error that a change of the sources does not remove.
type refused struct{ error }

// exchange builds the project, and replaces the plugin in the host.
func (d *development) exchange(ctx context.Context) error {
	p, err := toolchain.Open(d.dir, d.lang)
	if err != nil {
		return err
	}
	module, err := d.buildProject(ctx, p, p.Output())
	if err != nil {
		return err
	}
	d.add.file = module.Path
	w, path, err := d.copyFile(ctx, d.client, d.add)
	if err != nil {
		if d.name.Load() == nil {
			return refused{err}
		}
		return err
	}
	d.add.replaces = true // it is this command's own now
	d.name.Store(&w.name)
	active, _, err := w.active(ctx, d.client, d.add.timeout)
	if err != nil {
		return err
	}
	return d.Print("active   %s %s, as %s\n", active.Name, active.Version, filepath.Base(path))
}

// tail shows the deliveries of the plugin until ctx ends.
func (d *development) tail(ctx context.Context) {
	said := ""
	for {
		err := d.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		if err.Error() != said {
			said = err.Error()
			d.Note("berth: deliveries are not shown at the moment: %s\n", said)
		}
		pause := time.NewTimer(reconnectPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return
		}
	}
}

// follow shows deliveries until the host's stream ends.
func (d *development) follow(ctx context.Context) error {
	c, err := d.Connect()
	if err != nil {
		return err
	}
	c.HTTP.Timeout = 0 // the stream lasts until Ctrl-C
	resp, err := c.Do(ctx, "GET", "/api/v1/events/stream", client.StreamType, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	err = client.ReadEvents(resp.Body, func(kind string, data []byte) error {
		if kind == "lagged" {
			return errors.New("there were more than could be read")
		}
		name := d.name.Load()
		if kind != "delivery" || name == nil {
			return nil
		}
		var act wire.Activity
		if err := client.Decode(data, &act); err != nil {
			return c.Unexpected(resp, err)
		}
		if act.Delivery == nil || act.Delivery.Plugin != *name {
			return nil
		}
		return d.show(*act.Delivery)
	})
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// show prints a delivery with its answer, or its error with all lines.
func (d *development) show(one wire.DeliveryOfEvent) error {
	answer := string(one.Result)
	if one.Error != nil {
		answer = one.Error.Class + ": " + one.Error.Message
	}
	return d.Print("%-8s %s  attempt %d  %.2f ms  %s\n", one.Status, one.EventID, one.Attempts, one.DurationMS, console.Lines(answer))
}

// latestLine returns the position in the log of a plugin after which its next lines come.
func latestLine(ctx context.Context, c *client.Client, name string) (uint64, error) {
	var l wire.PluginLog
	_, err := c.Call(ctx, "GET", pluginPath(name)+"/logs?limit=1", nil, &l)
	var answer client.Problem
	if errors.As(err, &answer) && answer.Status == 404 { // it is new: all lines are
		return 0, nil
	}
	return l.Last, err
}

// tailLog shows what the plugin logs after a position, until ctx ends. While the host cannot
// be asked it shows nothing; tail says so.
func (d *development) tailLog(ctx context.Context, position uint64) {
	tick := time.NewTicker(logsEvery)
	defer tick.Stop()
	c := d.client
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		name := d.name.Load()
		if name == nil {
			continue
		}
		at := command.Path(pluginPath(*name)+"/logs", "limit", strconv.Itoa(maxLines), "after", strconv.FormatUint(position, 10))
		var l wire.PluginLog
		if _, err := c.Call(ctx, "GET", at, nil, &l); err != nil {
			if again, err := d.Connect(); err == nil { // it may have another port after a restart
				c = again
			}
			continue
		}
		switch {
		case l.Last < position: // the host was started again, and counts from 1
			position = 0
			continue
		case l.Next != nil:
			position = l.Items[len(l.Items)-1].Seq
		default:
			position = l.Last
		}
		for _, line := range l.Items {
			_ = d.Print("log      %s  %s: %s\n", line.EventID, line.Level, line.Message) // as of show, its error ends nothing
		}
	}
}

// lockedWriter has the writers of several goroutines write one after the other.
type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

// Write writes to the writer.
func (l lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
