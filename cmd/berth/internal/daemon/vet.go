package daemon

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/host/sandbox/vet"
)

// VetCommand returns the command that a host runs as a child for every module that is new to
// it.
func VetCommand(env *command.Env) *cobra.Command {
	return &cobra.Command{
		Use:    vet.Command,
		Short:  "Vet the module on standard input (run by the host itself)",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := vet.RunChild(cmd.Context(), env.In, env.Out); err != nil {
				return command.NewExitError(fmt.Errorf("vet: %w", err), vet.ExitNoVerdict)
			}
			return nil
		},
	}
}
