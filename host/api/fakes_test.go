package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/berth-host/berth/host/api"
	"github.com/berth-host/berth/host/api/guard"
	"github.com/berth-host/berth/host/api/membership"
	"github.com/berth-host/berth/host/api/stream"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "an-admin-token-for-tests-of-the-api"

// parts is a whole host in memory. err, when set, is what every part answers;
// before runs first in every call.
type parts struct {
	approved []wire.Approval // by Approve
	config   json.RawMessage // by SetHandlerConfig; nil before

	mu        sync.Mutex
	log       []event.Record
	orders    []wire.Order
	enabled   map[string]bool
	installed []wire.Install
	flags     string   // of the last Uninstall
	remainsOn []string // hosts, of Uninstall
	changed   []string // by RetryNow and SkipEvent
	switched  bool     // a plugin is disabled just before it is upgraded, rolled back or uninstalled
	err       error
	before    func()
	grown     chan struct{} // closed when the log grows; nil while no follower waits
	broken    error         // what followers answer
}

func (p *parts) enter() (func(), error) {
	if p.before != nil {
		p.before()
	}
	p.mu.Lock()
	return p.mu.Unlock, p.err
}

func (p *parts) Publish(ctx context.Context, d event.Draft) (event.Receipt, error) {
	ev, err := event.New(d)
	if err != nil {
		return event.Receipt{}, err
	}
	receipts, err := p.PublishEvents(ctx, []*event.Event{ev})
	if err != nil {
		return event.Receipt{}, err
	}
	return receipts[0], receipts[0].Err
}

func (p *parts) PublishEvents(_ context.Context, events []*event.Event) ([]event.Receipt, error) {
	leave, err := p.enter()
	defer leave()
	if err != nil {
		return nil, err
	}
	var receipts []event.Receipt
	for _, ev := range events {
		key := ev.Metadata().IdempotencyKey
		r := event.Receipt{Seq: uint64(len(p.log) + 1), EventID: ev.ID(), IdempotencyKey: key}
		for _, old := range p.log {
			if old.Event.Metadata().IdempotencyKey != key {
				continue
			}
			r.Seq, r.EventID, r.Duplicate = old.Seq, old.Event.ID(), true
			if !old.Event.SameContent(ev) {
				r = event.Receipt{EventID: ev.ID(), IdempotencyKey: key, Err: &fault.Error{Code: fault.Conflict,
					Field: "metadata.idempotency_key", Reason: "the key has other content"}}
			}
		}
		if r.Err == nil && !r.Duplicate {
			p.log = append(p.log, event.Record{Seq: r.Seq, Event: ev})
			if p.grown != nil {
				close(p.grown)
				p.grown = nil
			}
		}
		receipts = append(receipts, r)
	}
	return receipts, nil
}

func (p *parts) Event(_ context.Context, id string) (event.Record, error) {
	leave, err := p.enter()
	defer leave()
	if err != nil {
		return event.Record{}, err
	}
	for _, rec := range p.log {
		if rec.Event.ID() == id || rec.Event.Metadata().IdempotencyKey == id {
			return rec, nil
		}
	}
	return event.Record{}, fault.New(fault.NotFound, "there is no event %s", id)
}

func (p *parts) Events(_ context.Context, q event.Query) ([]event.Record, error) {
	leave, err := p.enter()
	defer leave()
	var found []event.Record
	for _, rec := range slices.Backward(p.log) {
		if q.Selects(rec) && len(found) < q.Limit {
			found = append(found, rec)
		}
	}
	return found, err
}

func (p *parts) Read(_ context.Context, from uint64, limit int) ([]event.Record, error) {
	leave, err := p.enter()
	defer leave()
	var found []event.Record
	for _, rec := range p.log {
		if rec.Seq >= from && len(found) < limit {
			found = append(found, rec)
		}
	}
	return found, err
}

func (p *parts) SeqAt(_ context.Context, t time.Time) (uint64, error) {
	leave, err := p.enter()
	defer leave()
	for _, rec := range p.log {
		if !rec.Event.Metadata().Time.Before(t) {
			return rec.Seq, err
		}
	}
	return uint64(len(p.log) + 1), err
}

// RetryNow, SkipEvent and Retrying make it an api.Actions.
func (p *parts) RetryNow(_ context.Context, handler string, seqs []uint64) (int, error) {
	leave, err := p.enter()
	defer leave()
	p.changed = append(p.changed, fmt.Sprint("retry ", handler, " ", seqs))
	if strings.HasPrefix(handler, "waits-") { // its events wait for something else than a retry
		return 0, err
	}
	return len(seqs), err
}

func (p *parts) SkipEvent(_ context.Context, handler string, seq uint64) error {
	leave, err := p.enter()
	defer leave()
	p.changed = append(p.changed, fmt.Sprint("skip ", handler, " ", seq))
	return err
}

func (p *parts) Retrying(context.Context, string, uint64, int) ([]event.Delivery, error) {
	leave, err := p.enter()
	defer leave()
	return nil, err
}

// Last and Follow make it an api.PublishedLog.
func (p *parts) Last() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.log) == 0 {
		return 0
	}
	return p.log[len(p.log)-1].Seq
}

func (p *parts) Follow(from uint64) stream.Follower { return &follower{parts: p, next: from} }

type follower struct {
	*parts
	next uint64
}

func (f *follower) Next(ctx context.Context, buf []event.Record) (int, error) {
	for {
		f.mu.Lock()
		n := 0
		for _, rec := range f.log {
			if rec.Seq >= f.next && n < len(buf) {
				buf[n] = rec
				n++
			}
		}
		if f.grown == nil {
			f.grown = make(chan struct{})
		}
		grown, err := f.grown, f.broken
		f.mu.Unlock()
		if err != nil {
			return 0, err
		}
		if n > 0 {
			f.next = buf[n-1].Seq + 1
			return n, nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func (f *follower) Close() {}

func (p *parts) Deliveries(_ context.Context, rec event.Record) ([]wire.Delivery, error) {
	if rec.Event.Type() == "nobody" {
		return nil, nil
	}
	if rec.Event.Type() == "failed" {
		return []wire.Delivery{{Plugin: "order-audit", Status: "dead", Attempts: 1, Error: &wire.DeliveryError{Class: "trap"}}}, nil
	}
	return []wire.Delivery{{Plugin: "order-audit", Status: "ok", Attempts: 1, Result: json.RawMessage(`{"seen":true}`)}}, nil
}

type fakeOrders struct{ *parts }

func (p fakeOrders) Create(_ context.Context, n wire.NewOrder, _ spec.Publisher) (wire.Order, event.Receipt, error) {
	leave, err := p.enter()
	defer leave()
	if err != nil {
		return wire.Order{}, event.Receipt{}, err
	}
	if n.CustomerID == "" {
		return wire.Order{}, event.Receipt{}, fault.Field("customer_id", "is required")
	}
	o := wire.Order{ID: n.ID, CustomerID: n.CustomerID, Currency: n.Currency, Items: n.Items, Status: "pending", Version: 1}
	p.parts.orders = append(p.parts.orders, o)
	return o, event.Receipt{EventID: "event-of-" + n.ID}, nil
}

func (p fakeOrders) SetStatus(ctx context.Context, id, status string, ifMatch int64, _ spec.Publisher) (wire.Order, event.Receipt, error) {
	o, err := p.Get(ctx, id)
	switch {
	case err != nil:
		return wire.Order{}, event.Receipt{}, err
	case ifMatch != 0 && ifMatch != o.Version:
		return wire.Order{}, event.Receipt{}, &fault.Error{Code: fault.Precondition, Field: "If-Match", Reason: "is at another version"}
	case status == "":
		return wire.Order{}, event.Receipt{}, fault.Field("status", "is required")
	case status == o.Status:
		return wire.Order{}, event.Receipt{}, fault.New(fault.Conflict, "is %s already", status)
	}
	o.Status, o.Version = status, o.Version+1
	return o, event.Receipt{EventID: "event-of-" + id + "-" + strconv.FormatInt(o.Version, 10)}, nil
}

func (p fakeOrders) Get(_ context.Context, id string) (wire.Order, error) {
	leave, err := p.enter()
	defer leave()
	if err != nil {
		return wire.Order{}, err
	}
	for _, o := range p.parts.orders {
		if o.ID == id {
			return o, nil
		}
	}
	return wire.Order{}, fault.New(fault.NotFound, "there is no order %q", id)
}

func (p fakeOrders) List(_ context.Context, q spec.OrderQuery) (wire.List[wire.Order], error) {
	leave, err := p.enter()
	defer leave()
	if q.Status == "lost" {
		return wire.List[wire.Order]{}, fault.Field("status", "is not a status")
	}
	var list wire.List[wire.Order]
	for _, o := range p.parts.orders {
		if (q.Customer == "" || o.CustomerID == q.Customer) && len(list.Items) < q.Limit {
			list.Items = append(list.Items, o)
		}
	}
	return list, err
}

func (p *parts) List() []wire.Plugin {
	plugin, _ := p.Plugin("order-audit")
	return []wire.Plugin{plugin}
}

func (p *parts) Known(name string) bool { return name == "order-audit" }

func (p *parts) Plugin(name string) (wire.Plugin, bool) {
	if p.before != nil {
		p.before()
	}
	if name != "order-audit" {
		return wire.Plugin{}, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	state := wire.Active
	if on, set := p.enabled[name]; set && !on {
		state = wire.Disabled
	}
	return wire.Plugin{Name: name, State: state}, true
}

func (p *parts) Report(sha256 string) (json.RawMessage, bool) {
	return json.RawMessage(`{"sha256":"` + sha256 + `"}`), sha256 != ""
}

// Log is of a plugin that has logged one line about each event.
func (p *parts) Log(plugin string, q spec.LogQuery) wire.PluginLog {
	p.mu.Lock()
	defer p.mu.Unlock()
	log := wire.PluginLog{Plugin: plugin, Last: uint64(len(p.log)), Discarded: uint64(q.After), Evicted: uint64(q.Limit)}
	for _, rec := range p.log {
		if rec.Seq > q.After && (q.EventID == "" || q.EventID == rec.Event.ID()) {
			log.Items = append(log.Items, wire.LogLine{Seq: rec.Seq, Level: "info", Message: "\u001b[2J", EventID: rec.Event.ID(), Attempt: 1})
		}
	}
	if q.Latest {
		log.Next = nil
	} else {
		log.Next = new("7")
	}
	return log
}

func (p *parts) Approve(_ context.Context, name string, in wire.Approval, precondition func(wire.Plugin) error) (wire.Plugin, error) {
	if now, found := p.Plugin(name); found && precondition != nil {
		if err := precondition(now); err != nil {
			return wire.Plugin{}, err
		}
	}
	p.approved = append(p.approved, in)
	return p.SetEnabled(context.Background(), name, true)
}

func (p *parts) SetEnabled(_ context.Context, name string, enabled bool) (wire.Plugin, error) {
	if _, found := p.Plugin(name); !found {
		return wire.Plugin{}, fault.New(fault.NotFound, "there is no plugin %q", name)
	}
	p.mu.Lock()
	p.enabled[name] = enabled
	err := p.err
	p.mu.Unlock()
	plugin, _ := p.Plugin(name)
	return plugin, err
}

func (p *parts) Install(_ context.Context, in wire.Install, report func(wire.Progress)) (wire.Plugin, error) {
	leave, err := p.enter()
	defer leave()
	if report != nil {
		report(wire.Progress{Step: "download", Done: 1, Total: 2})
	}
	if err == nil && in.URL == "" && in.Ref == "" {
		err = fault.New(fault.NotFound, "the marketplace is disabled")
	}
	if in.SHA256 == "asks" && in.Approve != "digest" {
		err = planned{wire.Plan{Digest: "digest", Name: "x", Capabilities: []wire.PlannedCapability{}}}
	}
	if err == nil && in.Name == "order-audit" {
		err = fault.New(fault.Conflict, "the name %s is taken", in.Name)
	}
	p.installed = append(p.installed, in)
	return wire.Plugin{Name: in.Name, State: wire.Active, SHA256: in.SHA256}, err
}

// planned is an error with a plan.
type planned struct{ plan wire.Plan }

func (planned) Error() string     { return "approve it" }
func (planned) Unwrap() error     { return fault.New(fault.Conflict, "approval is required") }
func (p planned) Plan() wire.Plan { return p.plan }

// checkPrecondition first disables the plugin, if switched.
func (p *parts) checkPrecondition(name string, precondition func(wire.Plugin) error) error {
	p.mu.Lock()
	if p.switched {
		p.enabled = map[string]bool{name: false}
	}
	p.mu.Unlock()
	if precondition == nil {
		return nil
	}
	found, _ := p.Plugin(name)
	return precondition(found)
}

func (p *parts) Upgrade(ctx context.Context, name string, in wire.Upgrade, precondition func(wire.Plugin) error, report func(wire.Progress)) (wire.Plugin, error) {
	if err := p.checkPrecondition(name, precondition); err != nil {
		return wire.Plugin{}, err
	}
	return p.Install(ctx, wire.Install{Name: name + " upgraded", Version: in.Version, URL: in.URL, SHA256: in.SHA256, Ref: in.Ref, Approve: in.Approve}, report)
}

func (p *parts) Rollback(ctx context.Context, name, version string, precondition func(wire.Plugin) error, report func(wire.Progress)) (wire.Plugin, error) {
	if err := p.checkPrecondition(name, precondition); err != nil {
		return wire.Plugin{}, err
	}
	return p.Install(ctx, wire.Install{Name: name + " rolled back", Version: version, Ref: "-"}, report)
}

func (p *parts) Verify(context.Context) ([]wire.Stored, error) {
	leave, err := p.enter()
	defer leave()
	return []wire.Stored{{Plugin: "x", OK: true}}, err
}

func (p *parts) Uninstall(_ context.Context, name string, force, purge bool, precondition func(wire.Plugin) error) (wire.Uninstalled, error) {
	if err := p.checkPrecondition(name, precondition); err != nil {
		return wire.Uninstalled{}, err
	}
	p.flags = fmt.Sprint(force, purge)
	leave, err := p.enter()
	defer leave()
	if err == nil && name != "order-audit" {
		err = fault.New(fault.NotFound, "there is no plugin %q", name)
	}
	return wire.Uninstalled{RemainsOn: p.remainsOn}, err
}

// Routed implements ports.Router: types that begin with "lost" have no route.
func (p *parts) Routed(ev *event.Event) bool { return !strings.HasPrefix(string(ev.Type()), "lost") }

func (p *parts) Explain(_ context.Context, ev *event.Event) (wire.Explanation, error) {
	leave, err := p.enter()
	defer leave()
	return wire.Explanation{EventType: string(ev.Type()), Reason: "there are no routes", Handlers: []wire.ExplainedHandler{}}, err
}

// Selection implements ports.Router: a condition is true, false or none, and a glob ends in *.
func (p *parts) Selection(pattern, when string) (func(*event.Event) bool, error) {
	if when != "" && when != "true" && when != "false" {
		return nil, fault.Field("when", "is not a condition")
	}
	if strings.Contains(pattern, "!") {
		return nil, fault.Field("event_type", "is not a glob")
	}
	return func(ev *event.Event) bool {
		return when != "false" && strings.HasPrefix(string(ev.Type()), strings.TrimSuffix(pattern, "*"))
	}, nil
}

func (p *parts) InForce(handler string) (wire.Settings, error) {
	return wire.Settings{File: "berth.yaml", Items: []wire.Setting{{Path: "handlers." + handler + ".enabled", Value: "true"}}, NeedsRestart: []string{}}, nil
}

func (p *parts) File(context.Context) (wire.ConfigFile, error) {
	return wire.ConfigFile{Path: "berth.yaml", Exists: true, Text: "routes: {}\n", Changed: []string{}, NeedsRestart: []string{},
		Errors: []wire.ErrorDetail{}}, nil
}

func (p *parts) Plan(_ context.Context, in wire.NewPlan) (wire.ConfigPlan, error) {
	leave, err := p.enter()
	defer leave()
	if in.MaxEvents > 100_000 {
		err = fault.Field("max_events", "is too large")
	}
	return wire.ConfigPlan{Events: 7, Limit: in.Against, Handlers: []wire.PlannedHandler{{Plugin: "order-audit", GainedEvents: []wire.PlannedEvent{},
		LostEvents: []wire.PlannedEvent{}, LostGrants: []string{}, Failed: wire.PlannedFailures{Events: []wire.PlannedEvent{}}, HottestKeys: []wire.PlannedKey{},
		Backlog: &wire.PlannedBacklog{}}}, Refused: wire.PlannedRefusals{Events: []wire.PlannedEvent{}}, Unknown: []wire.PlannedUnknown{}}, err
}

func (p *parts) HandlerConfig(name string) (wire.HandlerConfig, error) {
	if !p.Known(name) {
		return wire.HandlerConfig{}, fault.New(fault.NotFound, "no handler %s is configured", name)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.config == nil {
		return wire.HandlerConfig{Config: json.RawMessage("{}"), Schema: json.RawMessage(`{"type":"object"}`)}, nil
	}
	return wire.HandlerConfig{Config: p.config, Schema: json.RawMessage(`{"type":"object"}`)}, nil
}

func (p *parts) SetHandlerConfig(_ context.Context, name string, object json.RawMessage, precondition func(wire.HandlerConfig) error) (wire.HandlerConfig, error) {
	now, err := p.HandlerConfig(name)
	if err == nil {
		err = precondition(now)
	}
	if err != nil {
		return wire.HandlerConfig{}, err
	}
	p.mu.Lock()
	p.config = slices.Clone(object)
	p.mu.Unlock()
	return p.HandlerConfig(name)
}

func (p *parts) AdoptDecisions(_ context.Context, clear bool) (wire.Adopted, error) {
	leave, err := p.enter()
	defer leave()
	if !clear {
		return wire.Adopted{YAML: "handlers:\n"}, err
	}
	return wire.Adopted{YAML: "handlers:\n", Cleared: []string{"order-audit"}}, err
}

func (p *parts) Reload(context.Context) (wire.ReloadResult, error) {
	leave, err := p.enter()
	defer leave()
	return wire.ReloadResult{}, err
}

// tokens knows the admin's secret, and "narrow" with the scope read only, until
// that is revoked.
type tokens struct{ revoked atomic.Bool }

func (v *tokens) Verify(s string) (spec.Token, bool) {
	narrow := spec.Token{ID: "n", Name: "narrow", Scopes: []string{spec.ScopeRead}}
	switch {
	case s == secret:
		return spec.Token{ID: "admin", Name: "admin", Scopes: []string{spec.ScopeRead, spec.ScopePublish, spec.ScopeOperate, spec.ScopeInstall, spec.ScopeAdmin}}, true
	case s == "narrow" && v.Valid(narrow):
		return narrow, true
	}
	return spec.Token{}, false
}

func (v *tokens) Valid(t spec.Token) bool { return t.ID != "n" || !v.revoked.Load() }

// SetPaused pauses as SetEnabled disables.
func (p *parts) SetPaused(ctx context.Context, name string, paused bool) (wire.Plugin, error) {
	return p.SetEnabled(ctx, name, !paused)
}

// bundle is a complete configuration, whose parts are fakes in memory.
type bundle struct {
	*parts
	cfg         api.Config
	deadLetters *deadLetters
}

// setup returns a bundle with one event, "first", one order, "A-1", and three dead letters.
func setup(t testing.TB) *bundle {
	p := seeded(t)
	cfg := config(p)
	return &bundle{parts: p, cfg: cfg, deadLetters: cfg.Events.DeadLetters.(*deadLetters)}
}

// config is a complete configuration over parts.
func config(p *parts) api.Config {
	p.enabled = map[string]bool{}
	d := newDeadLetters()
	return api.Config{
		Events:  api.Events{Publisher: p, Log: p, Schedule: newSchedule(), Published: p, Activities: stream.NewFeed(0), Router: p, Deliveries: p, DeadLetters: d, Replayer: d, Status: d},
		Orders:  fakeOrders{p},
		Actions: p,
		Plugins: api.Plugins{Registry: p, Logs: p, Installer: p, Marketplace: &market{err: fault.New(fault.NotFound, "the marketplace is disabled")},
			State: newKeyValues()},
		Admin: api.Admin{Reloader: p, Planner: p, Audit: &auditLog{}, AuditLog: changes{{ID: "c1", Stage: "end", Action: "disable", Who: "admin", Status: 200}},
			Ready: func() error { return nil }, Backups: &backups{content: []byte("tar")},
			Doctor: func(context.Context) wire.Findings {
				return wire.Findings{Checks: []wire.Finding{{Check: "clock", Level: wire.FindingOK}}}
			}},
		Incidents:  incidents(),
		Catalog:    newCatalog(),
		Membership: membership.Parts{Cluster: &fakeCluster{}},
		Figures: api.Figures{Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			fmt.Fprintln(w, "berth_ready 1")
		}), Series: series{}},
		Guard:  guard.Config{Tokens: &tokens{}, Listen: "berth.internal:8080", AllowedHosts: []string{"berth.example.com"}},
		Limits: api.Limits{Heartbeat: time.Hour},
	}
}

func newServer(t testing.TB, cfg api.Config) *api.Server {
	t.Helper()
	s, err := api.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// call is one request with the admin token, as JSON, unless its headers say otherwise.
func call(h http.Handler, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = "localhost:8080"
	r.Header.Set("Authorization", "Bearer "+secret)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		switch {
		case name == "Host":
			r.Host = value
		case value == "-":
			r.Header.Del(name)
		default:
			r.Header.Set(name, value)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func problemIn(t testing.TB, w *httptest.ResponseRecorder) wire.Problem {
	t.Helper()
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("the content type is %q", got)
	}
	var p wire.Problem
	if err := event.DecodeStrict(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("%v in %s", err, w.Body)
	}
	if p.Status != w.Code || p.Title != http.StatusText(w.Code) || p.Type != "about:blank" || p.Code == "" || p.Detail == "" {
		t.Errorf("status %d with the problem %+v", w.Code, p)
	}
	return p
}

func decode[T any](t testing.TB, w *httptest.ResponseRecorder) T {
	t.Helper()
	if got := w.Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("the content type is %q: %s", got, w.Body)
	}
	var v T
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("%v in %s", err, w.Body)
	}
	return v
}
