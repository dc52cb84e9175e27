// Functions of the second edition of the ABI. lib/build.mjs joins a handler that imports one of
// them with an engine that has them.
export const kvKeys = /* @__PURE__ */ (() => globalThis.__berth.second.kvKeys)();
export const kvExpire = /* @__PURE__ */ (() => globalThis.__berth.second.kvExpire)();
export const trace = /* @__PURE__ */ (() => globalThis.__berth.second.trace)();
