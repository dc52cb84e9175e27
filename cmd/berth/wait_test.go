package main

import (
	"strings"
	"testing"

	"github.com/berth-host/berth/host/wire"
)

// States that will not change by themselves end plugin wait at once, with the reason.
func TestWaitEndsWhenAPluginCannotBecomeActive(t *testing.T) {
	sha := strings.Repeat("0a", 32)
	d := newDesk(t, map[string]string{
		"GET /api/v1/events/plugins/bad": complete[wire.Plugin](`{"name":"bad","state":"rejected","reason":"it imports env.mystery","sha256":"` + sha + `"}`),
	})
	for line, want := range map[string]string{
		"plugin wait bad --timeout 1h --sha256 " + sha: "rejected: it imports env.mystery",
		"plugin wait refused_import --timeout 1h":      "no plugin can have the name",
	} {
		code, _, stderr := d.run(t, "", line)
		if code != 3 || !strings.Contains(stderr, want) || len(d.asked) != 1 {
			t.Errorf("%s: exit code %d after %d requests: %s", line, code, len(d.asked), stderr)
		}
	}
}

// plugin show adds the counts of the log to the plugin, if the log has them.
func TestPluginShowHasTheBacklog(t *testing.T) {
	const request = "GET /api/v1/events/log"
	answers := map[string]string{
		"GET /api/v1/events/plugins/p": complete[wire.Plugin](`{"name":"p","state":"active"}`),
		request:                        complete[wire.LogStatus](`{"handlers":[{"plugin":"q","open":9},{"plugin":"p","open":2,"dead":3}]}`),
	}
	d := newDesk(t, answers)
	if code, stdout, stderr := d.run(t, "", "plugin show p"); code != 0 || !strings.Contains(stdout, "\nbacklog     2 open, 3 dead\n") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	delete(answers, request)
	if code, stdout, stderr := d.run(t, "", "plugin show p"); code != 0 || strings.Contains(stdout, "backlog") || stderr != "" {
		t.Errorf("without the log: exit code %d: %s%s", code, stdout, stderr)
	}
}

// TestPluginShowHasItsShards: what a change of them waits for is in the table of the shards.
func TestPluginShowHasItsShards(t *testing.T) {
	answers := map[string]string{
		"GET /api/v1/events/plugins/p": complete[wire.Plugin](`{"name":"p","state":"active","shards":{"count":2,"order_by":"/data/id","next":{"count":16},"stage":"draining","until":120,"waits_for":"the handler is paused"}}`),
		"GET /api/v1/events/log":       complete[wire.LogStatus](`{"handlers":[{"plugin":"p","open":2,"dead":7,"shards":[{"shard":0,"cursor":120},{"shard":1,"cursor":117,"open":2,"dead":3}]}]}`),
	}
	code, stdout, stderr := newDesk(t, answers).run(t, "", "plugin show p")
	for _, want := range []string{"\nshards      2 by /data/id; they change to 16: events up to 120 end first, the others wait\nwaits for   the handler is paused\n",
		"\nbacklog     2 open, 7 dead\n            4 of the dead are of former shards, whose numbers are not in use\n", "\nSHARD  CURSOR  OPEN  DEAD\n0      120     0     0\n1      117     2     3\n"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if code != 0 || stderr != "" || t.Failed() {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
}
