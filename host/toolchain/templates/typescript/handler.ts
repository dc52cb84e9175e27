// {{.Name}} answers what became of an order.
import { log, Reject, type Event } from "berth-js";

export default async function handle(event: Event) {
  const order = event.field("/data/order_id");
  if (order === undefined) throw new Reject("the event is about no order");
  const status = event.field("/data/status");
  log.info(`order ${order} is ${status}`);
  return { order, status, cents: event.int("/data/total_cents") };
}
