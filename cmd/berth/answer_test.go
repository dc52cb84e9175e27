package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/berth-host/berth/cmd/berth/internal/client"
	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/host/wire"
)

// online is one command line for each request that a command sends, by the
// command's path.
var online = map[string]string{
	"audit list":                  "audit list",
	"audit tail":                  "audit tail",
	"backup":                      "backup answers-of-no-host.tar", // it is removed
	"cluster status":              "cluster status",
	"cluster drain":               "cluster drain a",
	"config adopt":                "config adopt",
	"config diff":                 "config diff",
	"config get":                  "config get p",
	"config plan":                 "config plan",
	"config reload":               "config reload",
	"config set":                  "config set p -",
	"config show":                 "config show",
	"events dead-letters list":    "events dead-letters list",
	"events dead-letters purge":   "events dead-letters purge --plugin p --yes",
	"events dead-letters redrive": "events dead-letters redrive --plugin p --yes",
	"events dead-letters show":    "events dead-letters show 01a227c8-ec24-76f7-b0c4-5e2c7f064963",
	"events emit":                 "events emit t",
	"events list":                 "events list",
	"events log":                  "events log",
	"events publish":              "events publish -",
	"events replay":               "events replay --plugin p --from earliest",
	"events cancel":               "events cancel 01a227c8-ec24-76f7-b0c4-5e2c7f064963",
	"events scheduled":            "events scheduled",
	"events skip":                 "events skip 41",
	"events copy":                 "events copy 01a227c8-ec24-76f7-b0c4-5e2c7f064963",
	"events retry":                "events retry 01a227c8-ec24-76f7-b0c4-5e2c7f064963",
	"events tree":                 "events tree 01a227c8-ec24-76f7-b0c4-5e2c7f064963",
	"console":                     "console",
	"events show":                 "events show 01a227c8-ec24-76f7-b0c4-5e2c7f064963",
	"events tail":                 "events tail",
	"issues ack":                  "issues ack 7",
	"issues ignore":               "issues ignore 7",
	"issues list":                 "issues list",
	"issues redrive":              "issues redrive 7 --yes",
	"issues reopen":               "issues reopen 7",
	"issues resolve":              "issues resolve 7",
	"issues retry":                "issues retry 7 --yes",
	"issues show":                 "issues show 7",
	"kv delete":                   "kv delete p k --yes",
	"kv get":                      "kv get p k",
	"kv list":                     "kv list p",
	"kv set":                      "kv set p k v",
	"marketplace search":          "marketplace search",
	"operations cancel":           "operations cancel 7",
	"operations list":             "operations list",
	"operations show":             "operations show 7",
	"operations start":            "operations start redrive --plugin p --yes",
	"operations wait":             "operations wait 7",
	"orders create":               "orders create --customer c --item A:1:1",
	"orders list":                 "orders list",
	"orders move":                 "orders move o confirmed",
	"orders show":                 "orders show o",
	"overview":                    "overview",
	"plugin approve":              "plugin approve p --yes",
	"plugin disable":              "plugin disable p",
	"plugin enable":               "plugin enable p",
	"plugin install":              "plugin install p --yes",
	"plugin logs":                 "plugin logs p",
	"plugin list":                 "plugin list",
	"plugin outdated":             "plugin outdated",
	"plugin pause":                "plugin pause p",
	"plugin report":               "plugin report p",
	"plugin resume":               "plugin resume p",
	"plugin rollback":             "plugin rollback p",
	"plugin show":                 "plugin show p",
	"plugin uninstall":            "plugin uninstall p --yes",
	"plugin upgrade":              "plugin upgrade p --yes",
	"plugin verify":               "plugin verify",
	"route explain":               "route explain -",
	"events types":                "events types t",
	"schedules list":              "schedules list",
	"schedules run":               "schedules run s",
}

// Answers that are not those of a Berth host to the request: every command fails with the
// reason, and prints nothing of them.
func TestOtherAnswersAreRefused(t *testing.T) {
	const host = wire.VersionHeader
	for _, tt := range []struct {
		name, body string
		status     int
		header     map[string]string
		want       string
		token      bool // it is sent there
	}{
		{"another server's JSON", `{"ok":true}`, 200, map[string]string{"Content-Type": client.JSONType}, "is not a Berth host", false},
		{"a login page", "<html>", 200, map[string]string{"Content-Type": "text/html"}, "is not a Berth host", false},
		{"a redirect to a login page", "", 302, map[string]string{"Location": "https://login.example/"}, "302 Found, to https://login.example/", false},
		{"a broken gateway", "<html>", 502, map[string]string{"Content-Type": "text/html"}, "502 Bad Gateway, text/html", false},
		{"another server's problem", `{"title":"No","status":404,"detail":"no","type":"","code":""}`, 404, map[string]string{"Content-Type": client.ProblemType}, "is not a Berth host", false},

		{"an object that lacks everything", `{"ok":true}`, 0, map[string]string{host: "1", "Content-Type": client.JSONType}, "the answer is not what was expected", true},
		{"an empty object", `{}`, 0, map[string]string{host: "1", "Content-Type": client.JSONType}, "the answer is not what was expected", true},
		{"null", `null`, 0, map[string]string{host: "1", "Content-Type": client.JSONType}, "the answer is not what was expected", true},
		{"nothing", ``, 0, map[string]string{host: "1", "Content-Type": client.JSONType}, "the answer is not what was expected", true},
		{"a page", `<html>`, 0, map[string]string{host: "1", "Content-Type": "text/html"}, "the answer is not what was expected", true},
		{"another status", `{}`, 203, map[string]string{host: "1", "Content-Type": client.JSONType}, "its status is 203", true},
		{"a redirect of a host", ``, 307, map[string]string{host: "1", "Location": "https://elsewhere.example/"}, "its status is 307", true},
		{"an error without a reason", `{}`, 500, map[string]string{host: "1", "Content-Type": client.ProblemType}, "does not say why", true},
		{"an error of another status", `{"type":"","title":"No","status":404,"detail":"believe this","code":""}`, 500, map[string]string{host: "1", "Content-Type": client.ProblemType}, "does not say why", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var tokens, followed int
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "" {
					tokens++
				}
				if strings.HasPrefix(r.URL.Path, "/elsewhere") {
					followed++
				}
				for name, value := range tt.header {
					w.Header().Set(name, value)
				}
				status := tt.status
				if status == 0 {
					status = client.Success(r.Method, r.URL.Path)[0]
				}
				w.WriteHeader(status)
				if status != http.StatusNoContent {
					_, _ = io.WriteString(w, tt.body)
				}
			}))
			defer s.Close()
			t.Setenv("BERTH_URL", s.URL)
			t.Setenv("BERTH_TOKEN", "secret")
			for name, line := range online {
				tokens = 0
				empty := tt.status == 0 && name == "plugin uninstall" // its answer is a status
				var stdout, stderr strings.Builder
				for _, flag := range []string{"", " --json"} {
					stdout.Reset()
					stderr.Reset()
					code := doMain(t.Context(), strings.Fields(line+flag), strings.NewReader(`{"event_type":"t","data":1}`), &stdout, &stderr)
					if empty {
						continue
					}
					if code != command.ExitFailed || stdout.Len() > 0 || strings.Contains(stderr.String(), "believe this") {
						t.Errorf("%s: exit code %d, prints %q, %q", line+flag, code, &stdout, &stderr)
					}
					if want := tt.want; !strings.Contains(stderr.String(), want) && !(strings.HasPrefix(want, "the answer") && strings.Contains(stderr.String(), `it is "application/json", not text/event-stream`)) {
						t.Errorf("%s: says %q, and not %q", line+flag, &stderr, want)
					}
				}
				if (tokens > 0) != tt.token {
					t.Errorf("%s: the token was sent: %v", line, tokens > 0)
				}
			}
			if followed > 0 {
				t.Error("a redirect was followed")
			}
		})
	}
}

// Answers about another thing than the requested one are refused.
func TestAnswersAreAboutWhatWasAsked(t *testing.T) {
	other := complete[wire.Plugin](`{"name":"other","state":"active"}`)
	event := complete[wire.Event](`{"seq":1,"event_type":"t","data":1,"metadata":{"event_id":"other","idempotency_key":"k"},"deliveries":[]}`)
	order := complete[wire.Order](`{"id":"other"}`)
	d := newDesk(t, map[string]string{
		"GET /api/v1/events/plugins/p": other, "POST /api/v1/events/plugins/p/approve": other, "POST /api/v1/events/plugins/p/enable": other,
		"POST /api/v1/events/plugins/p/disable": other, "POST /api/v1/events/plugins/p/pause": other, "POST /api/v1/events/plugins/p/resume": other,
		"GET /api/v1/events/01a227c8-ec24-76f7-b0c4-5e2c7f064963": event, "GET /api/v1/orders/o": order, "POST /api/v1/orders/o/status": order, "POST /api/v1/orders": complete[wire.Order](`{}`),
		"POST /api/v1/events":        complete[wire.Receipt](`{}`),
		"POST /api/v1/events/replay": complete[wire.Replaying](`{"plugin":"other"}`),
		"GET /api/v1/events/dead-letters/01a227c8-ec24-76f7-b0c4-5e2c7f064963": `{"items":[` + complete[wire.DeadLetter](`{"event_id":"other","idempotency_key":"k"}`) + `],"next":null}`,
	})
	for _, name := range []string{"plugin show", "plugin approve", "plugin enable", "plugin disable", "plugin pause", "plugin resume",
		"events show", "events emit", "events publish", "events replay", "events dead-letters show", "orders show", "orders move", "orders create"} {
		for _, flag := range []string{"", " --json"} {
			code, stdout, stderr := d.run(t, `{"event_type":"t"}`, online[name]+flag)
			if code != command.ExitFailed || stdout != "" || !strings.Contains(stderr, "not about") {
				t.Errorf("%s: exit code %d, prints %q, %q", online[name]+flag, code, stdout, stderr)
			}
		}
		if name == "plugin approve" && strings.Contains(strings.Join(d.asked, "\n"), "POST") {
			t.Error("another plugin's capabilities were approved")
		}
	}
}

// An answer about the right thing that did not become what was asked for, or about
// another number of events than were sent.
func TestAnswersAreOfWhatWasAskedFor(t *testing.T) {
	receipt := complete[wire.Receipt](`{"event_id":"e","idempotency_key":"k"}`)
	for _, tt := range []struct{ request, answer, command, input string }{
		{"POST /api/v1/orders/o/status", complete[wire.Order](`{"id":"o","status":"pending"}`), "orders move o confirmed", ""},
		{"POST /api/v1/orders", complete[wire.Order](`{"id":"o","customer_id":"d"}`), "orders create --customer c --item A:1:1", ""},
		{"POST /api/v1/events", receipt, "events emit t --key other", ""},
		{"POST /api/v1/events", `{"items":[],"next":null}`, "events publish -", `[{"event_type":"t"}]`},
		{"POST /api/v1/events", `{"items":[` + receipt + `],"next":null}`, "events publish -", `[{"event_type":"t"},{"event_type":"t"}]`},
		{"POST /api/v1/events", `{"items":[` + receipt + `,` + receipt + `],"next":null}`, "events publish -", `[{"event_type":"t"}]`},
	} {
		d := newDesk(t, map[string]string{tt.request: tt.answer})
		code, stdout, stderr := d.run(t, tt.input, tt.command)
		if code != command.ExitFailed || stdout != "" || !strings.Contains(stderr, "not about") {
			t.Errorf("%s, answered %s: exit code %d, prints %q, %q", tt.command, tt.answer, code, stdout, stderr)
		}
	}
}

// The statuses that a command expects are those that the API is described with.
func TestSuccessIsAsDescribed(t *testing.T) {
	dir, config, _ := workplace(t)
	s := serve(t, dir, config)
	var document struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if _, err := s.Call(t.Context(), "GET", "/openapi.json", nil, &document); err != nil {
		t.Fatal(err)
	}
	checked := 0
	for path, methods := range document.Paths {
		for method, raw := range methods {
			var op struct {
				Responses map[string]struct {
					Content map[string]any `json:"content"`
				} `json:"responses"`
			}
			if !slices.Contains([]string{"get", "post", "delete"}, method) {
				continue
			}
			if err := json.Unmarshal(raw, &op); err != nil {
				t.Fatal(err)
			}
			var want []string
			for status, r := range op.Responses {
				_, streamed := r.Content[client.StreamType]
				if status[0] == '2' && !(streamed && len(r.Content) == 1) {
					want = append(want, status)
				}
			}
			slices.Sort(want)
			var got []string
			for _, status := range slices.Sorted(slices.Values(client.Success(strings.ToUpper(method), path))) {
				got = append(got, http.StatusText(status))
			}
			for i, status := range want {
				n, _ := json.Number(status).Int64()
				want[i] = http.StatusText(int(n))
			}
			checked++
			if len(want) > 0 && !slices.Equal(got, want) {
				t.Errorf("%s %s: expected is %q, described %q", method, path, got, want)
			}
		}
	}
	if checked < 25 {
		t.Errorf("%d operations were looked at", checked)
	}
}

// Every command is tested with invalid answers, or calls no host.
func TestEveryCommandRefusesServersThatAreNoHost(t *testing.T) {
	offline := []string{"completion", "config check", "doctor", "marketplace add", "marketplace keygen", "marketplace mark", "marketplace release",
		"marketplace serve", "marketplace sign", "marketplace verify", "plugin inspect", "serve", "token create", "token list", "token revoke", "version", "vet",
		"plugin new", "plugin build", "plugin pack", "plugin test", "abi conform", "restore", "migrate",
		"plugin add", "plugin dev", "plugin wait"} // these three ask by pluginNow, as plugin show does
	var look func(*cobra.Command)
	look = func(cmd *cobra.Command) {
		path := strings.TrimPrefix(cmd.CommandPath(), "berth ")
		if _, tried := online[path]; !cmd.HasSubCommands() && !tried && !slices.Contains(offline, path) {
			t.Errorf("%q is not among the commands that are tried", path)
		}
		for _, sub := range cmd.Commands() {
			look(sub)
		}
	}
	look(testRoot())
}
