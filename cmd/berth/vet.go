package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/host/sandbox/vet"
)

// vetCommand is what a host starts as a child for every module it has not seen:
// it is no use to a person.
func (a *app) vetCommand() *cobra.Command {
	return &cobra.Command{
		Use:    vet.Command,
		Short:  "Vet the module on standard input (run by the host itself)",
		Hidden: true,
		Args:   usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := vet.RunChild(cmd.Context(), a.stdin, a.stdout); err != nil {
				return exitError{fmt.Errorf("vet: %w", err), vet.ExitNoVerdict}
			}
			return nil
		},
	}
}
