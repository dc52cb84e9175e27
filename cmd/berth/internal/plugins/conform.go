package plugins

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/abi/conformance"
	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/cmd/berth/internal/console"
	"github.com/berth-host/berth/host/desk"
)

// ConformCommand returns the command abi conform.
func ConformCommand(env *command.Env) *cobra.Command {
	a := app{env}
	var asJSON bool
	cmd := command.New("conform FILE.wasm", "Run the conformance kit on a build of the conformance handler; needs no running host",
		func(ctx context.Context, args []string) (err error) {
			plugin, err := a.loadAtDesk(ctx, args[0])
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, plugin.close()) }()
			vectors, err := conformance.Vectors()
			if err != nil {
				return err
			}
			return a.reportConformance(conformance.Run(ctx, desk.ConformanceHost(plugin.Plugin), vectors), asJSON)
		})
	cmd.Long = `Runs all vectors of abi/conformance on a module that implements the conformance
handler, in the sandbox of a host: it shows whether the module's SDK follows the
ABI. The exit code is 0 when every vector passes, and 1 otherwise.`
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the results as JSON")
	return cmd
}

// conformanceGroup counts the results of one group.
type conformanceGroup struct {
	Group    string               `json:"group"`
	Passed   int                  `json:"passed"`
	Failed   int                  `json:"failed"`
	Failures []conformanceFailure `json:"failures,omitzero"`
}

type conformanceFailure struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// groupsOf counts results by group, in the order of the vectors.
func groupsOf(results []conformance.Result) (groups []conformanceGroup, failed int) {
	at := make(map[string]int)
	for _, r := range results {
		reason := r.Err
		i, known := at[r.Group]
		if !known {
			i = len(groups)
			at[r.Group] = i
			groups = append(groups, conformanceGroup{Group: r.Group})
		}
		if reason == nil {
			groups[i].Passed++
			continue
		}
		failed++
		groups[i].Failed++
		groups[i].Failures = append(groups[i].Failures, conformanceFailure{r.Name, reason.Error()})
	}
	return groups, failed
}

// reportConformance prints the results. It returns an error when a vector failed.
func (a app) reportConformance(results []conformance.Result, asJSON bool) error {
	groups, failed := groupsOf(results)
	if asJSON {
		if err := a.EncodeJSON(groups, true); err != nil {
			return err
		}
	} else if err := a.printConformance(groups); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%s of %d did not pass", console.Count(failed, "vector"), len(results))
	}
	return nil
}

func (a app) printConformance(groups []conformanceGroup) error {
	err := console.Table(a.Console, "GROUP\tPASSED\tFAILED", groups, func(g conformanceGroup) console.Cells {
		return console.Cells{g.Group, g.Passed, g.Failed}
	})
	for _, g := range groups {
		for _, f := range g.Failures {
			a.Print("\n%s: %s\n  %s\n", g.Group, f.Name, console.Lines(f.Reason))
		}
	}
	return err
}
