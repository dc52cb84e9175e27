// Package browser has the command that leads a browser to a host's console.
package browser

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/cmd/berth/internal/console"
	"github.com/berth-host/berth/host/wire"
)

// Command returns the command console.
func Command(env *command.Env) *cobra.Command {
	cmd := env.Remote("console", "Print a link to the console that logs in once", func(ctx context.Context, _ []string) error {
		c, err := env.Connect()
		if err != nil {
			return err
		}
		return command.FetchBy(ctx, env, c, "POST", "/api/v1/session/links", nil, func(link wire.LoginLink) error {
			env.Note("Open this link in a browser before %s. It logs in once, with the rights of the admin token.\n", console.Clock(link.Expires))
			return env.Print("%s%s\n", c.URL, link.Path)
		}, func(link wire.LoginLink) error {
			if !strings.HasPrefix(link.Path, "/login#code=") || strings.ContainsFunc(link.Path, func(r rune) bool { return r <= ' ' || r > '~' }) {
				return fmt.Errorf("the answer is not a link to the console")
			}
			return nil
		})
	})
	cmd.Long = `Print a link to the console of a running host. It logs a browser in once, within
ten minutes, with the rights of the admin token, which this command needs.`
	return cmd
}
