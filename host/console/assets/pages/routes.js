// Routes: which handlers would get an event, and why not the others?

import { get, post } from "../api.js";
import { arg, curl } from "../action.js";
import { code, copy, field, h, link, panel, pill, say, statePill, table } from "../ui.js";
import { num, plural } from "../format.js";
import { handlerUrl } from "../plugin.js";

export default async function routes(ctx) {
  ctx.title("Routes");
  const given = { type: ctx.query.get("type") ?? "", subject: ctx.query.get("subject") ?? "", data: ctx.query.get("data") ?? "" };
  const state = { given, routes: null, answer: null, problem: "" };
  if (ctx.may("operate")) state.routes = (await get("/config", {}, ctx.signal)).items.filter((s) => s.path.startsWith("routes."));
  if (given.type) await explain(ctx, state);
  ctx.show(view(ctx, state));
}

function eventOf({ type, subject, data }) {
  let parsed;
  if (data.trim()) {
    try {
      parsed = JSON.parse(data);
    } catch (err) {
      throw new Error("The data is not JSON: " + err.message);
    }
  }
  return { event_type: type, data: parsed ?? {}, ...(subject ? { metadata: { subject } } : {}) };
}

async function explain(ctx, state) {
  try {
    state.answer = await post("/events/explain", eventOf(state.given), { signal: ctx.signal });
  } catch (err) {
    if (err.name === "AbortError" || err.status === 401) throw err;
    state.problem = err.message;
  }
}

function view(ctx, state) {
  const { given, answer } = state;
  const submit = (e) => {
    e.preventDefault();
    const values = e.currentTarget.elements;
    ctx.go(ctx.with({ type: values.type.value.trim(), subject: values.subject.value.trim(), data: values.data.value.trim() }));
  };
  return [
    h("div", { class: "head" }, h("h1", {}, "Routes"), h("span", { class: "dim" }, "Which handlers would get this event? Nothing is published.")),
    panel("An event", {}, h("form", { class: "stack", "data-form": "explain", on: { submit } },
      h("div", { class: "grid half" },
        field("Event type", h("input", { id: "explain-type", name: "type", value: given.type, required: true, autocomplete: "off", spellcheck: "false", placeholder: "order_status_changed" })),
        field("Subject", h("input", { id: "explain-subject", name: "subject", value: given.subject, autocomplete: "off", spellcheck: "false", placeholder: "o-1001" }))),
      field("Data, JSON", h("textarea", { id: "explain-data", name: "data", class: "short", rows: 5, value: given.data, spellcheck: "false", placeholder: '{"total_cents": 2490}' }), { hint: "Conditions of routes and subscriptions read it. Empty: {}" }),
      state.problem ? h("p", { class: "bad-text", role: "alert" }, state.problem) : null,
      h("div", { class: "acts" }, h("button", { type: "submit", class: "primary" }, "Explain")))),
    answer ? verdict(ctx, answer, given) : null,
    state.routes ? panel(`Routes in force (${num(state.routes.length)})`, { aside: link("/configuration", "Configuration"), flush: true }, table({ label: "Routes in force", items: state.routes, key: (s) => s.path, columns: [
      { title: "Event type", main: true, cell: (s) => [code(s.path.slice("routes.".length)), answer?.route === s.path.slice("routes.".length) ? [" ", pill("ok", "decides")] : null] }, { title: "Who may get it", cell: (s) => s.value },
    ], empty: h("div", { class: "empty" }, h("strong", {}, "No routes"), h("p", {}, "No event reaches a handler. Write one into the configuration: ", code('routes: {"*": {}}'), " gives every handler what it subscribes to.")) })) : null,
  ];
}

function verdict(ctx, answer, given) {
  const taking = answer.handlers.filter((p) => p.takes);
  const sorted = [...answer.handlers].sort((a, b) => Number(b.takes) - Number(a.takes) || a.plugin.localeCompare(b.plugin));
  const body = eventOf(given);
  const lines = [`echo ${arg(JSON.stringify(body))} | berth route explain -`, curl("POST", "/events/explain", body)];
  return h("section", { class: "stack", "aria-label": "Answer" },
    say(taking.length ? "ok" : "bad", taking.length ? plural(taking.length, "handler") : "nobody", [taking.length ? [taking.map((p) => p.plugin).join(", "), " would get it: "] : "No handler would get it now: ", answer.reason, "."]),
    panel("Handlers", { flush: true }, table({ label: "Handlers", items: sorted, key: (p) => p.plugin, href: (p) => handlerUrl(p.plugin), columns: [
      { title: "Handler", main: true, class: "nowrap", cell: (p) => link(handlerUrl(p.plugin), p.plugin) },
      { title: "Gets it", cell: (p) => (p.takes ? pill("ok", "yes") : pill("idle", "no")) },
      { title: "Why", cell: (p) => p.reason },
      { title: "State", cell: (p) => (p.state ? statePill(p.state) : "–") },
    ], empty: h("div", { class: "empty" }, "There are no handlers.") })),
    h("details", { class: "cli" }, h("summary", {}, "The same on the command line ", code(lines[0])), h("div", { class: "all" }, lines.map((t) => h("div", { class: "line" }, code(t), copy(t))))));
}
