package admin

import (
	"context"
	"fmt"
	"os"
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
	cmd := a.Local("doctor", "Examine what a host needs: files, disk, clock, limits, compiler, configuration",
		func(ctx context.Context, _ []string) error {
			if a.DataDir == "" && os.Getenv("BERTH_DATA_DIR") == "" {
				a.DataDir = live.DataDirOf(configPath)
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

The exit code is 1 when there is a problem; warnings leave it at 0.`
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
	for _, f := range r.Checks {
		if f.Advice != "" {
			if err := a.Print("%s, %s: %s\n", f.Level, f.Check, f.Advice); err != nil {
				return err
			}
		}
	}
	return nil
}
