// The SDK for Berth event handlers written in AssemblyScript. A handler's entry file exports run:
//
//     import { Answer, Event, JSONObject, serve } from "../berth/assembly";
//
//     export function run(): void {
//       serve(handle);
//     }
//
//     function handle(event: Event): Answer {
//       const cents = event.int("/data/total_cents");
//       if (cents === null) return Answer.reject("this is not an order");
//       return new JSONObject().str("order", event.subject).bool("big", cents.value >= 10000);
//     }
//
// A throw or a failed assertion ends the instance; the host retries the event and keeps the message and the place.

export { berth_abort } from "./abort";
export { Answer } from "./answer";
export { Box, Event, Metadata } from "./event";
export { Code, Reply, codeName, config, debug, emit, emitLater, error, info, secret, trace, warn } from "./host";
export { Request, Response } from "./http";
export { JSONObject } from "./object";
export { Batch, serve, serveBatch } from "./run";
import * as json from "./json";
import * as kv from "./kv";
export { json, kv };
