// Event types: what is published, how often, who takes it, and what must its data look like?

import { address, get } from "../api.js";
import { arg } from "../action.js";
import { code, copy, empty, h, json, kv, link, panel, pill, table } from "../ui.js";
import { num, plural, rate } from "../format.js";
import { handlerUrl } from "../plugin.js";

export default async function eventTypes(ctx) {
  const { type } = ctx.params;
  ctx.title(type ? `Event type ${type}` : "Event types");
  await ctx.every(5000, async () => {
    if (type) ctx.show(one(await get("/event-types/" + encodeURIComponent(type), {}, ctx.signal)));
    else ctx.show(list((await get("/event-types", {}, ctx.signal)).items));
  });
}

const typeUrl = (type) => "/event-types/" + encodeURIComponent(type);
const subscribers = (t) => (t.subscribers.length ? t.subscribers.map((name, n) => [n ? ", " : "", link(handlerUrl(name), name)]) : h("span", { class: "dim" }, "no handler"));
const schemaOf = (t) => (t.has_schema ? pill(t.mode === "warn" ? "wait" : "ok", t.mode === "warn" ? "warns" : "rejects") : h("span", { class: "dim" }, "any data"));

function list(items) {
  const lacking = items.filter((t) => !t.has_schema).length;
  return [
    h("div", { class: "head" }, h("h1", {}, "Event types"), h("span", { class: "dim" }, items.length ? `${plural(items.length, "type")}${lacking ? ` · ${num(lacking)} without a schema` : ""}` : "")),
    panel("Types that are configured or published", { flush: true }, table({ label: "Event types", items, key: (t) => t.event_type, href: (t) => typeUrl(t.event_type), columns: [
      { title: "Type", main: true, cell: (t) => [link(typeUrl(t.event_type), t.event_type), t.description ? h("div", { class: "dim" }, t.description) : null] },
      { title: "A minute", num: true, cell: (t) => rate(t.per_minute) },
      { title: "Schema", cell: schemaOf },
      { title: "Refused", num: true, cell: (t) => (t.violations ? h("span", { class: "bad-text" }, num(t.violations)) : "0") },
      { title: "Owner", cell: (t) => t.owner || h("span", { class: "dim" }, "–") },
      { title: "Handlers", cell: subscribers },
    ], empty: empty("No event types yet", "Types appear when events are published, or when the configuration describes them. A schema refuses data that does not fit before it is stored.",
      "event_types:\n  order_paid:\n    schema: schemas/order_paid.json\n    owner: payments") })),
    cli("berth events types", "/event-types"),
  ];
}

function one(t) {
  return [
    h("div", { class: "head" }, h("h1", {}, t.event_type), schemaOf(t), h("span", { class: "dim" }, `${rate(t.per_minute)} a minute`)),
    panel("About it", {}, kv([["Description", t.description || "–"], ["Owner", t.owner || "–"], ["Handlers", subscribers(t)], ["Refused", `${plural(t.violations, "event")} since the host started`],
      ["Events", link(`/events?type=${encodeURIComponent(t.event_type)}`, "Its events")], t.schema_file ? ["File", code(t.schema_file)] : null])),
    panel("Schema", {}, t.schema ? json(t.schema) : h("p", {}, "It has none: any data is taken.")),
    cli(`berth events types ${arg(t.event_type)}`, "/event-types/" + encodeURIComponent(t.event_type)),
  ];
}

const cli = (text, path) => h("details", { class: "cli" }, h("summary", {}, "The same on the command line ", code(text)), h("div", { class: "all" },
  [text, `curl -H "Authorization: Bearer $BERTH_TOKEN" ${arg(location.origin + address(path))}`].map((t) => h("div", { class: "line" }, code(t), copy(t)))));
