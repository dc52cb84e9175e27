// Handler: is it healthy, what does it cost, what may it do, and what can I change?

import { get, request } from "../api.js";
import { arg, buttons, commands } from "../action.js";
import { code, copy, h, id, link, mount, panel, pill, say, select, stat, statePill, table, tabs, toast, visible, when } from "../ui.js";
import { ago, bytes, ms, num, plural, rate, share, short, span, stamp } from "../format.js";
import { lineChart } from "../chart.js";
import { approval, capabilityTable, differing, lifecycle, manifestConfig, pluginPath, storedVersions } from "../plugin.js";
import { exact, schemaForm } from "../schema.js";
import { issueList } from "./overview.js";
import { starting } from "./operations.js";
import { removal } from "./marketplace.js";

const maxLines = 500;

export default async function handler(ctx) {
  const name = ctx.params.name;
  ctx.title(name);
  const range = ctx.query.get("range") === "24h" ? "24h" : "1h";
  const state = { name, range, plugin: null, etag: "", summary: null, series: null, issues: [], stored: [], lines: [], last: null, discarded: 0, level: ctx.query.get("level") ?? "", read: 0 };
  ctx.overview((o) => {
    state.summary = o.handlers.find((p) => p.plugin === name) ?? null;
    if (state.plugin) render();
  });
  const render = () => {
    const bottom = atEnd();
    ctx.show(view(ctx, state));
    if (bottom) toEnd();
  };
  const slow = async () => {
    const [series, issues] = await Promise.all([get("/series", { plugin: name, range }, ctx.signal).catch(absent), get("/issues", { handler: name, limit: 5 }, ctx.signal).catch(absent)]);
    Object.assign(state, { series: series ?? state.series, issues: issues?.items ?? [], read: Date.now() });
  };
  await ctx.every(2000, async () => {
    const found = await request("GET", pluginPath(name), { signal: ctx.signal });
    Object.assign(state, { plugin: found.data, etag: found.etag });
    if (Date.now() - state.read > 10_000) await slow();
    await follow(ctx, state);
    render();
  });
  if (state.plugin && !state.plugin.file) {
    state.stored = await storedVersions(name, ctx.signal).catch(() => []);
    render();
  }
  if (ctx.may("operate")) await configure(ctx, name);
}

const absent = (err) => {
  if (err.name === "AbortError" || err.status === 401) throw err;
  return null;
};

// The log stays at its end, unless the reader has scrolled up in it.
const logBox = () => document.querySelector("[data-log]");
const atEnd = () => {
  const box = logBox();
  return !box || box.scrollHeight - box.scrollTop - box.clientHeight < 24;
};
const toEnd = () => {
  const box = logBox();
  if (box) box.scrollTop = box.scrollHeight;
};

// follow reads the lines that the plugin has logged since the last time.
async function follow(ctx, state) {
  const log = await get(pluginPath(state.name) + "/logs", state.last === null ? { limit: 200 } : { after: state.last, limit: 1000 }, ctx.signal);
  state.lines = [...state.lines, ...log.items].slice(-maxLines);
  state.last = log.next === null || log.next === undefined ? log.last : Number(log.next);
  state.discarded = log.discarded;
}

function view(ctx, state) {
  const { plugin: p, summary: o, name } = state;
  const actions = [...lifecycle(p), ...(p.file ? [] : removal(ctx, name, state.stored))];
  const operate = starting(ctx, [name], name);
  return [
    h("div", { class: "head" }, h("h1", {}, name), statePill(p.state), h("span", { class: "dim" }, [p.version || "no version", p.style, p.file ? p.file.split("/").pop() : "installed"].filter(Boolean).join(" · ")), buttons(ctx, actions)),
    ...sentence(ctx, state),
    stats(p, o),
    charts(ctx, state),
    h("div", { class: "grid g2" },
      h("div", { class: "stack" },
        panel("What it may do", { flush: true }, capabilityTable("Capabilities", p.capabilities)),
        ctx.may("operate") ? panel("Config", { id: "config" }, h("div", { class: "stack", id: "config-body", key: "config-body", keep: true }, h("p", { class: "dim" }, "Reading it…"))) : null),
      h("div", { class: "stack" },
        panel("Open issues", { aside: link(`/issues?handler=${encodeURIComponent(name)}&state=all`, "All"), flush: true }, issueList(state.issues)),
        panel("Events", {}, h("ul", { class: "tree" }, [
          [`/events?handler=${encodeURIComponent(name)}`, "Its events"], [`/events?handler=${encodeURIComponent(name)}&status=retrying`, "Those that wait for a retry"],
          [`/dead-letters?plugin=${encodeURIComponent(name)}`, `Dead letters${o?.dead ? ` (${num(o.dead)})` : ""}`], [`/handlers/${encodeURIComponent(name)}/state`, "What it has stored"], [`/operations?plugin=${encodeURIComponent(name)}`, "Operations"],
        ].map(([href, text]) => h("li", {}, link(href, text)))), buttons(ctx, operate)),
        versions(state), about(p))),
    logPanel(ctx, state),
    commands(ctx, [...actions, ...operate]),
  ];
}

// sentence says whether it is healthy, before any chart.
function sentence(ctx, { plugin: p, summary: o, issues, etag }) {
  const lag = p.lag ? ` ${plural(p.lag, "event waits", "events wait")}${o?.oldest_at ? `, the oldest since ${ago(o.oldest_at).replace(" ago", "")}` : ""}.` : " Nothing waits.";
  const reason = p.reason ? `: ${p.reason.split("\n")[0].replace(/\.$/, "")}` : "";
  const issue = issues.find((i) => i.state === "open") ?? issues[0];
  const open = issue ? h("a", { class: "btn", href: "/issues/" + issue.id }, "Open issue") : null;
  const list = [];
  if (p.pending) {
    const missing = differing(p).filter((c) => !c.granted);
    list.push(say("wait", "approval", [h("b", {}, `${p.name} ${p.pending.version}`), ` asks for ${missing.map((c) => c.name).join(", ")}, and waits. ${p.version || "The present version"} goes on meanwhile.`],
      buttons(ctx, [approval(p, etag)])), panel("What the waiting version asks for", { flush: true }, capabilityTable("What the waiting version asks for", differing(p))));
  }
  const one = {
    breaker_open: () => say("bad", "breaker open", ["It fails again and again, so it is tried only now and then", reason, ".", lag], open),
    stuck: () => say("bad", "stuck", ["It cannot read the log", reason, ".", lag]),
    rejected: () => say("bad", "rejected", ["It does not run", reason, ".", lag]),
    needs_approval: () => say("wait", "approval", ["It waits for you", reason, ".", lag], buttons(ctx, [approval(p, etag)])),
    held: () => say("wait", "held", ["It is new, and waits to be enabled.", lag]),
    paused: () => say("idle", "paused", ["It is paused: its events wait for it, and none is lost.", lag]),
    disabled: () => say("idle", "disabled", ["It is switched off, and keeps its position in the log.", lag]),
    discovered: () => say("wait", "loading", "It is being checked and compiled."), vetting: () => say("wait", "loading", "It is being checked and compiled."),
    draining: () => say("wait", "draining", ["It finishes what is under way", reason, "."]),
  }[p.state];
  if (one) list.push(one());
  else if (o && o.failed_share > 0.05) list.push(say("bad", "failing", [`${share(o.failed_share)} of its attempts of the last hour failed`, issue ? [": ", code(String(issue.message).split("\n")[0])] : "", ".", lag], open));
  else list.push(say("ok", "healthy", [o?.per_s ? `It takes ${rate(o.per_s)} events a second` : "No events came in the last minute", o?.duration_p99_ms ? `, 99 of 100 within ${ms(o.duration_p99_ms)}` : "", ".", lag], issue ? open : null));
  return list;
}

function stats(p, o) {
  return h("div", { class: "grid g4" },
    stat("Lag", num(p.lag), { unit: p.lag === 1 ? "event" : "events", note: o?.oldest_at ? ["oldest ", when(o.oldest_at)] : "nothing waits" }),
    stat("Duration, p99", o?.duration_p99_ms ? ms(o.duration_p99_ms) : "–", { note: o?.duration_p50_ms ? `p50 ${ms(o.duration_p50_ms)}, last hour` : "no attempt in the last hour" }),
    stat("Failed, last hour", o ? share(o.failed_share) : "–", { note: `${num(p.failed)} attempts since the host started` }),
    stat("Memory", o?.memory_bytes ? bytes(o.memory_bytes) : "–", { note: `${plural(p.instances, "instance")} · ${o?.fuel_per_event ? short(o.fuel_per_event) + " fuel/event" : "no fuel yet"}` }));
}

function charts(ctx, { series, range, name }) {
  const span24 = range === "24h";
  const choice = tabs("Time shown", [["1h", "Last hour"], ["24h", "Last 24 hours"]].map(([value, title]) => ({ title, href: ctx.with({ range: value === "1h" ? null : value }), current: range === value })));
  if (!series) return panel("Over time", { aside: choice }, h("p", { class: "dim" }, "The host has no figures of this handler yet."));
  const markers = (series.markers ?? []).filter((m) => !m.plugin || m.plugin === name).map((m) => ({ at: m.at, text: m.version || m.sha256.slice(0, 8) }));
  const v = (key) => series.values[key] ?? [];
  const chart = (label, lines, format) => h("div", { class: "stack tight" }, h("h3", {}, label),
    lineChart({ label: `${label}, last ${span24 ? "24 hours" : "hour"}`, series: lines, start: series.start, stepS: series.step_s, format, markers, height: 84 }));
  return panel("Over time", { aside: choice }, h("div", { class: "grid half" },
    chart("Attempts a second", [{ name: "attempts", values: v("deliveries_per_s") }, { name: "failed", values: v("failed_per_s"), tone: "bad" }], rate),
    chart("Duration of an attempt", [{ name: "p50", values: v("duration_p50_ms"), tone: "dim" }, { name: "p99", values: v("duration_p99_ms") }], ms),
    chart("Lag", [{ name: "events", values: v("lag"), tone: "wait" }], short),
    chart("Age of the oldest event that waits", [{ name: "age", values: v("oldest_s"), tone: "wait" }], (s) => span(s === null || s === undefined ? s : s * 1000)),
    chart("Fuel an event", [{ name: "fuel", values: v("fuel_per_event") }], short),
    chart("Memory of its instances", [{ name: "memory", values: v("memory_bytes") }], bytes),
    chart("Instances", [{ name: "instances", values: v("instances"), tone: "dim" }], rate),
    chart("Deliveries that ended ok", [{ name: "share", values: v("ok_share"), tone: "ok" }], share)),
  markers.length ? null : h("p", { class: "dim" }, "No version became active in this time."));
}

function versions({ plugin: p, stored, series, name }) {
  const since = new Map((series?.markers ?? []).filter((m) => m.plugin === name).map((m) => [m.sha256, m.at]));
  const former = (series?.markers ?? []).filter((m) => m.plugin === name && m.sha256 !== p.sha256).reverse();
  const list = stored.length ? stored : [{ version: p.version, sha256: p.sha256, current: true }, ...former];
  return panel("Versions", { flush: true }, table({ label: "Versions", items: list, key: (v) => v.version + v.sha256, columns: [
    { title: "Version", main: true, cell: (v) => [v.version || "no version", " ", v.current ? pill("ok", "runs") : pill("idle", stored.length ? "kept" : "former")] },
    { title: "Module", class: "mono", cell: (v) => h("span", { title: v.sha256 }, v.sha256.slice(0, 12)) },
    { title: "Active since", class: "nowrap", cell: (v) => (since.has(v.sha256) ? when(since.get(v.sha256)) : v.current ? when(p.since) : "–") },
  ] }), p.file ? h("div", { class: "more dim" }, "It is a file of a watched directory: to go back, copy the former file over it.") : null);
}

// shards says how the handler is divided, and what that changes to.
function shards(s) {
  const text = num(s.count) + (s.order_by ? ` by ${visible(s.order_by)}` : "");
  if (!s.next) return text;
  return `${text}; they change to ${shards(s.next)}: ${s.stage === "draining" ? `events up to ${num(s.until)} end first, the others wait` : "the hosts give them away"}`;
}

const about = (p) => panel("About", {}, h("dl", { class: "kv" }, [
  ["Subscribes", p.subscribes?.length ? p.subscribes.map((s, n) => [n ? ", " : "", code(s)]) : "every type that a route gives it"],
  ...(p.state_mode ? [["kv writes", `${p.state_mode}, with the outcome of the event`]] : []), ...(p.batch ? [["Batches", `up to ${plural(p.batch.max_events, "event")}, waiting ${num(p.batch.max_wait_ms)} ms for more`]] : []), ...(p.fair_by ? [["Fair by", code(visible(p.fair_by))]] : []), ...(p.shards ? [["Shards", shards(p.shards)]] : []),
  ["State since", when(p.since)], p.file ? ["File", code(p.file)] : ["From", "the marketplace, a URL or a registry: berth plugin verify names it"], ["Module", id(p.sha256)], ["Delivered", `${num(p.delivered)} since the host started`], ["Fuel", `${short(p.fuel)} since the host started`],
].map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])));

const levels = ["", "debug", "info", "warn", "error"];

function logPanel(ctx, state) {
  const least = levels.indexOf(state.level);
  const lines = state.lines.filter((l) => levels.indexOf(l.level) >= least);
  const choose = select({ id: "log-level", "aria-label": "Lowest level", value: state.level, on: { change: (e) => {
    state.level = e.currentTarget.value;
    history.replaceState(null, "", ctx.with({ level: state.level }));
    ctx.show(view(ctx, state));
  } } }, levels.map((l) => [l, l ? `${l} and above` : "every level"]));
  return panel("Log", { aside: h("span", { class: "line" }, h("span", { class: "dim" }, state.discarded ? `${num(state.discarded)} lines beyond its rate were discarded` : "live"), choose) },
    lines.length ? h("pre", { tabindex: "0", "aria-label": "Log", "data-log": "" }, h("span", { class: "loglines" }, lines.map((l) => [
      l.event_id ? link("/events/" + encodeURIComponent(l.event_id) + "?plugin=" + encodeURIComponent(state.name), stamp(l.at).slice(11)) : h("span", { class: "dim" }, stamp(l.at).slice(11)),
      h("span", { class: "lv-" + l.level }, l.level.toUpperCase()), h("span", { class: "msg" }, l.message)])))
      : h("p", { class: "dim" }, "It has logged nothing", state.level ? ` of level ${state.level} or above` : "", " since the host started. Guests log through the ABI or to standard error."),
    h("div", { class: "cli" }, h("div", { class: "line" }, code(`berth plugin logs ${arg(state.name)} --follow`), copy(`berth plugin logs ${arg(state.name)} --follow`))));
}

// configure shows the form of its config. It is built once, and again after it is saved.
async function configure(ctx, name) {
  const found = await manifestConfig(name, ctx.signal).catch(absent);
  const body = document.getElementById("config-body");
  if (!body || ctx.signal.aborted) return;
  if (!found) {
    mount(body, h("p", {}, "Its config could not be read."));
    return;
  }
  const { config, schema } = found.data;
  const path = pluginPath(name) + "/config";
  const cli = commands(ctx, [{ label: "Save and apply", cli: `berth config set ${arg(name)} config.json`, method: "PUT", path, body: { config }, ifMatch: found.etag },
    { label: "Read it", cli: `berth config get ${arg(name)}`, method: "GET", path }]);
  if (!exact(config)) {
    mount(body, h("p", {}, "It has numbers with more digits than a browser keeps. Change it on the command line."), cli);
    return;
  }
  const form = schemaForm(schema, config);
  const problem = h("p", { class: "bad-text", role: "alert" });
  const save = async (e) => {
    e.preventDefault();
    problem.textContent = "";
    try {
      const changed = form.read();
      await request("PUT", path, { body: { config: changed }, ifMatch: found.etag });
      toast(`${name} runs with the new config`);
      await configure(ctx, name);
    } catch (err) {
      const text = (err.errors ?? []).filter((one) => {
        const pointer = (one.path ?? "").split(".config")[1] ?? "";
        return !form.mark(pointer, one.reason);
      }).map((one) => one.reason).join("; ");
      problem.textContent = text || (err.errors?.length ? "The plugin's schema does not take this; see above." : err.status === 412 ? "Somebody else has changed it meanwhile. Load the page again to see the present config." : err.message);
    }
  };
  body.replaceChildren(h("p", { class: "dim" }, schema ? "The plugin's manifest says what is valid. Empty means not set." : "It is written to the configuration, and the plugin runs with it at once."),
    h("form", { class: "stack", "data-form": "config", on: { submit: save } }, h("div", { class: "controls" }, form.nodes), problem,
      h("div", { class: "acts" }, h("button", { type: "submit", class: "primary" }, "Save and apply"), h("button", { type: "button", on: { click: () => configure(ctx, name) } }, "Undo changes"))), cli);
}
