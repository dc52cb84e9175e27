// A typical handler: three fields, a short result.
export default function handle(event) {
  return {
    order: event.field("/data/order_id"),
    status: event.field("/data/status"),
    cents: event.int("/data/total_cents"),
  };
}
