package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/host/audit"
	"github.com/berth-host/berth/host/wire"
)

func (a *app) auditCommand() *cobra.Command {
	return group("audit", "See who changed what: of the data directory's audit.log, or of the host at BERTH_URL", a.auditList(), a.auditTail())
}

func (a *app) auditList() *cobra.Command {
	var limit int
	cmd := a.local(&cobra.Command{
		Use:   "list",
		Short: "List the latest changes and refused attempts, the newest last",
		Long: `Lists the latest changes and refused attempts, the newest last. With BERTH_URL the
host there is asked, which needs a token of the scope operate. Without it the file
audit.log of the data directory is read, also while no host runs.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			show := func(list wire.List[wire.AuditRecord]) error {
				return a.table("TIME\tWHO\tFROM\tACTION\tTARGET\tRESULT\tWHAT", len(list.Items), func(i int) cells {
					return auditLine(list.Items[i])
				})
			}
			if a.elsewhere() {
				if limit < 1 || limit > 1000 {
					return usageError{fmt.Errorf("--limit must be 1 to 1000 of a host at BERTH_URL, not %d", limit)}
				}
				return fetch(cmd.Context(), a, "GET", auditPath(limit), nil, show)
			}
			if err := a.needDataDir(); err != nil {
				return err
			}
			if limit < 1 || limit > 100_000 {
				return usageError{fmt.Errorf("--limit must be 1 to 100000, not %d", limit)}
			}
			changes, err := audit.Latest(a.auditFile(), limit)
			if err != nil {
				return err
			}
			list := wire.List[wire.AuditRecord]{Items: slices.Concat([]wire.AuditRecord{}, changes)}
			if a.json {
				return a.encodeJSON(list, false)
			}
			return show(list)
		},
	})
	cmd.Flags().IntVar(&limit, "limit", 50, "at most this many")
	return cmd
}

func auditPath(limit int) string { return fmt.Sprintf("/api/v1/audit?limit=%d", limit) }

func (a *app) auditTail() *cobra.Command {
	return a.local(&cobra.Command{
		Use:   "tail",
		Short: "Follow the audit log until Ctrl-C",
		Long: `Follows the audit log until Ctrl-C: the file of the data directory, or with BERTH_URL
that of the host there, which is asked once a second.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			show := func(r wire.AuditRecord) error {
				if a.json {
					return a.encodeJSON(r, false)
				}
				return a.print("%s  %s  %s  %s  %s  %s  %s\n", auditLine(r)...)
			}
			if a.elsewhere() {
				return a.followAudit(cmd.Context(), show)
			}
			if err := a.needDataDir(); err != nil {
				return err
			}
			return audit.Follow(cmd.Context(), a.auditFile(), show)
		},
	})
}

// auditEvery is how often a host is asked for its latest changes.
const auditEvery = time.Second

// followAudit shows what comes into the audit log of the host at BERTH_URL, until ctx
// ends.
func (a *app) followAudit(ctx context.Context, show func(wire.AuditRecord) error) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	tick := time.NewTicker(auditEvery)
	defer tick.Stop()
	for seen := map[string]bool(nil); ; {
		var list wire.List[wire.AuditRecord]
		if _, err := c.call(ctx, "GET", auditPath(1000), nil, &list); err != nil {
			if ctx.Err() != nil {
				return nil // Ctrl-C is how it ends
			}
			return err
		}
		now := make(map[string]bool, len(list.Items))
		for _, r := range list.Items {
			key := r.ID + " " + r.Stage
			now[key] = true
			if seen != nil && !seen[key] { // what was there at first is not news
				if err := show(r); err != nil {
					return err
				}
			}
		}
		seen = now
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
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
	return withDashes(r.At.Local().Format(time.DateTime), r.Who, r.Remote, r.Action, r.Target, result, what)
}
