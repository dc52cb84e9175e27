package doctor

import (
	"context"
	"fmt"
	"os"

	"github.com/berth-host/berth/host/config/lockfile"
	"github.com/berth-host/berth/host/install"
	"github.com/berth-host/berth/host/wire"
)

// installed compares installed plugins with the lock file.
func (e Examination) installed(ctx context.Context, dir string, running bool) []Finding {
	const check = "installed plugins"
	var list []wire.Stored
	var err error
	if running && e.Ask != nil {
		var answer wire.List[wire.Stored]
		err = e.Ask(ctx, "/api/v1/plugins/verify", &answer)
		list = answer.Items
	} else if _, missing := os.Stat(dir); missing == nil {
		list, err = install.Check(ctx, dir, lockfile.Codec{Header: install.LockHeader})
	}
	if err != nil {
		return []Finding{Bad(check, err.Error(), "installed plugins do not run until this is resolved")}
	}
	var findings []Finding
	for _, s := range list {
		if !s.OK {
			findings = append(findings, Bad(check, fmt.Sprintf("%s %s: %s", s.Plugin, s.Version, s.Problem), "install it again, or roll it back"))
		}
	}
	if findings == nil {
		findings = append(findings, Good(check, fmt.Sprintf("%d stored versions match the lock file", len(list))))
	}
	return findings
}

// host queries the running host.
func (e Examination) host(ctx context.Context, inUse bool) []Finding {
	const check = "host"
	if e.Ask == nil {
		if inUse {
			return []Finding{Bad(check, "a process uses the store, but has not announced its URL",
				"it is starting or ending: run the doctor again; otherwise stop it by its pid")}
		}
		return []Finding{Good(check, "none is running")}
	}
	if err := e.Ask(ctx, "/healthz", nil); err != nil {
		if !inUse {
			return []Finding{Warn(check, fmt.Sprintf("one was running at %s and was killed", e.At),
				"nothing, if that was intended: the next start continues at its position")}
		}
		return []Finding{Bad(check, err.Error(), "read its log; SIGTERM shuts it down in order")}
	}
	first := Good(check, "one is running at "+e.At)
	others, advice := e.parts(ctx)
	others = append(others, e.cluster(ctx)...)
	if err := e.Ask(ctx, "/readyz", nil); err != nil {
		first = Warn(check, fmt.Sprintf("the one at %s is not ready: %v", e.At, err), advice)
	}
	return append([]Finding{first}, others...)
}

// parts queries the event log and the plugins of the running host. advice is what to do when
// the host is not ready.
func (e Examination) parts(ctx context.Context) (findings []Finding, advice string) {
	advice = "read its log"
	var log wire.LogStatus
	if err := e.Ask(ctx, "/api/v1/events/log", &log); err == nil && log.Problem != "" {
		findings = append(findings, Bad("event log", log.Problem,
			"put the file back under its name; copy the open files named in the log before the host ends"))
		advice = "repair the event log, see below"
	} else if err == nil && log.Full {
		findings = append(findings, Bad("event log", "it is full: the host refuses events", "repair slow handlers, or raise bus.max_size"))
	}
	var plugins wire.List[wire.Plugin]
	if err := e.Ask(ctx, "/api/v1/events/plugins", &plugins); err != nil {
		return append(findings, Bad("plugins", err.Error(), "set BERTH_TOKEN to a token with the scope read")), advice
	}
	active, stuck := 0, ""
	for _, p := range plugins.Items {
		text := fmt.Sprintf("%s is %s: %s", p.Name, p.State, p.Reason)
		switch p.State {
		case wire.Active, wire.Standby:
			active++
		case wire.Discovered, wire.Vetting:
			if log.Problem == "" {
				advice = "wait: it compiles new modules first"
			}
		case wire.Rejected:
			findings = append(findings, Warn("plugins", text, "berth plugin report "+p.Name))
		case wire.NeedsApproval, wire.Held:
			findings = append(findings, Warn("plugins", text, "berth plugin show "+p.Name+", then approve or enable it"))
		case wire.Stuck:
			stuck = p.Name
			findings = append(findings, Bad("plugins", text, "restore a backup, or skip the event: berth events skip"))
		case wire.BreakerOpen:
			findings = append(findings, Warn("plugins", text, "its events wait; install a repaired version"))
		}
	}
	if stuck != "" {
		advice = "see the plugin " + stuck + " below"
	}
	return append(findings, Good("plugins", fmt.Sprintf("%d of %d are active", active, len(plugins.Items)))), advice
}

// cluster queries what the running host sees of the others that share its database; nothing for one
// that runs alone.
func (e Examination) cluster(ctx context.Context) []Finding {
	var c wire.Cluster
	if err := e.Ask(ctx, "/api/v1/cluster", &c); err != nil || !c.Shared {
		return nil // parts reports an API that does not answer
	}
	if c.Problem != "" {
		return c.Findings
	}
	alive, waiting := 0, 0
	for _, m := range c.Members {
		if m.Alive {
			alive++
		}
	}
	for _, u := range c.Units {
		if u.Host == "" {
			waiting++
		}
	}
	return append(c.Findings, Good("cluster", fmt.Sprintf("%s runs with %d of %d hosts alive; %d handlers and jobs wait for a host",
		c.Host, alive, len(c.Members), waiting)))
}
