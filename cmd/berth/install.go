package main

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/host/wire"
)

// installPatience is how long an installation may take: the host gives up before.
const installPatience = 4 * time.Minute

func (a *app) pluginInstall() *cobra.Command {
	var in wire.Install
	cmd := a.talks(&cobra.Command{
		Use:   "install --url URL --sha256 HEX",
		Short: "Have the host fetch a plugin and run it",
		Long: `Has the host fetch a module over https, check it against the SHA-256 given and
run it. What cannot run is not installed. Addresses that are not of the public
internet are refused unless the configuration lists them under
marketplace.allow_private_hosts.`,
		Example: "  berth plugin install --url https://plugins.example/fraud-check.wasm --sha256 $(sha256sum < fraud-check.wasm | cut -c-64)",
		Args:    usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if in.URL == "" || in.SHA256 == "" {
				return usageError{errors.New("give --url and --sha256, the SHA-256 of what is there")}
			}
			a.patience = installPatience
			return fetch(cmd.Context(), a, "POST", "/api/v1/plugins/install", in, a.showPlugin)
		},
	})
	cmd.Flags().StringVar(&in.URL, "url", "", "where the module is: https://...")
	cmd.Flags().StringVar(&in.SHA256, "sha256", "", "SHA-256 of the module: 64 hexadecimal digits")
	cmd.Flags().StringVar(&in.Name, "name", "", "name of the plugin, if its module has no manifest that names it")
	return cmd
}

func (a *app) pluginUninstall() *cobra.Command {
	return a.talks(&cobra.Command{
		Use:   "uninstall NAME",
		Short: "Remove a plugin, its file, its settings and what is kept for it",
		Args:  usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			resp, err := c.do(cmd.Context(), "DELETE", "/api/v1/plugins/uninstall/"+url.PathEscape(args[0]), nil)
			if err != nil {
				return err
			}
			if err := resp.Body.Close(); err != nil || a.json {
				return err
			}
			_, err = fmt.Fprintf(a.stdout, "%s is uninstalled\n", printable(args[0]))
			return err
		},
	})
}
