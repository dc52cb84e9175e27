// order-summary writes the text of an order's summary: who ordered what, for how much, and
// what has happened to it.
import berth, { log, Reject, type Event } from "berth-js";
import { money } from "./money";

interface Item {
  sku: string;
  quantity: number;
  unit_price_cents: number;
}

interface Order {
  order_id: string;
  customer_id: string;
  currency: string;
  items: Item[];
  total_cents: number;
  status: string;
  previous_status: string | null;
}

interface Config {
  shop?: string;
  max_items?: number;
}

export default async function handle(event: Event<Order>) {
  const order = event.data;
  if (typeof order?.order_id !== "string" || !Array.isArray(order.items)) throw new Reject("this is not an order");

  const { shop = "the shop", max_items = 10 }: Config = berth.config;
  const shown = order.items.slice(0, max_items);
  const lines = [
    `Order ${order.order_id} at ${shop}: ${progress(order)}`,
    ...shown.map((item) => line(item, order.currency)),
  ];
  if (shown.length < order.items.length) lines.push(`  and ${order.items.length - shown.length} more`);
  lines.push(`Total ${money(order.total_cents, order.currency)}`);

  const sum = order.items.reduce((total, item) => total + item.quantity * item.unit_price_cents, 0);
  if (sum !== order.total_cents) log.warn("the items of order", order.order_id, "add up to", sum, "and not", order.total_cents);

  return { order: order.order_id, customer: order.customer_id, summary: lines.join("\n") };
}

function progress(order: Order): string {
  if (order.previous_status === null) return "received";
  return `${order.previous_status} → ${order.status}`;
}

function line(item: Item, currency: string): string {
  return `  ${item.quantity} × ${item.sku} at ${money(item.unit_price_cents, currency)}`;
}
