package browser

import "testing"

// Numbers and times are shown as people read them.
func TestFormats(t *testing.T) {
	h := start(t)
	b := h.open(t, wide).login(h.token)
	for script, want := range map[string]string{
		`f.num(1204)`: "1,204", `f.num(null)`: "–", `f.num(0)`: "0",
		`f.short(41207)`: "41.2 k", `f.short(999)`: "999", `f.short(2.5e9)`: "2.5 G",
		`f.share(0.9962)`: "99.62 %", `f.share(1)`: "100 %", `f.share(0.99999)`: "> 99.99 %", `f.share(0.00001)`: "< 0.01 %", `f.share(0)`: "0 %",
		`f.bytes(65536)`: "64 KiB", `f.bytes(1536)`: "1.5 KiB", `f.bytes(10)`: "10 B",
		`f.ms(1.94)`: "1.94 ms", `f.ms(0.3)`: "300 µs", `f.ms(1500)`: "1.5 s", `f.ms(0)`: "0 ms", `f.ms(undefined)`: "–",
		`f.span(252000)`: "4 min 12 s", `f.span(4000)`: "4 s", `f.span(3600000)`: "1 h", `f.span(532800000)`: "6 d 4 h", `f.span(59600)`: "1 min",
		`f.plural(1, "event")`: "1 event", `f.plural(2, "event")`: "2 events", `f.plural(2, "match", "matches")`: "2 matches",
		`f.ago(1000, 181000)`: "3 min ago", `f.ago(25000, 1000)`: "in 24 s", `f.ago(1000, 1500)`: "now", `f.ago("nonsense")`: "–",
		`f.clock(new Date(2026, 10, 30, 9, 5, 7), new Date(2026, 10, 30, 23, 0))`: "09:05:07",
		`f.clock(new Date(2026, 10, 29, 9, 5, 7), new Date(2026, 10, 30, 23, 0))`: "29 Nov 09:05",
		`f.clock(new Date(2025, 10, 29, 9, 5, 7), new Date(2026, 10, 30, 23, 0))`: "29 Nov 2025",
		`f.clock("0001-01-01T00:00:00Z")`:                                         "–",
		`f.stamp(new Date(2026, 10, 30, 9, 5, 7, 41))`:                            "2026-11-30 09:05:07.041",
		`a.arg("order:o-1001:v4")`:                                                "order:o-1001:v4", `a.arg("it's")`: `'it'\''s'`, `a.arg("$(rm)")`: "'$(rm)'", `a.arg("")`: "''",
	} {
		got := eval[string](b, `Promise.all([import("/console/format.js"), import("/console/action.js")]).then(([f, a]) => `+script+`)`)
		if got != want {
			t.Errorf("%s: %q, want %q", script, got, want)
		}
	}
}

// An element made from text has no code: neither handlers, nor styles, nor links that run.
func TestElementsRefuseCode(t *testing.T) {
	h := start(t)
	b := h.open(t, wide).login(h.token)
	for _, props := range []string{`{ onclick: "go()" }`, `{ style: "color: red" }`, `{ srcdoc: "x" }`, `{ innerHTML: "x" }`} {
		if !eval[bool](b, `import("/console/ui.js").then((u) => { try { u.h("p", `+props+`); return false; } catch { return true; } })`) {
			t.Errorf("h takes %s", props)
		}
	}
	for _, link := range []string{"javascript:go()", " javascript:go()", "data:text/html,x", "//evil.example/", "http://evil.example/", `/\evil.example/`, "/\t/evil.example/"} {
		if eval[bool](b, `import("/console/ui.js").then((u) => u.h("a", { href: `+quoted(link)+` }).hasAttribute("href"))`) {
			t.Errorf("a link to %q is made", link)
		}
	}
}

// A rendered page changes in place: what the reader types, opens and focuses stays.
func TestRenderingKeepsWhatTheReaderDoes(t *testing.T) {
	h := start(t)
	b := h.open(t, wide).login(h.token)
	got := eval[map[string]any](b, `import("/console/ui.js").then(({ h, mount }) => {
		const box = document.body.appendChild(document.createElement("div"));
		const view = (items, value) => [h("input", { value }), h("details", {}, h("summary", {}, "more"), "text"), h("ul", {}, items.map((i) => h("li", { key: i }, h("a", { href: "/" }, i))))];
		mount(box, ...view(["a", "b"], "old"));
		const input = box.querySelector("input"), b = box.querySelectorAll("li")[1];
		input.value = "typed";
		box.querySelector("details").open = true;
		b.firstChild.focus();
		mount(box, ...view(["new", "a", "b"], "old"));
		const kept = { value: input.value, same: box.querySelector("input") === input, open: box.querySelector("details").open,
			focus: document.activeElement === b.firstChild, order: box.querySelector("ul").innerText.replaceAll("\n", " ") };
		mount(box, ...view(["b"], "fresh"));
		kept.fresh = input.value;
		kept.left = box.querySelectorAll("li").length + (box.querySelector("li") === b ? " same" : " other");
		kept.still = document.activeElement === b.firstChild;
		box.remove();
		return kept;
	})`)
	for key, want := range map[string]any{"value": "typed", "same": true, "open": true, "focus": true, "order": "new a b", "fresh": "fresh", "left": "1 same", "still": true} {
		if got[key] != want {
			t.Errorf("%s: %v, want %v", key, got[key], want)
		}
	}
}
