// Answers each change of an order's status.

import { Answer, Event, JSONObject, info, serve } from "../berth/assembly";

export function run(): void {
  serve(handle);
}

function handle(event: Event): Answer {
  const order = event.field("/data/order_id");
  if (order === null) return Answer.reject("this is not an order");
  const status = event.field("/data/status");
  if (status === null) return Answer.reject("the order has no status");
  const cents = event.int("/data/total_cents");
  info("order " + order + " is " + status);
  const answer = new JSONObject().str("order", order).str("status", status);
  return answer.int("cents", cents === null ? 0 : cents.value);
}
