// An Extism plugin made with Extism's PDK for AssemblyScript. It knows nothing of Berth. What
// it does is described in ../README.md.
import { Config, Host, LogLevel, Memory, Var } from "@extism/as-pdk";
import { error_set, http_request, length } from "@extism/as-pdk/lib/env";

// @ts-ignore: decorator
@external("extism:host/env", "http_status_code")
declare function http_status_code(): i32;

function myAbort(message: string | null, file: string | null, line: u32, column: u32): void {}

export function handle(): i32 {
  const event = Host.inputString();
  const url = field(event, '"url":"');
  if (url !== null) {
    return fetch(url);
  }
  const order = field(event, '"order_id":"');
  const status = field(event, '"status":"');
  if (order === null) {
    return fail("no order_id");
  }
  if (status === null) {
    return fail("no status");
  }
  if (status == "boom") {
    unreachable();
  }
  const currency = Config.get("currency");
  if (currency === null) {
    return fail("no currency is configured");
  }
  const count = Var.getString("seen");
  const seen = count === null ? 1 : I32.parseInt(count) + 1;
  Var.set("seen", Uint8Array.wrap(String.UTF8.encode(seen.toString())));
  Host.log(LogLevel.Info, "an order");
  Host.outputString(
    '{"order":"' + order + '","status":"' + status + '","currency":"' + currency + '","seen":' + seen.toString() + "}",
  );
  return 0;
}

function fetch(url: string): i32 {
  const request = '{"method":"POST","url":"' + url + '","headers":{"content-type":"text/plain"}}';
  const body = http_request(Memory.allocateString(request).offset, Memory.allocateString("ping").offset);
  const status = http_status_code();
  if (status == 0) {
    return 1; // the host has logged the reason
  }
  const text = new Memory(body, length(body)).toString();
  Host.outputString('{"http":' + status.toString() + ',"body":"' + text + '"}');
  return 0;
}

// field returns the text of the first member of a name, or null.
function field(event: string, name: string): string | null {
  const at = event.indexOf(name);
  if (at < 0) {
    return null;
  }
  const from = at + name.length;
  return event.substring(from, event.indexOf('"', from));
}

function fail(reason: string): i32 {
  error_set(Memory.allocateString(reason).offset);
  return 1;
}
