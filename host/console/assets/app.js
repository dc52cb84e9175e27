// The frame of the console: session, navigation, routes, keys. A page is a module in pages/ whose default export is called with a context:
//
//   export default async function page(ctx) {
//     ctx.title("Operations");                                  the document's title, announced to screen readers
//     await ctx.every(2000, async () => {                       now, and again 2 s after each end while the tab is visible; a number
//                                                               that it returns is the time until the next one instead
//       const list = await get("/operations", { state: ctx.query.get("state") }, ctx.signal);
//       ctx.show(h("div", { class: "head" }, h("h1", {}, "Operations")), view(list));    renders in place: focus and scroll stay
//     });
//   }
//
//   ctx.params.id, ctx.path, ctx.query (URLSearchParams)        of the URL; a page is called anew when it changes
//   ctx.go(url, { replace })                                    navigates; plain <a href> links work as well
//   ctx.with({ state: "open", cursor: null })                   this URL with other query parameters; null and "" remove one
//   ctx.refresh()                                               runs what every() repeats, now
//   ctx.may(scope), ctx.session                                 what the token may do: read, publish, operate, install, admin
//   ctx.overview((overview) => {})                              wire.Overview, now and every two seconds
//   ctx.need(scope)                                             false, and a page that says so, when the token lacks the scope
//   ctx.signal                                                  ends when the page is left: give it to requests and timers
//
// A page throws what it cannot handle: the frame shows the Problem, and asks for a login at 401. While the host does not answer
// the last state stays, and the frame says since when.

import { get, session } from "./api.js";
import { announce, dialog, empty, h, mount, rowKeys } from "./ui.js";
import { clock, num, rate } from "./format.js";

// pattern, module, title and scope (of the page as a whole)
const routes = [
  ["/", "overview"], ["/login", "login"],
  ["/events", "events"], ["/events/:id", "event"],
  ["/issues", "issues"], ["/issues/:id", "issue"],
  ["/dead-letters", "dead-letters"],
  ["/operations", "operations"], ["/operations/:id", "operation"],
  ["/handlers", "handlers"], ["/handlers/:name", "handler"], ["/handlers/:name/state", "state"],
  ["/schedules", "schedules"], ["/event-types", "event-types"], ["/event-types/:type", "event-types"],
  ["/plugins", "plugins"], ["/marketplace", "marketplace"], ["/marketplace/:name", "marketplace"],
  ["/orders", "orders"], ["/orders/:id", "order"],
  ["/routes", "routes"],
  ["/cluster", "cluster"], ["/configuration", "configuration"], ["/audit", "audit"], ["/system", "system"],
];

// path, title, count with its tone, scope, and whether this host has the page
const navigation = [
  ["/", "Overview"], ["/events", "Events"], ["/issues", "Issues", (o) => [o.open_issues, "bad"]],
  ["/dead-letters", "Dead letters", (o) => [o.dead_letters, "bad"]], ["/operations", "Operations", (o) => [o.operations]], null,
  ["/handlers", "Handlers", (o) => [o.handlers.length]], ["/plugins", "Plugins", (o) => [o.approvals, "bad"]],
  ["/marketplace", "Marketplace"], ["/routes", "Routes"], ["/event-types", "Event types"], ["/schedules", "Schedules"], ["/orders", "Orders"], null,
  ["/cluster", "Cluster", (o) => [o.hosts], "read", (o) => o.hosts > 0],
  ["/configuration", "Configuration", null, "operate"], ["/audit", "Audit", null, "operate"], ["/system", "System", null, "operate"],
];

const keys = [["/", "go to the search"], ["j, k", "next and previous line of a list"], ["Enter", "open the line"], ["?", "this list"], ["Esc", "close a dialog"],
  ["g then o", "overview"], ["g then e", "events"], ["g then i", "issues"], ["g then h", "handlers"], ["g then d", "dead letters"]];
const jumps = { o: "/", e: "/events", i: "/issues", h: "/handlers", d: "/dead-letters" };

const app = { overview: null, watchers: new Set(), lost: 0, page: null, module: "" };
let main, move;

function match(path) {
  let parts;
  try {
    parts = path.split("/").map(decodeURIComponent);
  } catch { // it is not UTF-8
    return null;
  }
  for (const [pattern, module] of routes) {
    const want = pattern.split("/");
    if (want.length !== parts.length) continue;
    const params = {};
    const fits = want.every((w, i) => {
      if (!w.startsWith(":")) return w === parts[i];
      params[w.slice(1)] = parts[i];
      return parts[i] !== "";
    });
    if (fits) return { module, params };
  }
  return null;
}

const current = () => location.pathname + location.search;

function go(url, { replace = false } = {}) {
  if (url === current() && !replace) return open();
  history[replace ? "replaceState" : "pushState"](null, "", url);
  return open();
}

// open shows the page of the present URL.
async function open() {
  const found = match(location.pathname);
  const before = app.page;
  before?.end.abort();
  const moved = before?.path !== location.pathname;
  const page = { end: new AbortController(), path: location.pathname, repeat: [], shown: false };
  app.page = page;
  if (found?.module !== "login" && !session.data && !(await restore())) return;
  if (app.page !== page) return;
  frame();
  main.setAttribute("aria-busy", "true");
  const ctx = context(page, found);
  try {
    if (!found) {
      ctx.title("Not found");
      ctx.show(h("h1", {}, "No such page"), h("p", {}, "Nothing is at ", h("code", {}, location.pathname), ". The pages are listed in the navigation."));
    } else {
      const module = await import(`./pages/${found.module}.js`);
      if (app.page !== page) return;
      await module.default(ctx);
    }
  } catch (err) {
    failed(ctx, page, err);
  } finally {
    if (app.page === page) main.removeAttribute("aria-busy");
  }
  if (app.page === page && moved && before) main.focus({ preventScroll: true });
}

// restore finds the session of the cookie, or goes to the login.
async function restore() {
  try {
    await session.load();
    watch();
    return true;
  } catch (err) {
    if (err.status === 401) {
      toLogin();
      return false;
    }
    bare(h("div", { class: "login" }, h("main", { class: "panel" }, h("div", { class: "in" }, h("h1", {}, "Berth does not answer"), h("p", {}, err.message),
      h("button", { type: "button", class: "primary", on: { click: () => open() } }, "Try again")))));
    return false;
  }
}

function toLogin() {
  session.data = null;
  const next = location.pathname === "/login" ? "" : current();
  go("/login" + (next && next !== "/" ? "?next=" + encodeURIComponent(next) : ""), { replace: true });
}

function failed(ctx, page, err) {
  if (err.name === "AbortError" || app.page !== page) return;
  if (err.status === 401) return toLogin();
  if (page.shown && err.status === 0) return lost();
  ctx.title("Problem");
  const title = { 403: "This token may not see that", 404: "Not found", 0: "The host does not answer" }[err.status] ?? "That did not work";
  ctx.show(h("div", { class: "head" }, h("h1", {}, title)), h("section", { class: "panel" }, h("div", { class: "in stack" },
    h("p", {}, err.message), h("div", { class: "acts" }, h("button", { type: "button", on: { click: () => open() } }, "Try again")))));
  if (!(err.status >= 0)) console.error(err); // a defect of the console itself
}

function context(page, found) {
  const signal = page.end.signal;
  const run = async (task) => {
    clearTimeout(task.timer);
    if (task.running) return task.running;
    task.running = (async () => {
      try {
        task.next = task.ms;
        if (!document.hidden || !page.shown) task.next = (await task.work()) ?? task.ms;
        if (!signal.aborted) answered();
      } catch (err) {
        if (!page.shown) throw err;
        failed(ctx, page, err);
      } finally {
        task.running = null;
        if (!signal.aborted) task.timer = setTimeout(() => run(task), task.next);
      }
    })();
    return task.running;
  };
  signal.addEventListener("abort", () => page.repeat.forEach((task) => clearTimeout(task.timer)), { once: true });
  const ctx = {
    signal, path: location.pathname, params: found?.params ?? {}, query: new URLSearchParams(location.search), session, go,
    may: (scope) => session.may(scope),
    show: (...nodes) => {
      if (signal.aborted) return;
      if (!page.shown && app.module !== found?.module) main.replaceChildren();
      app.module = found?.module;
      page.shown = true;
      mount(main, ...nodes);
    },
    title: (text) => {
      if (signal.aborted || document.title === `${text} · Berth`) return;
      document.title = `${text} · Berth`;
      announce(text);
    },
    with: (changes) => {
      const query = new URLSearchParams(location.search);
      for (const [name, value] of Object.entries(changes)) {
        if (value === null || value === undefined || value === "") query.delete(name);
        else query.set(name, value);
      }
      const text = query.toString();
      return location.pathname + (text ? "?" + text : "");
    },
    every: (ms, work) => {
      const task = { ms, work, next: ms, timer: 0, running: null };
      page.repeat.push(task);
      return run(task);
    },
    refresh: async () => { for (const task of page.repeat) { await task.running?.catch(() => {}); await run(task); } },
    overview: (watcher) => {
      app.watchers.add(watcher);
      signal.addEventListener("abort", () => app.watchers.delete(watcher), { once: true });
      if (app.overview) watcher(app.overview);
    },
    need: (scope) => {
      if (session.may(scope)) return true;
      ctx.title("Not allowed");
      ctx.show(h("div", { class: "head" }, h("h1", {}, "This page needs another token")), h("section", { class: "panel" },
        empty(`The token ${session.token} lacks the scope ${scope}.`, "Log in with a token that has it. The admin token has every scope.",
          `berth token create --name NAME --scope read,${scope}`)));
      return false;
    },
  };
  return ctx;
}

// watch reads the overview every two seconds for the navigation and the pages.
let watching = 0;
function watch() {
  if (watching) return;
  const tick = async () => {
    if (!document.hidden && session.data) {
      try {
        app.overview = await get("/overview");
        answered();
        frame();
        for (const watcher of app.watchers) watcher(app.overview);
      } catch (err) {
        if (err.status === 401) toLogin();
        else if (err.status === 0) lost();
      }
    }
    watching = session.data ? setTimeout(tick, 2000) : 0;
  };
  watching = setTimeout(tick, 0);
}

function lost() {
  app.lost ||= Date.now();
  frame();
}
function answered() {
  if (!app.lost) return;
  app.lost = 0;
  frame();
}

function bare(...nodes) {
  document.body.classList.add("bare");
  main = null;
  app.module = "";
  const kept = document.body.querySelectorAll(":scope > .toasts, :scope > .hidden-text, :scope > dialog");
  document.body.replaceChildren(...nodes, ...kept);
}

// frame renders everything around the page.
function frame() {
  if (location.pathname === "/login") {
    if (!main?.classList.contains("login")) {
      bare(h("main", { class: "login", tabindex: "-1" }));
      main = document.querySelector("main");
    }
    return;
  }
  if (!main || main.classList.contains("login")) {
    bare(h("a", { class: "skip-link", href: "#main" }, "Skip to the page"), h("header", { class: "top" }), h("nav", { class: "nav", "aria-label": "Pages" }),
      h("main", { id: "main", tabindex: "-1" }));
    document.body.classList.remove("bare");
    main = document.querySelector("main");
    move = rowKeys(main, (url) => go(url));
  }
  const o = app.overview;
  const level = ["install", "operate", "publish"].find((scope) => session.may(scope));
  mount(document.querySelector(".top"),
    h("a", { class: "brand", href: "/" }, h("img", { src: "/console/icon.svg", alt: "", width: 16, height: 16 }), "Berth"),
    h("form", { class: "find", role: "search", on: { submit: find } },
      h("input", { "aria-label": "Go to", placeholder: "Go to an event, key, handler or issue   /", name: "q", type: "search", autocomplete: "off", spellcheck: "false" })),
    h("div", { class: "live" }, h("span", { class: "dot" + (app.lost ? " off" : "") }),
      app.lost ? `no answer since ${clock(app.lost)}` : o ? `live · ${rate(o.events_per_s)} events/s` : "live"),
    level === "operate" || level === "install" ? null : h("span", { class: "pill idle" }, level ? "publish only" : "read only"),
    h("button", { type: "button", class: "quiet small", title: `logged in as ${session.token}`, on: { click: logout } }, "Log out"));
  mount(document.querySelector(".nav"), navigation.map((item) => {
    if (!item) return h("hr", {});
    const [href, title, count, scope, has] = item;
    if (scope && !session.may(scope) || has && !(o && has(o))) return null;
    const [n, tone] = (o && count?.(o)) || [0];
    const here = href === "/" ? location.pathname === "/" : location.pathname === href || location.pathname.startsWith(href + "/");
    return h("a", { href, "aria-current": here ? "page" : null }, title, n ? h("span", { class: "n " + (tone ?? "") }, num(n)) : null);
  }));
}

async function logout() {
  try {
    await session.logout();
  } finally {
    toLogin();
  }
}

// find goes to what was typed: an issue's number, a handler, an event's id or key, and otherwise the events of that subject.
async function find(e) {
  e.preventDefault();
  const input = e.target.elements.q;
  const text = input.value.trim();
  if (!text) return;
  input.value = "";
  input.blur();
  const issue = /^#(\d+)$/.exec(text);
  if (issue) return go("/issues/" + issue[1]);
  if (app.overview?.handlers.some((handler) => handler.plugin === text)) return go("/handlers/" + encodeURIComponent(text));
  const byKey = await get("/events", { key: text, limit: 1 }).catch(() => null);
  if (byKey?.items.length) return go("/events/" + encodeURIComponent(byKey.items[0].metadata.event_id));
  const notDue = await get("/events/scheduled", { key: text, limit: 1 }).catch(() => null);
  if (notDue?.items.length) return go("/events/" + encodeURIComponent(notDue.items[0].metadata.event_id));
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) return go("/events/" + text.toLowerCase());
  return go("/events?subject=" + encodeURIComponent(text));
}

function help() {
  dialog({ title: "Keys", body: h("dl", { class: "kv" }, keys.map(([key, what]) => [h("dt", {}, h("code", {}, key)), h("dd", {}, what)])),
    foot: (close) => h("button", { type: "submit", class: "primary", on: { click: () => close() } }, "Close") });
}

let pendingJump = false;
function press(e) {
  if (e.ctrlKey || e.metaKey || e.altKey || e.target.closest?.("input, textarea, select, dialog") || document.querySelector("dialog[open]")) return;
  const jump = pendingJump && jumps[e.key];
  pendingJump = e.key === "g" && !pendingJump;
  if (jump) go(jump);
  else if (e.key === "/") document.querySelector(".find input")?.focus();
  else if (e.key === "?") help();
  else if (e.key === "j" || e.key === "k") move?.(e.key);
  else if (e.key === "Enter" && !e.target.closest?.("a, button, summary, [data-plain]")) { if (!move?.("Enter")) return; }
  else return;
  e.preventDefault();
}

document.addEventListener("keydown", press);
document.addEventListener("click", (e) => {
  const a = e.target.closest?.("a[href]");
  if (!a || e.defaultPrevented || e.button !== 0 || e.ctrlKey || e.metaKey || e.shiftKey || e.altKey || a.target || a.hasAttribute("download")) return;
  if (a.origin !== location.origin || a.getAttribute("href").startsWith("#") || !match(a.pathname)) return;
  e.preventDefault();
  const moved = a.pathname !== location.pathname;
  go(a.pathname + a.search);
  if (moved) scrollTo(0, 0);
});
addEventListener("popstate", () => open());

open();
