package host

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/marketplace"
	"github.com/berth-host/berth/host/marketplace/publish"
	"github.com/berth-host/berth/host/pgstore/pgtest"
	"github.com/berth-host/berth/host/shards"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// rejecting are two hosts of a cluster whose handler echo rejects every event.
type rejecting struct {
	t     *testing.T
	hosts []*testHost
	files []string
	ids   []string // of the events that were published
}

func startRejecting(t *testing.T) *rejecting { return startPair(t, "reject") }

// startPair starts two hosts of a cluster with a guest as the plugin echo.
func startPair(t *testing.T, guest string) *rejecting {
	t.Helper()
	schema, r := pgtest.Schema(t), &rejecting{t: t}
	wasm, err := os.ReadFile("../testdata/guests/" + guest + ".wasm")
	check(t, err)
	for _, name := range []string{"a", "b"} {
		plugins := t.TempDir()
		check(t, os.WriteFile(filepath.Join(plugins, "echo.wasm"), wasm, 0o600))
		check(t, os.WriteFile(filepath.Join(plugins, "echo.wasm.json"), []byte(`{"name":"echo","subscribes":[{"event_type":"order_placed"}]}`), 0o600))
		s := startHost(t, fmt.Sprintf("plugin_directories: [%s]\nroutes: {\"*\": {}}\nvet: {cpu: 2m, wall: 4m}\n"+
			"bus: {engine: postgres, postgres: {url: %q, schema: %s, max_connections: 8}}\ncluster: {name: %s}\n",
			plugins, pgtest.URL(t), schema, name), marketplace.Config{})
		check(t, s.host.Ready(t.Context()))
		r.hosts, r.files = append(r.hosts, s), append(r.files, s.text())
	}
	return r
}

// divide has both hosts want a number of shards, and waits until they run them.
func (r *rejecting) divide(n int) {
	r.t.Helper()
	for i, s := range r.hosts {
		s.configure(r.files[i], fmt.Sprintf("shards: %d", n))
	}
	eventually(r.t, fmt.Sprintf("%d shards do not run", n), func() bool { return runsUnits(r.hosts, shards.New(n, "/metadata/subject")) })
}

// ask calls the host that is not the one of the last call.
func (r *rejecting) ask(method, path string, in, out any) {
	r.t.Helper()
	r.hosts[0], r.hosts[1] = r.hosts[1], r.hosts[0]
	r.files[0], r.files[1] = r.files[1], r.files[0]
	eventually(r.t, method+" "+path, func() bool { // some calls are 503 while units move
		status, p := r.hosts[0].call(method, path, in, out)
		if status >= 400 && status != http.StatusServiceUnavailable {
			r.t.Fatalf("%s %s: %d %+v", method, path, status, p)
		}
		return status < 400
	})
}

func (r *rejecting) deadLetters() (list wire.List[wire.DeadLetter]) {
	r.t.Helper()
	r.ask("GET", "/api/v1/events/dead-letters?plugin=echo&limit=100", nil, &list)
	return list
}

// awaitAttempts waits until every event is a dead letter again, with this many attempts in its history.
func (r *rejecting) awaitAttempts(what string, n int) {
	r.t.Helper()
	for _, id := range r.ids {
		eventually(r.t, what+": "+id, func() bool {
			var ev wire.Event
			r.ask("GET", "/api/v1/events/"+id, nil, &ev)
			return len(ev.Deliveries) == 1 && ev.Deliveries[0].Status == "dead" && len(ev.Deliveries[0].History) == n && ev.Deliveries[0].Shard != nil
		})
	}
}

// log returns how far the handler is, once its lag is 0.
func (r *rejecting) log() (h wire.LogReader) {
	r.t.Helper()
	eventually(r.t, "the handler has not ended", func() bool {
		var log wire.LogStatus
		r.ask("GET", "/api/v1/events/log", nil, &log)
		if len(log.Handlers) != 1 {
			r.t.Fatalf("got %+v", log.Handlers)
		}
		h = log.Handlers[0]
		return h.Lag == 0
	})
	return h
}

// TestShardsAreOneHandlerForOperators: what names the plugin is about all of its shards, whichever host
// is asked, and also after the shards have changed.
func TestShardsAreOneHandlerForOperators(t *testing.T) {
	r := startRejecting(t)
	r.divide(4)
	const events = 12
	r.ids = publishEvents(t, r.hosts[0], 0, events)
	for i := range r.ids { // three subjects are in few shards
		r.ids = append(r.ids, r.hosts[0].publishAll([]json.RawMessage{json.RawMessage(fmt.Sprintf(
			`{"event_type":"order_placed","data":{},"metadata":{"subject":"subject%d","idempotency_key":"more%d"}}`, i, i))})...)
	}
	r.awaitAttempts("first attempts", 1)
	if h := r.log(); h.Plugin != "echo" || h.Dead != 2*events || len(h.Shards) != 4 || h.Open != 0 {
		t.Errorf("got %+v", h)
	}
	eventually(t, "both hosts show all shards at the end", func() bool {
		var p wire.Plugin
		r.ask("GET", "/api/v1/events/plugins/echo", nil, &p)
		return p.Lag == 0 && p.Shards != nil && p.Shards.Count == 4 && r.log().Cursor == 2*events
	})
	used := make(map[int]bool)
	for _, d := range r.deadLetters().Items {
		if d.Plugin != "echo" || d.Shard == nil {
			t.Fatalf("got %+v", d)
		}
		used[*d.Shard] = true
	}
	if len(used) < 3 {
		t.Errorf("the events are all in the shards %v", used)
	}
	var issues wire.List[wire.Issue]
	eventually(t, "each shard has its issue", func() bool {
		r.ask("GET", "/api/v1/issues?handler=echo", nil, &issues)
		return len(issues.Items) == len(used)
	})
	if i := issues.Items[0]; i.Handler != "echo" || i.Shard == nil {
		t.Errorf("got %+v", i)
	} else {
		eventually(t, "the issue is not acknowledged", func() bool { // a host learns of the issues of others within seconds
			status, _ := r.hosts[1].call("POST", "/api/v1/issues/"+i.ID+"/acknowledge", nil, &i)
			return status == http.StatusOK
		})
		if i.State != wire.IssueAcknowledged || i.Handler != "echo" {
			t.Errorf("got %+v", i)
		}
	}
	eventually(t, "the metrics count the dead letters of all shards", func() bool { // a host reads them anew within seconds
		_, text := r.hosts[0].scrape(r.hosts[0].token)
		if strings.Contains(text, "echo/") {
			t.Fatalf("got %s", text)
		}
		return strings.Contains(text, fmt.Sprintf("berth_dead_letters{plugin=\"echo\"} %d", 2*events))
	})

	for _, id := range r.ids {
		var done wire.EventChange
		if r.ask("POST", "/api/v1/events/"+id+"/retry", nil, &done); len(done.Plugins) != 1 || done.Plugins[0] != "echo" {
			t.Errorf("got %+v", done)
		}
	}
	r.awaitAttempts("a retry of each", 2)
	var redriven wire.Redriven
	if r.ask("POST", "/api/v1/events/dead-letters/redrive", wire.DeadLetterFilter{Plugin: "echo"}, &redriven); redriven.Redriven != 2*events {
		t.Errorf("got %+v", redriven)
	}
	r.awaitAttempts("a redrive", 3)
	r.ask("POST", "/api/v1/events/plugins/echo/disable", nil, nil)
	eventually(t, "a host has not followed", func() bool {
		return !slices.ContainsFunc(r.hosts, func(s *testHost) bool {
			return slices.ContainsFunc(spec.Units("echo", 4), s.host.runner.Dispatcher.IsOpen)
		})
	})
	if r.ask("POST", "/api/v1/events/dead-letters/redrive", wire.DeadLetterFilter{Plugin: "echo"}, &redriven); redriven.Redriven != 2*events {
		t.Errorf("while it is disabled: got %+v", redriven)
	}
	var ev wire.Event
	if r.ask("GET", "/api/v1/events/"+r.ids[0], nil, &ev); len(ev.Deliveries) != 1 || ev.Deliveries[0].Status != "pending" || ev.Deliveries[0].WaitingFor == nil ||
		ev.Deliveries[0].WaitingFor.Kind != "disabled" {
		t.Errorf("while it is disabled: got %+v", ev.Deliveries)
	}
	r.ask("POST", "/api/v1/events/plugins/echo/enable", nil, nil)
	r.awaitAttempts("a redrive while it was disabled", 4)
	r.ask("POST", "/api/v1/events/replay", wire.Replay{Plugin: "echo", From: "earliest"}, nil)
	r.awaitAttempts("a replay", 5)
	var o wire.Operation
	r.ask("POST", "/api/v1/operations", wire.NewOperation{Kind: "replay", Plugin: "echo", Filter: wire.OperationFilter{From: "earliest", Subject: "subject1"}}, &o)
	eventually(t, "the operation has not ended", func() bool {
		r.ask("GET", "/api/v1/operations/"+o.ID, nil, &o)
		return o.State == wire.OperationDone
	})
	if o.Done != 1 {
		t.Errorf("got %+v", o)
	}
	var purged wire.Purged
	r.log()
	if r.ask("POST", "/api/v1/events/dead-letters/purge", wire.DeadLetterFilter{Plugin: "echo", Subject: "k1"}, &purged); purged.Purged != events/3 {
		t.Errorf("got %+v", purged)
	}

	r.divide(1)
	if h := r.log(); h.Dead != 2*events-events/3 || h.Shards != nil {
		t.Errorf("after the change: got %+v", h)
	}
	if r.ask("POST", "/api/v1/events/dead-letters/redrive", wire.DeadLetterFilter{Plugin: "echo"}, &redriven); redriven.Redriven != 2*events-events/3 {
		t.Errorf("of former shards: got %+v", redriven)
	}
	eventually(t, "the dead letters of former shards are not those of the handler", func() bool {
		list := r.deadLetters().Items
		for _, d := range list {
			if d.Shard != nil {
				t.Fatalf("got %+v", d)
			}
		}
		return len(list) == 2*events-events/3
	})
	former := slices.IndexFunc(issues.Items, func(i wire.Issue) bool { return i.Shard != nil })
	eventually(t, "the issue of a former shard is not resolved", func() bool {
		var i wire.Issue
		status, _ := r.hosts[0].call("POST", "/api/v1/issues/"+issues.Items[former].ID+"/resolve", nil, &i)
		return status == http.StatusOK && i.State == wire.IssueResolved && i.Shard != nil
	})
}

// TestHostsAgreeAboutShards: each host shows the open events, the lag and the condition of all shards,
// wherever they run: here of events that are all in one shard.
func TestHostsAgreeAboutShards(t *testing.T) {
	r := startPair(t, "trap_on_event")
	for i, s := range r.hosts {
		s.configure(r.files[i], "shards: 4, retry: {max_attempts: 1000, backoff: 1s, max_backoff: 1s}, breaker: {failures: 2, cooldown: 1h, max_cooldown: 1h}")
	}
	layout := shards.New(4, "/metadata/subject")
	eventually(t, "the shards do not run", func() bool { return runsUnits(r.hosts, layout) })
	shard, events := layout.Shard("k0", 0), uint64(0)
	for i := range 40 {
		if key := fmt.Sprint("k", i); layout.Shard(key, 0) == shard {
			r.hosts[0].publishAll([]json.RawMessage{json.RawMessage(fmt.Sprintf(
				`{"event_type":"order_placed","data":{"trap":true},"metadata":{"subject":%q,"idempotency_key":%q}}`, key, key))})
			events++
		}
	}
	for _, s := range r.hosts {
		eventually(t, "a host does not show what is open", func() bool {
			var log wire.LogStatus
			s.call("GET", "/api/v1/events/log", nil, &log)
			h := log.Handlers[0]
			return h.Open == events && h.Lag == events && h.Shards[shard].Open == events
		})
		eventually(t, "a host does not show the condition", func() bool {
			var p wire.Plugin
			s.call("GET", "/api/v1/events/plugins/echo", nil, &p)
			_, text := s.scrape(s.token)
			name := "a"
			if r.hosts[1].host.runner.Dispatcher.Runs(layout.Units("echo")[shard]) { // a shard that moves begins with a closed breaker
				name = "b"
			}
			return p.Lag == events && p.State == wire.BreakerOpen && strings.HasPrefix(p.Reason, fmt.Sprintf("shard %d on %s: ", shard, name)) &&
				strings.Contains(text, fmt.Sprintf("berth_handler_lag_events{plugin=\"echo\"} %d", events))
		})
	}
}

// TestUninstallationRemovesAllShards: position, outcomes, dead letters and issues of each, the values of
// the plugin, and its shards, whichever hosts run the shards.
func TestUninstallationRemovesAllShards(t *testing.T) {
	shop := openMarketplace(t)
	shop.release("reject", `{"name":"billing","version":"1.0.0","subscribes":[{"event_type":"order_placed"}]}`)
	_, err := shop.tree.Sign(t.Context(), publish.Signing{Name: "bazaar", Expires: time.Now().Add(time.Hour)}, shop.by)
	check(t, err)
	schema := pgtest.Schema(t)
	var hosts []*testHost
	for _, name := range []string{"a", "b"} {
		hosts = append(hosts, startBuyer(t, shop, schema, name, "handlers: {billing: {shards: 3}}\n"))
	}
	a, b := hosts[0], hosts[1]
	if status, p := a.call("POST", "/api/v1/plugins/install", wire.Install{Name: "billing"}, nil); status != http.StatusCreated {
		t.Fatalf("install: %d %+v", status, p)
	}
	owned := func() (n int) {
		for _, s := range hosts {
			for _, unit := range spec.Units("billing", 3) {
				if s.host.runner.Dispatcher.Runs(unit) {
					n++
				}
			}
		}
		return n
	}
	eventually(t, "the shards do not run", func() bool { return owned() == 3 })
	publishEvents(t, a, 0, 9)
	log := a.host.engine
	dead := func() (n uint64) {
		counts, err := log.DeadCounts(t.Context())
		check(t, err)
		for _, one := range counts {
			n += one
		}
		return n
	}
	eventually(t, "the events are not rejected", func() bool { return dead() == 9 })
	check(t, log.KVSet(t.Context(), "billing", "key", []byte("value")))
	_, _, err = log.SaveDeliveries(t.Context(), nil, nil, []event.Delivery{{Handler: "billing/40", Seq: 1, Status: event.StatusDead, Attempts: 1}}, nil)
	check(t, err) // as of a former layout
	if status, p := b.call("DELETE", "/api/v1/plugins/uninstall/billing?purge=true", nil, nil); status >= 400 {
		t.Fatalf("uninstall: %d %+v", status, p)
	}
	cursors, err := log.Cursors(t.Context())
	check(t, err)
	used, _, err := log.KVUsage(t.Context(), "billing")
	check(t, err)
	deliveries, err := log.Deliveries(t.Context(), 1)
	check(t, err)
	if list := event.Positions(cursors)["billing"]; len(list) > 0 || dead() > 0 || used > 0 || len(deliveries) > 0 {
		t.Errorf("it has left %v, %d dead letters, %d bytes, %+v", list, dead(), used, deliveries)
	}
	var issues wire.List[wire.Issue]
	eventually(t, "issues are left", func() bool {
		a.call("GET", "/api/v1/issues", nil, &issues)
		return len(issues.Items) == 0
	})
	if owned() > 0 {
		t.Error("a shard runs")
	}
	eventually(t, "the next plugin of the name begins with shards", func() bool {
		documents, err := a.host.engine.Shared.Shared(t.Context(), shards.Kind)
		return err == nil && len(documents) == 0 && a.host.live.Shards().Of("billing").Layout == shards.New(1, "") &&
			b.host.live.Shards().Of("billing").Layout == shards.New(1, "")
	})
}
