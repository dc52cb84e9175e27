package browser

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// hostileKey tries to become markup, an attribute, and text in the other direction.
const hostileKey = "<img src=x onerror=alert(1)>\"'\u202e\x01"

// storing returns a host with a handler that has stored values.
func storing(t *testing.T) *host {
	t.Helper()
	h := start(t, `schedules:
  nightly-report: {cron: "0 3 * * *", zone: Europe/Berlin, event_type: report_due, data: {kind: nightly}, subject: reports}
  heartbeat: {every: 240h, event_type: heartbeat}
  later: {every: 1h, event_type: heartbeat, paused: true}
event_types:
  report_due: {description: "A report is due.", owner: "reporting <script>alert(2)</script>", schema: {type: object, required: [kind]}}
  order_paid: {mode: warn, schema: {type: object, properties: {total: {type: integer}}}}
  heartbeat: {}`)
	h.copyIn(handler{"counter", "1.0.0", map[string]any{"subscribes": []string{"order_paid", "report_due"}}, fixture(t, "echo")})
	for key, value := range map[string]string{"count/a": "7", "count/b": `{"n": 12345678901234567890}`, hostileKey: "<b>bold</b>", "lines": "a\r\nb", "..": "dots"} {
		h.store(key, map[string]any{"value_text": value})
	}
	h.store("\xff\x00", map[string]any{"value_base64": "AP8="})
	h.store("short-lived", map[string]any{"value_text": "x", "expires_in": "24h"})
	h.call("POST", "/events", map[string]any{"event_type": "reminder_due", "data": map[string]any{}, "metadata": map[string]any{"subject": "o-9",
		"idempotency_key": "remind/o-9", "deliver_after": "240h"}}, nil)
	h.publish("order_paid", "o-1", map[string]any{"total": "not a number", "status": "paid"})
	return h
}

func encoded(key string) string { return base64.RawURLEncoding.EncodeToString([]byte(key)) }

func (h *host) store(key string, value map[string]any) {
	h.t.Helper()
	h.call("PUT", "/events/plugins/counter/kv/"+encoded(key)+"?key_encoding=base64", value, nil)
}

// stored returns the value of a key; "" for none.
func (h *host) stored(key string) string {
	h.t.Helper()
	var list struct {
		Items []struct {
			Key string `json:"key"`
		}
	}
	h.call("GET", "/events/plugins/counter/kv?prefix="+url.QueryEscape(key), nil, &list)
	if len(list.Items) == 0 || list.Items[0].Key != key {
		return ""
	}
	var value struct {
		Text string `json:"value_text"`
	}
	h.call("GET", "/events/plugins/counter/kv/"+encoded(key)+"?key_encoding=base64", nil, &value)
	return value.Text
}

var stored = []struct{ name, path, shows string }{
	{"state", "/handlers/counter/state", "count/b"},
	{"state-value", "/handlers/counter/state?entry=" + encoded(hostileKey), "<b>bold</b>"},
	{"schedules", "/schedules", "nightly-report"},
	{"event-types", "/event-types", "report_due"},
	{"event-type", "/event-types/report_due", "A report is due."},
}

func TestStatePagesAreAccessibleAndFit(t *testing.T) {
	h := storing(t)
	for _, v := range []view{wide, {1440, 1000, "dark"}, narrow, {360, 640, "dark"}} {
		t.Run(v.String(), func(t *testing.T) {
			b := h.open(t, v).login(h.token)
			for _, page := range stored {
				b.visit(page.path)
				b.sees("main", page.shows)
				b.fits()
				b.axe()
				b.shot(page.name)
				if found := eval[int](b, `document.querySelectorAll("main img, main script, main b > script").length`); found != 0 {
					t.Errorf("%s: text has become markup", page.path)
				}
			}
		})
	}
}

// A value is found by its prefix, edited while it is the one shown, and deleted.
func TestStateIsChanged(t *testing.T) {
	h := storing(t)
	b := h.open(t, wide).login(h.token)
	b.visit("/handlers/counter")
	b.click(`main a[href="/handlers/counter/state"]`)
	b.until("it shows the state", `location.pathname === "/handlers/counter/state"`)
	b.sees("main", "base64:/wA=")
	b.sees("main", `\u{202e}\u{1}`)
	b.click(`main a[href="?entry=` + encoded(hostileKey) + `"], main a[href$="entry=` + encoded(hostileKey) + `"]`)
	b.sees(".cli", "berth kv set counter --base64 PGltZy") // nothing that a terminal or a reader takes for something else
	b.fill("#state-prefix", "count/")
	b.until("the prefix is in the URL", `location.search === "?prefix=count%2F"`)
	b.lacks("tbody", "short-lived")
	b.click("tbody a")
	b.sees("[data-value]", "7")
	b.sees(".cli", "berth kv set counter count/a VALUE --if-match ")

	b.click("button[data-action=Edit]")
	b.sees("dialog", "Edit count/a")
	b.axe()
	b.fill("dialog textarea", "8")
	h.store("count/a", map[string]any{"value_text": "of the guest"}) // meanwhile
	b.expect("412")
	b.click("dialog [type=submit]")
	b.sees("dialog", "the value has changed since")
	if got := h.stored("count/a"); got != "of the guest" {
		t.Errorf("the value is %q", got)
	}
	b.click("dialog .foot button[type=button]")
	b.sees("[data-value]", "of the guest")
	b.click("button[data-action=Edit]")
	b.fill("dialog textarea", "9")
	b.click("dialog [type=submit]")
	b.sees(".toasts", "count/a is written")
	b.sees("[data-value]", "9")
	if got := h.stored("count/a"); got != "9" {
		t.Errorf("the value is %q", got)
	}

	b.click("button[data-action='New key']")
	b.fill("dialog input[name=key]", "count/ü")
	b.fill("dialog textarea", "new")
	b.shot("state-new")
	b.click("dialog [type=submit]")
	b.sees("[data-value]", "new")
	if got := h.stored("count/ü"); got != "new" {
		t.Errorf("the value is %q", got)
	}
	b.click("button[data-action=Delete]")
	b.sees("dialog", "removed at once")
	b.shot("state-delete")
	b.click("dialog [type=submit]")
	b.sees(".toasts", "count/ü is deleted")
	b.until("the entry is closed", `!location.search.includes("entry")`)
	if got := h.stored("count/ü"); got != "" {
		t.Errorf("the value is %q", got)
	}
}

// What a text field would change is edited as base64, so that nothing else changes.
func TestStateKeepsLineEnds(t *testing.T) {
	h := storing(t)
	b := h.open(t, wide).login(h.token)
	b.visit("/handlers/counter/state?entry=" + encoded("lines"))
	b.sees("main", "text")
	b.click("button[data-action=Edit]")
	b.sees("dialog", "Value, as base64")
	b.click("dialog [type=submit]")
	b.sees(".toasts", "lines is written")
	if got := h.stored("lines"); got != "a\r\nb" {
		t.Errorf("the value is %q", got)
	}
	b.expect("404")
	b.visit("/handlers/counter/state?entry=" + encoded("gone"))
	b.sees("main", "There is no such key any more")
}

func TestReadTokenSeesState(t *testing.T) {
	h := storing(t)
	b := h.open(t, wide).login(h.newToken("viewer", "read"))
	for _, page := range stored {
		b.visit(page.path)
		b.sees("main", page.shows)
		if found := eval[string](b, `[...document.querySelectorAll("main button[data-action]")].map((el) => el.dataset.action).join()`); found != "" {
			t.Errorf("%s offers %s", page.path, found)
		}
	}
}

func TestScheduleIsRunNow(t *testing.T) {
	h := storing(t)
	b := h.open(t, wide).login(h.token)
	b.visit("/schedules")
	b.sees("main", "Europe/Berlin")
	b.sees("main", "paused")
	b.click("main tbody tr:last-child button[data-action='Run now']")
	b.sees(".toasts", "has published the event")
	b.visit("/event-types")
	b.sees("main", "warns")
	b.click(`main a[href="/event-types/report_due"]`)
	b.sees("main", `"required"`)
	if text := b.text("main"); !strings.Contains(text, "<script>alert(2)</script>") {
		t.Errorf("the owner is not shown as it is: %s", text)
	}
}

func TestScheduledEventIsCancelled(t *testing.T) {
	h := storing(t)
	b := h.open(t, wide).login(h.token)
	b.visit("/schedules")
	b.sees("main", "remind/o-9")
	b.fill("#scheduled-type", "other")
	b.sees("main", "No such event waits")
	b.visit("/schedules?type=reminder_due&subject=o-9")
	b.click("button[data-action=Cancel]")
	b.sees("dialog", "Its key stays taken")
	b.axe()
	b.shot("scheduled-cancel")
	b.click("dialog [type=submit]")
	b.sees(".toasts", "remind/o-9 is cancelled")
	b.sees("main", "No such event waits")

	// A key that a browser resolves in a path, which is found by the search, too.
	h.call("POST", "/events", map[string]any{"event_type": "reminder_due", "data": map[string]any{}, "metadata": map[string]any{"subject": "o-10",
		"idempotency_key": "..", "deliver_after": "240h"}}, nil)
	b.fill("input[name=q]", "..")
	b.run(chromedp.KeyEvent("\r"))
	b.sees("main h1", "reminder_due")
	b.visit("/schedules?subject=o-10")
	b.click("button[data-action=Cancel]")
	b.click("dialog [type=submit]")
	b.sees(".toasts", ".. is cancelled")
	b.sees("main", "No such event waits")
}

func TestEmptyStatePagesTeach(t *testing.T) {
	h := start(t)
	h.copyIn(handler{"counter", "1.0.0", map[string]any{"subscribes": []string{"order_paid"}}, fixture(t, "echo")})
	b := h.open(t, wide).login(h.token)
	for path, shows := range map[string]string{"/handlers/counter/state": "Nothing is stored", "/schedules": "No event waits for its time", "/event-types": "No event types yet"} {
		b.visit(path)
		b.sees("main", shows)
		b.axe()
	}
}
