package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/host/doctor"
	"github.com/berth-host/berth/host/live"
)

// examined bounds the doctor's questions to a host.
const examined = 10 * time.Second

func (a *app) doctorCommand() *cobra.Command {
	var configPath string
	cmd := a.local(&cobra.Command{
		Use:   "doctor",
		Short: "Examine what a host needs: files, disk, clock, limits, compiler, configuration",
		Long: `Examines everything a host needs on this machine: the configuration, directories
and their permissions, tokens and secrets, the disk, the limits of a process, the
compiler, the store, the address to listen on and its certificate, installed
plugins, the clock, and the host that runs on the data directory, if one does. It
needs no host and changes nothing. BERTH_URL is not heeded: it examines this machine.

The exit code is 1 when there is a problem; warnings leave it at 0.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.dataDir == "" && os.Getenv("BERTH_DATA_DIR") == "" {
				a.dataDir = live.DataDirOf(configPath)
			}
			a.timeout = examined
			e := doctor.Examination{ConfigPath: configPath, DataDir: a.dataDirectory(), Version: version}
			if a.elsewhere() {
				a.note("The doctor examines this machine and its data directory %s, not the host at BERTH_URL.\n", a.dataDirectory())
			}
			if c, err := a.connectTo(""); err == nil {
				e.At, e.Ask = c.url, func(ctx context.Context, path string, answer any) error {
					if answer == nil {
						answer = new(any)
					}
					_, err := c.call(ctx, "GET", path, nil, answer)
					return err
				}
			}
			report := doctor.Examine(cmd.Context(), e)
			if err := a.showExamination(report); err != nil {
				return err
			}
			if report.Problems > 0 {
				return fmt.Errorf("the doctor found %s and %s", count(report.Problems, "problem"), count(report.Warnings, "warning"))
			}
			return nil
		},
	})
	cmd.Flags().StringVar(&configPath, "config", "", "configuration file (default: "+live.DefaultPath+")")
	return cmd
}

func (a *app) showExamination(r doctor.Report) error {
	if a.json {
		return a.encodeJSON(r, false)
	}
	err := a.table("CHECK\tRESULT\tFOUND", len(r.Checks), func(i int) cells {
		f := r.Checks[i]
		return cells{f.Check, f.Level, f.Detail}
	})
	if err != nil || r.Problems+r.Warnings == 0 {
		return err
	}
	a.print("\n")
	for _, f := range r.Checks {
		if f.Advice != "" {
			if err := a.print("%s, %s: %s\n", f.Level, f.Check, f.Advice); err != nil {
				return err
			}
		}
	}
	return nil
}

// count is a number of things, for people.
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
