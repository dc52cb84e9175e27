package browser

import (
	"net/url"
	"testing"

	"github.com/chromedp/chromedp"
)

func TestLogin(t *testing.T) {
	h := start(t)
	b := h.open(t, wide)
	b.expect("401") // the session that is not there, and the wrong token
	b.run(chromedp.Navigate(h.url + "/events?type=order_paid"))
	b.until("it asks for a login", `location.pathname === "/login"`)
	b.shown()
	b.axe()
	b.shot("login")
	b.fill("input[name=token]", "wrong")
	b.click("button[type=submit]")
	b.sees("main", "The host does not know this token")
	b.axe()
	b.fill("input[name=token]", h.token)
	b.click("button[type=submit]")
	b.until("it shows the page that was asked for", `location.pathname + location.search === "/events?type=order_paid"`)
	b.shown()
	if cookie := eval[string](b, "document.cookie"); cookie != "" {
		t.Errorf("scripts can read the cookie %q", cookie)
	}
	b.click(".top button")
	b.until("it is logged out", `location.pathname === "/login"`)
	b.run(chromedp.Navigate(h.url + "/"))
	b.until("it asks for a login again", `location.pathname === "/login"`)
}

// A link to the login leads to a page of this host, whatever it asks for.
func TestLoginLeadsToThisHost(t *testing.T) {
	h := start(t)
	for _, next := range []string{"https://evil.example/", "//evil.example/", `/\evil.example/`, "/\t/evil.example/", "/\n/evil.example/", "/.//evil.example/"} {
		b := h.open(t, wide)
		b.expect("401")
		b.run(chromedp.Navigate(h.url + "/login?next=" + url.QueryEscape(next)))
		b.fill("input[name=token]", h.token)
		b.click("button[type=submit]")
		b.until("it is logged in", `location.pathname !== "/login" && !!document.querySelector(".nav a")`)
		if got := eval[string](b, "location.origin"); got != h.url {
			t.Errorf("next=%q leads to %s", next, got)
		}
	}
}

func TestLinkLogsInOnce(t *testing.T) {
	h := start(t)
	var link struct{ Path string }
	h.call("POST", "/session/links", nil, &link)
	b := h.open(t, wide)
	b.run(chromedp.Navigate(h.url + link.Path))
	b.until("it is logged in", `location.pathname === "/" && !!document.querySelector(".nav a")`)
	again := h.open(t, narrow)
	again.expect("401|403")
	again.run(chromedp.Navigate(h.url + link.Path))
	again.sees("main", "was used already")
	if hash := eval[string](again, "location.hash"); hash != "" {
		t.Errorf("the code is still in the address: %s", hash)
	}
	again.axe()
	again.shot("login-used")
}

// A token that only reads sees every page but those for operators, and no action.
func TestReadTokenSeesNoActions(t *testing.T) {
	h, paths := busy(t)
	b := h.open(t, wide).login(h.newToken("viewer", "read"))
	b.sees(".top", "read only")
	for _, page := range pages {
		b.visit(paths.Replace(page.path))
		b.sees("main", page.shows)
		if n := eval[int](b, `document.querySelectorAll("main button[data-action]:not([data-action='Copy as curl']):not([data-action='Show new'])").length`); n != 0 {
			t.Errorf("%s offers %d actions", page.path, n)
		}
	}
	b.lacks(".nav", "Audit")
	b.shot("read-only")
}
