package main

import (
	"github.com/spf13/cobra"
)

func (a *app) pluginReport() *cobra.Command {
	return a.talks(&cobra.Command{
		Use:   "report NAME",
		Short: "Show what the running host's vetting has found in a plugin's module",
		Long: `Shows what the running host's vetting has found in a plugin's module, as
'berth plugin inspect' shows it of a file: also of one that was rejected.`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return fetch(cmd.Context(), a, "GET", pluginPath(args[0])+"/report", nil, a.showReport)
		},
	})
}
