package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/url"
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
			path := "/api/v1/plugins/" + url.PathEscape(args[0])
			var p wire.Plugin
			if c.ifMatch, err = c.tagged(cmd.Context(), path, &p); err != nil {
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
			return fetchBy(cmd.Context(), a, c, "POST", path+"/approve", in, a.showPlugin)
		},
	})
	cmd.Flags().StringSliceVar(&only, "capability", nil, "grant only this one (may be given more than once)")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// agree shows what would be granted and asks. It speaks on stderr: stdout is
// for the answer of the host.
func (a *app) agree(p wire.Plugin, asked []wire.Capability, only []string) error {
	fmt.Fprintf(a.stderr, "%s asks for\n", printable(p.Name))
	open := 0
	for _, c := range asked {
		if only != nil && !slices.Contains(only, c.Name) {
			continue
		}
		if !c.Granted {
			open++
		}
		fmt.Fprintf(a.stderr, "  %s\n", asks(c))
	}
	if open == 0 {
		fmt.Fprintln(a.stderr, "  nothing that is not granted already")
		return nil
	}
	fmt.Fprint(a.stderr, "Grant this? [y/N] ")
	line, err := bufio.NewReader(io.LimitReader(a.stdin, 1024)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	if answer := strings.ToLower(strings.TrimSpace(line)); answer != "y" && answer != "yes" {
		return errors.New("nothing was granted: answer y, or give --yes")
	}
	return nil
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
	return printable(text)
}
