// Events: what is published, live, with filters that are in the URL.

import { address, get, stream } from "../api.js";
import { code, copy, empty, h, link, pill, select, table, throttle, when } from "../ui.js";
import { num } from "../format.js";
import { arg, curl } from "../action.js";

const pageSize = 50;
const maxFresh = 200; // new events that are kept until they are shown; beyond it only their number

// Filters by name of the query parameter. The browser can apply those with local to the event stream; for the others it asks the host.
const filters = [
  { name: "type", title: "Type", hint: "order_*", local: (e, v) => glob(v)(e.event_type) },
  { name: "subject", title: "Subject", hint: "o-1001", local: (e, v) => e.metadata.subject === v },
  { name: "key", title: "Idempotency key", hint: "order:o-1001:v4", local: (e, v) => e.metadata.idempotency_key === v },
  { name: "handler", title: "Handler" },
  { name: "status", title: "Status", options: [["", "any"], ["ok", "ok"], ["retrying", "retrying"], ["delivering", "delivering"], ["pending", "pending"], ["dead", "dead letter"]] },
  { name: "class", title: "Error class", options: ["", "timeout", "fuel", "trap", "memory", "stack", "exit", "bad_result", "rejected", "retry", "conflict", "kv_conflict", "kv_quota", "scheduled_quota", "skipped"] },
  { name: "since", title: "Since", local: () => true, options: [["", "ever"], ["5m", "5 minutes"], ["1h", "1 hour"], ["24h", "24 hours"], ["7d", "7 days"]] },
  { name: "when", title: "CEL condition", hint: "data.total_cents > 5000", wide: true },
];

// glob returns whether a type matches, in time in proportion to both: a shared URL has any pattern.
export function glob(pattern) {
  const parts = pattern.split("*"), first = parts.shift(), last = parts.pop();
  return (type) => {
    if (last === undefined) return type === first;
    const end = type.length - last.length;
    let at = first.length;
    if (at > end || !type.startsWith(first) || !type.endsWith(last)) return false;
    for (const part of parts) {
      const found = type.indexOf(part, at);
      if (found < 0) return false;
      at = found + part.length;
    }
    return at <= end;
  };
}

export default async function events(ctx) {
  ctx.title("Events");
  const given = Object.fromEntries(filters.map((f) => [f.name, ctx.query.get(f.name) ?? ""]).filter(([, v]) => v));
  for (const name of ["correlation_id", "caused_by", "source", "published_by", "until"]) if (ctx.query.get(name)) given[name] = ctx.query.get(name);
  const cursor = ctx.query.get("cursor") ?? "";
  const state = { given, items: [], next: null, fresh: [], count: 0, statuses: new Map(), live: "", cursor, handlers: [] };
  const render = () => ctx.show(view(ctx, state, showFresh));
  const load = async () => {
    const page = await get("/events", { ...given, cursor, counts: true, limit: pageSize }, ctx.signal);
    Object.assign(state, { items: page.items, next: page.next, fresh: [], count: 0, loaded: true });
    forget(state);
  };
  const showFresh = async () => {
    if (state.count > state.fresh.length) await load();
    else state.items = [...state.fresh, ...state.items].slice(0, pageSize);
    Object.assign(state, { fresh: [], count: 0 });
    forget(state);
    render();
  };
  ctx.overview((o) => {
    const names = o.handlers.map((p) => p.plugin);
    if (names.join() === state.handlers.join()) return;
    state.handlers = names;
    if (state.loaded) render();
  });
  await load();
  render();
  if (cursor) return undefined; // an older page does not change
  const onHost = Object.keys(given).some((name) => !filters.find((f) => f.name === name)?.local);
  if (onHost) return ctx.every(3000, async () => {
    const page = await get("/events", { ...given, counts: true, limit: pageSize }, ctx.signal);
    const top = state.items[0]?.metadata.event_id;
    const at = page.items.findIndex((e) => e.metadata.event_id === top);
    state.fresh = at < 0 ? page.items : page.items.slice(0, at);
    state.count = state.fresh.length;
    const now = new Map(page.items.map((e) => [e.metadata.event_id, e]));
    state.items = state.items.map((e) => now.get(e.metadata.event_id) ?? e);
    render();
  });
  follow(ctx, state, throttle(render, 4, ctx.signal));
  return undefined;
}

// follow counts new events, and updates the deliveries of those that are shown. Of events that were published before the stream
// began it does not know all deliveries: the host counts them again.
function follow(ctx, state, changed) {
  const recount = throttle(async () => {
    try {
      const page = await get("/events", { ...state.given, counts: true, limit: pageSize }, ctx.signal);
      const now = new Map(page.items.map((e) => [e.metadata.event_id, e]));
      state.items = state.items.map((e) => now.get(e.metadata.event_id) ?? e);
      changed();
    } catch {
      // the stream and the frame say when the host does not answer
    }
  }, 0.5, ctx.signal);
  const matches = (e) => filters.every((f) => !f.local || !state.given[f.name] || f.local(e, state.given[f.name]));
  stream({
    signal: ctx.signal,
    state: (name) => { state.live = name; changed(); },
    published: (e) => {
      if (!matches(e)) return;
      state.count++;
      state.fresh.unshift(e);
      if (state.fresh.length > maxFresh) state.statuses.delete(state.fresh.pop().metadata.event_id);
      state.statuses.set(e.metadata.event_id, Object.assign(new Map(), { complete: true }));
      if (state.items.length === 0) {
        state.items = [e];
        Object.assign(state, { fresh: [], count: 0 });
      }
      changed();
    },
    delivery: (d) => {
      const known = state.statuses.get(d.event_id);
      if (!known) return;
      if (!known.complete) return recount();
      known.set(d.plugin, d.status);
      changed();
    },
  });
}

// forget keeps only the deliveries of events that are shown or wait to be shown.
function forget(state) {
  const wanted = new Set([...state.items, ...state.fresh].map((e) => e.metadata.event_id));
  for (const key of state.statuses.keys()) if (!wanted.has(key)) state.statuses.delete(key);
  for (const key of wanted) if (!state.statuses.has(key)) state.statuses.set(key, new Map());
}

function view(ctx, state, showFresh) {
  const active = Object.keys(state.given).length > 0;
  const list = table({ label: "Events, newest first", items: state.items, key: (e) => e.metadata.event_id, href: (e) => "/events/" + encodeURIComponent(e.metadata.event_id), columns: [
    { title: "When", plain: true, class: "mono nowrap", cell: (e) => when(e.metadata.time) },
    { title: "Event", main: true, cell: (e) => [link("/events/" + encodeURIComponent(e.metadata.event_id), e.event_type), h("div", { class: "dim mono" }, e.metadata.idempotency_key)] },
    { title: "Subject", cell: (e) => (e.metadata.subject ? link(ctx.with({ subject: e.metadata.subject, cursor: null }), e.metadata.subject) : h("span", { class: "dim" }, "–")) },
    { title: "Published by", cell: (e) => publisher(e) },
    { title: "Deliveries", plain: true, cell: (e) => deliveries(e, state.statuses.get(e.metadata.event_id)) },
  ], empty: state.next
    ? h("div", { class: "empty" }, h("strong", {}, "No match yet"), h("p", {}, "The host has examined a part of the log, the newest events first."),
      link(ctx.with({ cursor: state.next }), "Look further back"))
    : active ? h("div", { class: "empty" }, h("strong", {}, "No event matches"), h("p", {}, "The filter covers the whole log that is kept."), link(ctx.path, "Clear the filter"))
    : empty("No events yet", "Publish one from the command line, or by HTTP:", `berth events emit order_paid --data '{"order_id":"o-1"}'`,
      curl("POST", "/events", { event_type: "order_paid", data: { order_id: "o-1" } })) });
  return [
    h("div", { class: "head" }, h("h1", {}, "Events"), liveness(state), h("div", { class: "acts" }, copy(location.href, "Copy link", "the link to this list"))),
    filterForm(ctx, state),
    h("section", { class: "panel", "aria-label": "Events" },
      state.count ? h("div", { class: "newer" }, h("button", { type: "button", class: "small", "data-action": "Show new", on: { click: showFresh } }, `Show ${num(state.count)} new`)) : null,
      list,
      state.next || state.cursor ? h("div", { class: "more line" }, state.cursor ? link(ctx.with({ cursor: null }), "« Newest") : null,
        state.next ? h("span", { class: "end" }, link(ctx.with({ cursor: state.next }), "Older »")) : null) : null),
    commandLine(state.given),
  ];
}

function liveness(state) {
  if (state.cursor) return h("span", { class: "dim" }, "older events");
  if (!state.live) return null;
  return state.live === "live" ? pill("ok", "live") : pill("wait", state.live === "lagged" ? "too fast: skipped ahead" : "connects again");
}

function filterForm(ctx, state) {
  const apply = (e) => {
    e.preventDefault();
    const form = e.currentTarget.closest("form");
    const changes = { cursor: null };
    for (const f of filters) changes[f.name] = form.elements[f.name].value.trim();
    ctx.go(ctx.with(changes));
  };
  const control = (f) => {
    const props = { name: f.name, value: state.given[f.name] ?? "" };
    if (f.name === "handler") return select({ ...props, on: { change: apply } }, [["", "any"], ...new Set([...state.handlers, ...(props.value ? [props.value] : [])])].map((o) => (typeof o === "string" ? [o, o] : o)));
    if (f.options) {
      const known = f.options.some((o) => (typeof o === "string" ? o : o[0]) === props.value);
      return select({ ...props, on: { change: apply } }, known ? f.options : [...f.options, props.value]);
    }
    return h("input", { ...props, type: "text", placeholder: f.hint, autocomplete: "off", spellcheck: "false", on: { change: apply } });
  };
  const active = filters.filter((f) => state.given[f.name]).length;
  return h("details", { class: "folding", open: active > 0 || matchMedia("(min-width: 761px)").matches }, h("summary", {}, active ? `Filters (${active})` : "Filters"),
    h("form", { class: "filters", role: "search", "aria-label": "Filter events", on: { submit: apply } },
    filters.map((f) => h("div", { class: "field" + (f.wide ? " wide" : "") }, h("label", { for: "filter-" + f.name }, f.title), named(control(f), "filter-" + f.name))),
    Object.keys(state.given).length ? h("div", { class: "field" }, link(ctx.path, "Clear")) : null,
    h("button", { type: "submit", class: "hidden-text" }, "Apply")));
}

function named(el, id) {
  el.id = id;
  return el;
}

export function publisher(e) {
  const by = e.published_by;
  if (!by) return h("span", { class: "dim" }, e.metadata.source || "–");
  if (by.token || by.name) return ["token ", h("b", {}, by.name || by.token), by.source ? ` by ${by.source}` : ""];
  return [by.source === "orders" || by.source.startsWith("schedule:") ? "" : "handler ", h("b", {}, by.source)];
}

// deliveries counts them by status: as the stream showed them, and otherwise as the list has them.
function deliveries(e, seen) {
  const counts = {};
  if (seen?.size) for (const status of seen.values()) counts[status] = (counts[status] ?? 0) + 1;
  else Object.assign(counts, e.delivery_counts ?? {});
  const parts = [["dead", "bad", "dead"], ["retrying", "wait", "retrying"], ["delivering", "wait", "delivering"], ["pending", "wait", "pending"], ["ok", "ok", "ok"]]
    .filter(([name]) => counts[name]).map(([name, tone, word]) => pill(tone, `${num(counts[name])} ${word}`));
  return parts.length ? h("span", { class: "line" }, parts) : h("span", { class: "dim" }, "–");
}

function commandLine(given) {
  const flags = Object.entries(given).map(([name, value]) => ` --${name.replaceAll("_", "-")} ${arg(value)}`).join("");
  const text = "berth events list" + flags;
  const http = `curl -H "Authorization: Bearer $BERTH_TOKEN" ${arg(location.origin + address("/events", given))}`;
  return h("details", { class: "cli" }, h("summary", {}, "This list on the command line ", code(text)),
    h("div", { class: "all" }, [text, http].map((t) => h("div", { class: "line" }, code(t), copy(t)))));
}
