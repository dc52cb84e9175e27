package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/host/wire"
)

func (a *app) pluginApprove() *cobra.Command {
	var only []string
	var yes bool
	cmd := a.talks(&cobra.Command{
		Use:   "approve NAME",
		Short: "Grant a plugin what it asks for, and write that into the configuration",
		Long: `Shows what a plugin asks for, with its reasons, and grants it when you agree.
Where a newer file waits for approval while the older version runs, it is the
newer one's that is shown and granted. What is granted is exactly what was shown:
if the file changes in between, nothing is.`,
		Example: "  berth plugin approve fraud-check\n  berth plugin approve fraud-check --capability kv --yes",
		Args:    usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			path := pluginPath(args[0])
			var p wire.Plugin
			if _, c.ifMatch, err = c.tagged(cmd.Context(), "GET", path, nil, &p); err != nil {
				return err
			}
			if err := named(args[0])(p); err != nil {
				return err
			}
			in := wire.Approval{Capabilities: only, SHA256: p.SHA256}
			asked := p.Capabilities
			if p.Pending != nil {
				in.SHA256, asked = p.Pending.SHA256, p.Pending.Capabilities
			}
			if !yes {
				if err := a.agree(p, asked, only); err != nil {
					return err
				}
			}
			return fetchBy(cmd.Context(), a, c, "POST", path+"/approve", in, a.showPlugin, named(args[0]))
		},
	})
	cmd.Flags().StringSliceVar(&only, "capability", nil, "grant only this one (may be given more than once)")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// agree shows what would be granted and asks. It speaks on stderr: stdout is
// for the answer of the host.
func (a *app) agree(p wire.Plugin, asked []wire.Capability, only []string) error {
	var open []wire.Capability
	for _, c := range asked {
		if !c.Granted && (only == nil || slices.Contains(only, c.Name)) {
			open = append(open, c)
		}
	}
	for _, name := range only {
		if !slices.ContainsFunc(asked, func(c wire.Capability) bool { return c.Name == name }) {
			return fmt.Errorf("%q is not a capability that %s asks for", name, p.Name)
		}
	}
	if len(open) == 0 { // the host has nothing to grant either
		return nil
	}
	a.note("%s asks for\n", p.Name)
	for _, c := range open {
		a.note("  %s\n", asks(c))
	}
	return a.confirm("Grant this?", "nothing was granted: answer y at a terminal, or give --yes")
}

// asks describes a capability on one line.
func asks(c wire.Capability) string {
	given := "not granted"
	if c.Granted {
		given = "granted"
	}
	if c.Required {
		given += ", required"
	}
	text := c.Name + " (" + given + ")"
	for _, list := range []struct {
		of    string
		items []string
	}{{"hosts", c.Hosts}, {"event types", c.EventTypes}, {"names", c.Names}} {
		if list.items != nil {
			text += " " + list.of + " " + strings.Join(list.items, ", ")
		}
	}
	if c.Reason != "" {
		text += ": " + c.Reason
	}
	return text
}
