// Package overview has the command that shows the state of a host and the figures of every
// handler.
package overview

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/cmd/berth/internal/console"
	"github.com/berth-host/berth/host/wire"
)

type app struct{ *command.Env }

// Command returns the command overview.
func Command(env *command.Env) *cobra.Command {
	a := app{env}
	cmd := env.Remote("overview", "Show what is wrong now, and the rates, durations, memory and fuel of every handler",
		func(ctx context.Context, _ []string) error {
			return command.Fetch(ctx, a.Env, "GET", "/api/v1/overview", nil, a.print)
		})
	cmd.Long = `Show what is wrong now, and the rates, durations, memory and fuel of every handler,
those that need attention first. Fuel is the cost of a handler: about one for each
simple instruction. Rates are of the last minute or two; shares, durations and fuel
of the last 45 to 60 minutes; all since the host started where that is later.`
	return cmd
}

func (a app) print(o wire.Overview) error {
	state := "ready"
	if !o.Ready {
		state = "not ready: " + cmp.Or(o.Problem, "see berth doctor")
	}
	a.Print("host       %s, Berth %s, started %s\nstate      %s\n", o.Host, o.Version, console.Clock(o.StartedAt), state)
	a.Print("rates      %.1f events/s published, %.1f deliveries/s ended\n", o.EventsPerS, o.DeliveriesPerS)
	latency := "none measured in the last minute"
	if o.LatencyP99MS > 0 {
		latency = duration(o.LatencyP50MS) + " median, " + duration(o.LatencyP99MS) + " p99, from publishing to delivered"
	}
	attempts := "none in the last hour"
	if slices.ContainsFunc(o.Handlers, attempted) || o.OKShare < 1 {
		attempts = percent(1-o.OKShare) + " failed in the last hour"
	}
	a.Print("latency    %s\nattempts   %s\n", latency, attempts)
	a.Print("waiting    %s\n", waiting(o.OldestAt))
	for _, l := range []struct {
		name, command string
		n             int
	}{
		{"scheduled", "berth events scheduled", int(o.Scheduled)},
		{"issues", "berth issues list", o.OpenIssues},
		{"dead", "berth events dead-letters list", int(o.DeadLetters)},
		{"approvals", "berth plugin list", o.Approvals},
		{"operations", "berth operations list --state running", o.Operations},
	} {
		if l.n > 0 {
			a.Print("%-10s %d: %s\n", l.name, l.n, l.command)
		}
	}
	a.Print("disk       %s free of %s; the store has %s\n", console.Bytes(int64(o.Disk.FreeBytes)), console.Bytes(int64(o.Disk.TotalBytes)),
		console.Bytes(int64(o.Disk.StoreBytes)))
	a.Print("memory     %s\n", console.Bytes(int64(o.MemoryBytes)))
	if len(o.Handlers) == 0 {
		return a.Print("\nThere are no handlers; berth plugin add FILE adds one.\n")
	}
	a.Print("\n")
	const titles = "HANDLER\tSTATE\tVERSION\tPER S\tFAILED\tP50\tP99\tFUEL/EVENT\tMEMORY\tINSTANCES\tLAG\tOLDEST\tDEAD\tISSUES\tREASON"
	return console.Table(a.Console, titles, o.Handlers, func(h wire.HandlerSummary) console.Cells {
		reason, _, _ := strings.Cut(h.Reason, "\n")
		return console.Cells{h.Plugin, h.State, cmp.Or(h.Version, h.SHA256[:min(12, len(h.SHA256))], "-"), fmt.Sprintf("%.1f", h.PerS),
			failed(h), duration(h.DurationP50MS), duration(h.DurationP99MS), fuel(h.FuelPerEvent), console.Bytes(int64(h.MemoryBytes)),
			h.Instances, h.Lag, console.ClockOr(h.OldestAt), h.Dead, h.OpenIssues, cmp.Or(reason, "-")}
	})
}

// waiting says since when the oldest event waits for a handler that runs.
func waiting(oldest *time.Time) string {
	if oldest == nil {
		return "no event waits for a handler that runs"
	}
	return "the oldest event waits since " + console.Clock(*oldest)
}

// duration prints milliseconds; a dash where nothing was measured.
func duration(ms float64) string {
	switch {
	case ms <= 0:
		return "-"
	case ms < 0.1:
		return fmt.Sprintf("%.3f ms", ms)
	case ms < 1000:
		return fmt.Sprintf("%.2f ms", ms)
	}
	return fmt.Sprintf("%.1f s", ms/1000)
}

// attempted reports whether the handler has figures of attempts.
func attempted(h wire.HandlerSummary) bool { return h.DurationP99MS > 0 || h.FailedShare > 0 }

// failed prints the share of a handler's attempts that failed; a dash without any.
func failed(h wire.HandlerSummary) string {
	if !attempted(h) {
		return "-"
	}
	return percent(h.FailedShare)
}

// percent prints a share of 0 to 1. A share that is not 0 does not print as 0.
func percent(share float64) string {
	p := 100 * share
	if p > 0 && p < 0.1 {
		return "<0.1 %"
	}
	return fmt.Sprintf("%.1f %%", math.Abs(p))
}

// fuel prints the fuel of an event, of three digits or more.
func fuel(n float64) string {
	switch {
	case n <= 0:
		return "-"
	case n < 1e4:
		return fmt.Sprintf("%.0f", n)
	case n < 1e7:
		return fmt.Sprintf("%.0fk", n/1e3)
	}
	return fmt.Sprintf("%.0fM", n/1e6)
}
