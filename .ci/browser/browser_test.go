// Package browser tests the console in Chromium against a real host. make browser runs it;
// pages_test.go lists the pages, incident_test.go replays an incident.
//
// BERTH names the binary, AXE the file axe.min.js, and SHOTS a directory for screenshots.
package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// limit bounds every wait: it is generous, and reached only by a failure.
const limit = 60 * time.Second

// poll is how often a wait looks.
const poll = 50 * time.Millisecond

var chromium context.Context // of the browser that all tests share

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	profile, err := os.MkdirTemp("", "chromium")
	if err != nil {
		log.Print(err)
		return 1
	}
	defer os.RemoveAll(profile)
	options := []chromedp.ExecAllocatorOption{
		chromedp.Headless, chromedp.NoSandbox, chromedp.NoFirstRun, chromedp.DisableGPU, chromedp.UserDataDir(profile),
		chromedp.WSURLReadTimeout(limit),
	}
	for _, name := range []string{"disable-quic", "disable-background-networking", "disable-component-update", "disable-sync", "hide-scrollbars",
		"disable-default-apps", "disable-extensions", "disable-dev-shm-usage"} {
		options = append(options, chromedp.Flag(name, true))
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	defer stop()
	ctx, end := chromedp.NewContext(allocator)
	defer end()
	if err := chromedp.Do(ctx); err != nil {
		log.Printf("start Chromium: %v", err)
		return 1
	}
	chromium = ctx
	return m.Run()
}

// view is how a page is looked at.
type view struct {
	width, height int64
	theme         string // light or dark
}

var (
	wide   = view{1440, 1000, "light"}
	narrow = view{400, 800, "light"}
)

func (v view) String() string { return fmt.Sprintf("%d-%s", v.width, v.theme) }

// tab is one tab of the browser, with cookies of its own.
type tab struct {
	t    *testing.T
	ctx  context.Context
	host *host
	view view

	mu       sync.Mutex
	problems []string       // on the browser's console
	expected *regexp.Regexp // problems that the test provokes
}

// open opens a tab without a session. Problems on the browser's console fail the test.
func (h *host) open(t *testing.T, v view) *tab {
	t.Helper()
	ctx, end := chromedp.NewContext(chromium, chromedp.WithNewBrowserContext())
	b := &tab{t: t, ctx: ctx, host: h, view: v}
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			b.shot("failed-" + strings.ReplaceAll(t.Name(), "/", "-"))
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, problem := range b.problems {
			if b.expected == nil || !b.expected.MatchString(problem) {
				t.Errorf("on the browser's console: %s", problem)
			}
		}
		end()
	})
	b.run(chromedp.EmulateViewport(v.width, v.height), chromedp.Func(func(ctx context.Context, page *chromedp.Target) error {
		_, err := cdp.Call(ctx, page, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: v.theme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
		})
		return err
	}))
	return b
}

// listen collects what the browser reports as an error or a warning.
func (b *tab) listen(event any) {
	var problem string
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		problem = "exception: " + e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			problem += " " + e.ExceptionDetails.Exception.Description
		}
	case *runtime.EventConsoleAPICalled:
		if e.Type != runtime.ConsoleAPICalledTypeError && e.Type != runtime.ConsoleAPICalledTypeWarning {
			return
		}
		for _, arg := range e.Args {
			problem += fmt.Sprintf("%s %s", arg.Value, arg.Description)
		}
	case *cdplog.EventEntryAdded:
		if e.Entry.Level != cdplog.EntryLevelError && e.Entry.Level != cdplog.EntryLevelWarning {
			return
		}
		problem = fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL)
	default:
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.problems = append(b.problems, problem)
}

// expect permits problems that match.
func (b *tab) expect(pattern string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expected = regexp.MustCompile(pattern)
}

func (b *tab) run(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, limit)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// eval runs a script and returns its value, or that of its promise.
func eval[T any](b *tab, script string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, limit)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", script[:min(len(script), 200)], err)
	}
	return value
}

// until waits until a script returns true. An error counts as false: the page may just be
// replaced by another one.
func (b *tab) until(what, script string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, limit)
	defer cancel()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for ; ctx.Err() == nil; <-tick.C {
		if done, err := chromedp.Run(ctx, chromedp.Evaluate[bool](script)); err == nil && done {
			return
		}
	}
	b.t.Fatalf("%s: not within %s; the page has:\n%s", what, limit, b.text("main, .login, body"))
}

func quoted(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// text returns the visible text of the first element; "" when there is none.
func (b *tab) text(selector string) string {
	ctx, cancel := context.WithTimeout(b.ctx, limit)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.querySelector(`+quoted(selector)+`)?.innerText ?? ""`))
	if err != nil {
		return err.Error() // it is for a message
	}
	return text
}

// visit opens a path of the console and waits until its page is shown.
func (b *tab) visit(path string) {
	b.t.Helper()
	b.run(chromedp.Navigate(b.host.url + path))
	b.shown()
}

// shown waits until the page is complete.
func (b *tab) shown() {
	b.t.Helper()
	b.until("the page is shown", `!!document.querySelector("main h1") && !document.querySelector("main[aria-busy]")`)
}

// sees waits until the element has the text.
func (b *tab) sees(selector, text string) {
	b.t.Helper()
	b.until("sees "+text, fmt.Sprintf(`[...document.querySelectorAll(%s)].some((el) => el.innerText.includes(%s))`, quoted(selector), quoted(text)))
}

// lacks waits until no element has the text.
func (b *tab) lacks(selector, text string) {
	b.t.Helper()
	b.until("lacks "+text, fmt.Sprintf(`![...document.querySelectorAll(%s)].some((el) => el.innerText.includes(%s))`, quoted(selector), quoted(text)))
}

// click clicks the first element of a selector as soon as it is there.
func (b *tab) click(selector string) {
	b.t.Helper()
	b.until("has "+selector, `(() => { const el = document.querySelector(`+quoted(selector)+`); el?.scrollIntoView({ block: "center" }); return !!el; })()`)
	b.run(chromedp.Click(chromedp.CSS(selector)))
}

// act clicks the button of an action.
func (b *tab) act(label string) {
	b.t.Helper()
	b.click(`button[data-action=` + quoted(label) + `]`)
}

// confirm confirms the dialog of an action and waits until it is closed.
func (b *tab) confirm(label string) {
	b.t.Helper()
	b.click(`dialog button[data-confirm=` + quoted(label) + `]`)
	b.until("the dialog is closed", `!document.querySelector("dialog[open]")`)
}

// fill replaces the value of a control.
func (b *tab) fill(selector, value string) {
	b.t.Helper()
	b.until("has "+selector, `!!document.querySelector(`+quoted(selector)+`)`)
	eval[any](b, fmt.Sprintf(`(() => { const el = document.querySelector(%s); el.focus(); el.value = %s;
		el.dispatchEvent(new Event("input", { bubbles: true })); el.dispatchEvent(new Event("change", { bubbles: true })); })()`,
		quoted(selector), quoted(value)))
}

// login logs in with a token by the page.
func (b *tab) login(token string) *tab {
	b.t.Helper()
	b.visit("/login")
	b.run(chromedp.SetValue(chromedp.CSS("input[name=token]"), token), chromedp.Click(chromedp.CSS("button[type=submit]")))
	b.until("logged in", `location.pathname !== "/login" && !!document.querySelector(".nav a")`)
	b.shown()
	return b
}

// shot writes a screenshot of the whole page into SHOTS.
func (b *tab) shot(name string) {
	dir := os.Getenv("SHOTS")
	if dir == "" {
		return
	}
	ctx, cancel := context.WithTimeout(b.ctx, limit)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%s.png", name, b.view)), png, 0o644)
	}
	if err != nil {
		b.t.Logf("screenshot %s: %v", name, err)
	}
}

// finding is a violation that axe found.
type finding struct {
	ID, Impact, Help string
	Nodes            []struct {
		HTML           string
		FailureSummary string `json:"failureSummary"`
	}
}

// axe fails the test for every serious or critical finding.
func (b *tab) axe() {
	b.t.Helper()
	source, err := os.ReadFile(os.Getenv("AXE"))
	if err != nil {
		b.t.Fatalf("AXE: %v", err)
	}
	b.run(chromedp.Func(func(ctx context.Context, page *chromedp.Target) error {
		_, err := cdp.Call(ctx, page, runtime.Evaluate, runtime.EvaluateParams{Expression: string(source)})
		return err
	}))
	found := eval[[]finding](b, `axe.run(document, { resultTypes: ["violations"] }).then((r) => r.violations)`)
	for _, f := range found {
		if f.Impact != "serious" && f.Impact != "critical" {
			continue
		}
		for _, node := range f.Nodes {
			b.t.Errorf("axe: %s: %s (%s)\n%s\n%s", f.Impact, f.Help, f.ID, node.HTML, node.FailureSummary)
		}
	}
}

// fits fails the test when the page is wider than the window.
func (b *tab) fits() {
	b.t.Helper()
	wider := eval[string](b, `(() => { const w = document.documentElement.clientWidth;
		if (document.documentElement.scrollWidth <= w) return "";
		const scrolls = (el) => { for (; el; el = el.parentElement) if (/auto|scroll|hidden/.test(getComputedStyle(el).overflowX)) return true; return false; };
		const out = [...document.querySelectorAll("body *")].find((el) => el.getBoundingClientRect().right > w + 1 && !scrolls(el.parentElement));
		return (out ?? document.body).outerHTML.slice(0, 300); })()`)
	if wider != "" {
		b.t.Errorf("the page is wider than %d px, by %s", b.view.width, wider)
	}
}
