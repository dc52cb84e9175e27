package browser

import (
	"net/http"
	"strings"
	"testing"
)

// pages are looked at in both themes and both widths: the path, and a text that the page
// shows. {event} and {issue} are those of a failed delivery.
var pages = []struct{ name, path, shows string }{
	{"overview", "/", "Events"},
	{"events", "/events", "order_paid"},
	{"event", "/events/{event}?plugin=fraud-check", "index out of range"},
	{"issues", "/issues", "index out of range"},
	{"issue", "/issues/{issue}", "Latest failures"},
}

// busy returns a host with handlers, events, a dead letter and an issue.
func busy(t *testing.T) (h *host, paths *strings.Replacer) {
	t.Helper()
	h = start(t)
	h.copyIn(handler{"fraud-check", "1.4.0", subscribes("order_paid"), build(t)})
	h.copyIn(handler{"echo", "1.0.0", subscribes("order_paid"), fixture(t, "echo")})
	h.copyIn(handler{"audit", "1.0.0", subscribes("order_cancelled"), fixture(t, "echo")})
	for _, subject := range []string{"o-1", "o-2", "o-3"} {
		h.publish("order_paid", subject, map[string]any{"order_id": subject, "tier": 1, "status": "paid"})
	}
	failed := h.publish("order_paid", "o-1001", map[string]any{"order_id": "o-1001", "tier": 3, "status": "paid"})
	eventually(h, "/events/"+failed, "a failed attempt", func(s status) bool { return s.is("fraud-check", "retrying") || s.is("fraud-check", "dead") })
	return h, strings.NewReplacer("{event}", failed, "{issue}", h.issue("fraud-check"))
}

// issue waits for an issue of a handler and returns its id.
func (h *host) issue(handler string) (id string) {
	h.t.Helper()
	type issues struct {
		Items []struct{ ID, Handler string }
	}
	eventually(h, "/issues", "an issue of "+handler, func(list issues) bool {
		for _, issue := range list.Items {
			if issue.Handler == handler {
				id = issue.ID
			}
		}
		return id != ""
	})
	return id
}

func TestPagesAreAccessibleAndFit(t *testing.T) {
	h, paths := busy(t)
	for _, v := range []view{wide, {1440, 1000, "dark"}, narrow, {400, 800, "dark"}} {
		t.Run(v.String(), func(t *testing.T) {
			b := h.open(t, v).login(h.token)
			for _, page := range pages {
				b.visit(paths.Replace(page.path))
				b.sees("main", page.shows)
				b.fits()
				b.axe()
				b.shot(page.name)
			}
		})
	}
}

func TestPagesFitTheSmallestWindow(t *testing.T) {
	h, paths := busy(t)
	b := h.open(t, view{360, 640, "light"}).login(h.token)
	for _, page := range pages {
		b.visit(paths.Replace(page.path))
		b.sees("main", page.shows)
		b.fits()
	}
}

// An empty host teaches what to do first.
func TestEmptyPagesTeach(t *testing.T) {
	h := start(t)
	b := h.open(t, wide).login(h.token)
	for path, shows := range map[string]string{"/": "Copy one into a watched directory", "/events": "berth events emit", "/issues": "No failures"} {
		b.visit(path)
		b.sees("main", shows)
		b.axe()
		b.shot("empty-" + strings.Trim(path, "/"))
	}
}

func TestUnknownPages(t *testing.T) {
	h := start(t)
	b := h.open(t, wide).login(h.token)
	b.expect("404")
	b.visit("/events/no-such-event")
	b.sees("main", "Not found")
	b.visit("/system/more")
	b.sees("main", "No such page")
	b.visit("/events/%ff")
	b.sees("main", "No such page")
	answer, err := http.Get(h.url + "/no-such-page")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusNotFound {
		t.Errorf("status %d, want 404", answer.StatusCode)
	}
}
