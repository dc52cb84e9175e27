// What a handler imports. The functions are in the engine already: see runtime.js.
const berth = globalThis.berth;
export default berth;
export const kv = /* @__PURE__ */ (() => berth.kv)();
export const log = /* @__PURE__ */ (() => berth.log)();
export const emit = /* @__PURE__ */ (() => berth.emit)();
export const http = /* @__PURE__ */ (() => berth.http)();
export const secret = /* @__PURE__ */ (() => berth.secret)();
export const json = /* @__PURE__ */ (() => berth.json)();
export const config = /* @__PURE__ */ (() => berth.config)();
export const Reject = /* @__PURE__ */ (() => berth.Reject)();
export const Retry = /* @__PURE__ */ (() => berth.Retry)();
export const HostError = /* @__PURE__ */ (() => berth.HostError)();
export const RawJSON = /* @__PURE__ */ (() => berth.RawJSON)();
export { kvKeys, kvExpire, trace } from "./second.js";
