package doctor_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/doctor"
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
