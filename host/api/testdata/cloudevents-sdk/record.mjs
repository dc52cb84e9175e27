// Records the requests that the JavaScript SDK of CloudEvents makes, as a server
// receives them: requests.json, which TestCloudEventsSDK replays.
// npm ci && node record.mjs (make cloudevents-requests)
import { readFileSync, writeFileSync } from "node:fs";
import http from "node:http";
import { CloudEvent, HTTP, emitterFor, Mode } from "cloudevents";

const base = { id: "A-1", type: "t", source: "/shop", time: "2026-05-01T10:00:00.000Z" };
const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const events = {
  "an object": { ...base, data: { n: 1, s: "é€😀", deep: [{ a: null }] } },
  "no data": { ...base },
  "null": { ...base, data: null },
  "a number": { ...base, data: 1.5 },
  "false": { ...base, data: false },
  "a list": { ...base, data: [1, "2"] },
  "a JSON string": { ...base, data: "text", datacontenttype: "application/json" },
  "text": { ...base, data: "a\nb <c>", datacontenttype: "text/plain" },
  "XML": { ...base, data: "<a>é</a>", datacontenttype: "application/xml" },
  "bytes": { ...base, data: Buffer.from([0, 1, 255]), datacontenttype: "application/octet-stream" },
  "base64": { ...base, data_base64: "AAH/", datacontenttype: "image/png" },
  "a JSON type of one's own": { ...base, data: { a: 1 }, datacontenttype: "application/vnd.example+json" },
  "all attributes": { ...base, subject: "a-subject", traceparent: trace, tracestate: "x=y", correlationid: "c", causationid: "d", data: {} },
  "a subject with spaces": { ...base, subject: "a b", data: {} },
  "a subject with a plus": { ...base, subject: "a+b/c?d=e&f", data: {} },
  "a URI as the source": { ...base, source: "https://example.com/a%20b?c=d#e", data: {} },
  "a URN as the source": { ...base, source: "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66", data: {} },
};

const requests = [];
let name = "";
const server = http.createServer((req, res) => {
  const parts = [];
  req.on("data", (part) => parts.push(part));
  req.on("end", () => {
    const headers = Object.entries(req.headers).filter(([key]) => key === "content-type" || key.startsWith("ce-"));
    requests.push({ name, headers: Object.fromEntries(headers), body_base64: Buffer.concat(parts).toString("base64") });
    res.end();
  });
});
await new Promise((done) => server.listen(0, "127.0.0.1", done));

const send = ({ headers, body }) =>
  new Promise((done, failed) => {
    const req = http.request({ port: server.address().port, method: "POST", headers }, (res) => res.resume().on("end", done));
    req.on("error", failed);
    // The SDK leaves a number, a boolean and null as they are; whoever sends them encodes them.
    req.end(body === undefined || typeof body === "string" || ArrayBuffer.isView(body) ? body : JSON.stringify(body));
  });
for (const [what, event] of Object.entries(events)) {
  for (const mode of [Mode.BINARY, Mode.STRUCTURED]) {
    name = `${what}, ${mode}`;
    await emitterFor(send, { binding: HTTP, mode })(new CloudEvent(event));
  }
}
server.close();
const sdk = JSON.parse(readFileSync("package.json")).dependencies.cloudevents;
writeFileSync("requests.json", JSON.stringify({ sdk: `cloudevents ${sdk} (npm)`, requests }, null, 1) + "\n");
