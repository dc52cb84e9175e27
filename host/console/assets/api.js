// The console's one way to the host. Paths are below /api/v1: "/events", "/issues/12"; make parts of a path with encodeURIComponent.
//
//   await get("/events", { type: "order_*", limit: 50 }, ctx.signal)    the answer's JSON; undefined, null and "" parameters are absent
//   await post("/issues/12/resolve", { note })                         likewise; put and del (DELETE) as well
//   await request("PUT", path, { body, params, ifMatch, signal })      { data, etag, status }; body undefined: none; ifAbsent: only if there is nothing yet
//   for await (const item of pages("/events", { type }, { max: 500 })) every item of a list, page by page, at most max
//   await progress("/plugins/install", body, { onProgress, signal })   an installation that streams its steps
//   const close = stream({ published, delivery, plugin, state, signal })  the event stream; it reconnects by itself
//   session.token, session.may("operate"), await session.load()        who is logged in, see wire.Session
//
// A refusal is thrown as a Problem: status, code, title, detail (message), field, errors, plan, retryAfter (seconds).
// A host that cannot be reached is a Problem with status 0. A call whose signal ends throws AbortError.

const base = "/api/v1";

export class Problem extends Error {
  constructor(status, body = {}, retryAfter = 0) {
    super(body.detail || body.title || `the host answered ${status}`);
    this.name = "Problem";
    this.status = status;
    this.code = body.code ?? "";
    this.title = body.title ?? "";
    this.field = body.field ?? "";
    this.errors = body.errors ?? [];
    this.plan = body.plan ?? null;
    this.retryAfter = retryAfter;
  }
}

export function address(path, params = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined && value !== null && value !== "") query.append(name, value);
  }
  const text = query.toString();
  return base + path + (text ? "?" + text : "");
}

async function call(method, path, { params, body, ifMatch, ifAbsent, signal, accept = "application/json" } = {}) {
  const headers = { Accept: accept };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (ifMatch) headers["If-Match"] = ifMatch;
  if (ifAbsent) headers["If-None-Match"] = "*";
  if (method !== "GET") headers["Berth-Console"] = "1"; // pages of other sites cannot send it
  let answer;
  try {
    answer = await fetch(address(path, params), {
      method, headers, signal, credentials: "same-origin", cache: "no-store", redirect: "error",
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (err) {
    if (err.name === "AbortError") throw err;
    throw new Problem(0, { title: "No answer", detail: "The host does not answer. Is it running?", code: "unreachable" });
  }
  if (!answer.ok) throw await problemOf(answer);
  return answer;
}

async function problemOf(answer) {
  let body = {};
  try {
    body = await answer.json();
  } catch {
    body = { title: answer.statusText };
  }
  return new Problem(answer.status, body, Number(answer.headers.get("Retry-After")) || 0);
}

export async function request(method, path, options = {}) {
  const answer = await call(method, path, options);
  const text = await answer.text();
  return { data: text ? JSON.parse(text) : null, etag: answer.headers.get("ETag"), status: answer.status };
}

export const get = async (path, params, signal) => (await request("GET", path, { params, signal })).data;
export const post = async (path, body, options) => (await request("POST", path, { ...options, body })).data;
export const put = async (path, body, options) => (await request("PUT", path, { ...options, body })).data;
export const del = async (path, options) => (await request("DELETE", path, options)).data;

export async function* pages(path, params = {}, { signal, max = 1000 } = {}) {
  let cursor = "", count = 0;
  do {
    const page = await get(path, { ...params, cursor }, signal);
    for (const item of page.items) {
      if (count++ >= max) return;
      yield item;
    }
    cursor = page.next;
  } while (cursor);
}

// progress posts a request that answers server-sent events "progress", then "done" or "problem".
export async function progress(path, body, { method = "POST", onProgress = () => {}, signal } = {}) {
  const answer = await call(method, path, { body, signal, accept: "text/event-stream" });
  if (!(answer.headers.get("Content-Type") ?? "").startsWith("text/event-stream")) return answer.json();
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new Problem(0, { title: "No answer", detail: "The host ended the answer before the work was done.", code: "unreachable" });
    buffer += value.replaceAll("\r", "");
    for (let end; (end = buffer.indexOf("\n\n")) >= 0; buffer = buffer.slice(end + 2)) {
      const frame = frameOf(buffer.slice(0, end));
      if (!frame.data) continue;
      const data = JSON.parse(frame.data);
      if (frame.event === "progress") onProgress(data);
      else if (frame.event === "problem" || frame.event === "error") throw new Problem(data.status, data);
      else return data;
    }
  }
}

function frameOf(text) {
  const frame = { event: "message", data: "" };
  for (const line of text.split("\n")) {
    const [, name, value] = /^([a-z]+): ?(.*)$/.exec(line) ?? [];
    if (name === "event") frame.event = value;
    if (name === "data") frame.data += (frame.data ? "\n" : "") + value;
  }
  return frame;
}

// stream follows the event stream until the returned function is called or the signal ends. published gets a wire.Event, delivery a
// wire.DeliveryOfEvent, plugin a wire.Plugin; state gets "live", "waiting" (it connects again) or "lagged".
export function stream({ since, published, delivery, plugin, state = () => {}, signal } = {}) {
  let source = null, timer = 0, last = since ?? "", closed = false;
  const on = (name, handle, field) => {
    if (!handle) return;
    source.addEventListener(name, (frame) => {
      if (frame.lastEventId) last = frame.lastEventId;
      const data = JSON.parse(frame.data);
      handle(field ? data[field] : data); // an activity has its value in the field of its kind
    });
  };
  const connect = () => {
    source = new EventSource(address("/events/stream", { since: last }));
    on("hello", () => state("live"));
    on("published", published, "event");
    on("delivery", delivery, "delivery");
    on("plugin", plugin, "plugin");
    on("lagged", () => { last = ""; state("lagged"); again(); }); // continue from now: a reader this far behind cannot catch up
    on("closing", () => again());
    source.onerror = () => again();
  };
  const again = () => {
    if (closed) return;
    source.close();
    state("waiting");
    clearTimeout(timer);
    timer = setTimeout(connect, 2000);
  };
  const close = () => {
    closed = true;
    clearTimeout(timer);
    source.close();
  };
  connect();
  signal?.addEventListener("abort", close, { once: true });
  return close;
}

export const session = {
  data: null,
  get token() { return this.data?.name ?? ""; },
  may(scope) { return Boolean(this.data?.scopes.includes(scope)); },
  async load(signal) { return (this.data = await get("/session", {}, signal)); },
  async login(secret) { this.data = await post("/session", secret); return this.data; }, // { token } or { code }
  async logout() { await del("/session"); this.data = null; },
};
