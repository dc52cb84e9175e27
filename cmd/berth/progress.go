package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/sys/unix"

	"github.com/berth-host/berth/host/wire"
)

// stream asks for work that takes long and shows on the way how far it is. It
// returns the plugin's JSON.
func (a *app) stream(ctx context.Context, c *client, path string, body any) (json.RawMessage, error) {
	resp, err := c.do(ctx, "POST", path, streamType, body)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	bar := a.newBar()
	defer bar.end()
	var plugin json.RawMessage
	err = readEvents(resp.Body, func(kind string, data []byte) error {
		switch kind {
		case "progress":
			var p wire.Progress
			if err := decodeAnswer(data, &p); err != nil {
				return c.unexpected(resp, err)
			}
			bar.show(p)
		case "problem":
			var p problem
			if err := decodeAnswer(data, &p.Problem); err != nil {
				return c.unexpected(resp, err)
			}
			return p
		case "plugin":
			if err := decodeAnswer(data, new(wire.Plugin)); err != nil {
				return c.unexpected(resp, err)
			}
			plugin = data
		}
		return nil
	})
	if err == nil && plugin == nil {
		err = errors.New("the host has broken off; 'berth plugin show' tells how things are")
	}
	return plugin, err
}

// maxLine bounds a line of a stream, in bytes.
const maxLine = 8 << 20

// readEvents reads server-sent events (WHATWG HTML, section 9.2.6) until on answers
// an error or the stream ends. Only event and data are looked at.
func readEvents(r io.Reader, on func(kind string, data []byte) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	var kind string
	var data []byte
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case lines.Text() == "":
			if data != nil {
				if err := on(kind, data); err != nil {
					return err
				}
			}
			kind, data = "", nil
		case field == "event":
			kind = value
		case field == "data":
			if data != nil {
				data = append(data, '\n')
			}
			data = append(data, value...)
		}
	}
	return lines.Err()
}

// bar shows progress on a terminal, and nothing elsewhere.
type bar struct{ *progressbar.ProgressBar }

func (a *app) newBar() bar {
	if !terminal(a.stderr) {
		return bar{}
	}
	return bar{progressbar.NewOptions64(-1,
		progressbar.OptionSetWriter(a.stderr),
		progressbar.OptionShowBytes(true),
		progressbar.OptionSetWidth(30),
		progressbar.OptionClearOnFinish())}
}

func (b bar) show(p wire.Progress) {
	if b.ProgressBar == nil {
		return
	}
	b.Describe(line(p.Step))
	if p.Step == "download" {
		if p.Total > 0 {
			b.ChangeMax64(p.Total)
		}
		_ = b.Set64(p.Done) // an error of the terminal is none of the installation
	}
}

func (b bar) end() {
	if b.ProgressBar != nil {
		_ = b.Clear()
	}
}

// terminal reports whether a stream is a terminal.
func terminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), getTermios)
	return err == nil
}

// agreeToPlan shows a plan and finds out whether the operator agrees to it.
func (a *app) agreeToPlan(p wire.Plan, given consent) error {
	a.showPlan(p)
	if given.yes {
		return nil
	}
	return a.confirm("Agree to this?", fmt.Sprintf("nothing was changed: %s of %s needs your agreement: answer y at a terminal, or repeat the command with --approve %s, or with --yes", p.Action, p.Name, p.Digest))
}

// showPlan prints a plan for a person, where the answer does not go.
func (a *app) showPlan(p wire.Plan) {
	version := p.Version
	if p.From != "" {
		version = p.From + " → " + p.Version
	}
	signed := p.SignedBy
	if signed == "" {
		signed = "nobody"
	}
	a.note("plan        %s %s\nsource      %s\nsigned by   %s\nsha256      %s (%d bytes)\n",
		p.Action, strings.TrimSpace(p.Name+" "+version), p.Source, signed, p.SHA256, p.Size)
	for _, line := range [][2]string{{"publisher", p.Publisher}, {"about", p.Description}, {"licence", p.License}} {
		if line[1] != "" {
			a.note("%-11s %s\n", line[0], line[1])
		}
	}
	for _, c := range p.Capabilities {
		var mark string
		switch {
		case c.New:
			mark = "NEW"
		case c.Granted:
			mark = "granted"
		default:
			mark = "not granted"
		}
		what := c.Name
		if of := append(append(append([]string{}, c.Hosts...), c.EventTypes...), c.Names...); len(of) > 0 {
			what += " " + strings.Join(of, ", ")
		}
		if c.Required {
			mark += ", required"
		}
		a.note("asks for    %s (%s) %s\n", what, mark, c.Reason)
	}
}
