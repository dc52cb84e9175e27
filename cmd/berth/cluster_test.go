package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/berth-host/berth/cmd/berth/internal/command"
	"github.com/berth-host/berth/host/wire"
)

func member(name, more string) string {
	return complete[wire.ClusterMember](`{"name":"` + name + `","id":"` + name + `-1","version":"1.0","started_at":"2026-12-01T03:00:00Z","alive":true` + more + `}`)
}

func TestClusterStatus(t *testing.T) {
	for _, tt := range []struct {
		name, answer string
		want         []string
		not          string
	}{
		{"a host alone", `{"engine":"sqlite","host":"a","members":[` + member("a", "") + `]}`, []string{"a runs alone: bus.engine is sqlite"}, "HOST"},
		{"all is well", `{"shared":true,"host":"a","age_ms":400,"members":[` + member("a", `,"units":1`) + `,` + member("b", "") + `],"units":[{"name":"mail","kind":"handler","host":"a","epoch":3},{"name":":retention","kind":"job","host":"a","epoch":1}]}`,
			[]string{"2 hosts alive of 2; 1 handler, each with a host; as a saw it 400ms ago", "HOST  STATE  RUNS", "mail            a     3      -"}, "!"},
		{"shards", `{"shared":true,"host":"a","members":[` + member("a", "") + `],"units":[{"name":"mail","kind":"handler","host":"a"},{"name":"tax/0","kind":"handler","host":"a"},{"name":"tax/1","kind":"handler","host":""}]}`,
			[]string{"; 2 handlers, in 3 units, 1 without a host;", "tax/1           -"}, "!"},
		{"much is wrong", `{"shared":true,"host":"a","problem":"it is cut off","members":[` + member("a", `,"clock_offset_ms":-9000,"draining":true`) + `,` + member("b", `,"age_ms":740`) + `,` + member("c", `,"alive":false`) +
			`],"units":[{"name":"mail","kind":"handler","host":"","epoch":3},{"name":"tax","kind":"handler","host":"a","epoch":3,"moves_to":"b"}],` +
			`"findings":[{"check":"cluster","level":"problem","detail":"a, which answers: it is cut off","advice":"repair the network"},{"check":"cluster","level":"warning","detail":"c is lost","advice":"look at its log"}]}`,
			[]string{"! a, which answers: it is cut off: repair the network\n! c is lost: look at its log\n", "2 hosts alive of 3; 2 handlers, 1 without a host",
				"a     draining", "c     lost", "0.7 s ago  +0.0 s", "no live host can run it", "goes to b"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t, map[string]string{"GET /api/v1/cluster": complete[wire.Cluster](tt.answer)})
			code, out, errs := d.run(t, "", "cluster status")
			if code != command.ExitOK {
				t.Fatalf("exit code %d: %s", code, errs)
			}
			for _, want := range tt.want {
				if !strings.Contains(out, want) {
					t.Errorf("%q is missing in\n%s", want, out)
				}
			}
			if tt.not != "" && strings.Contains(out, tt.not) {
				t.Errorf("%q is in\n%s", tt.not, out)
			}
		})
	}
}

func TestClusterDrain(t *testing.T) {
	idle := complete[wire.Cluster](`{"shared":true,"host":"b","members":[` + member("a", `,"draining":true`) + `,` + member("b", "") + `]}`)
	d := newDesk(t, map[string]string{"POST /api/v1/cluster/members/a/drain": member("a", `,"draining":true`),
		"POST /api/v1/cluster/members/a/undrain": member("a", ""), "GET /api/v1/cluster": idle})
	for _, tt := range []struct {
		line, want string
		asked      []string
	}{
		{"cluster drain a", "a drains; berth cluster status", []string{"POST /api/v1/cluster/members/a/drain"}},
		{"cluster drain a --undo", "a takes handlers again", []string{"POST /api/v1/cluster/members/a/undrain"}},
		{"cluster drain a --wait", "a runs nothing any more", []string{"POST /api/v1/cluster/members/a/drain", "GET /api/v1/cluster"}},
	} {
		code, out, errs := d.run(t, "", tt.line)
		if code != command.ExitOK || !strings.Contains(out, tt.want) || !slices.Equal(d.asked, tt.asked) {
			t.Errorf("%s: %d %s %s %q", tt.line, code, out, errs, d.asked)
		}
	}
	if code, _, errs := d.run(t, "", "cluster drain c"); code != command.ExitFailed || errs == "" {
		t.Errorf("got %d, %q", code, errs)
	}
	if code, _, _ := d.run(t, "", "cluster drain a --undo --wait"); code != command.ExitUsage {
		t.Errorf("got %d", code)
	}
}
