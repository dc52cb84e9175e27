// HTTP requests through the host. They need the capability http with the URL's host on its list (DENIED).

import { decode, encode } from "./base64";
import { yielded } from "./bytes";
import { Code, Reply } from "./host";
import * as json from "./json";
import { JSONObject } from "./object";
import * as wire from "./wire";

// Request is a request; send sends it.
export class Request {
  private headers: JSONObject = new JSONObject();
  private text: string = "";
  private content: Uint8Array | null = null;

  constructor(public method: string, public url: string) {}

  // Adds a header.
  header(name: string, value: string): Request {
    this.headers.str(name, value);
    return this;
  }

  // Sets the body.
  body(text: string): Request {
    this.text = text;
    return this;
  }

  // Sets a body that is not text.
  bodyBytes(content: Uint8Array): Request {
    this.content = content;
    return this;
  }

  // Sends the request. The code is UNAVAILABLE or TIMEOUT if there is no response, TOO_LARGE if request or response
  // are over the host's limit.
  send(): Response {
    const request = new JSONObject().str("method", this.method).str("url", this.url);
    request.raw("headers", this.headers.toString());
    const content = this.content;
    if (content !== null) request.str("body_base64", encode(content));
    else if (this.text.length > 0) request.str("body", this.text);
    const size = request.close();
    return new Response(new Reply("http", wire.http(request.start, size, yielded.start, yielded.size), true));
  }
}

// Response is the response to a request, of any status, or the reason why there is none.
export class Response {
  status: i32 = 0;
  private json: string = "";

  constructor(public reply: Reply) {
    if (reply.ok) this.json = reply.text;
    const status = json.find(this.json, "/status");
    if (status !== null) this.status = <i32>parseInt(status);
  }

  get ok(): bool {
    return this.reply.ok;
  }

  get code(): Code {
    return this.reply.code;
  }

  // The value of a header, by its name in lower case, or null.
  header(name: string): string | null {
    const headers = json.find(this.json, "/headers");
    if (headers === null) return null;
    const all = json.members(headers);
    return all.has(name) ? json.unquote(all.get(name)) : null;
  }

  // The body as text.
  get text(): string {
    const text = json.find(this.json, "/body");
    if (text !== null) return json.unquote(text);
    const bytes = this.bytes;
    return String.UTF8.decodeUnsafe(bytes.dataStart, bytes.length);
  }

  // The body's bytes.
  get bytes(): Uint8Array {
    const text = json.find(this.json, "/body");
    if (text !== null) return Uint8Array.wrap(String.UTF8.encode(json.unquote(text)));
    const encoded = json.find(this.json, "/body_base64");
    return encoded === null ? new Uint8Array(0) : decode(json.unquote(encoded));
  }
}
