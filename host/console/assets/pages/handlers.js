// Handlers: which of them needs attention, what does each of them do and cost?

import { code, copy, empty, field, h, link, panel, select, statePill, table, when } from "../ui.js";
import { bytes, ms, num, plural, rate, share, short } from "../format.js";
import { handlerUrl, named } from "../plugin.js";

const states = ["", "active", "standby", "paused", "breaker_open", "stuck", "needs_approval", "held", "rejected", "disabled"];

export default async function handlers(ctx) {
  ctx.title("Handlers");
  const given = { q: ctx.query.get("q") ?? "", state: ctx.query.get("state") ?? "" };
  return new Promise((resolve) => {
    ctx.overview((o) => {
      ctx.show(view(ctx, o, given));
      resolve();
    });
    ctx.signal.addEventListener("abort", resolve, { once: true });
  });
}

function view(ctx, o, given) {
  const items = o.handlers.filter((p) => (!given.state || p.state === given.state) && p.plugin.includes(given.q.toLowerCase()));
  const apply = (e) => ctx.go(ctx.with({ [e.currentTarget.name]: e.currentTarget.value.trim() }), { replace: true });
  const filtered = given.q || given.state;
  const ill = o.handlers.filter((p) => !["active", "standby", "paused", "disabled"].includes(p.state)).length;
  return [
    h("div", { class: "head" }, h("h1", {}, "Handlers"), h("span", { class: "dim" }, sentence(o, ill))),
    h("div", { class: "filters" },
      field("Name", h("input", { id: "handler-name", name: "q", type: "search", value: given.q, autocomplete: "off", placeholder: "part of a name", on: { change: apply } })),
      field("State", select({ id: "handler-state", name: "state", value: given.state, on: { change: apply } }, states.map((s) => [s, s ? s.replaceAll("_", " ") : "any"]))),
      filtered ? h("div", { class: "field" }, link(ctx.path, "Clear")) : null),
    panel("All handlers, the worst first", { aside: h("span", { class: "dim" }, plural(items.length, "handler")), flush: true }, table({
      label: "Handlers, the worst first", items, key: (p) => p.plugin, href: (p) => handlerUrl(p.plugin), columns: [
        { title: "Handler", main: true, cell: (p) => named(handlerUrl(p.plugin), p.plugin, p.version) },
        { title: "State", cell: (p) => statePill(p.state) },
        { title: "Per second", num: true, hint: "Attempts, last minute", cell: (p) => rate(p.per_s) },
        { title: "Failed", num: true, hint: "Share of the attempts of the last hour", cell: (p) => (p.failed_share ? share(p.failed_share) : "0") },
        { title: "Lag", num: true, hint: "Events that are not final for it", cell: (p) => num(p.lag) },
        { title: "Oldest", class: "nowrap", hint: "Publication of the oldest event that waits", cell: (p) => when(p.oldest_at) },
        { title: "p50", num: true, hint: "Duration of an attempt, last hour", cell: (p) => (p.duration_p50_ms ? ms(p.duration_p50_ms) : "–") },
        { title: "p99", num: true, hint: "Duration of an attempt, last hour", cell: (p) => (p.duration_p99_ms ? ms(p.duration_p99_ms) : "–") },
        { title: "Fuel/event", num: true, hint: "Since the host started", cell: (p) => (p.fuel_per_event ? short(p.fuel_per_event) : "–") },
        { title: "Memory", num: true, hint: "Of its instances", cell: (p) => (p.memory_bytes ? bytes(p.memory_bytes) : "–") },
        { title: "Instances", num: true, cell: (p) => num(p.instances) },
        { title: "Dead letters", num: true, cell: (p) => (p.dead ? link(`/dead-letters?plugin=${encodeURIComponent(p.plugin)}`, num(p.dead)) : "0") },
      ],
      empty: filtered ? h("div", { class: "empty" }, h("strong", {}, "No handler matches"), link(ctx.path, "All handlers"))
        : empty("No handlers yet", "A handler is a WebAssembly file. Copy one into a watched directory; it runs at once. Or install one from the marketplace.",
          "berth plugin add my-handler.wasm", "cp my-handler.wasm plugins/") })),
    h("details", { class: "cli" }, h("summary", {}, "The same on the command line ", code("berth overview")),
      h("div", { class: "all" }, ["berth overview", `curl -H "Authorization: Bearer $BERTH_TOKEN" ${location.origin}/api/v1/overview`].map((t) => h("div", { class: "line" }, code(t), copy(t))))),
  ];
}

function sentence(o, ill) {
  if (o.handlers.length === 0) return "";
  const rates = `${rate(o.deliveries_per_s)} deliveries/s`;
  if (ill === 0) return `${num(o.handlers.length)}, none needs you · ${rates}`;
  return `${num(ill)} of ${num(o.handlers.length)} ${ill === 1 ? "needs" : "need"} you · ${rates}`;
}
