// The conformance handler: see abi/conformance.
import { config, http, HostError, json, kv, kvExpire, kvKeys, log, Reject, Retry, secret, trace, type Batch, type Event, type Result } from "berth-js";

type Level = "debug" | "info" | "warn" | "error";

interface Data {
  op: string;
  key: string;
  old?: string | null;
  value: string;
  method: string;
  url: string;
  header?: string;
  body?: string;
}

let count = 0;

export default async function handle(event: Event<Data>): Promise<Result> {
  count++;
  const run = ops.get(event.field("/data/op") ?? "");
  if (run === undefined) throw new Reject("unknown op");
  try {
    return await run(event);
  } catch (error) {
    if (error instanceof HostError) return { error: error.code };
    throw error;
  }
}

export async function batch(batch: Batch<Data>): Promise<void> {
  for (const [i, event] of batch.events.entries()) {
    const op = event.field("/data/op");
    if (op === "fail_all") throw new Retry(text(event, "/data/reason"));
    if (op === "size") {
      batch.succeed(i, { size: batch.events.length });
      continue;
    }
    try {
      batch.succeed(i, await handle(event));
    } catch (error) {
      if (!(error instanceof Reject || error instanceof Retry)) throw error;
      batch.fail(i, error);
    }
  }
}

const found = (value: string | undefined) => (value === undefined ? { error: "NOT_FOUND" } : { value });

// The vectors have the texts that each op reads.
const text = (event: Event, pointer: string): string => event.field(pointer)!;

const ops = new Map<string, (event: Event<Data>) => Result | Promise<Result>>(Object.entries({
  echo(event) {
    const value = event.json("/data/value");
    if (value === undefined) throw new Reject("no value");
    return json(value);
  },

  envelope: (event) => ({ bytes: new TextEncoder().encode(event.raw).length }),

  typed: (event) => ({
    event_type: event.type,
    event_id: event.id,
    idempotency_key: event.idempotencyKey,
    source: event.source,
    subject: event.subject ?? "",
    time: event.time,
    correlation_id: event.correlationId,
    causation_id: event.causationId ?? "",
    traceparent: event.traceparent ?? "",
    hops: event.hops,
    attempt: event.attempt,
    time_left: event.remaining > 0,
  }),

  field: (event) => found(event.field(text(event, "/data/pointer"))),
  number(event) {
    const int = event.bigint("/data/int"), bool = event.bool("/data/bool");
    if (int === undefined || bool === undefined || int !== BigInt.asIntN(64, int)) throw new Reject("no number");
    return json(`{"int":${int},"bool":${bool}}`);
  },
  empty() {},
  raw: (event) => json(text(event, "/data/text")),

  retry(event) { throw new Retry(text(event, "/data/reason")); },
  reject(event) { throw new Reject(text(event, "/data/reason")); },
  retry_until(event) {
    if (event.attempt < event.int("/data/attempt")!) throw new Retry("attempt " + event.attempt);
    return { attempt: event.attempt };
  },

  config: () => config,
  log(event) { log[event.field("/data/level") as Level](event.field("/data/text")); },

  emit(event) {
    const after = event.int("/data/after");
    event.emit({
      type: text(event, "/data/type"),
      data: json(event.json("/data/child")!),
      subject: event.field("/data/subject"),
      idempotencyKey: event.field("/data/key"),
      deliverAt: event.field("/data/at"),
      deliverAfter: after === undefined ? undefined : after * 1000,
    });
    return { emitted: true };
  },

  kv_get: (event) => found(kv.get(text(event, "/data/key"))),
  kv_set(event) {
    kv.set(text(event, "/data/key"), text(event, "/data/value"));
    return { set: true };
  },
  kv_cas(event) {
    const { key, old, value } = event.data;
    return kv.cas(key, old, value) ? { set: true } : { error: "CONFLICT" };
  },
  kv_delete(event) {
    kv.delete(text(event, "/data/key"));
    return { deleted: true };
  },

  kv_expire(event) {
    kvExpire(text(event, "/data/key"), event.int("/data/seconds")!);
    return { expires: true };
  },
  kv_fill(event) {
    const n = event.int("/data/n")!;
    for (let i = 0; i < n; i++) kv.set(text(event, "/data/prefix") + i, "");
    return { filled: n };
  },
  kv_list: (event) => ({ keys: [...kvKeys(text(event, "/data/prefix"))] }),
  trace: () => found(trace()),

  http(event) {
    const { method, url, header, body } = event.data;
    const response = http({ method, url, body, headers: header === undefined ? undefined : { "x-conform": header } });
    return { status: response.status, body: response.body, content_type: response.headers["content-type"] ?? "" };
  },

  secret: (event) => ({ value: secret(text(event, "/data/name")) }),
  count: () => ({ count }),
  work(event) {
    const n = event.int("/data/n")!;
    let kept = "";
    for (let i = 0; i < n; i++) kept = "item " + i;
    return { done: kept === "" ? 0 : n };
  },
  panic(event) { throw new Error(event.field("/data/message")); },
} satisfies Record<string, (event: Event<Data>) => Result | Promise<Result>>));
