package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/cmd/berth/internal/client"
	"github.com/berth-host/berth/host/wire"
)

// checkSeveralHosts publishes to two hosts over one database and kills the one that runs the
// handler: the other one goes on, and all holds that holds when one host is killed.
func checkSeveralHosts(t *testing.T, s *guaranteeHost) {
	settings := busOf(t, s.engine)
	hosts := make(map[string]*server)
	for _, name := range []string{"a", "b"} {
		dir, config := mixedLoadWorkplace(t, settings+"cluster: {name: "+name+"}\n")
		hosts[name] = serve(t, dir, config)
	}
	owner := ""
	await(t, "a host runs the handler, and knows the other", func() error {
		var c wire.Cluster
		hosts["a"].get(t, "/api/v1/cluster", &c)
		i := slices.IndexFunc(c.Units, func(u wire.ClusterUnit) bool { return u.Name == "ledger" && u.Host != "" })
		if i < 0 || len(c.Members) < len(hosts) {
			return fmt.Errorf("got %+v", c)
		}
		owner = c.Units[i].Host
		return nil
	})
	killed := hosts[owner]
	delete(hosts, owner)
	l := newMixedLoad()
	for _, left := range hosts {
		l.run(t, []*client.Client{left.Client, killed.Client}, killed.kill)
		l.run(t, []*client.Client{left.Client}, func() {})
		left.checkMixedLoad(t, l, 1)
		left.terminate(t)
	}
}

// checkIdempotent publishes one key with equal and with other contents.
func checkIdempotent(t *testing.T, s *guaranteeHost) {
	const key = "order-1 is paid"
	event := func(eventType, subject, data string) map[string]any {
		return map[string]any{"event_type": eventType, "data": json.RawMessage(data), "metadata": map[string]any{"subject": subject, "idempotency_key": key}}
	}
	var first, again wire.Receipt
	if status := s.try(t, "POST", "/api/v1/events", event("once", "order-1", `{"a":1,"b":"x"}`), &first); status != 0 || first.Duplicate {
		t.Fatalf("got %d, %+v", status, first)
	}
	if status := s.try(t, "POST", "/api/v1/events", event("once", "order-1", `{"b": "\u0078", "a": 1.0}`), &again); status != 0 ||
		!again.Duplicate || again.EventID != first.EventID {
		t.Errorf("the same content: got %d, %+v", status, again)
	}
	for name, other := range map[string]map[string]any{
		"data":    event("once", "order-1", `{"a":2,"b":"x"}`),
		"type":    event("twice", "order-1", `{"a":1,"b":"x"}`),
		"subject": event("once", "order-2", `{"a":1,"b":"x"}`),
	} {
		if status := s.try(t, "POST", "/api/v1/events", other, new(any)); status != http.StatusConflict {
			t.Errorf("other %s: got %d, want 409", name, status)
		}
	}
	s.delivered(t, first.EventID, "once")
	next := s.publish(t, "once", 1, nil)
	if d := s.delivered(t, next.EventID, "once"); string(d.Result) != `{"count":2}` {
		t.Errorf("two events were counted as %s", d.Result)
	}
	if n := len(s.eventsOf(t, "once")); n != 2 {
		t.Errorf("the log has %d events, want 2", n)
	}
}

// checkDeferred has a host that is killed before its deferred events are due: they come into the
// log once, in the order of their due times. The key of a cancelled one stays taken.
func checkDeferred(t *testing.T, shared *guaranteeHost) {
	dir, config, plugins := workplace(t)
	emitting := handler{name: "emitting", guest: "emit_children", takes: "parent",
		manifest: `"capabilities":[{"name":"emit","event_types":["child"],"reason":"children"}]`}
	write(t, filepath.Join(plugins, "emitting.wasm.json"), emitting.sidecar())
	write(t, filepath.Join(plugins, "emitting.wasm"), guest(t, "emit_children"))
	write(t, config, []byte("plugin_directories: ["+plugins+"]\nroutes: {\"*\": {}}\n"+busOf(t, shared.engine)+"handlers: {emitting: {grants: [emit]}}\n"))
	s := serve(t, dir, config)
	s.active(t, "emitting")
	after := func(key, delay string) map[string]any {
		return map[string]any{"idempotency_key": key, "deliver_after": delay}
	}
	due := make(map[string]time.Time) // it counts from the arrival of each
	for key, delay := range map[string]string{"third": "1700ms", "first": "1500ms", "second": "1600ms", "cancelled": "24h"} {
		r := s.publish(t, "later", key, after(key, delay))
		if r.DueAt == nil {
			t.Fatalf("got %+v", r)
		}
		due[key] = *r.DueAt
	}
	delete(due, "cancelled")
	order := slices.SortedFunc(maps.Keys(due), func(a, b string) int { return due[a].Compare(due[b]) })
	s.do(t, "DELETE", "/api/v1/events/scheduled/cancelled", nil)
	parent := s.publish(t, "parent", map[string]any{"child": map[string]any{"event_type": "child", "data": 1, "metadata": map[string]string{"deliver_after": "1s"}}}, nil)
	s.delivered(t, parent.EventID, "emitting")
	for range shared.kills(1) {
		s.kill()
		s = serve(t, dir, config)
	}
	await(t, "all are in the log", func() error {
		if n := len(s.eventsOf(t, "later")) + len(s.eventsOf(t, "child")); n != 4 {
			return fmt.Errorf("%d are there", n)
		}
		return nil
	})
	list := s.eventsOf(t, "later")
	slices.SortFunc(list, func(a, b wire.Event) int { return int(a.Seq) - int(b.Seq) })
	for i, want := range order {
		if string(list[i].Data) != strconv.Quote(want) {
			t.Errorf("event %d of the deferred ones is %s, want %s", i, list[i].Data, want)
		}
	}
	if r := s.publish(t, "later", "cancelled", after("cancelled", "24h")); !r.Duplicate || !r.Cancelled {
		t.Errorf("the key of the cancelled event: got %+v", r)
	}
	other := map[string]any{"event_type": "later", "data": "other", "metadata": map[string]any{"idempotency_key": "cancelled"}}
	if status := s.try(t, "POST", "/api/v1/events", other, new(any)); status != http.StatusConflict {
		t.Errorf("another event with the key of the cancelled one: got %d, want 409", status)
	}
	s.terminate(t)
}

// checkSchemas publishes what schemas refuse.
func checkSchemas(t *testing.T, s *guaranteeHost) {
	event := func(eventType, data string) map[string]any {
		return map[string]any{"event_type": eventType, "data": json.RawMessage(data), "metadata": map[string]any{"idempotency_key": eventType + "-1"}}
	}
	if status := s.try(t, "POST", "/api/v1/events", event("checked", `{"m":1}`), new(any)); status != http.StatusBadRequest {
		t.Errorf("what the schema refuses: got %d, want 400", status)
	}
	if list := s.eventsOf(t, "checked"); len(list) != 0 {
		t.Errorf("it is in the log: %+v", list)
	}
	s.do(t, "POST", "/api/v1/events", event("checked", `{"n":1}`))
	if status := s.try(t, "POST", "/api/v1/events", event("checked", `{"m":1}`), new(any)); status != http.StatusConflict {
		t.Errorf("a key that is taken, with what the schema refuses: got %d, want 409", status)
	}
	s.do(t, "POST", "/api/v1/events", event("warned", `{"m":1}`))
	var warned wire.EventType
	s.get(t, "/api/v1/event-types/warned", &warned)
	if list := s.eventsOf(t, "warned"); len(list) != 1 || warned.Violations != 1 {
		t.Errorf("with mode warn: got %+v and %+v", list, warned)
	}
}

// checkOrders moves orders from several clients: each version of each order has its event, and
// there is no event more.
func checkOrders(t *testing.T, s *guaranteeHost) {
	const orders, clients = 3, 4
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for n := range orders {
				order := wire.NewOrder{ID: fmt.Sprint("order-", n), CustomerID: "c", Currency: "EUR", Items: []wire.OrderItem{{SKU: "A", Quantity: 1, UnitPriceCents: 1}}}
				_, err := s.Call(t.Context(), "POST", "/api/v1/orders", order, new(any))
				for _, status := range []string{"confirmed", "shipped", "processing", "shipped"} {
					if c%2 == 1 && status == "processing" {
						status = "cancelled"
					}
					_, err = s.Call(t.Context(), "POST", "/api/v1/orders/"+order.ID+"/status", map[string]string{"status": status}, new(any))
				}
				_ = err // one client wins each change; the others are refused
			}
		})
	}
	wg.Wait()
	total := int64(0)
	for n := range orders {
		var o wire.Order
		s.get(t, fmt.Sprint("/api/v1/orders/order-", n), &o)
		for v := int64(1); v <= o.Version; v++ {
			s.get(t, fmt.Sprintf("/api/v1/events/order:%s:v%d", o.ID, v), new(wire.Event))
		}
		if o.Version < 2 {
			t.Errorf("the order did not move: %+v", o)
		}
		total += o.Version
	}
	if n := int64(len(s.eventsOf(t, "order_status_changed"))); n != total {
		t.Errorf("the orders have %d versions, and the log %d events of them", total, n)
	}
}

// checkState counts by compare and swap in eight instances: every swap has one winner, so that
// each event gets a number of its own.
func checkState(t *testing.T, s *guaranteeHost) {
	const events = 80
	list := make([]map[string]any, events)
	for i := range list {
		list[i] = map[string]any{"event_type": "tallied", "data": i}
	}
	numbers := make(map[int]bool)
	for _, id := range s.publishAll(t, list) {
		var result struct{ Count int }
		if d := s.delivered(t, id, "tally"); json.Unmarshal(d.Result, &result) != nil {
			t.Fatalf("got %s", d.Result)
		}
		numbers[result.Count] = true
	}
	if len(numbers) != events || !numbers[1] || !numbers[events] {
		t.Errorf("%d events have %d numbers", events, len(numbers))
	}
	var stored wire.KVValue
	s.get(t, "/api/v1/events/plugins/tally/kv/count", &stored)
	if stored.Text == nil || *stored.Text != fmt.Sprint(events) {
		t.Errorf("stored is %+v", stored)
	}
}

// checkTimeLimits stores a key with a time limit: after that the API, lists and the guest have no
// such key, and its bytes count no longer.
func checkTimeLimits(t *testing.T, s *guaranteeHost) {
	const path = "/api/v1/events/plugins/steps/kv"
	text, used := "value", func() (list wire.KVList) {
		s.get(t, path, &list)
		return list
	}
	before := used().Used
	read := func() string {
		r := s.publish(t, "limited", map[string]any{"steps": []string{"gk"}}, nil)
		return string(s.delivered(t, r.EventID, "steps").Result)
	}
	s.do(t, "PUT", path+"/k", wire.NewKVValue{Text: &text, ExpiresIn: "1h"})
	if got := read(); got != `["value"]` {
		t.Errorf("before the limit the guest reads %s", got)
	}
	if used().Used <= before {
		t.Error("the key does not count")
	}
	s.do(t, "PUT", path+"/k", wire.NewKVValue{Text: &text, ExpiresIn: "1s"})
	await(t, "the key is absent", func() error {
		if status := s.try(t, "GET", path+"/k", nil, new(any)); status != http.StatusNotFound {
			return fmt.Errorf("got %d", status)
		}
		return nil
	})
	if got := read(); got == `["value"]` {
		t.Error("the guest reads it")
	}
	if list := used(); list.Used != before || len(list.Items) != 0 {
		t.Errorf("got %+v", list)
	}
}

// checkAtomicState counts with plain reads and writes while the host is killed, and looks for
// writes of attempts that failed.
func checkAtomicState(t *testing.T, s *guaranteeHost) {
	countOverKills(t, s.engine, s.kills(2), 1000)
	r := s.publish(t, "atomic", map[string]any{"steps": []string{"saunwanted"}, "end": "reject"}, nil)
	s.delivery(t, r.EventID, "atomic-steps", "dead")
	r = s.publish(t, "atomic", map[string]any{"steps": []string{"sbwanted", "ga", "gb"}}, nil)
	if d := s.delivered(t, r.EventID, "atomic-steps"); string(d.Result) != `[0,-4,"wanted"]` {
		t.Errorf("an attempt reads %s", d.Result)
	}
	await(t, "what it wrote is stored", func() error { // a moment after its outcome is shown
		_, err := s.Call(t.Context(), "GET", "/api/v1/events/plugins/atomic-steps/kv/b", nil, new(wire.KVValue))
		return err
	})
	if status := s.try(t, "GET", "/api/v1/events/plugins/atomic-steps/kv/a", nil, new(any)); status != http.StatusNotFound {
		t.Errorf("what a failed attempt wrote: got %d, want 404", status)
	}
}
