package admin

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/cmd/berth/internal/console"
	"github.com/berth-host/berth/host/doctor"
	"github.com/berth-host/berth/host/live"
)

// examined bounds each of the doctor's requests to a host.
const examined = 10 * time.Second

// DoctorCommand returns the command doctor.
func DoctorCommand(env *command.Env) *cobra.Command {
	a := app{env}
	var configPath string
	var flags repairFlags
	cmd := a.Local("doctor", "Examine what a host needs: files, disk, clock, limits, compiler, configuration",
		func(ctx context.Context, _ []string) error {
			if err := flags.check(); err != nil {
				return err
			}
			if a.DataDir == "" && os.Getenv("BERTH_DATA_DIR") == "" {
				a.DataDir = live.DataDirOf(configPath)
			}
			if flags.repair {
				return a.repairStore(ctx, flags)
			}
			e := doctor.Examination{ConfigPath: configPath, DataDir: a.DataDirectory(), Version: a.Version}
			if a.Elsewhere() {
				a.Note("The doctor examines this machine and its data directory %s, not the host at BERTH_URL.\n", a.DataDirectory())
			}
			if c, err := a.ConnectTo("", examined); err == nil {
				e.At, e.Ask = c.URL, func(ctx context.Context, path string, answer any) error {
					if answer == nil {
						answer = new(any)
					}
					_, err := c.Call(ctx, "GET", path, nil, answer)
					return err
				}
			}
			report := doctor.Examine(ctx, e)
			if err := command.Show(a.Env, report, a.printReport); err != nil {
				return err
			}
			if report.Problems > 0 {
				return fmt.Errorf("the doctor found %s and %s", console.Count(report.Problems, "problem"), console.Count(report.Warnings, "warning"))
			}
			return nil
		})
	cmd.Long = `Examines everything a host needs on this machine: the configuration, directories
and their permissions, tokens and secrets, the disk, the limits of a process, the
compiler, the store, the address to listen on and its certificate, installed
plugins, the clock, and the host that runs on the data directory, if one does. It
needs no host and changes nothing. It ignores BERTH_URL: it examines this machine.

The exit code is 1 when there is a problem; warnings leave it at 0.

With --repair it exports what can be read of a damaged store into a new one, and
says what is lost. No host may be running. The damaged files stay as they are. The
new store is data/berth.db.repaired, or --output; the commands that put it in place
are printed. With --replace it is put in place, and the damaged files are kept in a
directory beside it. The exit code is 0 when nothing is lost, 3 when the store was
exported with losses, and 1 when it was not exported.`
	cmd.Flags().BoolVar(&flags.repair, "repair", false, "export what can be read of a damaged store into a new one")
	cmd.Flags().StringVar(&flags.output, "output", "", "with --repair: file of the new store (default: berth.db.repaired in the data directory)")
	cmd.Flags().BoolVar(&flags.replace, "replace", false, "with --repair: put the new store in the place of the damaged one")
	cmd.Flags().StringVar(&configPath, "config", "", "configuration file (default: "+live.DefaultPath+")")
	return cmd
}

func (a app) printReport(r doctor.Report) error {
	err := console.Table(a.Console, "CHECK\tRESULT\tFOUND", r.Checks, func(f doctor.Finding) console.Cells {
		return console.Cells{f.Check, f.Level, f.Detail}
	})
	if err != nil || r.Problems+r.Warnings == 0 {
		return err
	}
	a.Print("\n")
	for _, line := range advice(r.Checks) {
		if err := a.Print("%s\n", line); err != nil {
			return err
		}
	}
	return nil
}

// advice returns what to do about the findings, each thing once.
func advice(checks []doctor.Finding) (lines []string) {
	for _, f := range checks {
		line := fmt.Sprintf("%s, %s: %s", f.Level, f.Check, f.Advice)
		if f.Advice != "" && !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return lines
}
