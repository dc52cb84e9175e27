package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-host/berth/cmd/berth/internal/client"
	"github.com/berth-host/berth/host/pgstore/pgtest"
	"github.com/berth-host/berth/host/wire"
)

// Engines of the log, as bus.engine names them.
const (
	memoryEngine   = "memory"
	sqliteEngine   = "sqlite"
	postgresEngine = "postgres"
)

var (
	allEngines     = []string{memoryEngine, sqliteEngine, postgresEngine}
	durableEngines = []string{sqliteEngine, postgresEngine}
)

// guarantee is one of docs/guarantees.md, and a test of it over the real binary, which runs on
// every engine that makes it. A check has the host of the engine, which runs the handlers of
// all guarantees; one about crashes starts hosts of its own.
type guarantee struct {
	name     string // as the document has it
	engines  []string
	handlers []handler
	check    func(t *testing.T, s *guaranteeHost)
}

// guarantees returns those that this suite tests, in the order of the document, which names the
// suites of the others.
func guarantees() []guarantee {
	return []guarantee{
		{name: "Durable", engines: durableEngines, check: func(t *testing.T, s *guaranteeHost) { killUnderLoad(t, s.engine, 3) }},
		{name: "Several hosts", engines: []string{postgresEngine}, check: checkSeveralHosts},
		{name: "At least once", engines: allEngines, check: checkAbsences, handlers: []handler{
			{name: "waiting", guest: "field_echo", takes: "waiting"}}},
		{name: "Idempotent", engines: allEngines, check: checkIdempotent, handlers: []handler{
			{name: "once", guest: "kv_counter", takes: "once", manifest: kvCapability, settings: "grants: [kv]"}}},
		{name: "Schedules", engines: allEngines, check: func(t *testing.T, s *guaranteeHost) { scheduleOverKills(t, s.engine, s.kills(2)) }},
		{name: "Deferred events", engines: allEngines, check: checkDeferred},
		{name: "Schemas", engines: allEngines, check: checkSchemas},
		{name: "Orders", engines: allEngines, check: checkOrders},
		{name: "Order per key", engines: allEngines, check: checkOrderPerKey, handlers: []handler{
			{name: "ledger", guest: "ledger", takes: "ordered report", manifest: kvCapability,
				settings: "grants: [kv], limits: {concurrency: 8}, retry: {max_attempts: 5, backoff: 5ms, max_backoff: 20ms}"}}},
		{name: "Failures", engines: allEngines, check: checkFailures, handlers: []handler{
			{name: "healthy", guest: "echo", takes: "failing"},
			{name: "rejecting", guest: "reject", takes: "failing"},
			{name: "retrying", guest: "retry_once", takes: "failing", settings: "retry: {backoff: 1h, max_backoff: 1h}"},
			{name: "trapping", guest: "trap_on_event", takes: "failing",
				settings: "retry: {max_attempts: 3, backoff: 5ms, max_backoff: 20ms}, breaker: {failures: 0}"}}},
		{name: "History", engines: allEngines, check: checkHistory, handlers: []handler{
			{name: "echoing", guest: "field_echo", takes: "noted"},
			{name: "retrying-once", guest: "retry_once", takes: "noted", settings: "retry: {backoff: 5ms}"}}},
		{name: "Key-value state", engines: allEngines, check: checkState, handlers: []handler{
			{name: "tally", guest: "kv_counter", takes: "tallied", manifest: kvCapability, settings: "grants: [kv], limits: {concurrency: 8}"}}},
		{name: "Time limits", engines: allEngines, check: checkTimeLimits, handlers: []handler{
			{name: "steps", guest: "atomic_steps", takes: "limited", manifest: kvCapability, settings: "grants: [kv]"}}},
		{name: "Atomic state", engines: allEngines, check: checkAtomicState, handlers: []handler{
			{name: "atomic-steps", guest: "atomic_steps", takes: "atomic", manifest: kvCapability, settings: "grants: [kv], state: atomic"}}},
		{name: "Batches", engines: allEngines, check: checkBatches, handlers: []handler{
			{name: "parts", guest: "batch_parts", takes: "part", manifest: `"batch":{"max_events":100,"max_wait":"10s"}`, settings: "retry: {backoff: 5ms}"}}},
		{name: "Breaker", engines: allEngines, check: checkBreaker, handlers: []handler{
			{name: "breaking", guest: "trap_on_event", takes: "breaking",
				settings: "retry: {max_attempts: 1000, backoff: 1ms, max_backoff: 1ms}, breaker: {failures: 2, cooldown: 200ms, max_cooldown: 200ms}"}}},
		{name: "New versions", engines: allEngines, check: func(t *testing.T, s *guaranteeHost) { replaceUnderLoad(t, s.engine, 200) }},
		{name: "Children", engines: allEngines, check: checkChildren, handlers: []handler{
			{name: "emitting", guest: "emit_children", takes: "parent", manifest: `"capabilities":[{"name":"emit","event_types":["child"],"reason":"children"}]`,
				settings: "grants: [emit], retry: {backoff: 5ms}"}}},
	}
}

const kvCapability = `"capabilities":[{"name":"kv","reason":"state"}]`

// typesAndLimits are the sections of the configuration besides the handlers.
const typesAndLimits = `event_types:
  checked: {schema: {type: object, required: [n]}}
  warned: {schema: {type: object, required: [n]}, mode: warn}
`

// handler is a guest of the tests as a plugin.
type handler struct {
	name, guest string
	takes       string // event types
	manifest    string // further members
	settings    string // of the handler, in the flow style of YAML
}

func (h handler) sidecar() []byte {
	text := `{"name":"` + h.name + `","version":"1.0.0"`
	for i, eventType := range strings.Fields(h.takes) {
		text += []string{`,"subscribes":[`, `,`}[min(i, 1)] + `{"event_type":"` + eventType + `"}`
	}
	text += "]"
	if h.manifest != "" {
		text += "," + h.manifest
	}
	return []byte(text + "}")
}

// guaranteeHost is the host of an engine.
type guaranteeHost struct {
	*server
	engine  string
	plugins string // the watched directory
}

// busOf returns the settings of an engine; with postgres a schema of their own.
func busOf(t *testing.T, engine string) string {
	t.Helper()
	if engine != postgresEngine {
		return "bus: {engine: " + engine + "}\n"
	}
	return fmt.Sprintf("bus: {engine: postgres, postgres: {url: %q, schema: %s, max_connections: 8}}\n", pgtest.URL(t), pgtest.Schema(t))
}

// TestGuarantees tests every guarantee on every engine that makes it.
func TestGuarantees(t *testing.T) {
	for _, engine := range allEngines {
		t.Run(engine, func(t *testing.T) {
			list := slices.DeleteFunc(guarantees(), func(g guarantee) bool { return !slices.Contains(g.engines, engine) })
			s := startForGuarantees(t, engine, list)
			for _, g := range list {
				t.Run(g.name, func(t *testing.T) { g.check(t, s) })
			}
			s.terminate(t)
		})
	}
}

// TestGuaranteesOfShards tests those that handlers show, with handlers that are divided into shards.
// The check of batches is of their size, and a batch is of one shard.
func TestGuaranteesOfShards(t *testing.T) {
	list := slices.DeleteFunc(guarantees(), func(g guarantee) bool { return len(g.handlers) == 0 || g.name == "Batches" })
	for _, g := range list {
		for i := range g.handlers {
			h := &g.handlers[i]
			h.settings = strings.TrimSuffix("shards: 3, "+h.settings, ", ")
		}
	}
	s := startForGuarantees(t, postgresEngine, list)
	for _, g := range list {
		for _, h := range g.handlers {
			await(t, h.name+" has three shards", func() error {
				var p wire.Plugin
				_, err := s.Call(t.Context(), "GET", "/api/v1/plugins/"+h.name, nil, &p)
				if err == nil && (p.Shards == nil || p.Shards.Count != 3 || p.Shards.Stage != "") {
					err = fmt.Errorf("it has %+v", p.Shards)
				}
				return err
			})
		}
	}
	for _, g := range list {
		t.Run(g.name, func(t *testing.T) { g.check(t, s) })
	}
	s.terminate(t)
}

func startForGuarantees(t *testing.T, engine string, list []guarantee) *guaranteeHost {
	t.Helper()
	dir, config, plugins := workplace(t)
	text := "plugin_directories: [" + plugins + "]\nroutes: {\"*\": {}}\n" + typesAndLimits + busOf(t, engine) + "handlers:\n"
	var names []string
	for _, g := range list {
		for _, h := range g.handlers {
			text += "  " + h.name + ": {" + h.settings + "}\n"
			write(t, filepath.Join(plugins, h.name+".wasm.json"), h.sidecar())
			write(t, filepath.Join(plugins, h.name+".wasm"), guest(t, h.guest))
			names = append(names, h.name)
		}
	}
	write(t, config, []byte(text))
	s := &guaranteeHost{server: serve(t, dir, config), engine: engine, plugins: plugins}
	for _, name := range names {
		s.active(t, name)
	}
	return s
}

// kills returns n, or 0 where nothing outlasts the host.
func (s *guaranteeHost) kills(n int) int {
	if s.engine == memoryEngine {
		return 0
	}
	return n
}

// publish publishes an event and returns its receipt.
func (s *server) publish(t *testing.T, eventType string, data any, metadata map[string]any) wire.Receipt {
	t.Helper()
	var r wire.Receipt
	if status := s.try(t, "POST", "/api/v1/events", map[string]any{"event_type": eventType, "data": data, "metadata": metadata}, &r); status != 0 {
		t.Fatalf("publish %s: %d", eventType, status)
	}
	return r
}

// publishAll publishes events in one request and returns their ids.
func (s *server) publishAll(t *testing.T, events []map[string]any) (ids []string) {
	t.Helper()
	var receipts wire.List[wire.BatchReceipt]
	if status := s.try(t, "POST", "/api/v1/events", events, &receipts); status != 0 {
		t.Fatalf("publish: %d", status)
	}
	for _, r := range receipts.Items {
		ids = append(ids, r.EventID)
	}
	return ids
}

// try sends a request and returns the status of a refusal, or 0.
func (s *server) try(t *testing.T, method, path string, body, answer any) (refused int) {
	t.Helper()
	_, err := s.Call(t.Context(), method, path, body, answer)
	var problem client.Problem
	if err != nil && !errors.As(err, &problem) {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return problem.Status
}

// do sends a request that must succeed.
func (s *server) do(t *testing.T, method, path string, body any) {
	t.Helper()
	if status := s.try(t, method, path, body, new(any)); status != 0 {
		t.Fatalf("%s %s: %d", method, path, status)
	}
}

// delivery waits until the delivery of an event to a handler is as it should be, and returns it.
func (s *server) delivery(t *testing.T, id, handler, status string) (found wire.Delivery) {
	t.Helper()
	await(t, id+" is "+status+" at "+handler, func() error {
		var ev wire.Event
		if _, err := s.Call(t.Context(), "GET", "/api/v1/events/"+id, nil, &ev); err != nil {
			return err
		}
		for _, d := range ev.Deliveries {
			if d.Plugin == handler && d.Status == status {
				found = d
				return nil
			}
		}
		return fmt.Errorf("deliveries: %+v", ev.Deliveries)
	})
	return found
}

// showPlugin returns a plugin as the host shows it.
func (s *server) showPlugin(t *testing.T, name string) (p wire.Plugin) {
	t.Helper()
	s.get(t, "/api/v1/plugins/"+name, &p)
	return p
}
