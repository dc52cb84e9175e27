// The conformance handler of abi/conformance: it does what the event's op says.

import { Answer, Batch, Event, JSONObject, Reply, Request, codeName, config, debug, error, info, json, kv, secret, serve, serveBatch, trace, warn } from "../../assembly";

let count = 0;

export function run(): void {
  if (json.find(config(), "/batch") !== null) serveBatch(handleBatch);
  else serve(handle);
}

function handleBatch(batch: Batch): Answer | null {
  for (let i = 0; i < batch.events.length; i++) {
    const event = batch.events[i];
    const op = text(event, "op");
    if (op == "fail_all") return Answer.retry(text(event, "reason"));
    batch.set(i, op == "size" ? new JSONObject().int("size", batch.events.length) : handle(event));
  }
  return null;
}

function handle(event: Event): Answer {
  count++;
  const op = text(event, "op");
  if (op == "echo") {
    const value = event.raw("/data/value");
    return value === null ? Answer.reject("no value") : Answer.json(value);
  }
  if (op == "envelope") return new JSONObject().int("bytes", event.size);
  if (op == "typed") return typed(event);
  if (op == "field") return yielded(event.tryField(text(event, "pointer")));
  if (op == "number") return number(event);
  if (op == "empty") return Answer.ok();
  if (op == "raw") return Answer.json(text(event, "text"));
  if (op == "retry") return Answer.retry(text(event, "reason"));
  if (op == "reject") return Answer.reject(text(event, "reason"));
  if (op == "retry_until") {
    const attempt = event.attempt;
    const until = event.int("/data/attempt");
    if (until !== null && attempt < until.value) return Answer.retry("attempt " + attempt.toString());
    return new JSONObject().int("attempt", attempt);
  }
  if (op == "config") return Answer.json(config());
  if (op == "log") return log(text(event, "level"), text(event, "text"));
  if (op == "emit") {
    const child = event.raw("/data/child");
    const data = child === null ? "null" : child;
    return done("emitted", event.emitLater(text(event, "type"), data, text(event, "at"), event.intOr("/data/after", 0) * 1000, text(event, "subject"), text(event, "key")));
  }
  if (op == "kv_get") return yielded(kv.get(text(event, "key")));
  if (op == "kv_set") return done("set", kv.set(text(event, "key"), text(event, "value")));
  if (op == "kv_cas") {
    const raw = event.raw("/data/old");
    let old: string | null = null;
    if (raw !== null && raw != "null") old = json.unquote(raw);
    return done("set", kv.cas(text(event, "key"), old, text(event, "value")));
  }
  if (op == "kv_delete") return done("deleted", kv.remove(text(event, "key")));
  if (op == "kv_expire") return done("expires", kv.expire(text(event, "key"), <i32>event.intOr("/data/seconds", 0)));
  if (op == "kv_fill") return fill(text(event, "prefix"), event.intOr("/data/n", 0));
  if (op == "kv_list") return list(text(event, "prefix"));
  if (op == "trace") return yielded(trace());
  if (op == "http") return http(event);
  if (op == "secret") return yielded(secret(text(event, "name")));
  if (op == "count") return new JSONObject().int("count", count);
  if (op == "work") return work(event);
  if (op == "panic") throw new Error(text(event, "message"));
  return Answer.reject("unknown op");
}

function fill(prefix: string, n: i64): Answer {
  for (let i: i64 = 0; i < n; i++) {
    const reply = kv.set(prefix + i.toString(), "");
    if (!reply.ok) return failed(reply);
  }
  return new JSONObject().int("filled", n);
}

function list(prefix: string): Answer {
  const all: string[] = [];
  const keys = kv.keys(prefix);
  while (keys.next()) all.push(keys.key);
  return keys.reply.ok ? new JSONObject().strs("keys", all) : failed(keys.reply);
}

function text(event: Event, name: string): string {
  const text = event.field("/data/" + name);
  return text === null ? "" : text;
}

function typed(event: Event): Answer {
  const m = event.metadata;
  const answer = new JSONObject()
    .str("event_type", event.type)
    .str("event_id", m.eventId)
    .str("idempotency_key", m.idempotencyKey)
    .str("source", m.source)
    .str("subject", m.subject)
    .str("time", m.time)
    .str("correlation_id", m.correlationId)
    .str("causation_id", m.causationId)
    .str("traceparent", m.traceparent)
    .int("hops", m.hops)
    .int("attempt", event.attempt)
    .bool("time_left", event.remaining > 0);
  return answer;
}

function number(event: Event): Answer {
  const int = event.int("/data/int");
  const bool = event.bool("/data/bool");
  if (int === null || bool === null) return Answer.reject("no number");
  return new JSONObject().int("int", int.value).bool("bool", bool.value);
}

function log(level: string, text: string): Answer {
  if (level == "debug") debug(text);
  else if (level == "info") info(text);
  else if (level == "warn") warn(text);
  else error(text);
  return Answer.ok();
}

function failed(reply: Reply): Answer {
  return new JSONObject().str("error", codeName(reply.code));
}

function done(name: string, reply: Reply): Answer {
  return reply.ok ? new JSONObject().bool(name, true) : failed(reply);
}

function yielded(reply: Reply): Answer {
  return reply.ok ? new JSONObject().str("value", reply.text) : failed(reply);
}

function http(event: Event): Answer {
  const request = new Request(text(event, "method"), text(event, "url")).body(text(event, "body"));
  const header = event.field("/data/header");
  if (header !== null) request.header("x-conform", header);
  const response = request.send();
  if (!response.ok) return failed(response.reply);
  const type = response.header("content-type");
  const answer = new JSONObject().int("status", response.status).str("body", response.text);
  return answer.str("content_type", type === null ? "" : type);
}

function work(event: Event): Answer {
  const n = event.int("/data/n");
  const times = n === null ? 0 : n.value;
  let length: i64 = 0;
  for (let i: i64 = 0; i < times; i++) length += ("item " + i.toString()).length;
  return new JSONObject().int("done", length > 0 ? times : 0);
}
