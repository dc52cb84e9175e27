// Operations: what replays, redrives and retries of many events run, and how far are they?

import { address, get, post } from "../api.js";
import { arg, buttons, commands } from "../action.js";
import { code, copy, h, link, panel, statePill, table, tabs, when } from "../ui.js";
import { num, plural } from "../format.js";
import { handlerUrl } from "../plugin.js";
import { whole } from "./dead-letters.js";

const states = [["", "All"], ["running", "Running"], ["done", "Done"], ["cancelled", "Cancelled"], ["failed", "Failed"]];

export default async function operations(ctx) {
  ctx.title("Operations");
  const given = Object.fromEntries(["state", "kind", "plugin", "cursor"].map((name) => [name, ctx.query.get(name) ?? ""]).filter(([, v]) => v));
  let handlers = [];
  ctx.overview((o) => { handlers = o.handlers.map((p) => p.plugin).sort(); });
  await ctx.every(2000, async () => {
    const list = await get("/operations", { ...given, limit: 50 }, ctx.signal);
    ctx.show(view(ctx, list, given, handlers));
  });
}

// bar shows how far an operation is.
export function bar(op) {
  const part = op.total ? Math.min(op.done / op.total, 1) : op.state === "done" ? 1 : 0;
  const tone = { done: "ok", failed: "bad", cancelled: "" }[op.state] ?? "wait";
  return [h("div", { class: "bar " + tone, vars: { "--share": part * 100 + "%" }, "aria-hidden": "true" }, h("i", {})),
    h("span", { class: "dim" }, op.total ? `${num(op.done)} of ${num(op.total)}` : `${num(op.done)} so far`)];
}

export const cancelling = (op) => ({ label: "Cancel", scope: "operate", method: "POST", path: `/operations/${encodeURIComponent(op.id)}/cancel`, cli: `berth operations cancel ${op.id}`,
  ask: { title: `Cancel operation ${op.id}`, text: "Events that it has given to the handler already stay with it. The others are left as they were.", confirm: "Cancel the operation" },
  done: (answer) => `Operation ${op.id} is ${answer?.state ?? "cancelled"}` });

export function filterText(f) {
  const words = { event_type: "type", subject: "subject", class: "class", issue: "issue", when: "when", from: "from", to: "to" };
  const text = Object.entries(words).filter(([name]) => f?.[name]).map(([name, word]) => `${word} ${f[name]}`).join(" · ");
  return text || "all events";
}

function view(ctx, list, given, handlers) {
  const start = starting(ctx, handlers);
  const running = list.items.filter((op) => op.state === "running").length;
  const { cursor, ...asked } = given;
  const text = "berth operations list" + Object.entries(asked).map(([name, value]) => ` --${name} ${arg(value)}`).join("");
  return [
    h("div", { class: "head" }, h("h1", {}, "Operations"), h("span", { class: "dim" }, running ? `${num(running)} running` : "none is running"), buttons(ctx, start)),
    tabs("State", states.map(([value, title]) => ({ title, href: ctx.with({ state: value, cursor: null }), current: (given.state ?? "") === value }))),
    panel("Operations, the latest first", { flush: true }, table({ label: "Operations, the latest first", items: list.items, key: (op) => op.id, href: (op) => "/operations/" + op.id, columns: [
      { title: "Operation", main: true, cell: (op) => [link("/operations/" + op.id, op.name || `${op.kind} ${op.plugin}`), h("div", { class: "dim" }, `#${op.id} · ${op.kind}`)] },
      { title: "Handler", class: "nowrap", cell: (op) => link(handlerUrl(op.plugin), op.plugin) },
      { title: "State", cell: (op) => [statePill(op.state), op.reason ? h("div", { class: "dim" }, op.reason) : null] },
      { title: "Progress", class: "nowrap", plain: true, cell: bar },
      { title: "Filter", cell: (op) => h("span", { class: "dim" }, filterText(op.filter)) },
      { title: "Started", class: "nowrap", cell: (op) => [when(op.started_at), h("div", { class: "dim" }, "by " + op.started_by)] },
      { title: "Ended", class: "nowrap", cell: (op) => when(op.finished_at) },
    ], empty: h("div", { class: "empty" }, h("strong", {}, given.state ? `No operation is ${given.state}` : "No operations yet"),
      h("p", {}, "A replay delivers a part of the log to a handler again, a redrive its dead letters, a retry the events that wait for their next attempt. Each shows its count before it starts, and can be cancelled.")) })),
    cursor || list.next ? h("div", { class: "line" }, cursor ? link(ctx.with({ cursor: null }), "« Latest") : null,
      list.next ? h("span", { class: "end" }, link(ctx.with({ cursor: list.next }), "Older »")) : null) : null,
    commands(ctx, start),
    h("details", { class: "cli" }, h("summary", {}, `${plural(list.items.length, "operation")} on the command line `, code(text)), h("div", { class: "all" },
      [text, `curl -H "Authorization: Bearer $BERTH_TOKEN" ${arg(location.origin + address("/operations", asked))}`].map((t) => h("div", { class: "line" }, code(t), copy(t))))),
  ];
}

const kinds = [["replay", "Replay: events of the log, again"], ["redrive", "Redrive: its dead letters, again"], ["retry", "Retry: what waits for a retry, now"]];

// bodyOf makes the request of the dialog's values.
function bodyOf(v) {
  if (!v.plugin) throw new Error("Choose a handler.");
  const filter = {};
  for (const name of ["event_type", "subject", "class", "when", "from", "to"]) if (v[name]?.trim()) filter[name] = v[name].trim();
  if (v.kind === "replay" && !filter.from) throw new Error("A replay needs a beginning, such as 1h, a position or earliest.");
  if (v.kind === "replay" && filter.class) throw new Error("A replay takes no class: it delivers events, whatever became of them.");
  return { kind: v.kind, plugin: v.plugin, filter, rate: whole(v.rate), ...(v.name?.trim() ? { name: v.name.trim() } : {}) };
}

// commandOf is the command line of the dialog's values.
function commandOf(v) {
  const flags = { from: "from", to: "to", event_type: "type", subject: "subject", class: "class", when: "when", name: "name" };
  return `berth operations start ${v.kind} --plugin ${v.plugin ? arg(v.plugin) : "NAME"}` +
    Object.entries(flags).filter(([name]) => v[name]?.trim()).map(([name, flag]) => ` --${flag} ${arg(v[name].trim())}`).join("") + (Number(v.rate) > 0 ? ` --rate ${arg(v.rate)}` : "");
}

export function starting(ctx, handlers, plugin = "") {
  return [{ label: "New operation", scope: "operate", kind: "primary", method: "POST", path: "/operations", body: { kind: "replay", plugin: plugin || "NAME", filter: { from: "1h" } },
    cli: `berth operations start replay --plugin ${plugin ? arg(plugin) : "NAME"} --from 1h`,
    ask: { title: "New operation", confirm: "Start", text: "The count is of what it would do now.", cli: commandOf,
      fields: [
        { name: "kind", label: "What", value: "replay", options: kinds },
        { name: "plugin", label: "Handler", value: plugin, options: [["", "choose"], ...handlers.map((n) => [n, n])] },
        { name: "from", label: "From", value: "", placeholder: "1h", hint: "A duration back from now, a time, a position in the log, or earliest. A replay needs it." },
        { name: "to", label: "To", value: "", hint: "Empty: the latest event." },
        { name: "event_type", label: "Event type", value: "", placeholder: "order_*" },
        { name: "subject", label: "Subject", value: "" },
        { name: "class", label: "Error class", value: "", options: ["", "timeout", "fuel", "trap", "memory", "stack", "exit", "bad_result", "rejected", "retry", "conflict", "kv_conflict", "kv_quota", "scheduled_quota", "skipped"], hint: "Of a redrive or retry: of the last error." },
        { name: "when", label: "CEL condition", value: "", placeholder: "data.total_cents > 5000" },
        { name: "rate", label: "Events a second", type: "number", value: "0", min: "0", max: "100000", hint: "0: as fast as the handler takes them." },
        { name: "name", label: "Name", value: "", hint: "For people; optional." },
      ],
      preview: async (v) => {
        if (!v.plugin || (v.kind === "replay" && !v.from)) return "Choose a handler" + (v.kind === "replay" ? ", and where to begin" : "") + ".";
        const found = await post("/operations", { ...bodyOf(v), preview: true });
        return `${found.exact ? "" : "at least "}${plural(found.matches, "event matches", "events match")}`;
      } },
    input: bodyOf, done: (op) => `Started operation ${op.id}`, then: (op) => ctx.go("/operations/" + encodeURIComponent(op.id)) }];
}
