// Order: where does it stand, what may happen next, and which events came of it?

import { request } from "../api.js";
import { arg, buttons, commands } from "../action.js";
import { h, kv, link, panel, say, table, when } from "../ui.js";
import { num, plural } from "../format.js";
import { eventsOf, money, orderPill } from "./orders.js";

const next = { pending: ["confirmed", "cancelled"], confirmed: ["processing", "cancelled"], processing: ["shipped", "cancelled"], shipped: ["delivered"], delivered: ["refunded"], cancelled: ["refunded"], refunded: [] };
const verbs = { confirmed: "Confirm", processing: "Start processing", shipped: "Ship", delivered: "Deliver", cancelled: "Cancel the order", refunded: "Refund" };

export default async function order(ctx) {
  ctx.title(`Order ${ctx.params.id}`);
  const path = "/orders/" + encodeURIComponent(ctx.params.id);
  await ctx.every(3000, async () => {
    const [found, events] = await Promise.all([request("GET", path, { signal: ctx.signal }), eventsOf(ctx.params.id, ctx.signal)]);
    ctx.show(view(ctx, found.data, found.etag, events, path));
  });
}

function view(ctx, o, etag, events, path) {
  const moves = next[o.status] ?? [];
  const actions = moves.map((status) => ({ label: verbs[status], scope: "publish", kind: status === "cancelled" || status === "refunded" ? "danger" : "primary", method: "POST", path: path + "/status", body: { status }, ifMatch: etag,
    cli: `berth orders move ${arg(o.id)} ${status} --if-version ${o.version}`, done: (answer) => `Order ${o.id} is ${answer.status}`,
    ask: status === "cancelled" || status === "refunded" ? { title: `${verbs[status]}: ${o.id}`, text: "The order cannot go back from there.", confirm: verbs[status] } : undefined }));
  return [
    h("div", { class: "head" }, h("h1", {}, `Order ${o.id}`), orderPill(o.status), h("span", { class: "dim" }, `version ${o.version}`), buttons(ctx, actions)),
    say(moves.length ? "wait" : "ok", o.status, [`${o.customer_id} ordered ${plural(o.items.length, "item")} for ${money(o.total_cents, o.currency)}. `, moves.length ? `It may become ${moves.join(" or ")}.` : "It is final."]),
    h("div", { class: "grid g2" },
      panel("Items", { flush: true }, table({ label: "Items", items: o.items, columns: [
        { title: "SKU", main: true, cell: (i) => i.sku }, { title: "Quantity", num: true, cell: (i) => num(i.quantity) }, { title: "Each", num: true, cell: (i) => money(i.unit_price_cents, o.currency) },
        { title: "Sum", num: true, cell: (i) => money(i.unit_price_cents * i.quantity, o.currency) }] })),
      panel("About", {}, kv([["Customer", link(`/orders?customer_id=${encodeURIComponent(o.customer_id)}`, o.customer_id)], ["Total", money(o.total_cents, o.currency)],
        ["Created", when(o.created_at, { full: true })], ["Changed", when(o.updated_at, { full: true })]]))),
    panel("Its events, the newest first", { aside: link(`/events?subject=${encodeURIComponent(o.id)}`, "All"), flush: true }, table({ label: "Its events, the newest first", items: events, key: (e) => e.metadata.event_id,
      href: (e) => "/events/" + encodeURIComponent(e.metadata.event_id), columns: [
        { title: "When", class: "mono nowrap", cell: (e) => when(e.metadata.time) },
        { title: "Event", main: true, cell: (e) => [link("/events/" + encodeURIComponent(e.metadata.event_id), e.event_type), h("div", { class: "dim mono" }, e.metadata.idempotency_key)] },
        { title: "Change", cell: (e) => (e.data?.status ? `${e.data.previous_status ?? "created"} → ${e.data.status}` : "–") },
      ], empty: h("div", { class: "empty" }, "Its events are older than what the log keeps.") })),
    commands(ctx, actions),
  ];
}
