package plugins

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/berth-host/berth/cmd/berth/internal/client"
	"github.com/berth-host/berth/host/wire"
)

// stream sends a request that takes long and shows its progress. It returns the plugin's
// JSON.
func (a app) stream(ctx context.Context, c *client.Client, path string, body any) (json.RawMessage, error) {
	resp, err := c.Do(ctx, "POST", path, client.StreamType, body)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	bar := a.NewBar()
	defer bar.End()
	var plugin json.RawMessage
	err = client.ReadEvents(resp.Body, func(kind string, data []byte) error {
		switch kind {
		case "progress":
			var p wire.Progress
			if err := client.Decode(data, &p); err != nil {
				return c.Unexpected(resp, err)
			}
			bar.Show(p)
		case "problem":
			var p client.Problem
			if err := client.Decode(data, &p.Problem); err != nil {
				return c.Unexpected(resp, err)
			}
			return p
		case "plugin":
			if err := client.Decode(data, new(wire.Plugin)); err != nil {
				return c.Unexpected(resp, err)
			}
			plugin = data
		}
		return nil
	})
	if err == nil && plugin == nil {
		err = errors.New("the host ended the stream early; see 'berth plugin show'")
	}
	return plugin, err
}

// agreeToPlan shows a plan and asks the operator to agree to it.
func (a app) agreeToPlan(p wire.Plan, given consent) error {
	a.showPlan(p)
	if given.yes {
		return nil
	}
	return a.Confirm("Agree to this?", fmt.Sprintf("nothing was changed: %s of %s needs your agreement: answer y at a terminal, or "+
		"repeat the command with --approve %s, or with --yes", p.Action, p.Name, p.Digest))
}

// showPlan prints a plan on standard error.
func (a app) showPlan(p wire.Plan) {
	version := p.Version
	if p.From != "" {
		version = p.From + " → " + p.Version
	}
	a.Note("plan        %s %s\nsource      %s\nsigned by   %s\nsha256      %s (%d bytes)\n",
		p.Action, strings.TrimSpace(p.Name+" "+version), p.Source, cmp.Or(p.SignedBy, "no key"), p.SHA256, p.Size)
	for _, line := range [][2]string{{"publisher", p.Publisher}, {"about", p.Description}, {"licence", p.License}} {
		if line[1] != "" {
			a.Note("%-11s %s\n", line[0], line[1])
		}
	}
	for _, c := range p.Capabilities {
		mark := granted(c.Granted)
		if c.New {
			mark = "NEW"
		}
		what := c.Name
		if of := append(append(append([]string{}, c.Hosts...), c.EventTypes...), c.Names...); len(of) > 0 {
			what += " " + strings.Join(of, ", ")
		}
		if c.Required {
			mark += ", required"
		}
		a.Note("asks for    %s (%s) %s\n", what, mark, c.Reason)
	}
}
