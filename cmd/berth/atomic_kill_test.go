package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/wire"
)

// TestAtomicCounterIsExact counts 10,000 events while the host is killed twenty times.
func TestAtomicCounterIsExact(t *testing.T) {
	countOverKills(t, sqliteEngine, shorter(20, 4), shorter(10_000, 2000))
}

// countOverKills counts events of 50 subjects under one key, with a plain
// get and a plain set in eight instances, while the host is killed: with
// state: atomic the count is exact, and no event becomes a dead letter. The same module with
// direct writes, beside it, loses updates; what it counts is printed.
func countOverKills(t *testing.T, engine string, kills, events int) {
	const (
		publishers = 4
		subjects   = 50
		batch      = 20
	)
	perRound := events / batch / (kills + 5) // batches before the kill: enough remain for the last one
	dir, config, plugins := workplace(t)
	handler := func(name, state string) string {
		write(t, filepath.Join(plugins, name+".wasm"), guest(t, "kv_plain"))
		write(t, filepath.Join(plugins, name+".wasm.json"), []byte(`{"name":"`+name+`","version":"1.0.0","subscribes":[{"event_type":"count"}],`+
			`"capabilities":[{"name":"kv","reason":"the count"}]}`))
		return "  " + name + ":\n    grants: [kv]\n    state: " + state +
			"\n    limits: {concurrency: 8}\n    retry: {max_attempts: 3, backoff: 5ms, max_backoff: 20ms}\n"
	}
	write(t, config, []byte("plugin_directories: ["+plugins+"]\nroutes: {\"*\": {}}\n"+busOf(t, engine)+"handlers:\n"+
		handler("atomic-count", "atomic")+handler("direct-count", "direct")))

	s := serve(t, dir, config)
	s.active(t, "atomic-count")
	s.active(t, "direct-count")
	c := &countedLoad{acked: make([]bool, events/batch)}
	for range kills {
		ctx, cancel := context.WithCancel(t.Context())
		enough := c.expect(perRound, publishers)
		var wg sync.WaitGroup
		for range publishers {
			wg.Go(func() { c.publish(ctx, s, batch, subjects) })
		}
		select {
		case <-enough:
		case <-time.After(testTimeout):
			t.Fatal("the load stands still")
		}
		s.kill()
		cancel()
		wg.Wait()
		s = serve(t, dir, config)
	}
	c.expect(len(c.acked)+1, 0)
	c.publish(t.Context(), s, batch, subjects)
	if n := c.missing(); n != 0 {
		t.Fatalf("%d batches are not published", n)
	}
	counts := map[string]int{}
	for _, name := range []string{"atomic-count", "direct-count"} {
		await(t, name+" has no event left", func() error {
			var p wire.Plugin
			s.get(t, "/api/v1/plugins/"+name, &p)
			if p.Lag != 0 {
				return fmt.Errorf("the lag is %d", p.Lag)
			}
			return nil
		})
		var dead wire.List[wire.DeadLetter]
		s.get(t, "/api/v1/events/dead-letters?plugin="+name, &dead)
		if len(dead.Items) != 0 {
			t.Errorf("%s has dead letters, the first one: %+v", name, dead.Items[0])
		}
	}
	var r wire.Receipt
	if _, err := s.Call(t.Context(), "POST", "/api/v1/events", map[string]any{"event_type": "count", "data": map[string]bool{"read": true}}, &r); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"atomic-count", "direct-count"} {
		var result struct{ Count int }
		if d := s.delivered(t, r.EventID, name); json.Unmarshal(d.Result, &result) != nil {
			t.Fatalf("%s answers %s", name, d.Result)
		}
		counts[name] = result.Count
	}
	t.Logf("%d kills, %d events: atomic counted %d, direct %d", kills, events, counts["atomic-count"], counts["direct-count"])
	if n := counts["atomic-count"]; n != events {
		t.Errorf("atomic counted %d, want %d", n, events)
	}
	s.terminate(t)
}

// countedLoad publishes batches of events until each is acknowledged. A batch whose answer was
// lost is published again under the same keys.
type countedLoad struct {
	mu      sync.Mutex
	next    int
	quota   int    // batches that may still be taken before the kill
	acked   []bool // by batch
	pending int
	enough  chan struct{}
}

// expect returns a channel that is closed after n more acknowledged batches. Not more than
// spare others are taken meanwhile, so that some remain for the next kill.
func (c *countedLoad) expect(n, spare int) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next, c.quota, c.pending, c.enough = 0, n+spare, n, make(chan struct{})
	return c.enough
}

// take returns a batch that is not acknowledged; false when there is none left to take.
func (c *countedLoad) take() (int, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ; c.next < len(c.acked) && c.quota > 0; c.next++ {
		if !c.acked[c.next] {
			c.next++
			c.quota--
			return c.next - 1, true
		}
	}
	return 0, false
}

func (c *countedLoad) ack(b int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acked[b] = true
	if c.pending--; c.pending == 0 {
		close(c.enough)
	}
}

func (c *countedLoad) missing() (n int) {
	for _, acked := range c.acked {
		if !acked {
			n++
		}
	}
	return n
}

func (c *countedLoad) publish(ctx context.Context, s *server, batch, subjects int) {
	for ctx.Err() == nil {
		b, ok := c.take()
		if !ok {
			return
		}
		list := make([]map[string]any, batch)
		for i := range list {
			n := b*batch + i
			list[i] = map[string]any{"event_type": "count", "data": n, "metadata": map[string]string{
				"subject": fmt.Sprintf("subject-%d", n%subjects), "idempotency_key": fmt.Sprintf("event-%d", n)}}
		}
		var receipts wire.List[wire.BatchReceipt]
		if _, err := s.Call(ctx, "POST", "/api/v1/events", list, &receipts); err != nil {
			return
		}
		c.ack(b)
	}
}
