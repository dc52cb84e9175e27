// Orders: the example application of the host. Each change of an order publishes an event.

import { address, get, pages } from "../api.js";
import { arg, buttons, commands } from "../action.js";
import { code, copy, field, h, link, panel, pill, select, table, when } from "../ui.js";
import { num } from "../format.js";

export const statuses = ["pending", "confirmed", "processing", "shipped", "delivered", "cancelled", "refunded"];
const tones = { pending: "wait", confirmed: "wait", processing: "wait", shipped: "wait", delivered: "ok", cancelled: "idle", refunded: "idle" };
export const orderPill = (status) => pill(tones[status] ?? "idle", status);

export function money(cents, currency) {
  try {
    return new Intl.NumberFormat("en-US", { style: "currency", currency }).format(cents / 100);
  } catch {
    return `${(cents / 100).toFixed(2)} ${currency}`;
  }
}

export default async function orders(ctx) {
  ctx.title("Orders");
  const given = Object.fromEntries(["status", "customer_id", "cursor"].map((name) => [name, ctx.query.get(name) ?? ""]).filter(([, v]) => v));
  await ctx.every(3000, async () => {
    const list = await get("/orders", { ...given, limit: 50 }, ctx.signal);
    ctx.show(view(ctx, list, given));
  });
}

function view(ctx, list, given) {
  const apply = (e) => ctx.go(ctx.with({ [e.currentTarget.name]: e.currentTarget.value.trim(), cursor: null }));
  const actions = [creation(ctx)];
  const text = "berth orders list" + (given.status ? ` --status ${given.status}` : "") + (given.customer_id ? ` --customer ${arg(given.customer_id)}` : "");
  const { cursor, ...asked } = given;
  return [
    h("div", { class: "head" }, h("h1", {}, "Orders"), h("span", { class: "dim" }, "Each change publishes order_status_changed."), buttons(ctx, actions)),
    h("div", { class: "filters" },
      field("Status", select({ id: "order-status", name: "status", value: given.status ?? "", on: { change: apply } }, ["", ...statuses])),
      field("Customer", h("input", { id: "order-customer", name: "customer_id", type: "search", value: given.customer_id ?? "", autocomplete: "off", on: { change: apply } })),
      Object.keys(asked).length ? h("div", { class: "field" }, link(ctx.path, "Clear")) : null),
    panel("Orders, the newest first", { flush: true }, table({ label: "Orders, the newest first", items: list.items, key: (o) => o.id, href: (o) => "/orders/" + encodeURIComponent(o.id), columns: [
      { title: "Order", main: true, cell: (o) => link("/orders/" + encodeURIComponent(o.id), o.id) },
      { title: "Status", cell: (o) => orderPill(o.status) },
      { title: "Customer", cell: (o) => link(ctx.with({ customer_id: o.customer_id, cursor: null }), o.customer_id) },
      { title: "Items", num: true, cell: (o) => num(o.items.length) },
      { title: "Total", num: true, cell: (o) => money(o.total_cents, o.currency) },
      { title: "Version", num: true, cell: (o) => num(o.version) },
      { title: "Created", class: "nowrap", cell: (o) => when(o.created_at) },
      { title: "Changed", class: "nowrap", cell: (o) => when(o.updated_at) },
    ], empty: h("div", { class: "empty" }, h("strong", {}, Object.keys(asked).length ? "No order matches" : "No orders yet"),
      Object.keys(asked).length ? link(ctx.path, "All orders") : [h("p", {}, "An order and its event are stored together: the event is published exactly when the order changes."), h("pre", {}, example), h("div", {}, copy(example))]) })),
    cursor || list.next ? h("div", { class: "line" }, cursor ? link(ctx.with({ cursor: null }), "« Newest") : null,
      list.next ? h("span", { class: "end" }, link(ctx.with({ cursor: list.next }), "Older »")) : null) : null,
    commands(ctx, actions),
    h("details", { class: "cli" }, h("summary", {}, "This list on the command line ", code(text)), h("div", { class: "all" },
      [text, `curl -H "Authorization: Bearer $BERTH_TOKEN" ${arg(location.origin + address("/orders", asked))}`].map((t) => h("div", { class: "line" }, code(t), copy(t))))),
  ];
}

const example = "berth orders create --customer ada --item TEAPOT:1:2490 --item CUP:4:890";

// itemsOf reads lines of SKU:QUANTITY:CENTS.
function itemsOf(text) {
  const items = text.split("\n").map((line) => line.trim()).filter(Boolean).map((line) => {
    const [, sku, quantity, cents] = /^(.+):(\d+):(\d+)$/.exec(line) ?? [];
    if (!sku) throw new Error(`"${line}" is not SKU:QUANTITY:CENTS, such as TEAPOT:1:2490.`);
    return { sku, quantity: Number(quantity), unit_price_cents: Number(cents) };
  });
  if (items.length === 0) throw new Error("An order needs at least one item.");
  return items;
}

function creation(ctx) {
  return { label: "Create order", scope: "publish", kind: "primary", method: "POST", path: "/orders", cli: example,
    body: { customer_id: "ada", currency: "EUR", items: [{ sku: "TEAPOT", quantity: 1, unit_price_cents: 2490 }] },
    ask: { title: "Create an order", confirm: "Create", text: "The order and its event are stored together.", fields: [
      { name: "customer_id", label: "Customer", value: "", required: true },
      { name: "currency", label: "Currency", value: "EUR", hint: "ISO 4217", required: true },
      { name: "items", label: "Items", rows: 4, value: "TEAPOT:1:2490", hint: "One a line: SKU:QUANTITY:CENTS" },
      { name: "id", label: "Id", value: "", hint: "Empty: the host gives one." }] },
    input: (v) => ({ customer_id: v.customer_id.trim(), currency: v.currency.trim().toUpperCase(), items: itemsOf(v.items), ...(v.id.trim() ? { id: v.id.trim() } : {}) }),
    done: (order) => `Order ${order.id} is created`, then: (order) => ctx.go("/orders/" + encodeURIComponent(order.id)) };
}

export const eventsOf = async (orderId, signal) => {
  const list = [];
  for await (const e of pages("/events", { subject: orderId, limit: 50 }, { signal, max: 50 })) list.push(e);
  return list;
};
