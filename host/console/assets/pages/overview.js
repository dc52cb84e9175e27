// Overview: is anything wrong, since when, what can I do?

import { get } from "../api.js";
import { code, empty, h, link, panel, say, stat, statePill, table, when } from "../ui.js";
import { ago, bytes, clock, ms, num, plural, rate, share, short, span, unit } from "../format.js";
import { spark } from "../chart.js";

const shownHandlers = 8;

export default async function overview(ctx) {
  ctx.title("Overview");
  const range = ctx.query.get("range") === "24h" ? "24h" : "1h";
  const state = { overview: null, series: null, issues: [] };
  const render = () => { if (state.overview) ctx.show(view(ctx, state, range)); };
  ctx.overview((o) => { state.overview = o; render(); });
  await ctx.every(10_000, async () => {
    [state.series, state.issues, state.overview] = await Promise.all([
      get("/series", { range }, ctx.signal),
      get("/issues", { limit: 5 }, ctx.signal).then((list) => list.items),
      get("/overview", {}, ctx.signal),
    ]);
    render();
  });
}

function view(ctx, { overview: o, series, issues }, range) {
  const line = (name, label, tone, format, floor) =>
    spark({ label: `${label}, last ${range === "1h" ? "hour" : "24 hours"}`, values: series?.values[name] ?? [], tone, format, floor });
  const lowest = Math.min(0.95, ...(series?.values.ok_share ?? []).filter((v) => v !== null)) - 0.01;
  const oldest = o.oldest_at ? Date.now() - Date.parse(o.oldest_at) : 0;
  return [
    h("div", { class: "head" }, h("h1", {}, "Overview"), h("span", { class: "dim" }, `${o.host} · ${o.version} · up ${span(Date.now() - Date.parse(o.started_at))}`),
      h("div", { class: "acts tabs" }, [["1h", "Last hour"], ["24h", "Last 24 hours"]].map(([value, title]) =>
        h("a", { href: ctx.with({ range: value === "1h" ? null : value }), "aria-current": value === range ? "true" : null }, title)))),
    findings(ctx, o, issues),
    h("div", { class: "grid g4" },
      stat("Events", rate(o.events_per_s), { unit: "/s", chart: line("events_per_s", "Events per second", "accent", rate), href: "/events" }),
      stat("Deliveries ok", share(o.ok_share), { chart: line("ok_share", "Share of deliveries that ended ok", "ok", share, lowest) }),
      stat("Publish to delivered, p99", o.latency_p99_ms ? ms(o.latency_p99_ms) : "–", { chart: line("latency_p99_ms", "p99 latency", "accent", ms) }),
      stat("Oldest event waiting", oldest ? span(oldest) : "none", { chart: line("oldest_s", "Age of the oldest waiting event", oldest > 60_000 ? "bad" : "accent", (s) => span(s * 1000)) })),
    h("div", { class: "grid g2" },
      panel("Handlers", { aside: o.handlers.length > shownHandlers ? link("/handlers", `All ${num(o.handlers.length)}`) : link("/handlers", "All"), flush: true }, handlers(o)),
      h("div", { class: "stack" },
        panel("Open issues", { aside: link("/issues", "All"), flush: true }, issueList(issues)),
        panel("Machine", {}, machine(o)))),
  ];
}

// findings says what is wrong, the worst first.
function findings(ctx, o, issues) {
  const list = [];
  if (!o.ready) list.push(say("bad", "not ready", ["The host is not ready: ", o.problem || "it is starting", "."]));
  if (o.disk.total_bytes && o.disk.free_bytes / o.disk.total_bytes < 0.1) {
    list.push(say("bad", "disk", [h("b", {}, `${bytes(o.disk.free_bytes)} are free`), ` of ${bytes(o.disk.total_bytes)}. Publishing stops when the disk is full; the store has ${bytes(o.disk.store_bytes)}.`],
      ctx.may("operate") ? h("a", { class: "btn", href: "/system" }, "System") : null));
  }
  for (const p of o.handlers) {
    const handler = "/handlers/" + encodeURIComponent(p.plugin);
    const waiting = p.lag ? ` ${plural(p.lag, "event waits", "events wait")}.` : "";
    const issue = issues.find((i) => i.handler === p.plugin);
    if (p.state === "breaker_open") {
      list.push(say("bad", "breaker open", [h("b", {}, p.plugin), " fails since ", when(p.since), ": ", code(firstLine(issue?.message ?? p.reason)), ".", waiting],
        h("a", { class: "btn", href: issue ? "/issues/" + issue.id : handler }, issue ? "Open issue" : "Open handler")));
    } else if (p.state === "stuck" || p.state === "rejected") {
      list.push(say("bad", p.state, [h("b", {}, p.plugin), p.state === "stuck" ? " cannot read the log: " : " does not run: ", firstLine(p.reason), ".", waiting],
        h("a", { class: "btn", href: handler }, "Open handler")));
    } else if (p.state === "needs_approval" || p.state === "held") {
      list.push(say("wait", p.state === "held" ? "held" : "approval", [h("b", {}, `${p.plugin} ${p.version}`), ` waits for you: ${firstLine(p.reason)}.`, waiting],
        h("a", { class: "btn", href: "/plugins" }, "Review")));
    } else if (p.state === "paused" && p.lag) {
      list.push(say("wait", "paused", [h("b", {}, p.plugin), " is paused since ", when(p.since), ".", waiting], h("a", { class: "btn", href: handler }, "Open handler")));
    } else if (p.failed_share > 0.05 && p.state === "active" && (issue || p.open_issues)) { // what was resolved is no finding
      list.push(say("wait", "failing", [h("b", {}, p.plugin), ` fails at ${share(p.failed_share)} of its attempts`, issue ? [": ", code(firstLine(issue.message))] : "", ".", waiting],
        h("a", { class: "btn", href: issue ? "/issues/" + issue.id : handler }, issue ? "Open issue" : "Open handler")));
    }
  }
  if (o.approvals && !o.handlers.some((p) => p.state === "needs_approval" || p.state === "held")) {
    list.push(say("wait", "approval", [plural(o.approvals, "plugin waits", "plugins wait"), " for approval."], h("a", { class: "btn", href: "/plugins" }, "Review")));
  }
  if (list.length === 0) {
    const note = o.open_issues ? `${plural(o.open_issues, "issue is", "issues are")} open.` : o.handlers.length ? "Every handler runs, and no issue is open." : "";
    list.push(say("ok", "ok", ["Nothing needs you now. ", note]));
  }
  return list.slice(0, 6);
}

const firstLine = (text) => String(text ?? "").split("\n")[0].replace(/\.$/, "");

function handlers(o) {
  return table({ label: "Handlers, the worst first", items: o.handlers.slice(0, shownHandlers), key: (p) => p.plugin, href: (p) => "/handlers/" + encodeURIComponent(p.plugin), columns: [
    { title: "Handler", main: true, class: "nowrap", cell: (p) => [link("/handlers/" + encodeURIComponent(p.plugin), p.plugin), " ", h("span", { class: "dim" }, p.version)] },
    { title: "State", plain: true, cell: (p) => statePill(p.state) },
    { title: "Per second", num: true, cell: (p) => rate(p.per_s) },
    { title: "Failed", num: true, hint: "Share of the attempts of the last hour", cell: (p) => (p.failed_share ? share(p.failed_share) : "0") },
    { title: "Lag", num: true, hint: "Events that are not final for it", cell: (p) => num(p.lag) },
    { title: "p99", num: true, hint: "Duration of an attempt, last hour", cell: (p) => (p.duration_p99_ms ? ms(p.duration_p99_ms) : "–") },
    { title: "Fuel/event", num: true, cell: (p) => (p.fuel_per_event ? short(p.fuel_per_event) : "–") },
  ], empty: empty("No handlers yet", "A handler is a WebAssembly file. Copy one into a watched directory; it runs at once. Or install one from the marketplace.",
    "cp my-handler.wasm plugins/") });
}

export function issueList(issues) {
  return table({ label: "Open issues", items: issues, key: (i) => i.id, href: (i) => "/issues/" + i.id, columns: [
    { title: "Issue", main: true, cell: (i) => [link("/issues/" + i.id, firstLine(i.message)), h("div", { class: "dim" },
      [unit(i), i.frame ? frameText(i.frame) : i.class, plural(i.count, "time"), `last ${ago(i.last_seen)}`].join(" · "))] },
  ], empty: h("div", { class: "empty" }, h("strong", {}, "No open issues"), h("p", {}, "Failed attempts are grouped here by handler, message and source line.")) });
}

export const frameText = (frame) => (frame.file ? `${frame.file.split("/").pop()}${frame.line ? ":" + frame.line : ""}` : frame.function);

function machine(o) {
  const used = o.disk.total_bytes ? 1 - o.disk.free_bytes / o.disk.total_bytes : 0;
  const entry = (title, value, note) => h("div", {}, h("div", { class: "line" }, h("span", {}, title), h("span", { class: "end num" }, value)), note);
  return [
    entry("Disk", `${bytes(o.disk.free_bytes)} free`, [h("div", { class: "bar " + (used > 0.9 ? "bad" : ""), vars: { "--share": used * 100 + "%" }, "aria-hidden": "true" }, h("i", {})),
      h("span", { class: "dim" }, `of ${bytes(o.disk.total_bytes)}; the store has ${bytes(o.disk.store_bytes)}`)]),
    entry("Memory of the host", bytes(o.memory_bytes)),
    entry(link("/dead-letters", "Dead letters"), num(o.dead_letters)),
    entry(link("/schedules", "Events not due yet"), num(o.scheduled)),
    entry(link("/operations", "Operations running"), num(o.operations)),
    entry("Started", clock(o.started_at)),
  ];
}
