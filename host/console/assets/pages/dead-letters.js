// Dead letters: which events did handlers give up on, why, and how do they get them again?

import { address, get, pages, post, request } from "../api.js";
import { arg, buttons, commands } from "../action.js";
import { code, copy, field, h, link, panel, pill, select, table, when } from "../ui.js";
import { num, plural, unit } from "../format.js";
import { handlerUrl } from "../plugin.js";

const names = ["plugin", "event_type", "subject", "class", "event_id", "since", "until"];
const flags = { plugin: "plugin", event_type: "type", subject: "subject", class: "class", event_id: "event", since: "since", until: "until" };
const classes = ["", "timeout", "fuel", "trap", "memory", "stack", "exit", "bad_result", "rejected", "retry", "conflict", "kv_conflict", "kv_quota", "scheduled_quota", "skipped"];
const maxCounted = 1000;

export default async function deadLetters(ctx) {
  ctx.title("Dead letters");
  const given = Object.fromEntries(names.map((name) => [name, ctx.query.get(name) ?? ""]).filter(([, v]) => v));
  const cursor = ctx.query.get("cursor") ?? "";
  const state = { given, cursor, page: { items: [], next: null }, handlers: [], chosen: new Set() };
  const render = () => ctx.show(view(ctx, state, render));
  await ctx.every(5000, async () => {
    const [page, log] = await Promise.all([get("/events/dead-letters", { ...given, cursor, limit: 50 }, ctx.signal), get("/events/log", {}, ctx.signal)]);
    Object.assign(state, { page, handlers: log.handlers.filter((r) => r.dead > 0).sort((a, b) => b.dead - a.dead) });
    const present = new Set(page.items.map(keyOf));
    for (const key of state.chosen) if (!present.has(key)) state.chosen.delete(key);
    render();
  });
}

const keyOf = (d) => unit(d) + " " + d.event_id;

// count says how many dead letters a filter selects.
async function count(filter) {
  let n = 0;
  for await (const one of pages("/events/dead-letters", { ...filter, limit: 500 }, { max: maxCounted })) if (one) n++;
  return (n === maxCounted ? "at least " : "") + plural(n, "dead letter matches", "dead letters match");
}

function view(ctx, state, render) {
  const { given, page, cursor, chosen } = state;
  const filtered = Object.keys(given).length > 0;
  const total = state.handlers.reduce((sum, r) => sum + r.dead, 0);
  const actions = chosen.size ? chosenActions(ctx, state) : filterActions(ctx, given, page.items.length);
  return [
    h("div", { class: "head" }, h("h1", {}, "Dead letters"), h("span", { class: "dim" }, total
      ? `${plural(total, "event")} that ${plural(state.handlers.length, "handler has", "handlers have")} given up on, kept until you redrive or remove them` : "none"), buttons(ctx, actions)),
    filterForm(ctx, state),
    hint(ctx, given, page.items.length, state.handlers),
    panel(chosen.size ? `${num(chosen.size)} chosen` : "Dead letters, the latest event first", { flush: true }, table({
      label: "Dead letters, the latest event first", items: page.items, key: keyOf, href: eventUrl, columns: [
        ctx.may("operate") ? { title: "", hint: "choose", plain: true, cell: (d) => h("input", { type: "checkbox", "aria-label": `Choose ${d.idempotency_key} of ${d.plugin}`, checked: chosen.has(keyOf(d)), on: { change: (e) => {
          if (e.currentTarget.checked) chosen.add(keyOf(d));
          else chosen.delete(keyOf(d));
          render();
        } } }) } : null,
        { title: "Died", class: "mono nowrap", cell: (d) => when(d.at) },
        { title: "Event", main: true, cell: (d) => [link(eventUrl(d), d.event_type), h("div", { class: "dim mono" }, d.idempotency_key)] },
        { title: "Handler", class: "nowrap", cell: (d) => link(handlerUrl(d.plugin), unit(d)) },
        { title: "Why", cell: (d) => [pill("bad", d.error?.class ?? d.reason), h("div", {}, firstLine(d.error?.message ?? ""))] },
        { title: "Subject", cell: (d) => (d.subject ? link(ctx.with({ subject: d.subject, cursor: null }), d.subject) : h("span", { class: "dim" }, "–")) },
        { title: "Attempts", num: true, cell: (d) => num(d.attempts) },
        { title: "Published", class: "nowrap", cell: (d) => when(d.published_at) },
      ].filter(Boolean),
      empty: h("div", { class: "empty" }, h("strong", {}, filtered ? "No dead letter matches" : "No dead letters"),
        h("p", {}, filtered ? "Other handlers or classes may have some." : "An event that a handler rejects, or that fails in every attempt, waits here for you. Nothing is lost."),
        filtered ? link(ctx.path, "All dead letters") : null) })),
    cursor || page.next ? h("div", { class: "line" }, cursor ? link(ctx.with({ cursor: null }), "« Latest") : null,
      page.next ? h("span", { class: "end" }, link(ctx.with({ cursor: page.next }), "Older »")) : null) : null,
    commands(ctx, actions), listCommands(given),
  ];
}

const firstLine = (text) => String(text).split("\n")[0];
const eventUrl = (d) => `/events/${encodeURIComponent(d.event_id)}?plugin=${encodeURIComponent(d.plugin)}`;

function filterForm(ctx, { given, handlers }) {
  const apply = (e) => ctx.go(ctx.with({ [e.currentTarget.name]: e.currentTarget.value.trim(), cursor: null }));
  const text = (name, title, placeholder) => field(title, h("input", { id: "dead-" + name, name, type: "search", value: given[name] ?? "", placeholder, autocomplete: "off", spellcheck: "false", on: { change: apply } }));
  const known = [...new Set([...handlers.map((r) => r.plugin), ...(given.plugin ? [given.plugin] : [])])].sort();
  return h("div", { class: "filters" },
    field("Handler", select({ id: "dead-plugin", name: "plugin", value: given.plugin ?? "", on: { change: apply } }, [["", "any"], ...known.map((n) => [n, n])])),
    field("Class", select({ id: "dead-class", name: "class", value: given.class ?? "", on: { change: apply } }, classes)),
    text("event_type", "Type", "order_status_changed"), text("subject", "Subject", "o-1001"), text("since", "Died since", "2026-05-01T10:00:00Z"), text("until", "Died before", ""),
    Object.keys(given).length ? h("div", { class: "field" }, link(ctx.path, "Clear")) : null);
}

// hint says what has to be chosen before something can be done with all of them.
function hint(ctx, given, shown, handlers) {
  if (!ctx.may("operate") || !shown || given.plugin || given.event_id || handlers.length === 0) return null;
  return h("p", { class: "dim" }, "Choose lines, or a handler, to redrive or remove its dead letters: ",
    handlers.slice(0, 8).map((r, n) => [n ? ", " : "", link(ctx.with({ plugin: r.plugin, cursor: null }), `${r.plugin} (${num(r.dead)})`)]), ".");
}

const cliOf = (verb, given) => `berth events dead-letters ${verb}` + Object.entries(given).map(([name, value]) => ` --${flags[name]} ${arg(value)}`).join("");

function filterActions(ctx, given, shown) {
  if (!shown || !(given.plugin || given.event_id)) return [];
  const all = Object.keys(given).length === 1 && given.plugin ? `all dead letters of ${given.plugin}` : "the dead letters that match the filter";
  const redrive = { label: "Redrive", scope: "operate", kind: "primary", method: "POST", path: "/events/dead-letters/redrive", body: given, cli: cliOf("redrive", given),
    ask: { title: `Redrive ${all}`, text: "The handlers get them again, from their first attempt. Events of one key keep their order.", preview: () => count(given), confirm: "Redrive" },
    done: (answer) => `${plural(answer.redriven, "dead letter is", "dead letters are")} delivered again` };
  if (given.plugin && !given.event_id && !given.since && !given.until) {
    const body = { kind: "redrive", plugin: given.plugin, name: `redrive ${given.plugin}`,
      filter: Object.fromEntries(["event_type", "subject", "class"].filter((name) => given[name]).map((name) => [name, given[name]])) };
    Object.assign(redrive, { path: "/operations", body, input: (v) => ({ ...body, rate: whole(v.rate) }), done: (op) => `Started operation ${op.id}`,
      then: (op) => ctx.go("/operations/" + encodeURIComponent(op.id)) });
    redrive.ask.fields = [{ name: "rate", label: "Events a second", type: "number", value: "0", min: "0", max: "100000", hint: "0: as fast as the handler takes them" }];
    redrive.ask.cli = (v) => (Number(v.rate) > 0 ? `berth operations start redrive --plugin ${arg(given.plugin)}` +
      ["event_type", "subject", "class"].filter((name) => given[name]).map((name) => ` --${flags[name]} ${arg(given[name])}`).join("") + ` --rate ${arg(v.rate)}` : cliOf("redrive", given));
    redrive.ask.preview = async () => {
      const found = await post("/operations", { ...body, preview: true });
      return `${found.exact ? "" : "at least "}${plural(found.matches, "dead letter matches", "dead letters match")}`;
    };
  }
  return [redrive, { label: "Remove", scope: "operate", kind: "danger", method: "POST", path: "/events/dead-letters/purge", body: given, cli: cliOf("purge", given),
    ask: { title: `Remove ${all}`, text: "The events stay in the log, but these handlers do not get them any more. This cannot be undone.", preview: () => count(given), confirm: "Remove" },
    done: (answer) => `${plural(answer.purged, "dead letter is", "dead letters are")} removed` }];
}

export function whole(text) {
  const n = Number(text || 0);
  if (!Number.isInteger(n) || n < 0) throw new Error("The rate must be a whole number of events a second, or 0.");
  return n;
}

function chosenActions(ctx, state) {
  const list = state.page.items.filter((d) => state.chosen.has(keyOf(d)));
  const each = (verb, answerKey) => async () => {
    let n = 0;
    for (const d of list) n += (await request("POST", `/events/dead-letters/${verb}`, { body: { plugin: d.plugin, event_id: d.event_id } })).data[answerKey];
    state.chosen.clear();
    return n;
  };
  const cli = (verb) => list.map((d) => cliOf(verb, { plugin: d.plugin, event_id: d.event_id })).slice(0, 1).join() + (list.length > 1 ? "   # and so on for each" : "");
  const what = plural(list.length, "dead letter");
  return [
    { label: `Redrive ${num(list.length)}`, scope: "operate", kind: "primary", cli: cli("redrive"), run: each("redrive", "redriven"), done: (n) => `${plural(n, "dead letter is", "dead letters are")} delivered again` },
    { label: `Remove ${num(list.length)}`, scope: "operate", kind: "danger", cli: cli("purge"), run: each("purge", "purged"), done: (n) => `${plural(n, "dead letter is", "dead letters are")} removed`,
      ask: { title: `Remove ${what}`, text: "The events stay in the log, but these handlers do not get them any more. This cannot be undone.", confirm: "Remove" } },
    { label: "Choose none", run: async () => { state.chosen.clear(); }, done: () => "" },
  ];
}

function listCommands(given) {
  const text = cliOf("list", given);
  return h("details", { class: "cli" }, h("summary", {}, "This list on the command line ", code(text)), h("div", { class: "all" },
    [text, `curl -H "Authorization: Bearer $BERTH_TOKEN" ${arg(location.origin + address("/events/dead-letters", given))}`].map((t) => h("div", { class: "line" }, code(t), copy(t)))));
}
