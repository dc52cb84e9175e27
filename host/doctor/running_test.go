package doctor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/doctor"
	"github.com/berth-host/berth/host/engine"
)

func TestAdviceFollowsWhyTheHostIsNotReady(t *testing.T) {
	for _, tt := range []struct{ name, log, plugins, advice string }{
		{"new modules", `{}`, `{"items":[{"name":"a","state":"vetting"}]}`, "wait: it compiles new modules first"},
		{"a stuck handler", `{}`, `{"items":[{"name":"a","state":"vetting"},{"name":"b","state":"stuck"}]}`, "see the plugin b below"},
		{"a store that is gone", `{"problem":"berth.db is gone"}`, `{"items":[{"name":"a","state":"vetting"}]}`, "repair the event log, see below"},
		{"another reason", `{}`, `{"items":[{"name":"a","state":"active"}]}`, "read its log"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ask := func(_ context.Context, path string, answer any) error {
				switch path {
				case "/readyz":
					return errors.New("not now")
				case "/api/v1/events/log":
					return json.Unmarshal([]byte(tt.log), answer)
				case "/api/v1/events/plugins":
					return json.Unmarshal([]byte(tt.plugins), answer)
				}
				return nil
			}
			report := doctor.Examine(t.Context(), doctor.Examination{ConfigPath: "none.yaml", DataDir: t.TempDir(), Ask: ask, At: "URL"})
			for _, f := range report.Checks {
				if f.Check == "host" {
					if f.Level != doctor.Warning || !strings.Contains(f.Detail, "not ready: not now") || f.Advice != tt.advice {
						t.Errorf("got %+v, want the advice %q", f, tt.advice)
					}
					return
				}
			}
			t.Error("the host was not examined")
		})
	}
}

func TestClusterOfTheHost(t *testing.T) {
	const units = `"units":[{"name":"h","kind":"handler","host":"a"},{"name":":jobs","kind":"job","host":""}]`
	for name, tt := range map[string]struct{ answer, want string }{
		"alone":   {`{"shared":false,"problem":"none"}`, ""},
		"healthy": {`{"shared":true,"host":"a","members":[{"name":"a","alive":true,"clock_offset_ms":-4000}],` + units + `}`, "ok: a runs with 1 of 1 hosts alive; 1 handlers and jobs wait for a host"},
		"cut off": {`{"shared":true,"host":"a","problem":"no lease","members":[{"name":"b"}],"findings":[{"check":"cluster","level":"problem","detail":"a, which answers: no lease"}]}`,
			"problem: a, which answers: no lease"},
		"one lost": {`{"shared":true,"host":"a","members":[{"name":"a","alive":true},{"name":"b"}],"findings":[{"check":"cluster","level":"warning","detail":"b is lost"}]}`,
			"warning: b is lost, ok: a runs with 1 of 2 hosts alive; 0 handlers and jobs wait for a host"},
	} {
		t.Run(name, func(t *testing.T) {
			ask := func(_ context.Context, path string, answer any) error {
				if path == "/api/v1/cluster" {
					return json.Unmarshal([]byte(tt.answer), answer)
				}
				return nil
			}
			report := doctor.Examine(t.Context(), doctor.Examination{ConfigPath: "none.yaml", DataDir: t.TempDir(), Ask: ask, At: "URL"})
			var got []string
			for _, f := range report.Checks {
				if f.Check == "cluster" {
					got = append(got, fmt.Sprintf("%s: %s", f.Level, f.Detail))
				}
			}
			if text := strings.Join(got, ", "); text != tt.want {
				t.Errorf("got %q, want %q", text, tt.want)
			}
		})
	}
}

// A host with a database has no store in use by which the doctor would know that it runs.
func TestRunningHostWithADatabaseKeepsItsAddress(t *testing.T) {
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dir := t.TempDir()
	path := filepath.Join(dir, "c.yaml")
	text := fmt.Sprintf("server: {listen: %q}\nbus: {engine: postgres, postgres: {url: 'postgres://u@db/x'}}\n", ln.Addr())
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := engine.Mark(dir, path, true); err != nil {
		t.Fatal(err)
	}
	level := func(config, check string, ask func(context.Context, string, any) error) (got doctor.Finding) {
		for _, f := range doctor.Examine(t.Context(), doctor.Examination{ConfigPath: config, DataDir: dir, Ask: ask, At: "URL"}).Checks {
			if f.Check == check {
				got = f
			}
		}
		return got
	}
	if f := level(path, "listener", func(context.Context, string, any) error { return nil }); f.Level != doctor.OK {
		t.Errorf("while it runs: got %+v", f)
	}
	if f := level(path, "listener", nil); f.Level != doctor.Warning {
		t.Errorf("while another process listens: got %+v", f)
	}
	if f := level("none.yaml", "store", nil); f.Level != doctor.Warning || !strings.Contains(f.Advice, "--config") {
		t.Errorf("with the configuration of another host: got %+v", f)
	}
}
