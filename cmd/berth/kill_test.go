package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/cmd/berth/internal/client"
	"github.com/berth-host/berth/host/wire"
)

// TestKillNine kills the host twenty times under mixed load.
func TestKillNine(t *testing.T) { killUnderLoad(t, sqliteEngine, shorter(20, 4)) }

const (
	loadPublishers = 6
	loadPerRound   = 60 // acknowledgements before a kill
)

// killUnderLoad kills the host under mixed load: numbered events of
// several subjects, some of which fail at first and some of which have a child,
// and orders that move. Acknowledged events must be there afterwards and
// reach its handler, each subject's events in order, also across retries and
// restarts, with one child for each that has one. What a crash made the handler
// see twice is counted. Of a second handler, which always succeeds, every result is there.
func killUnderLoad(t *testing.T, engine string, kills int) {
	dir, config := mixedLoadWorkplace(t, busOf(t, engine))
	s := serve(t, dir, config)
	s.active(t, "ledger")
	s.active(t, "field-echo")
	l := newMixedLoad()
	for range kills {
		l.run(t, []*client.Client{s.Client}, s.kill)
		s = serve(t, dir, config)
	}
	s.checkMixedLoad(t, l, kills)
	s.terminate(t)
}

// mixedLoadWorkplace makes a workplace with the handlers of the mixed load. settings are the other
// sections of the configuration.
func mixedLoadWorkplace(t *testing.T, settings string) (dir, config string) {
	t.Helper()
	dir, config, plugins := workplace(t)
	write(t, config, []byte("plugin_directories: ["+plugins+"]\nroutes: {\"*\": {}}\n"+settings+"handlers:\n  ledger:\n"+
		"    grants: [kv, emit]\n    retry: {max_attempts: 50, backoff: 5ms, max_backoff: 20ms}\n"))
	write(t, filepath.Join(plugins, "ledger.wasm"), guest(t, "ledger"))
	write(t, filepath.Join(plugins, "ledger.wasm.json"), []byte(`{"name":"ledger","version":"1.0.0","subscribes":[{"event_type":"*"}],`+
		`"capabilities":[{"name":"kv","reason":"the ledger"},{"name":"emit","event_types":["child"],"reason":"children"}]}`))
	write(t, filepath.Join(plugins, "field-echo.wasm"), guest(t, "field_echo"))
	write(t, filepath.Join(plugins, "field-echo.wasm.json"), []byte(`{"name":"field-echo","version":"1.0.0","subscribes":[{"event_type":"load"}]}`))
	return dir, config
}

// checkMixedLoad checks what the host has of the load that came before so many kills.
func (s *server) checkMixedLoad(t *testing.T, l *mixedLoad, kills int) {
	t.Helper()
	// Every acknowledged event is delivered.
	parents := map[string]string{} // event id → subject, of those with a child
	for p, last := range l.acked {
		for n := 1; n <= last; n++ {
			s.delivered(t, l.key(p, n), "ledger")
			if d := s.delivered(t, l.key(p, n), "field-echo"); string(d.Result) != fmt.Sprintf(`{"text":%q}`, l.key(p, n)) {
				t.Errorf("%s: the history has the result %s", l.key(p, n), d.Result)
			}
			if hasChild(n) {
				var ev wire.Event
				s.get(t, "/api/v1/events/"+l.key(p, n), &ev)
				parents[metadataOf(t, ev).EventID] = l.subject(p)
			}
		}
	}
	for id, version := range l.orders {
		var o wire.Order
		s.get(t, "/api/v1/orders/"+id, &o)
		if o.Version < version {
			t.Errorf("order %s is at version %d; %d was answered", id, o.Version, version)
		}
		for v := int64(1); v <= o.Version; v++ {
			s.delivered(t, fmt.Sprintf("order:%s:v%d", id, v), "ledger")
		}
		l.orders[id] = o.Version
	}
	s.checkChildren(t, parents)
	// Every subject was seen in order.
	var seen sightings
	events := 0
	for p, last := range l.acked {
		events += last
		seen.add(t, l.subject(p), s.ledger(t, l.subject(p)), func(n int) int { return n - 1 }, last)
		// Children come in the order of their parents, not of every number.
		seen.add(t, "child of "+l.subject(p), s.ledger(t, "child of "+l.subject(p)), childBefore, last-last%childEvery)
	}
	for id, version := range l.orders {
		seen.add(t, id, s.ledger(t, id), func(n int) int { return n - 1 }, int(version))
	}
	t.Logf("%d kills; acknowledged and there: %d events, %d of them with a child, %d orders; the handler saw %d attempts, %d of them again after a crash",
		kills, events, len(parents), len(l.orders), seen.attempts, seen.again)
	if events < kills*loadPerRound/4 || len(l.orders) == 0 || len(parents) == 0 {
		t.Fatal("there was hardly any load")
	}
}

// checkChildren checks that every parent has one child, which is delivered. parents has
// subjects by event id.
func (s *server) checkChildren(t *testing.T, parents map[string]string) {
	t.Helper()
	var list []wire.Event
	children := map[string]int{}                        // parent's event id → how many
	await(t, "every parent has a child", func() error { // a moment after its outcome is shown
		list = s.eventsOf(t, "child")
		clear(children)
		for _, ev := range list {
			children[metadataOf(t, ev).CausationID]++
		}
		for id, subject := range parents {
			if children[id] == 0 {
				return fmt.Errorf("event %s of %s has none", id, subject)
			}
		}
		return nil
	})
	for _, ev := range list {
		s.delivered(t, metadataOf(t, ev).EventID, "ledger")
	}
	for id, n := range children {
		if n != 1 {
			t.Errorf("event %s has %d children", id, n)
		}
	}
}

// mixedLoad publishes, and remembers what was acknowledged. Publisher p numbers
// its events from 1; an event whose answer was lost is published again, under
// the same key, so no number is left out.
type mixedLoad struct {
	mu      sync.Mutex
	acked   []int            // by publisher: the highest number acknowledged
	orders  map[string]int64 // by id: the highest version answered
	pending int
	enough  chan struct{}
}

func newMixedLoad() *mixedLoad {
	return &mixedLoad{acked: make([]int, loadPublishers), orders: map[string]int64{}}
}

// run publishes to these hosts until there are enough acknowledgements and kill has returned.
func (l *mixedLoad) run(t *testing.T, hosts []*client.Client, kill func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	enough := l.expect(loadPerRound)
	var wg sync.WaitGroup
	for p := range loadPublishers {
		wg.Go(func() { l.publish(ctx, hosts[p%len(hosts)], p) })
	}
	wg.Go(func() { l.order(ctx, hosts[0]) })
	select {
	case <-enough:
	case <-time.After(testTimeout):
		t.Fatal("the load stands still")
	}
	kill()
	cancel()
	wg.Wait()
}

const (
	failEvery  = 4 // every so many events fail twice at first
	childEvery = 3 // and so many have a child
)

func hasChild(n int) bool               { return n%childEvery == 0 }
func childBefore(n int) int             { return n - childEvery }
func (*mixedLoad) subject(p int) string { return fmt.Sprintf("subject-%d", p) }
func (*mixedLoad) key(p, n int) string  { return fmt.Sprintf("event-%d-%d", p, n) }

// expect returns a channel that is closed after n more acknowledgements.
func (l *mixedLoad) expect(n int) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending, l.enough = n, make(chan struct{})
	return l.enough
}

func (l *mixedLoad) ack(note func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	note()
	if l.pending--; l.pending == 0 {
		close(l.enough)
	}
}

func (l *mixedLoad) publish(ctx context.Context, c *client.Client, p int) {
	for n := l.acked[p] + 1; ctx.Err() == nil; n++ {
		data := map[string]any{"n": n, "child": hasChild(n), "pointer": "/metadata/idempotency_key"}
		if n%failEvery == 0 {
			data["fail"] = 2
		}
		body := map[string]any{"event_type": "load", "data": data,
			"metadata": map[string]string{"subject": l.subject(p), "idempotency_key": l.key(p, n)}}
		if _, err := c.Call(ctx, "POST", "/api/v1/events", body, new(wire.Receipt)); err != nil {
			return
		}
		l.ack(func() { l.acked[p] = n })
	}
}

func (l *mixedLoad) order(ctx context.Context, c *client.Client) {
	for ctx.Err() == nil {
		var o wire.Order
		order := wire.NewOrder{CustomerID: "c", Currency: "EUR", Items: []wire.OrderItem{{SKU: "A", Quantity: 1, UnitPriceCents: 1}}}
		if _, err := c.Call(ctx, "POST", "/api/v1/orders", order, &o); err != nil {
			return
		}
		l.ack(func() { l.orders[o.ID] = o.Version })
		for _, status := range []string{"confirmed", "processing", "shipped"} {
			if _, err := c.Call(ctx, "POST", "/api/v1/orders/"+o.ID+"/status", map[string]string{"status": status}, &o); err != nil {
				return
			}
			l.ack(func() { l.orders[o.ID] = o.Version })
		}
	}
}

func (s *server) get(t *testing.T, path string, to any) {
	t.Helper()
	if _, err := s.Call(t.Context(), "GET", path, nil, to); err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
}

// eventsOf returns every event of a type.
func (s *server) eventsOf(t *testing.T, eventType string) []wire.Event {
	t.Helper()
	var all []wire.Event
	query := url.Values{"type": {eventType}, "limit": {"500"}}
	for {
		var page wire.List[wire.Event]
		s.get(t, "/api/v1/events?"+query.Encode(), &page)
		all = append(all, page.Items...)
		if page.Next == nil {
			return all
		}
		query.Set("cursor", *page.Next)
	}
}

func metadataOf(t *testing.T, ev wire.Event) (meta struct {
	EventID     string `json:"event_id"`
	CausationID string `json:"causation_id"`
}) {
	t.Helper()
	if err := json.Unmarshal(ev.Metadata, &meta); err != nil {
		t.Fatal(err)
	}
	return meta
}

// ledger asks the guest what it has seen of a subject.
func (s *server) ledger(t *testing.T, subject string) string {
	t.Helper()
	var r wire.Receipt
	body := map[string]any{"event_type": "report", "data": map[string]string{"of": subject}}
	if _, err := s.Call(t.Context(), "POST", "/api/v1/events", body, &r); err != nil {
		t.Fatal(err)
	}
	var result struct{ Ledger string }
	if d := s.delivered(t, r.EventID, "ledger"); json.Unmarshal(d.Result, &result) != nil {
		t.Fatalf("the report of %s: %s", subject, d.Result)
	}
	return result.Ledger
}

// sightings counts what the guest has seen.
type sightings struct{ attempts, again int }

// add checks a ledger: an attempt of a number may come only after the number
// before it was ok, apart from repeats after a crash, and all up to last were ok.
func (c *sightings) add(t *testing.T, subject, ledger string, before func(int) int, last int) {
	t.Helper()
	ok := map[int]bool{}
	for remaining := ledger; remaining != ""; {
		end := strings.IndexAny(remaining, "+-")
		if end < 0 {
			t.Fatalf("the ledger of %s ends with %q", subject, remaining)
		}
		n, err := strconv.Atoi(remaining[:end])
		if err != nil {
			t.Fatalf("the ledger of %s: %v (an event of it was in flight twice if there is a !): %s", subject, err, ledger)
		}
		if b := before(n); b > 0 && !ok[b] {
			t.Errorf("%s: %d came before %d was done: %s", subject, n, b, ledger)
		}
		c.attempts++
		if ok[n] {
			c.again++
		}
		ok[n] = ok[n] || remaining[end] == '+'
		remaining = remaining[end+1:]
	}
	for n := last; n > 0; n = before(n) {
		if !ok[n] {
			t.Errorf("%s: %d was never ok: %s", subject, n, ledger)
		}
	}
}
