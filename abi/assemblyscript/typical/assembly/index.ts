// A typical handler: it reads three fields and answers with them.

import { Answer, Event, JSONObject, serve } from "../../assembly";

export function run(): void {
  serve(handle);
}

function handle(event: Event): Answer {
  const order = event.field("/data/order_id");
  const status = event.field("/data/status");
  const cents = event.int("/data/total_cents");
  if (order === null || status === null || cents === null) return Answer.reject("this is not an order");
  return new JSONObject().str("order", order).str("status", status).int("cents", cents.value);
}
