package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/cmd/berth/internal/console"
	"github.com/berth-host/berth/host/audit"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// AuditCommand returns the command audit.
func AuditCommand(env *command.Env) *cobra.Command {
	a := app{env}
	return command.Group("audit", "See who changed what: of the data directory's audit.log, or of the host at BERTH_URL", a.listAudit(),
		a.tailAudit())
}

func (a app) listAudit() *cobra.Command {
	var q spec.AuditQuery
	cmd := a.Local("list", "List the latest changes and refused attempts, the newest last", func(ctx context.Context, _ []string) error {
		show := func(list wire.List[wire.AuditRecord]) error {
			return console.Table(a.Console, "TIME\tWHO\tFROM\tACTION\tTARGET\tRESULT\tWHAT", list.Items, auditLine)
		}
		if a.Elsewhere() {
			if q.Limit < 1 || q.Limit > 1000 {
				return command.Usage("--limit must be 1 to 1000 of a host at BERTH_URL, not %d", q.Limit)
			}
			return command.Fetch(ctx, a.Env, "GET", auditPath(q), nil, show)
		}
		if err := a.NeedDataDir(); err != nil {
			return err
		}
		if q.Limit < 1 || q.Limit > 100_000 {
			return command.Usage("--limit must be 1 to 100000, not %d", q.Limit)
		}
		if results := spec.AuditResults(); q.Result != "" && !slices.Contains(results, q.Result) {
			return command.Usage("--result %s is not known; there are %s", q.Result, strings.Join(results, ", "))
		}
		changes, next, err := audit.Find(a.auditFile(), q)
		if err != nil {
			return err
		}
		list := wire.List[wire.AuditRecord]{Items: slices.Concat([]wire.AuditRecord{}, changes)}
		if next != "" {
			list.Next = &next
		}
		return command.Show(a.Env, list, show)
	})
	cmd.Long = `Lists the latest changes and refused attempts, the newest last. With BERTH_URL the
host there is asked, which needs a token of the scope operate. Without it the file
audit.log of the data directory is read, also while no host runs.`
	flags := cmd.Flags()
	flags.IntVar(&q.Limit, "limit", 50, "at most this many")
	flags.StringVar(&q.Cursor, "cursor", "", "next of the page before (--json): older changes")
	flags.StringVar(&q.Action, "action", "", "only this action, such as disable")
	flags.StringVar(&q.Who, "who", "", "only those of the token with this name or id")
	flags.StringVar(&q.Target, "target", "", "only those of this target, such as a plugin")
	flags.StringVar(&q.Result, "result", "", "only those with this result: "+strings.Join(spec.AuditResults(), ", "))
	return cmd
}

func auditPath(q spec.AuditQuery) string {
	return command.Path("/api/v1/audit", "limit", strconv.Itoa(q.Limit), "cursor", q.Cursor, "action", q.Action, "who", q.Who,
		"target", q.Target, "result", q.Result)
}

func (a app) tailAudit() *cobra.Command {
	cmd := a.Local("tail", "Follow the audit log until Ctrl-C", func(ctx context.Context, _ []string) error {
		show := func(r wire.AuditRecord) error {
			return command.Show(a.Env, r, func(r wire.AuditRecord) error {
				return a.Print("%s  %s  %s  %s  %s  %s  %s\n", auditLine(r)...)
			})
		}
		if a.Elsewhere() {
			return a.followAudit(ctx, show)
		}
		if err := a.NeedDataDir(); err != nil {
			return err
		}
		return audit.Follow(ctx, a.auditFile(), show)
	})
	cmd.Long = `Follows the audit log until Ctrl-C: the file of the data directory, or with BERTH_URL
that of the host there, which is asked once a second.`
	return cmd
}

// auditEvery is the interval at which a host is asked for its latest changes.
const auditEvery = time.Second

// followAudit shows new records of the audit log of the host at BERTH_URL, until ctx ends.
func (a app) followAudit(ctx context.Context, show func(wire.AuditRecord) error) error {
	c, err := a.Connect()
	if err != nil {
		return err
	}
	tick := time.NewTicker(auditEvery)
	defer tick.Stop()
	for seen := map[string]bool(nil); ; {
		var list wire.List[wire.AuditRecord]
		if _, err := c.Call(ctx, "GET", auditPath(spec.AuditQuery{Limit: 1000}), nil, &list); err != nil {
			if ctx.Err() != nil {
				return nil // Ctrl-C
			}
			return err
		}
		now := make(map[string]bool, len(list.Items))
		for _, r := range list.Items {
			key := r.ID + " " + r.Stage
			now[key] = true
			if seen != nil && !seen[key] { // records that exist at the start are not shown
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

func (a app) auditFile() string { return filepath.Join(a.DataDirectory(), audit.File) }

// auditLine returns a record for a person.
func auditLine(r audit.Record) console.Cells {
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
	switch about := eventAction(r); {
	case about != "" && what != "":
		what = about + ": " + what
	case about != "":
		what = about
	case what != "":
	case len(r.Before) > 0 && bytes.Equal(r.Before, r.After) && len(r.Asked) > 0: // the plugin is not what changed
		what = string(r.Asked)
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
	return console.WithDashes(r.At.Local().Format(time.DateTime), r.Who, r.Remote, r.Action, r.Target, result, what)
}

// eventAction returns the event that a record is about, and the note of the operator; "" for
// another record. The plugin's state, which such a record has too, does not change by it.
func eventAction(r audit.Record) string {
	_, path, _ := strings.Cut(r.Request, " ")
	id, action, ok := strings.Cut(strings.TrimPrefix(path, "/api/v1/events/"), "/")
	if !ok || action != r.Action || !slices.Contains([]string{"retry", "skip", "copy"}, action) {
		return ""
	}
	var asked struct {
		Note string `json:"note"`
	}
	var copied struct {
		EventID string `json:"event_id"`
	}
	_, _ = json.Unmarshal(r.Asked, &asked), json.Unmarshal(r.After, &copied) // both may be absent
	text := "event " + id
	if copied.EventID != "" {
		text += " as " + copied.EventID
	}
	if asked.Note != "" {
		text += ": " + asked.Note
	}
	return text
}
