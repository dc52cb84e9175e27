package main

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/host/audit"
	"github.com/berth-host/berth/host/wire"
)

func (a *app) auditCommand() *cobra.Command {
	return group("audit", "See who changed what, from the data directory's audit.log", a.auditList(), a.auditTail())
}

func (a *app) auditList() *cobra.Command {
	var limit int
	cmd := a.local(&cobra.Command{
		Use:   "list",
		Short: "List the latest changes and refused attempts, the newest last",
		Args:  usage(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			if err := a.needDataDir(); err != nil {
				return err
			}
			if limit < 1 || limit > 100_000 {
				return usageError{fmt.Errorf("--limit must be 1 to 100000, not %d", limit)}
			}
			// Each change has two records.
			records, err := audit.List(a.auditFile(), 2*limit)
			if err != nil {
				return err
			}
			changes := audit.Changes(records)
			changes = changes[max(0, len(changes)-limit):]
			if a.json {
				if changes == nil {
					changes = []audit.Record{}
				}
				return a.encodeJSON(wire.List[audit.Record]{Items: changes}, false)
			}
			return a.table("TIME\tWHO\tFROM\tACTION\tTARGET\tRESULT\tWHAT", len(changes), func(i int) cells {
				return auditLine(changes[i])
			})
		},
	})
	cmd.Flags().IntVar(&limit, "limit", 50, "at most this many")
	return cmd
}

func (a *app) auditTail() *cobra.Command {
	return a.local(&cobra.Command{
		Use:   "tail",
		Short: "Follow the audit log until Ctrl-C",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.needDataDir(); err != nil {
				return err
			}
			return audit.Follow(cmd.Context(), a.auditFile(), func(r audit.Record) error {
				if a.json {
					return a.encodeJSON(r, false)
				}
				return a.print("%s  %s  %s  %s  %s  %s  %s\n", auditLine(r)...)
			})
		},
	})
}

func (a *app) auditFile() string { return filepath.Join(a.dataDirectory(), audit.File) }

// auditLine is a record as a person reads it.
func auditLine(r audit.Record) cells {
	result := r.Result
	switch r.Stage {
	case audit.Refused:
		result = "refused"
	case audit.Begin:
		result = "begun"
	}
	if r.Status != 0 {
		result += fmt.Sprintf(" (%d)", r.Status)
	}
	what := r.Error
	switch {
	case what != "":
	case len(r.Before) > 0 && len(r.After) > 0:
		what = string(r.Before) + " → " + string(r.After)
	case len(r.After) > 0:
		what = string(r.After)
	case len(r.Before) > 0:
		what = string(r.Before) + " → nothing"
	}
	if r.Suppressed > 0 {
		what += fmt.Sprintf(" (and %d more refused before it)", r.Suppressed)
	}
	return filled(r.At.Local().Format(time.DateTime), r.Who, r.Remote, r.Action, r.Target, result, what)
}
