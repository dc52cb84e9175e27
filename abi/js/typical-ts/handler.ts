// A typical handler: three fields, a short result.
import type { Event } from "berth-js";

export default function handle(event: Event) {
  return {
    order: event.field("/data/order_id"),
    status: event.field("/data/status"),
    cents: event.int("/data/total_cents"),
  };
}
