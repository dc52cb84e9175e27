package browser

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
)

// operated are the pages for operators, looked at like pages.
var operated = []struct{ name, path, shows string }{
	{"handlers", "/handlers", "fraud-check"},
	{"handler", "/handlers/fraud-check", "Save and apply"},
	{"dead-letters", "/dead-letters", "strict"},
	{"dead-letters-of", "/dead-letters?plugin=strict", "order_paid"},
	{"operations", "/operations", "order_paid"},
	{"operation", "/operations/1", "What it was asked"},
	{"plugins", "/plugins", "asks for kv"},
	{"marketplace", "/marketplace", "No marketplace is configured"},
	{"orders", "/orders", "o-77"},
	{"order", "/orders/o-77", "TEAPOT"},
	{"routes", "/routes?type=order_paid&data=%7B%22tier%22%3A%201%7D", "would get it"},
	{"configuration", "/configuration", "plugin_directories"},
	{"audit", "/audit", "operations"},
	{"system", "/system", "one is running at"},
}

const schema = `{"type":"object","required":["large_cents"],"additionalProperties":false,"properties":{
	"large_cents":{"type":"integer","minimum":1,"description":"A total from here on is large."},
	"mode":{"enum":["fast","thorough"],"default":"fast","title":"Way of scoring"},
	"countries":{"type":"array","items":{"type":"string"}},"dry_run":{"type":"boolean"},"weights":{"type":"object"}}}`

// operating returns a host with events, dead letters, an order, and a plugin that
// waits for approval.
func operating(t *testing.T) *host {
	t.Helper()
	h := start(t, "handlers: {tuned: {config: {large_cents: 100}}}")
	orders := map[string]any{"subscribes": []string{"order_paid"}}
	h.copyIn(handler{"fraud-check", "1.4.0", orders, fixture(t, "log_lines")})
	h.copyIn(handler{"echo", "1.0.0", orders, fixture(t, "config_echo")})
	h.copyIn(handler{"audit", "1.0.0", map[string]any{"subscribes": []string{"order_cancelled"}}, fixture(t, "config_echo")})
	h.copyIn(handler{"strict", "2.0.0", map[string]any{"subscribes": []string{"order_paid"}}, fixture(t, "reject")})
	h.copyIn(handler{"tuned", "1.0.0", map[string]any{"subscribes": []string{"order_paid"}, "config_schema": json.RawMessage(schema)}, fixture(t, "config_echo")})
	h.copyIn(handler{"counter", "1.0.0", map[string]any{"capabilities": []any{map[string]any{"name": "kv", "required": true, "reason": "counts orders by customer"},
		map[string]any{"name": "http", "hosts": []string{"api.carrier.example"}, "reason": "asks the carrier"}}}, fixture(t, "kv_counter")})
	for _, subject := range []string{"o-21", "o-22", "o-23"} {
		id := h.publish("order_paid", subject, map[string]any{"order_id": subject, "tier": 1})
		eventually(h, "/events/"+id, "a dead letter", func(s status) bool { return s.is("strict", "dead") })
	}
	h.call("POST", "/orders", map[string]any{"id": "o-77", "customer_id": "ada", "currency": "EUR",
		"items": []any{map[string]any{"sku": "TEAPOT", "quantity": 2, "unit_price_cents": 2490}}}, nil)
	return h
}

// replay starts an operation.
func (h *host) replay() {
	h.t.Helper()
	h.call("POST", "/operations", map[string]any{"kind": "replay", "plugin": "echo", "name": "after the repair",
		"filter": map[string]any{"from": "earliest", "event_type": "order_paid"}}, nil)
}

func TestOperatorsPagesAreAccessibleAndFit(t *testing.T) {
	h := operating(t)
	h.replay()
	for _, v := range []view{wide, {1440, 1000, "dark"}, narrow, {360, 640, "dark"}} {
		t.Run(v.String(), func(t *testing.T) {
			b := h.open(t, v).login(h.token)
			for _, page := range operated {
				if page.name == "marketplace" {
					b.expect("404")
				}
				b.visit(page.path)
				b.sees("main", page.shows)
				b.fits()
				b.axe()
				b.shot(page.name)
			}
		})
	}
}

func TestEmptyOperatorsPagesTeach(t *testing.T) {
	h := start(t)
	b := h.open(t, wide).login(h.token)
	for path, shows := range map[string]string{"/handlers": "berth plugin add", "/dead-letters": "No dead letters", "/operations": "No operations yet", "/plugins": "No plugins yet",
		"/orders": "berth orders create", "/routes": "Nothing is published"} {
		b.visit(path)
		b.sees("main", shows)
		b.axe()
	}
}

// A token without the scope operate does not find Audit, Configuration and System in the
// navigation, and is told why at their URL. No page offers it an action.
func TestReadTokenOnOperatorsPages(t *testing.T) {
	h := operating(t)
	h.replay()
	b := h.open(t, wide).login(h.newToken("viewer", "read"))
	b.expect("404")
	for _, page := range operated {
		shows := page.shows
		switch page.name {
		case "configuration", "audit", "system":
			shows = "lacks the scope operate"
			b.lacks(".nav", page.name)
		case "handler":
			shows = "What it may do"
		}
		b.visit(page.path)
		b.sees("main", shows)
		if found := eval[string](b, `[...document.querySelectorAll("main button[data-action]")].map((el) => el.dataset.action).join()`); found != "" {
			t.Errorf("%s offers %s", page.path, found)
		}
	}
}

func TestHandlerIsPausedAndConfigured(t *testing.T) {
	h := operating(t)
	b := h.open(t, wide).login(h.token)
	b.visit("/handlers")
	b.fill("#handler-name", "tun")
	b.until("the filter is in the URL", `location.search === "?q=tun"`)
	b.lacks("tbody", "echo")
	b.click("tbody a")
	b.until("it shows the handler", `location.pathname === "/handlers/tuned"`)
	b.shown()
	b.act("Pause")
	b.sees("main", "its events wait for it")
	b.sees(".cli", "berth plugin resume tuned")
	b.act("Resume")
	b.lacks(".say", "paused")

	b.sees("[data-form=config]", "Way of scoring")
	b.fill("[data-config=large_cents]", "a lot")
	b.click("[data-form=config] button[type=submit]")
	b.sees("[data-form=config]", "must be a number")
	b.axe()
	b.fill("[data-config=large_cents]", "0")
	b.expect("422")
	b.click("[data-form=config] button[type=submit]") // the schema is the host's to check
	b.until("the host's error is at the field", `document.querySelector("[data-config=large_cents]").getAttribute("aria-invalid") === "true"`)
	b.shot("handler-config-refused")
	b.fill("[data-config=large_cents]", "50000")
	b.fill("[data-config=mode]", `"thorough"`)
	b.fill("[data-config=countries]", "DE\nFR\n")
	b.click("[data-form=config] button[type=submit]")
	b.sees(".toasts", "tuned runs with the new config")
	var config struct{ Config map[string]any }
	h.call("GET", "/events/plugins/tuned/config", nil, &config)
	if got := quoted(config.Config); got != `{"countries":["DE","FR"],"large_cents":50000,"mode":"thorough"}` {
		t.Errorf("the config is %s", got)
	}
}

func TestHandlerShowsItsLogAndApproval(t *testing.T) {
	h := operating(t)
	b := h.open(t, wide).login(h.token)
	b.visit("/handlers/fraud-check")
	b.sees("[data-log]", "abcde")
	h.publish("order_paid", "o-live", map[string]any{"lines": 2, "bytes": 12, "level": 2})
	b.sees("[data-log]", "abcdefghijkl")
	for range 60 {
		h.publish("order_paid", "o-many", map[string]any{"lines": 2, "bytes": 20, "level": 2})
	}
	b.until("the log is at its end", `(() => { const box = document.querySelector("[data-log]"); return box.innerText.includes("abcdefghijklmnopqrst") &&
		box.scrollHeight > box.clientHeight && box.scrollHeight - box.scrollTop - box.clientHeight < 24; })()`)
	b.visit("/plugins")
	b.sees("main", "counts orders by customer")
	b.act("Approve")
	b.sees("dialog", "api.carrier.example")
	b.axe()
	b.shot("approve")
	b.confirm("Approve")
	b.sees(".toasts", "counter is active")
	b.lacks("main .say", "counter")

	// A newer version that asks for more waits beside the one that runs.
	manifest := `{"name":"counter","version":"2.0.0","capabilities":[{"name":"kv","required":true,"reason":"counts orders by customer"},
		{"name":"http","hosts":["api.carrier.example","tracking.example"],"required":true,"reason":"follows parcels"}]}`
	if err := os.WriteFile(filepath.Join(h.dir, "plugins", "counter.wasm.json"), []byte(manifest), 0o644); err != nil {
		t.Fatal(err)
	}
	b.sees("main .say", "counter 2.0.0 asks for more: http. Version 1.0.0 goes on meanwhile.")
	b.sees("main .pill", "new")
	b.sees("main", "added: tracking.example")
	b.axe()
	b.shot("approve-pending")
	b.visit("/handlers/counter")
	b.sees("main", "tracking.example")
	b.act("Approve")
	b.sees("dialog", "follows parcels")
	b.confirm("Approve")
	b.sees(".head", "2.0.0")
}

func TestDeadLettersAreRedrivenAndRemoved(t *testing.T) {
	h := operating(t)
	b := h.open(t, wide).login(h.token)
	b.visit("/dead-letters")
	b.sees("main", "Choose lines, or a handler")
	b.click(`tbody input[type=checkbox]`)
	b.act("Remove 1")
	b.sees("dialog", "cannot be undone")
	b.confirm("Remove 1")
	b.sees(".toasts", "1 dead letter is removed")
	b.fill("#dead-plugin", "strict")
	b.until("the filter is in the URL", `new URLSearchParams(location.search).get("plugin") === "strict"`)
	b.sees(".cli", "berth events dead-letters redrive --plugin strict")
	b.act("Redrive")
	b.sees("dialog", "dead letters match")
	b.axe()
	b.shot("redrive")
	b.confirm("Redrive")
	b.until("it shows the operation", `location.pathname.startsWith("/operations/")`)
	b.sees("main", "were given to strict again")
	b.visit("/dead-letters?plugin=strict&class=rejected")
	b.sees("tbody", "order_paid")
	b.act("Remove")
	b.sees("dialog", "dead letters match")
	b.confirm("Remove")
	b.sees("main", "No dead letter matches")
}

func TestOperationIsPreviewedAndStarted(t *testing.T) {
	h := operating(t)
	h.replay()
	b := h.open(t, wide).login(h.token)
	b.visit("/operations")
	b.sees("tbody", "after the repair")
	b.act("New operation")
	b.sees("dialog", "Choose a handler")
	b.fill("dialog select[name=plugin]", "echo")
	b.fill("dialog input[name=from]", "earliest")
	b.fill("dialog input[name=rate]", "1")
	b.sees("dialog", "events match")
	b.sees("dialog", "berth operations start replay --plugin echo --from earliest --rate 1")
	b.fits()
	b.axe()
	b.shot("operation-new")
	b.confirm("New operation")
	b.until("it shows the operation", `location.pathname.startsWith("/operations/")`)
	b.shown()
	b.act("Cancel")
	b.confirm("Cancel")
	b.sees(".head .pill", "cancelled")
}

func TestOrderIsCreatedAndMoved(t *testing.T) {
	h := start(t)
	b := h.open(t, wide).login(h.token)
	b.visit("/orders")
	b.act("Create order")
	b.fill("dialog input[name=customer_id]", "ada")
	b.fill("dialog textarea[name=items]", "TEAPOT")
	b.click("dialog button[type=submit]")
	b.sees("dialog", "is not SKU:QUANTITY:CENTS")
	b.fill("dialog textarea[name=items]", "TEAPOT:1:2490\nCUP:4:890")
	b.fill("dialog input[name=id]", "o-9")
	b.confirm("Create order")
	b.until("it shows the order", `location.pathname === "/orders/o-9"`)
	b.sees("main", "€60.50")
	b.sees("main", "created → pending")
	b.act("Confirm")
	b.sees(".head .pill", "confirmed")
	b.sees("main", "pending → confirmed")
	h.call("POST", "/orders/o-9/status", map[string]string{"status": "processing"}, nil)
	b.sees(".head .pill", "processing")
	b.act("Cancel the order")
	b.confirm("Cancel the order")
	b.sees("main .say", "cancelled")
	b.shot("order-cancelled")
}

func TestRouteIsExplained(t *testing.T) {
	h := operating(t)
	b := h.open(t, wide).login(h.token)
	b.visit("/routes")
	b.fill("#explain-type", "order_cancelled")
	b.fill("#explain-data", "{")
	b.click("[data-form=explain] button[type=submit]")
	b.sees("main", "The data is not JSON")
	b.axe()
	b.fill("#explain-data", `{"total_cents": 1}`)
	b.click("[data-form=explain] button[type=submit]")
	b.sees("main .say", "audit")
	b.sees("main", "berth route explain -")
	b.until("the question is in the URL", `new URLSearchParams(location.search).get("type") === "order_cancelled"`)
}

func TestConfigurationIsReloaded(t *testing.T) {
	h := start(t)
	path := filepath.Join(h.dir, "berth.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b := h.open(t, wide).login(h.token)
	b.visit("/configuration")
	b.sees("[data-file]", "plugin_directories")
	b.sees("main .say", "in force")
	write := func(more string) {
		t.Helper()
		if err := os.WriteFile(path, append(text, more...), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("bus: {retention: 40d}\nrutes: {}\n")
	b.sees("main .say", "rutes")
	b.sees("[data-file]", "nearest known key is routes")
	b.axe()
	b.shot("configuration-errors")
	write("bus: {retention: 40d, ring_size: 8192}\n")
	b.sees("main", "bus.ring_size")
	b.act("Reload")
	b.sees("main", "The last reload from here")
	b.fill("#settings-filter", "retention")
	b.sees("main", "40d")
}

func TestAuditIsFiltered(t *testing.T) {
	h := operating(t)
	h.call("POST", "/events/plugins/echo/pause", nil, nil)
	h.call("POST", "/events/plugins/echo/resume", nil, nil)
	b := h.open(t, wide).login(h.token)
	b.visit("/audit")
	b.sees("tbody", "resume")
	b.fill("#audit-action", "pause")
	b.until("the filter is in the URL", `location.search === "?action=pause"`)
	b.lacks("tbody", "resume")
	b.sees(".cli", "berth audit list --action pause")
	b.click("tbody summary")
	b.sees("tbody", `"state": "active"`)
	b.shot("audit-details")
	b.run(chromedp.NavigateBack())
	b.sees("tbody", "resume")
}

func TestSystemIsExamined(t *testing.T) {
	h := operating(t)
	b := h.open(t, wide).login(h.token)
	b.visit("/system")
	b.sees("tbody", "one is running at")
	b.sees("main", "berth backup")
	if err := os.Chmod(filepath.Join(h.dir, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	b.act("Examine")
	b.sees("main .say", "chmod")
	b.shot("system-problem")
}
