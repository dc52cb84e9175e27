package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/host/api"
	"github.com/berth-host/berth/host/api/catalog"
	"github.com/berth-host/berth/host/api/guard"
	"github.com/berth-host/berth/host/api/incident"
	"github.com/berth-host/berth/host/api/membership"
	"github.com/berth-host/berth/host/api/ports"
	"github.com/berth-host/berth/host/api/stream"
	"github.com/berth-host/berth/host/wire"
)

// commands are what an operator does each thing of the API with.
var commands = map[string]string{
	"POST /api/v1/events":                          "events publish",
	"GET /api/v1/events":                           "events list",
	"GET /api/v1/events/stream":                    "events tail",
	"POST /api/v1/events/reload-config":            "config reload",
	"POST /api/v1/events/explain":                  "route explain",
	"GET /api/v1/events/plugins":                   "plugin list",
	"POST /api/v1/events/plugins/:name/enable":     "plugin enable",
	"POST /api/v1/events/plugins/:name/disable":    "plugin disable",
	"POST /api/v1/events/plugins/:name/pause":      "plugin pause",
	"POST /api/v1/events/plugins/:name/resume":     "plugin resume",
	"GET /api/v1/events/:id":                       "events show",
	"GET /api/v1/events/dead-letters":              "events dead-letters list",
	"GET /api/v1/events/dead-letters/:id":          "events dead-letters show",
	"POST /api/v1/events/dead-letters/redrive":     "events dead-letters redrive",
	"POST /api/v1/events/dead-letters/purge":       "events dead-letters purge",
	"POST /api/v1/events/skip":                     "events skip",
	"POST /api/v1/events/replay":                   "events replay",
	"GET /api/v1/events/log":                       "events log",
	"GET /api/v1/events/scheduled":                 "events scheduled",
	"DELETE /api/v1/events/scheduled/:key":         "events cancel",
	"GET /api/v1/audit":                            "audit list",
	"POST /api/v1/backup":                          "backup",
	"GET /api/v1/config":                           "config show",
	"GET /api/v1/config/file":                      "config diff",
	"POST /api/v1/config/plan":                     "config plan",
	"GET /api/v1/doctor":                           "doctor",
	"GET /api/v1/events/plugins/:name/config":      "config get",
	"PUT /api/v1/events/plugins/:name/config":      "config set",
	"GET /api/v1/events/plugins/:name/kv":          "kv list",
	"GET /api/v1/events/plugins/:name/kv/:key":     "kv get",
	"PUT /api/v1/events/plugins/:name/kv/:key":     "kv set",
	"DELETE /api/v1/events/plugins/:name/kv/:key":  "kv delete",
	"GET /api/v1/events/:event_id/tree":            "events tree",
	"POST /api/v1/events/:event_id/retry":          "events retry",
	"POST /api/v1/events/:event_id/skip":           "events skip",
	"POST /api/v1/events/:event_id/copy":           "events copy",
	"POST /api/v1/session/links":                   "console",
	"GET /api/v1/overview":                         "overview",
	"GET /api/v1/issues":                           "issues list",
	"GET /api/v1/issues/:id":                       "issues show",
	"POST /api/v1/issues/:id/acknowledge":          "issues ack",
	"POST /api/v1/issues/:id/resolve":              "issues resolve",
	"POST /api/v1/issues/:id/ignore":               "issues ignore",
	"POST /api/v1/issues/:id/reopen":               "issues reopen",
	"POST /api/v1/operations":                      "operations start",
	"GET /api/v1/operations":                       "operations list",
	"GET /api/v1/operations/:id":                   "operations show",
	"POST /api/v1/operations/:id/cancel":           "operations cancel",
	"GET /api/v1/cluster":                          "cluster status",
	"POST /api/v1/cluster/members/:member/drain":   "cluster drain",
	"POST /api/v1/cluster/members/:member/undrain": "cluster drain",
	"POST /api/v1/config/adopt":                    "config adopt",
	"GET /api/v1/schedules":                        "schedules list",
	"POST /api/v1/schedules/:schedule/run":         "schedules run",
	"GET /api/v1/event-types":                      "events types",
	"GET /api/v1/event-types/:type":                "events types",
	"GET /api/v1/orders":                           "orders list",
	"POST /api/v1/orders":                          "orders create",
	"GET /api/v1/orders/:id":                       "orders show",
	"POST /api/v1/orders/:id/status":               "orders move",
	"GET /api/v1/plugins/marketplace":              "marketplace search",
	"POST /api/v1/plugins/install":                 "plugin install",
	"DELETE /api/v1/plugins/uninstall/:name":       "plugin uninstall",
	"GET /api/v1/plugins/verify":                   "plugin verify",
	"POST /api/v1/events/plugins/:name/upgrade":    "plugin upgrade",
	"POST /api/v1/events/plugins/:name/rollback":   "plugin rollback",
	"GET /api/v1/events/plugins/:name":             "plugin show",
	"POST /api/v1/events/plugins/:name/approve":    "plugin approve",
	"GET /api/v1/events/plugins/:name/report":      "plugin report",
	"GET /api/v1/events/plugins/:name/logs":        "plugin logs",
}

// withoutCommand are the endpoints for programs that show figures: Prometheus and the console.
var withoutCommand = map[string]bool{
	"GET /metrics":       true,
	"GET /api/v1/series": true,

	// of browsers: the command line has a token
	"GET /api/v1/session":    true,
	"DELETE /api/v1/session": true,
}

// Interfaces under another name than that of their method.
type (
	outcomes = ports.Deliveries
	dead     = ports.DeadLetters
)

// TestEveryAbilityHasACommand compares the commands with the routes: each endpoint that needs
// a token has a command, which can print the answer as JSON.
func TestEveryAbilityHasACommand(t *testing.T) {
	s, err := api.New(api.Config{
		Events: api.Events{
			Publisher: struct{ ports.Publisher }{}, Log: struct{ ports.EventLog }{}, Schedule: struct{ ports.Schedule }{}, Published: struct{ stream.Log }{}, Activities: struct{ stream.Activities }{},
			Router: struct{ ports.Router }{}, Deliveries: struct{ outcomes }{}, DeadLetters: struct{ dead }{}, Replayer: struct{ ports.Replayer }{}, Status: struct{ ports.LogStatuser }{},
		},
		Orders:     struct{ api.Orders }{},
		Actions:    struct{ ports.Actions }{},
		Catalog:    catalog.Parts{Schedules: struct{ catalog.Schedules }{}, EventTypes: struct{ catalog.EventTypes }{}},
		Membership: membership.Parts{Cluster: struct{ membership.Cluster }{}},
		Incidents:  incident.Parts{Issues: struct{ incident.Issues }{}, Operations: struct{ incident.Operations }{}},
		Plugins: api.Plugins{Registry: struct{ ports.Registry }{}, Logs: struct{ ports.Logs }{}, Installer: struct{ ports.Installer }{}, Marketplace: struct{ ports.Marketplace }{},
			State: struct{ ports.KeyValues }{}},
		Admin: api.Admin{Reloader: struct{ ports.Reloader }{}, Planner: struct{ ports.Planner }{}, Audit: struct{ ports.Auditor }{}, AuditLog: struct{ ports.AuditLog }{},
			Ready: func() error { return nil }, Backups: struct{ ports.Backups }{},
			Doctor: func(context.Context) (f wire.Findings) { return f }},
		Figures: api.Figures{Metrics: http.NotFoundHandler(), Series: struct{ ports.SeriesSource }{}},
		Guard:   guard.Config{Tokens: struct{ guard.Verifier }{}},
	})
	if err != nil {
		t.Fatal(err)
	}
	root := testRoot()
	checked := 0
	for _, r := range s.Routes() {
		if r.Scope == "" || r.Now != "" || withoutCommand[r.Method+" "+r.Path] {
			continue // without a token, a method that answers 405, or a former path
		}
		checked++
		path, ok := commands[r.Method+" "+r.Path]
		if !ok {
			t.Errorf("%s %s has no command", r.Method, r.Path)
			continue
		}
		cmd, _, _ := root.Find(strings.Fields(path))
		if cmd.CommandPath() != "berth "+path {
			t.Errorf("there is no command %q", path)
		} else if cmd.Flags().Lookup("json") == nil {
			t.Errorf("%q has no --json", path)
		}
	}
	if checked != len(commands) {
		t.Errorf("%d routes need a token, and %d have a command", checked, len(commands))
	}
}

// TestHelp goes through every command: what a person reads is there.
func TestHelp(t *testing.T) {
	var look func(*cobra.Command)
	look = func(cmd *cobra.Command) {
		var out bytes.Buffer
		code := doMain(t.Context(), append(strings.Fields(cmd.CommandPath())[1:], "--help"), strings.NewReader(""), &out, &out)
		if code != command.ExitOK || cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") || !strings.Contains(out.String(), cmd.UseLine()) && !cmd.HasSubCommands() {
			t.Errorf("%s: exit code %d, %q:\n%s", cmd.CommandPath(), code, cmd.Short, out.String())
		}
		for _, sub := range cmd.Commands() {
			look(sub)
		}
	}
	look(testRoot())
}

func TestCompletion(t *testing.T) {
	d := newDesk(t, map[string]string{
		"GET /api/v1/events/plugins":      complete[wire.List[wire.Plugin]](`{"items":[{"name":"fraud-check","subscribes":["order_placed","stock_*"]},{"name":"fraud-audit","subscribes":["order_placed"]},{"name":"mail"},{"name":"two words"}],"next":null}`),
		"GET /api/v1/events/dead-letters": complete[wire.List[wire.DeadLetter]](`{"items":[{"event_id":"e1"},{"event_id":"e2"},{"event_id":"e1"}],"next":"7"}`),
		"GET /api/v1/config":              "config show",
		"GET /api/v1/orders":              complete[wire.List[wire.Order]](`{"items":[{"id":"A-1"}],"next":null}`),
	})
	for _, tt := range []struct {
		typed []string
		want  []string
	}{
		{[]string{"plugin", "show", ""}, []string{"fraud-audit", "fraud-check", "mail"}},
		{[]string{"plugin", "pause", "fraud-c"}, []string{"fraud-check"}},
		{[]string{"plugin", "show", "mail", ""}, nil},
		{[]string{"events", "emit", ""}, []string{"order_placed"}},
		{[]string{"events", "list", "--type", "o"}, []string{"order_placed"}},
		{[]string{"events", "replay", "--plugin", "m"}, []string{"mail"}},
		{[]string{"events", "replay", "--from", ""}, []string{"earliest"}},
		{[]string{"events", "dead-letters", "show", ""}, []string{"e1", "e2"}},
		{[]string{"events", "dead-letters", "redrive", "--event", ""}, []string{"e1", "e2"}},
		{[]string{"events", "dead-letters", "purge", "--class", "t"}, []string{"timeout", "trap"}},
		{[]string{"orders", "move", "A"}, []string{"A-1"}},
		{[]string{"orders", "move", "A-1", "con"}, []string{"confirmed"}},
		{[]string{"orders", "list", "--status", "ref"}, []string{"refunded"}},
		{[]string{"config", "show", "--handler", "m"}, []string{"mail"}},
		{[]string{"token", "create", "--scope", "p"}, []string{"publish"}},
		{[]string{"plugin", "new", "--lang", "g"}, []string{"go"}},
		{[]string{"plugin", "dev", "--lang", "g"}, []string{"go"}},
		{[]string{"completion", ""}, []string{"bash", "fish", "zsh"}},
	} {
		var out bytes.Buffer
		doMain(t.Context(), append([]string{"__complete"}, tt.typed...), strings.NewReader(""), &out, io.Discard)
		var got []string
		for line := range strings.Lines(out.String()) {
			if line = strings.TrimSpace(line); !strings.HasPrefix(line, ":") {
				got = append(got, line)
			}
		}
		if slices.Sort(got); !slices.Equal(got, tt.want) {
			t.Errorf("%q: got %q, want %q", tt.typed, got, tt.want)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if code, out, errs := d.run(t, "", "completion "+shell); code != command.ExitOK || !strings.Contains(out, "__complete") {
			t.Errorf("%s: got %d, %d bytes, %s", shell, code, len(out), errs)
		}
	}
	for _, wrong := range []string{"completion", "completion powershell"} {
		if code, out, _ := d.run(t, "", wrong); code != command.ExitUsage || out != "" {
			t.Errorf("%s: got %d, %q", wrong, code, out)
		}
	}

	// Without a host there is nothing to say, and nothing is said.
	t.Setenv("BERTH_URL", "http://127.0.0.1:1")
	var out, errs bytes.Buffer
	if code := doMain(t.Context(), []string{"__completeNoDesc", "plugin", "show", ""}, strings.NewReader(""), &out, &errs); code != command.ExitOK || out.String() != ":4\n" {
		t.Errorf("got %d, %q, %q", code, out.String(), errs.String())
	}
}
