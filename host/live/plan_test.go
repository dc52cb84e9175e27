package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// shortLog has two orders, A-1 with a total and A-2 without one.
type shortLog struct {
	records []event.Record
	reading func() // called by Read
}

func newShortLog(t *testing.T) *shortLog {
	t.Helper()
	l := &shortLog{reading: func() {}}
	for i, data := range []string{`{"total":5}`, `{"count":"x"}`} {
		ev, err := event.New(event.Draft{Type: "order_placed", Data: []byte(data), Subject: []string{"A-1", "A-2"}[i]})
		if err != nil {
			t.Fatal(err)
		}
		l.records = append(l.records, event.Record{Seq: uint64(i + 1), Event: ev})
	}
	return l
}

func (l *shortLog) Last() uint64 { return 2 }

func (l *shortLog) SeqAt(_ context.Context, t time.Time) (uint64, error) {
	if t.Before(l.records[0].Event.Metadata().Time) {
		return 1, nil
	}
	return 3, nil
}

func (l *shortLog) Read(_ context.Context, from uint64, limit int) ([]event.Record, error) {
	l.reading()
	list := l.records[min(int(from)-1, 2):]
	return list[:min(limit, len(list))], nil
}

// planning is a host with the plugin x, whose events are ordered by subject, and a log.
func planning(t *testing.T, text string) (*Planner, *opened, *shortLog) {
	t.Helper()
	l, _ := withSchema(t, text)
	log := newShortLog(t)
	return NewPlanner(PlannerConfig{Live: l.Live, Log: log, Mean: func(string) (time.Duration, bool) { return time.Second, true }}), l, log
}

func TestPlanOfConfiguration(t *testing.T) {
	p, _, _ := planning(t, "routes: {\"*\": {}}\n")
	made, err := p.Plan(t.Context(), wire.NewPlan{Config: new("routes: {\"order_*\": {when: \"data.total > 3\"}}\n" +
		"handlers: {x: {paused: true, order_by: /event_type}, other: {}}\n" +
		"event_types: {order_placed: {schema: {properties: {count: {type: integer}}}}}\n")})
	if err != nil {
		t.Fatal(err)
	}
	h := made.Handlers[0]
	if h.Plugin != "x" || h.Takes != 2 || h.WouldTake != 1 || h.Lost != 1 || h.LostEvents[0].Subject != "A-2" || h.Failed.Count != 1 ||
		!strings.Contains(h.Failed.Events[0].Reason, "routes.order_*.when") {
		t.Errorf("got %+v", h)
	}
	if h.Change != "paused" || !h.OrderChanged || h.OrderBy != "/event_type" || h.HottestKeys[0].Key != "order_placed" || *h.Backlog.GrowthPerS == 0 {
		t.Errorf("got %+v, backlog %+v", h, h.Backlog)
	}
	if r := made.Refused; r.Count != 1 || r.Events[0].Subject != "A-2" || !strings.HasPrefix(r.Events[0].Reason, "data/count: ") {
		t.Errorf("refused is %+v", r)
	}
	if len(made.Unknown) != 1 || made.Unknown[0].Plugin != "other" || !made.Differs {
		t.Errorf("got %+v", made)
	}
}

// Without a configuration the plan is about the file of the host, which a reload would read.
func TestPlanOfFile(t *testing.T) {
	p, l, _ := planning(t, "routes: {\"*\": {}}\n")
	if made, err := p.Plan(t.Context(), wire.NewPlan{}); err != nil || made.Differs || made.Events != 2 {
		t.Errorf("the file as it is in force: %+v, %v", made, err)
	}
	l.write(l.Path(), "routes: {}\n")
	if made, err := p.Plan(t.Context(), wire.NewPlan{}); err != nil || made.Handlers[0].Lost != 2 {
		t.Errorf("the changed file: %+v, %v", made, err)
	}
	if l.Table().Routed("order_placed") != true {
		t.Error("the plan is in force")
	}
	l.write(l.Path(), "rutes: {secret: hunter2}\n")
	if _, err := p.Plan(t.Context(), wire.NewPlan{}); fault.CodeOf(err) != fault.Conflict || strings.Contains(err.Error(), "rutes") {
		t.Errorf("an invalid file: %v", err)
	}
}

func TestPlanOfManifest(t *testing.T) {
	p, _, _ := planning(t, "routes: {\"*\": {}}\n")
	text := func(m abi.Manifest) json.RawMessage {
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	narrow := []abi.Subscription{{EventType: "order_*", When: `has(data.total)`}}
	made, err := p.Plan(t.Context(), wire.NewPlan{Manifest: text(abi.Manifest{Name: "x", Version: "2.0.0", Subscribes: narrow})})
	if err != nil || made.Handlers[0].Lost != 1 || made.Handlers[0].LostEvents[0].Subject != "A-2" {
		t.Errorf("a new version: %+v, %v", made, err)
	}
	made, err = p.Plan(t.Context(), wire.NewPlan{Manifest: text(abi.Manifest{Name: "y", Version: "1.0.0"})})
	if err != nil || made.Handlers[0].Plugin != "y" || made.Handlers[0].Change != "added" || made.Handlers[0].Gained != 2 {
		t.Errorf("a new plugin: %+v, %v", made, err)
	}
}

func TestPlanRefusesInvalidRequests(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret.json")
	if err := os.WriteFile(secret, []byte(`{"type":"string"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	p, _, _ := planning(t, "routes: {\"*\": {}}\n")
	for name, tt := range map[string]struct {
		in    wire.NewPlan
		field string
	}{
		"no duration":      {wire.NewPlan{Against: "soon"}, "against"},
		"a Seq":            {wire.NewPlan{Against: "42"}, "against"},
		"the future":       {wire.NewPlan{Against: "2999-01-01T00:00:00Z"}, "against"},
		"too many events":  {wire.NewPlan{MaxEvents: 100_001}, "max_events"},
		"a wrong manifest": {wire.NewPlan{Manifest: json.RawMessage(`{"name":1}`)}, "manifest"},
		"no name":          {wire.NewPlan{Manifest: json.RawMessage(`{}`)}, "manifest.name"},
		"a large schema": {wire.NewPlan{Config: new("event_types: {t: {schema: f}}\n"), SchemaFiles: map[string]string{"f": strings.Repeat(" ", maxSchema+1)}},
			"schema_files"},
		"a file of the host": {wire.NewPlan{Config: new("event_types: {t: {schema: " + secret + "}}\n")}, "schema_files"},
	} {
		_, err := p.Plan(t.Context(), tt.in)
		var wrong *fault.Error
		if !errors.As(err, &wrong) || wrong.Code != fault.Invalid || wrong.Field != tt.field {
			t.Errorf("%s: got %v", name, err)
		}
	}
	made, err := p.Plan(t.Context(), wire.NewPlan{Config: new("event_types: {order_placed: {schema: " + secret + "}}\n"),
		SchemaFiles: map[string]string{secret: `{"type":"array"}`}})
	if err != nil || made.Refused.Count != 2 {
		t.Errorf("the schema of the request: %+v, %v", made, err)
	}
	if _, err := p.Plan(t.Context(), wire.NewPlan{Config: new("routes: {\"*\": {when: \"data.\"}}\n")}); err == nil ||
		!strings.Contains(err.Error(), "configuration:1: routes.*.when") {
		t.Errorf("a wrong condition: %v", err)
	}
	if _, err := p.Plan(t.Context(), wire.NewPlan{Config: new("handlers: {x: {config: {limit: 11}}}\n")}); err == nil ||
		!strings.Contains(err.Error(), "handlers.x.config/limit") {
		t.Errorf("a config that its schema refuses: %v", err)
	}
}

// TestPlanEndsWithItsContext: a configuration whose check takes long is not checked to the end.
func TestPlanEndsWithItsContext(t *testing.T) {
	p, _, _ := planning(t, "routes: {\"*\": {}}\n")
	const text = "event_types: {t: {schema: {type: object}}}\nschedules: {s: {every: 1h, event_type: t, data: [1]}}\n"
	if _, err := p.Plan(t.Context(), wire.NewPlan{Config: new(text)}); !strings.Contains(fmt.Sprint(err), "schedules.s.data") {
		t.Errorf("with time: got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Plan(ctx, wire.NewPlan{Config: new(text)}); !errors.Is(err, context.Canceled) {
		t.Errorf("without time: got %v", err)
	}
	ctx, cancel = context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	if _, err := p.Plan(ctx, wire.NewPlan{Config: new(text)}); !fault.Is(err, fault.Timeout) {
		t.Errorf("after the deadline: got %v", err)
	}
}

// TestPlanOfManyTypesOfOneSchema: a request of 100 KiB that names one schema thousands of times
// takes the memory of one.
func TestPlanOfManyTypesOfOneSchema(t *testing.T) {
	p, _, _ := planning(t, "routes: {\"*\": {}}\n")
	text, schema := strings.Builder{}, strings.Builder{}
	const types, members = 4000, 1000
	text.WriteString("event_types:\n")
	for i := range types {
		fmt.Fprintf(&text, "  t%d: {schema: f}\n", i)
	}
	schema.WriteString(`{"properties":{"p":{}`)
	for i := range members {
		fmt.Fprintf(&schema, `,"p%d":{"type":"string"}`, i)
	}
	schema.WriteString("}}")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := p.Plan(t.Context(), wire.NewPlan{Config: new(text.String()), SchemaFiles: map[string]string{"f": schema.String()}})
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; err != nil || n > types*uint64(schema.Len()) {
		t.Errorf("%d bytes, %v", n, err)
	}
	t.Logf("%d MiB", (after.TotalAlloc-before.TotalAlloc)>>20)
}

// A second plan is refused while one is made.
func TestOnePlanIsMadeAtATime(t *testing.T) {
	p, _, log := planning(t, "routes: {\"*\": {}}\n")
	var second error
	log.reading = func() {
		log.reading = func() {}
		_, second = p.Plan(t.Context(), wire.NewPlan{})
	}
	if _, err := p.Plan(t.Context(), wire.NewPlan{}); err != nil {
		t.Fatal(err)
	}
	if fault.CodeOf(second) != fault.Exhausted || fault.RetryAfter(second) == 0 {
		t.Errorf("got %v", second)
	}
	if _, err := p.Plan(t.Context(), wire.NewPlan{}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
