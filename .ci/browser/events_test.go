package browser

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

func TestEventsAreLive(t *testing.T) {
	h := start(t)
	h.copyIn(handler{"echo", "1.0.0", subscribes("order_paid"), fixture(t, "echo")})
	h.publish("order_paid", "o-1", map[string]any{"order_id": "o-1", "status": "paid"})
	b := h.open(t, wide).login(h.token)
	b.visit("/events")
	b.sees("main", "live")
	b.sees("main", "o-1")
	h.publish("order_paid", "o-2", map[string]any{"order_id": "o-2", "status": "paid"})
	b.sees(".newer", "Show 1 new") // nothing jumps
	b.lacks("tbody", "o-2")
	b.act("Show new")
	b.sees("tbody", "o-2")
	b.sees("tbody", "1 ok")
}

func TestFiltersAreInTheURL(t *testing.T) {
	h := start(t)
	h.publish("order_paid", "o-1", map[string]any{"total_cents": 100})
	h.publish("order_cancelled", "o-2", map[string]any{"total_cents": 9000})
	b := h.open(t, wide).login(h.token)
	b.visit("/events")
	b.sees("tbody", "o-1")
	b.fill("#filter-type", "order_c*")
	b.until("the filter is in the URL", `new URLSearchParams(location.search).get("type") === "order_c*"`)
	b.lacks("tbody", "order_paid")
	b.sees("tbody", "order_cancelled")
	h.publish("order_paid", "o-3", nil)
	h.publish("order_created", "o-4", nil)
	b.sees(".newer", "Show 1 new") // the stream is filtered as well
	b.run(chromedp.NavigateBack())
	b.sees("tbody", "order_paid")
	b.visit("/events?when=data.total_cents%20%3E%205000")
	b.sees("tbody", "o-2")
	b.lacks("tbody", "o-1")
	b.expect("400")
	b.visit("/events?when=data.")
	b.sees("main", "That did not work")
}

// The page matches types as the host does, and a shared URL with many wildcards does not stop it.
func TestTypePatterns(t *testing.T) {
	h := start(t)
	b := h.open(t, wide).login(h.token)
	const name = "order_status_changed"
	for pattern, want := range map[string]bool{name: true, "order": false, "order_*": true, "*changed": true, "*": true, "**": true, "order_*_*changed": true,
		"order_status*status_changed": false, "*order_status_changed*": true, "o*o": false, "o*d": true, "order_statusx*": false, "*_*_*_*": false,
		strings.Repeat("*a", 60) + "b": false} {
		text := name
		if len(pattern) > 100 {
			text = strings.Repeat("a", 128)
		}
		if got := eval[bool](b, `import("/console/pages/events.js").then((p) => p.glob("`+pattern+`")("`+text+`"))`); got != want {
			t.Errorf("%q matches %q: %v", pattern, text, got)
		}
	}
}

func TestKeys(t *testing.T) {
	h := start(t)
	id := h.publish("order_paid", "o-1", nil)
	h.publish("order_paid", "o-2", nil)
	b := h.open(t, wide).login(h.token)
	b.visit("/events")
	b.sees("tbody", "o-1")
	b.run(chromedp.KeyEvent("?"))
	b.sees("dialog", "next and previous line")
	b.axe()
	b.run(chromedp.KeyEvent("\x1b"))
	b.until("Escape closes the dialog", `!document.querySelector("dialog")`)
	b.run(chromedp.KeyEvent("j"), chromedp.KeyEvent("j"), chromedp.KeyEvent("k"), chromedp.KeyEvent("j"), chromedp.KeyEvent("\r"))
	b.until("Enter opens the second event", `location.pathname === "/events/`+id+`"`)
	b.shown()
	b.run(chromedp.KeyEvent("/"))
	b.until("/ focuses the search", `document.activeElement.name === "q"`)
	b.fill("input[name=q]", "o-2")
	b.run(chromedp.KeyEvent("\r"))
	b.until("the search finds events of a subject", `location.search === "?subject=o-2"`)
	b.run(chromedp.KeyEvent("g"), chromedp.KeyEvent("i"))
	b.until("g i opens the issues", `location.pathname === "/issues"`)
}

// What guests and producers write is text.
func TestHostileTextIsText(t *testing.T) {
	h := start(t)
	hostile := `<img src=x onerror="document.title='hit'"><script>document.title='hit'</script>`
	id := h.publish("order_paid", hostile, map[string]any{"note": hostile})
	b := h.open(t, wide).login(h.token)
	for _, path := range []string{"/events", "/events/" + id, "/events?subject=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E"} {
		b.visit(path)
		if n := eval[int](b, `document.querySelectorAll("main img, main script, main [onerror]").length`); n != 0 {
			t.Errorf("%s: %d elements come from text", path, n)
		}
		if title := eval[string](b, "document.title"); title == "hit" {
			t.Errorf("%s: a script ran", path)
		}
	}
	b.visit("/events/" + id)
	b.sees("main", "<img src=x onerror=")
}

func TestEventActions(t *testing.T) {
	h := start(t)
	h.copyIn(handler{"fraud-check", "1.4.0", subscribes("order_paid"), build(t)})
	id := h.publish("order_paid", "o-1001", map[string]any{"order_id": "o-1001", "tier": 3})
	behind := h.publish("order_paid", "o-1001", map[string]any{"order_id": "o-1001", "tier": 1})
	eventually(h, "/events/"+id, "a failed attempt", func(s status) bool { return s.is("fraud-check", "retrying") || s.is("fraud-check", "dead") })
	b := h.open(t, wide).login(h.token)
	b.visit("/events/" + id)
	b.sees(".cli", "berth events retry")
	b.click(".cli summary")
	b.sees(".cli", "curl -X POST")
	b.act("Retry now")
	b.sees(".toasts", "Retries now")
	b.visit("/events/" + behind)
	b.sees("main", "order_paid")

	b.visit("/events/" + id)
	b.act("Publish an edited copy")
	b.fill("dialog textarea[name=data]", "{")
	b.click(`dialog button[type=submit]`)
	b.sees("dialog", "The data is not JSON")
	b.axe()
	b.shot("event-copy")
	b.fill("dialog textarea[name=data]", `{"order_id": "o-1001", "tier": 2}`)
	b.confirm("Publish an edited copy")
	b.until("it shows the copy", `location.pathname.startsWith("/events/") && location.pathname !== "/events/`+id+`"`)
	b.sees("main", "Copy of")
}

// Skipping an event makes it a dead letter, and frees the later events of its key.
func TestSkipFreesTheKey(t *testing.T) {
	h := start(t, "handlers: {fraud-check: {retry: {backoff: 1h, max_backoff: 1h}}}")
	h.copyIn(handler{"fraud-check", "1.4.0", subscribes("order_paid"), build(t)})
	id := h.publish("order_paid", "c-7", order("c-7", 3))
	behind := h.publish("order_paid", "c-7", order("c-7", 1))
	eventually(h, "/events/"+id, "a failed attempt", func(s status) bool { return s.is("fraud-check", "retrying") })
	b := h.open(t, wide).login(h.token)
	b.visit("/events/" + behind)
	b.sees(".lanes", "Waits behind an earlier event of the same key")
	b.click(".lanes .why a")
	b.until("it shows the event that blocks", `location.pathname === "/events/`+id+`"`)
	b.sees(".lanes", "for attempt 2")
	b.act("Skip")
	b.sees("dialog", "becomes a dead letter")
	b.fill("dialog input[name=note]", "customer was deleted")
	b.axe()
	b.shot("event-skip")
	b.confirm("Skip")
	b.sees(".lanes", "dead letter")
	b.sees(".toasts", "Skipped")
	b.visit("/events/" + behind)
	b.sees(".head", "1 of 1 handled")
}
