package plugins

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/host/wire"
)

func (a app) approve() *cobra.Command {
	var only []string
	var yes bool
	cmd := a.Remote("approve NAME", "Grant a plugin what it asks for, and write the grants into the configuration",
		func(ctx context.Context, args []string) error {
			c, err := a.Connect()
			if err != nil {
				return err
			}
			at := pluginPath(args[0])
			var p wire.Plugin
			if _, c.IfMatch, err = c.Tagged(ctx, "GET", at, nil, &p); err != nil {
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
			return command.FetchBy(ctx, a.Env, c, "POST", at+"/approve", in, a.print, named(args[0]))
		})
	cmd.Long = `Shows what a plugin asks for, with its reasons, and grants it when you agree. If a
newer file waits for approval while the older version runs, the command shows and
grants what the newer one asks for. It grants exactly what it has shown: if the file
changes in between, it grants nothing.`
	cmd.Example = "  berth plugin approve fraud-check\n  berth plugin approve fraud-check --capability kv --yes"
	cmd.Flags().StringSliceVar(&only, "capability", nil, "grant only this one (may be given more than once)")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// agree shows what would be granted and asks, on standard error: standard output is for the
// host's answer.
func (a app) agree(p wire.Plugin, asked []wire.Capability, only []string) error {
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
	a.Note("%s asks for\n", p.Name)
	for _, c := range open {
		a.Note("  %s\n", asks(c))
	}
	return a.Confirm("Grant this?", "nothing was granted: answer y at a terminal, or give --yes")
}
