// A typical handler: it reads three fields and answers with them.

import { Answer, Event, JSONObject, serve } from "../../assembly";

export function run(): void {
  serve(handle);
}

function handle(event: Event): Answer {
  const order = event.field("/data/order_id");
  const status = event.field("/data/status");
  const cents = event.intOr("/data/total_cents", -1);
  if (order === null || status === null || cents < 0) return Answer.reject("this is not an order");
  return new JSONObject().str("order", order).str("status", status).int("cents", cents);
}
