package browser

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/memory"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// use is the memory of a page after a garbage collection.
type use struct {
	heap, nodes, listeners int64 // bytes, elements and texts, listeners
}

func (b *tab) use() (u use) {
	b.t.Helper()
	b.run(chromedp.Func(func(ctx context.Context, page *chromedp.Target) error {
		for range 3 { // what finalizers release is collected by the next one
			if _, err := cdp.Call(ctx, page, heapprofiler.CollectGarbage, cdp.Empty{}); err != nil {
				return err
			}
		}
		heap, err := cdp.Call(ctx, page, runtime.GetHeapUsage, cdp.Empty{})
		if err != nil {
			return err
		}
		counters, err := cdp.Call(ctx, page, memory.GetDOMCounters, cdp.Empty{})
		u = use{int64(heap.UsedSize), counters.Nodes, counters.JsEventListeners}
		return err
	}))
	return u
}

// flat fails the test when a page has grown. The bounds are far above what a page needs, and
// far below what it would use if it kept what it has shown.
func (b *tab) flat(before, after use) {
	b.t.Helper()
	b.t.Logf("heap %d to %d KiB, nodes %d to %d, listeners %d to %d", before.heap>>10, after.heap>>10, before.nodes, after.nodes, before.listeners, after.listeners)
	if after.heap > before.heap*3/2+4<<20 {
		b.t.Errorf("the heap has grown from %d to %d KiB", before.heap>>10, after.heap>>10)
	}
	if after.nodes > before.nodes+12_000 || after.listeners > before.listeners+1000 {
		b.t.Errorf("the document has grown from %+v to %+v", before, after)
	}
}

// duration returns how long the soak test runs: SOAK, 20 s without it.
func duration(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("SOAK")
	if text == "" {
		return 20 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// load publishes 1,000 events a second, in lists of 100, until the returned function is
// called, which returns their number.
func (h *host) load() (stop func() (published int)) {
	done := make(chan struct{})
	var loading sync.WaitGroup
	n := 0
	loading.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		list := make([]newEvent, 100)
		for i := range list {
			list[i] = newEvent{"order_paid", map[string]any{"order_id": "o-1", "status": "paid", "tier": 1}, metadata{Subject: string(rune('a' + i%26))}}
		}
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				h.call("POST", "/events", list, nil)
				n += len(list)
			}
		}
	})
	return func() int {
		close(done)
		loading.Wait()
		return n
	}
}

// The list of events is live for a long time at 1,000 events a second: the page answers, and
// its memory does not grow.
func TestMemoryIsFlatUnderLoad(t *testing.T) {
	h := start(t)
	h.copyIn(handler{"echo", "1.0.0", subscribes("order_paid"), fixture(t, "echo")})
	overview := h.open(t, wide).login(h.token)
	events := h.open(t, wide).login(h.token)
	events.visit("/events")
	stop := h.load()
	var once sync.Once
	t.Cleanup(func() { once.Do(func() { stop() }) })
	length := duration(t)
	events.sees(".newer", "new")
	<-time.After(length / 4) // of the load: buffers are full by then
	events.act("Show new")
	events.until("the list is full", `document.querySelectorAll("tbody tr").length === 50`)
	before, beforeOverview := events.use(), overview.use()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for end := time.Now().Add(length * 3 / 4); time.Now().Before(end); <-tick.C {
		events.act("Show new")
		events.sees("tbody", "order_paid")
	}
	events.flat(before, events.use())
	overview.flat(beforeOverview, overview.use())
	once.Do(func() { t.Logf("%d events were published in %s", stop(), length) })
}

// Changing pages releases what they used.
func TestMemoryIsFlatOverPages(t *testing.T) {
	h := start(t)
	for range 60 {
		h.publish("order_paid", "o-1", map[string]any{"order_id": "o-1"})
	}
	b := h.open(t, wide).login(h.token)
	round := func() {
		for _, path := range []string{"/events", "/issues", "/"} {
			b.click(`.nav a[href="` + path + `"]`)
			b.until("the page is shown", `location.pathname === "`+path+`"`)
			b.shown()
		}
	}
	round()
	before := b.use()
	for range 15 {
		round()
	}
	b.flat(before, b.use())
}
