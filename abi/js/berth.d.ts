/** The SDK for handlers of Berth in JavaScript and TypeScript. */

/** An event as a handler receives it. Use it only until the handler has ended. */
export interface Event<Data = any> {
  /** The event's data, parsed at the first use. For a few values `field` is faster. */
  readonly data: Data;
  /** The type, such as "order_status_changed". */
  readonly type: string;
  /** The id, which no other event has. */
  readonly id: string;
  /** The same each time the event is delivered, and for an event that was published twice. */
  readonly idempotencyKey: string;
  readonly source: string;
  /** What the event is about, such as an order's id. */
  readonly subject: string | undefined;
  /** When the event happened (RFC 3339). */
  readonly time: string;
  readonly correlationId: string;
  /** The id of the event that caused this one. */
  readonly causationId: string | undefined;
  /** The W3C trace context. */
  readonly traceparent: string | undefined;
  /** How many events this one is away from the first that caused it. */
  readonly hops: number;
  /** 1 on the first delivery, 2 on the second. */
  readonly attempt: number;
  /** Milliseconds until the deadline. */
  readonly remaining: number;
  /** The whole envelope as JSON text, as it was published. */
  readonly raw: string;
  /** The whole envelope, parsed. */
  readonly envelope: { event_type: string; data: Data; metadata: Record<string, unknown> };

  /**
   * The value at a JSON Pointer into the envelope, such as "/data/status": a string's text,
   * anything else as JSON text; undefined if there is none. Throws HostError INVALID if the
   * pointer is malformed.
   */
  field(pointer: string): string | undefined;
  /** A whole number up to 2^53-1; undefined if there is none, or something else. */
  int(pointer: string): number | undefined;
  /** A whole number of any size. */
  bigint(pointer: string): bigint | undefined;
  bool(pointer: string): boolean | undefined;
  /** The value as JSON text, byte for byte as it was published, except for strings, which are encoded again. */
  json(pointer: string): string | undefined;
  /** Adds a child to this event, as emit does for the open one; in a batch it is published if this event succeeds. */
  emit(child: Child): void;
}

/** One or more events in the order of the log, no two with the same order key. */
export interface Batch<Data = any> {
  readonly events: readonly Event<Data>[];
  /** Says that an event succeeds with a result. One of which nothing is said has the empty result. */
  succeed(index: number, result: Exclude<Result, void>): void;
  /**
   * Says that an event fails: a Reject is one, any other error is a retry. With "state": "atomic"
   * the host refuses a batch in which some events fail: throw the error of all instead.
   */
  fail(index: number, error: Error | string): void;
}

/**
 * A handler for a manifest with a batch: `export async function batch(batch) { … }`, or without
 * async. What it throws is of all events. If the operator has disabled batches, each event comes in
 * a batch of its own.
 */
export type BatchHandler<Data = any> = (batch: Batch<Data>) => void | Promise<void>;

/** What a handler may return: undefined is an empty result, anything else becomes JSON. */
export type Result = RawJSON | object | string | number | boolean | null | undefined | void;

/** A handler: `export default async function handle(event) { … }`, or without async. */
export type Handler<Data = any> = (event: Event<Data>) => Result | Promise<Result>;

/** Thrown by a handler: the event becomes a dead letter immediately. */
export class Reject extends Error {
  constructor(reason: string);
}

/** Thrown by a handler: the event is delivered again after a pause. */
export class Retry extends Error {
  constructor(reason: string);
}

export type Code = "END" | "INVALID" | "DENIED" | "NOT_FOUND" | "TOO_LARGE" | "UNAVAILABLE" | "TIMEOUT" | "CONFLICT";

/** A call that the host answered with an error. */
export class HostError extends Error {
  private constructor();
  readonly code: Code;
}

/** JSON text; see json. */
export class RawJSON {
  constructor(text: string);
  readonly text: string;
}

/** Marks a text as JSON, as a result or as the data of a child. The host checks it. */
export function json(text: string): RawJSON;

/** The plugin's durable state, shared by its instances and versions. Needs the capability kv. */
export const kv: {
  /** The value as text; undefined if there is none. */
  get(key: string | Uint8Array): string | undefined;
  getBytes(key: string | Uint8Array): Uint8Array | undefined;
  /** Writes a value; the last write wins. */
  set(key: string | Uint8Array, value: string | Uint8Array): void;
  /**
   * Writes a value if the present one equals old, or, if old is undefined or null, if there
   * is none. Returns false if it differs.
   */
  cas(key: string | Uint8Array, old: string | Uint8Array | undefined | null, value: string | Uint8Array): boolean;
  delete(key: string | Uint8Array): void;
};

/** The keys that begin with a prefix, in bytewise order. They are asked for as they are needed. */
export function kvKeys(prefix?: string | Uint8Array): Iterable<string>;

/** Has a key disappear after so many seconds, rounded up; 0 removes the limit, and so does kv.set. */
export function kvExpire(key: string | Uint8Array, seconds: number): void;

/** The W3C traceparent of the attempt; undefined if the host does not trace it. */
export function trace(): string | undefined;

/** The plugin's log. Also console.log and its siblings. */
export const log: {
  debug(...values: unknown[]): void;
  info(...values: unknown[]): void;
  warn(...values: unknown[]): void;
  error(...values: unknown[]): void;
};

export interface Child {
  type: string;
  data?: unknown;
  subject?: string;
  /** Made by the host from the parent's if it is left out. */
  idempotencyKey?: string;
  /** When it is due, as a Date or in RFC 3339, at most a year ahead; at once if it is left out. */
  deliverAt?: Date | string;
  /** Milliseconds from the commit of the parent, or a duration such as "15m". */
  deliverAfter?: number | string;
}

/** Adds a child to the open event: published if it ends as ok. In a batch use Event.emit. Needs the capability emit. */
export function emit(child: Child): void;

export interface Request {
  /** GET if it is left out. */
  method?: string;
  url: string;
  headers?: Record<string, string>;
  body?: string | Uint8Array;
}

export interface Response {
  readonly status: number;
  /** Whether the status is from 200 to 299. */
  readonly ok: boolean;
  /** Names are in lower case. */
  readonly headers: Record<string, string>;
  readonly body: string;
  bytes(): Uint8Array;
  json(): any;
}

/** Sends a request and waits for the response. Needs the capability http. */
export function http(request: Request): Response;

/** A secret. Needs the capability secret. */
export function secret(name: string): string;

/** What the operator configured for this handler. */
export const config: any;

declare const berth: {
  readonly kv: typeof kv;
  readonly log: typeof log;
  readonly emit: typeof emit;
  readonly http: typeof http;
  readonly secret: typeof secret;
  readonly json: typeof json;
  readonly config: any;
  readonly Reject: typeof Reject;
  readonly Retry: typeof Retry;
  readonly HostError: typeof HostError;
  readonly RawJSON: typeof RawJSON;
};
export default berth;

declare global {
  const berth: typeof import("berth-js").default;
  const console: Record<"log" | "debug" | "info" | "warn" | "error" | "trace", (...values: unknown[]) => void>;
  const crypto: {
    getRandomValues<T extends ArrayBufferView>(array: T): T;
    randomUUID(): string;
  };
  const performance: { readonly timeOrigin: number; now(): number };
  class TextEncoder {
    readonly encoding: string;
    encode(text?: string): Uint8Array;
  }
  class TextDecoder {
    constructor(label?: string);
    readonly encoding: string;
    decode(bytes?: ArrayBuffer | ArrayBufferView): string;
  }
  function atob(text: string): string;
  function btoa(text: string): string;
  function queueMicrotask(job: () => void): void;
}
