package browser

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// clusterState is a cluster as these tests read it.
type clusterState struct {
	Members []struct {
		Name     string
		Draining bool
	}
	Units    []struct{ Name, Host string }
	Findings []struct{ Detail string }
}

// runs returns the units that a host runs; "" is those of no host.
func (c clusterState) runs(host string) (names []string) {
	for _, u := range c.Units {
		if u.Host == host {
			names = append(names, u.Name)
		}
	}
	return names
}

// owner returns the host that runs a unit, or "".
func (c clusterState) owner(unit string) string {
	for _, u := range c.Units {
		if u.Name == unit {
			return u.Host
		}
	}
	return ""
}

// startCluster returns berth-1 and berth-2 over one database. The handlers audit, echo and fraud-check
// are divided between them.
func startCluster(t *testing.T) (first, second *host, db *database) {
	t.Helper()
	db = startDatabase(t)
	first, second = db.member(t, "berth-1"), db.member(t, "berth-2")
	echo := fixture(t, "echo")
	install := func(name string, hosts ...*host) { // the only host that has a handler takes it
		for _, h := range hosts {
			h.copyIn(handler{name, "1.4.0", subscribes("order_paid"), echo})
			eventually(h, "/cluster", "a host of "+name, func(c clusterState) bool { return c.owner(name) != "" })
		}
	}
	install("audit", first, second)
	install("echo", second, first)
	install("fraud-check", first, second)
	for _, h := range []*host{first, second} {
		eventually(h, "/cluster", "two hosts that run handlers, without findings", func(c clusterState) bool {
			return len(c.Members) == 2 && len(c.Findings) == 0 && c.owner("audit") != c.owner("echo") && len(c.runs("")) == 0
		})
	}
	return first, second, db
}

// hostLine is a selector of the first or second host of the table.
func hostLine(n string) string { return `section[aria-label="Hosts"] tbody tr:nth-child(` + n + `) ` }

// wrong changes the answers about the cluster: much is wrong.
const wrong = `(() => { const ask = window.fetch; window.fetch = async (url, options) => {
	const answer = await ask(url, options);
	if (!String(url).endsWith("/api/v1/cluster")) return answer;
	const c = await answer.json(), [a, b] = c.members;
	c.members = [a, { ...b, alive: false, age_ms: 3400 }, { ...b, id: "3", name: "berth-3", draining: true, units: 2, clock_offset_ms: -9000, version: "0.9.0" },
		{ ...b, id: "4", name: "berth-4.rack-17.eu-central.example.com", url: "http://berth-4.rack-17.eu-central.example.com:8080", draining: true, units: 0 }];
	c.units[0] = { ...c.units[0], host: "" };
	c.units[1] = { ...c.units[1], moves_to: "berth-1" };
	const finding = (level, detail, advice) => ({ check: "cluster", level, detail, advice });
	c.findings = [finding("problem", "no host runs audit", "start a host that can take over, or end a drain"),
		finding("warning", "berth-2 is lost: it does not renew its lease", "look at its log at " + b.url + "; the others take its handlers"),
		finding("warning", "the clock of berth-3 is -9.0 s off the database's", "set it, for example with NTP"),
		finding("warning", "the hosts have different versions: 0.9.0 on berth-3; 1.0.0 on berth-1", "finish the upgrade")];
	return new Response(JSON.stringify(c), { headers: { "Content-Type": "application/json" } });
}; })()`

func TestClusterIsAccessibleAndFits(t *testing.T) {
	h, _, _ := startCluster(t)
	for _, v := range []view{wide, {1440, 1000, "dark"}, {900, 800, "light"}, narrow, {360, 640, "dark"}} {
		t.Run(v.String(), func(t *testing.T) {
			b := h.open(t, v).login(h.token)
			b.visit("/cluster")
			b.sees(".nav", "Cluster")
			b.sees("main", "every handler has a host")
			b.sees(hostLine("1"), "handler")
			b.sees(hostLine("2"), "handler")
			b.fits()
			b.axe()
			b.shot("cluster")
			eval[any](b, wrong)
			b.sees("main", "berth-2 is lost")
			b.sees(hostLine("2"), "lost")
			b.sees(hostLine("3"), "2 left")
			b.sees(hostLine("4"), "can be stopped")
			b.sees("main", "no live host takes it")
			b.fits()
			b.axe()
			b.shot("cluster-wrong")
		})
	}
}

func TestClusterHostIsDrained(t *testing.T) {
	h, _, _ := startCluster(t)
	b := h.open(t, wide).login(h.token)
	b.visit("/cluster")
	b.click(hostLine("2") + `button[data-action="Drain"]`)
	b.sees("dialog", "nothing is lost or repeated")
	b.lacks("dialog", "No other live host")
	b.axe()
	b.shot("cluster-drain")
	b.confirm("Drain")
	b.sees(hostLine("2"), "can be stopped")
	b.sees(hostLine("1"), "3 handlers")
	eventually(h, "/cluster", "all at the first host", func(c clusterState) bool { return len(c.runs("berth-1")) == len(c.Units) })

	b.click(hostLine("1") + `button[data-action="Drain"]`)
	b.sees("dialog", "No other live host takes handlers")
	b.axe()
	b.click("dialog .foot button")
	b.act("Undo drain")
	b.lacks(hostLine("2"), "draining")
	eventually(h, "/cluster", "the end of the drain", func(c clusterState) bool { return len(c.Members) == 2 && !c.Members[1].Draining })

	b.click(hostLine("1") + "a")
	b.until("the URL has the host", `location.search === "?host=berth-1"`)
	b.sees("main", "Handlers and jobs of berth-1")

	binary, err := filepath.Abs(os.Getenv("BERTH"))
	if err != nil {
		t.Fatal(err)
	}
	shown := b.commands()
	if len(shown) < 2 {
		t.Errorf("the page shows %v", shown)
	}
	for _, text := range shown {
		checkCommand(t, binary, "/cluster", text)
	}
}

// A handler that another host runs is as it should be.
func TestClusterStandbyNeedsNobody(t *testing.T) {
	h, _, _ := startCluster(t)
	b := h.open(t, wide).login(h.token)
	b.visit("/handlers")
	b.sees("tbody", "standby")
	b.sees("main", "3, none needs you")
}

func TestClusterHasNoActionsForReaders(t *testing.T) {
	h, _, _ := startCluster(t)
	token := h.newToken("viewer", "read")
	h.knows(token)
	b := h.open(t, wide).login(token)
	b.visit("/cluster")
	b.sees(hostLine("1"), "alive")
	if found := eval[int](b, `document.querySelectorAll("main button[data-action]").length`); found != 0 {
		t.Errorf("it offers %d actions", found)
	}
}

// knows waits until a host has got a token from the database.
func (h *host) knows(token string) {
	h.t.Helper()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for end := time.Now().Add(limit); time.Now().Before(end); <-tick.C {
		r, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, h.url+"/api/v1/session", nil)
		if err != nil {
			h.t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			h.t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			return
		}
	}
	h.t.Fatal("the host does not know the token")
}

func TestClusterSaysThatTheDatabaseDoesNotAnswer(t *testing.T) {
	h, _, db := startCluster(t)
	b := h.open(t, wide).login(h.token)
	b.expect("50[0-9]")
	b.visit("/cluster")
	db.end()
	b.sees(hostLine("1"), "cut off")
	b.sees(hostLine("2"), "not known")
	b.sees("main", "is cut off from the cluster's database")
	b.sees("main", "berth-1 saw it")
	b.lacks("main", "goes to")
	b.until("nothing is offered that the host cannot do", `!document.querySelector("main button[data-action]")`)
	b.axe()
	b.shot("cluster-cut-off")
}

func TestClusterOfAHostAlone(t *testing.T) {
	h := start(t)
	b := h.open(t, wide).login(h.token)
	b.sees(".nav", "Schedules")
	b.lacks(".nav", "Cluster")
	b.visit("/cluster")
	b.sees("main", "runs alone")
	b.lacks(".nav", "Cluster")
	b.axe()
	b.shot("cluster-alone")
}
