// What several pages show and do with a plugin: its actions, capabilities, log lines, and installing it.
//
//   pluginPath(name), handlerUrl(name)     named(href, name, version) a link with the version beside it
//   fileName(path)                        its last part, with the whole as title
//   lifecycle(plugin, { etag })            actions: pause or resume, enable or disable
//   capabilityTable(label, list)           what it asks for, what is granted, and why
//   targets(capability)                    "hosts api.example.com"
//   approval(plugin, etag)                 the action that grants what it asks for
//   installing(ctx, { label, path, body, cli, title, ... })   an action that shows the plan, asks, and shows the progress

import { get, progress, request } from "./api.js";
import { arg } from "./action.js";
import { code, dialog, h, kv, link, mount, pill, table } from "./ui.js";
import { bytes, num } from "./format.js";

export const pluginPath = (name) => "/events/plugins/" + encodeURIComponent(name);
export const fileName = (path) => h("span", { title: path }, code(path.split("/").pop()));
export const named = (href, name, version) => h("span", { class: "line named" }, link(href, name), h("span", { class: "dim" }, version));
export const handlerUrl = (name) => "/handlers/" + encodeURIComponent(name);

// tagged reads a plugin with its ETag.
export const tagged = (name, signal) => request("GET", pluginPath(name), { signal });

export function lifecycle(p) {
  const name = arg(p.name), at = pluginPath(p.name);
  const action = (label, verb, done, more = {}) => ({ label, scope: "operate", method: "POST", path: `${at}/${verb}`, cli: `berth plugin ${verb} ${name}`, done: () => done, ...more });
  if (p.state === "disabled") return [action("Enable", "enable", `${p.name} is enabled`, { kind: "primary" })];
  if (p.state === "held") return [action("Enable", "enable", `${p.name} is enabled`, { kind: "primary" }), action("Disable", "disable", `${p.name} is disabled`)];
  const disable = action("Disable", "disable", `${p.name} is disabled: its events wait`, {
    ask: { title: `Disable ${p.name}`, text: "It finishes what is under way and is unloaded. Its events wait, and it keeps its position in the log.", confirm: "Disable" } });
  if (p.state === "rejected" || p.state === "needs_approval" || p.state === "discovered" || p.state === "vetting") return [disable];
  return [p.state === "paused" ? action("Resume", "resume", `${p.name} takes events again`, { kind: "primary" })
    : action("Pause", "pause", `${p.name} is paused: its events wait`), disable];
}

export function targets(c) {
  return [["hosts", c.hosts], ["types", c.event_types], ["names", c.names]].filter(([, list]) => list?.length)
    .map(([word, list]) => `${word} ${list.join(", ")}`).join(" · ");
}

function grantPill(c) {
  if (c.new) return pill("wait", "new");
  if (c.granted) return pill("ok", "granted");
  return c.required ? pill("bad", "required, not granted") : pill("idle", "not granted");
}

export function capabilityTable(label, list, none = "It asks for nothing beyond a clock, random numbers and its log.") {
  return table({ label, items: list, key: (c) => c.name, columns: [
    { title: "Capability", main: true, cell: (c) => [code(c.name), targets(c) ? h("div", { class: "dim" }, targets(c)) : null, c.added?.length ? h("div", {}, "added: ", h("b", {}, c.added.join(", "))) : null] },
    { title: "Grant", cell: grantPill },
    { title: "Reason it gives", cell: (c) => c.reason || h("span", { class: "dim" }, "none") },
  ], empty: h("div", { class: "empty" }, none) });
}

const listOf = (c) => [...(c.hosts ?? []), ...(c.event_types ?? []), ...(c.names ?? [])];

// differing marks what a waiting version asks for and the running one does not: new capabilities, and added targets of others.
export function differing(p) {
  const now = new Map(p.capabilities.map((c) => [c.name, new Set(listOf(c))]));
  return p.pending.capabilities.map((c) => {
    const had = now.get(c.name);
    const added = had ? listOf(c).filter((target) => !had.has(target)) : [];
    return { ...c, added, new: !c.granted && (!had || added.length > 0) };
  });
}

export function approval(p, etag) {
  const waiting = p.pending ?? p;
  const list = (p.pending ? differing(p) : p.capabilities);
  const missing = list.filter((c) => !c.granted);
  return { label: "Approve", scope: "operate", kind: "primary", method: "POST", path: pluginPath(p.name) + "/approve", ifMatch: etag, cli: `berth plugin approve ${arg(p.name)}`,
    ask: { title: `Approve ${p.name} ${waiting.version}`, confirm: `Grant ${num(missing.length)}`,
      text: [h("p", {}, "It may do this from now on. The grants are written to the configuration."), capabilityTable("What it asks for", list), kv([["Module", code(waiting.sha256)]])] },
    done: (answer) => `${p.name} is ${answer.state.replaceAll("_", " ")}` };
}

const steps = { resolve: "Finding the version", download: "Downloading", vet: "Checking and compiling", store: "Storing", probe: "Trying it", commit: "Writing the configuration", start: "Starting" };

function planView(plan) {
  return [
    kv([["Plugin", `${plan.name} ${plan.version}` + (plan.from ? ` (now ${plan.from})` : "")], plan.publisher ? ["Publisher", plan.publisher] : null,
      ["Signed by", plan.signed_by ? code(plan.signed_by) : pill("wait", "not signed")], ["Source", code(plan.source)], ["SHA-256", code(plan.sha256)], ["Size", bytes(plan.size)],
      plan.license ? ["License", plan.license] : null]),
    h("p", {}, "It asks for this. Agreeing grants it, and writes that to the configuration."),
    capabilityTable("What it asks for", plan.capabilities),
  ];
}

// agree shows a plan; it resolves with true when the operator agrees.
const agree = (plan, cli) => dialog({
  title: `${plan.action === "upgrade" ? "Upgrade" : "Install"} ${plan.name} ${plan.version}`, body: [planView(plan), h("div", { class: "cli" }, code(`${cli} --approve ${plan.digest}`))],
  foot: (close) => [h("button", { type: "button", on: { click: () => close() } }, "Cancel"), h("button", { type: "submit", class: "primary", "data-confirm": "Agree" }, "Agree")],
  submit: (close) => close(true),
});

// follow shows the progress of a change in a dialog until it ends.
async function follow(title, work) {
  const box = h("div", { class: "stack tight", role: "status" });
  const show = (p) => mount(box, h("p", {}, (steps[p.step] ?? p.step) + (p.total ? ` · ${bytes(p.done)} of ${bytes(p.total)}` : "") + "…"),
    h("progress", { "aria-label": title, max: p.total || null, value: p.total ? p.done : null }));
  show({ step: "resolve" });
  let close = () => {};
  const shown = dialog({ title, body: box, foot: (end) => { close = end; return h("span", { class: "dim" }, "The change goes on when this is closed."); } });
  try {
    return await work(show);
  } finally {
    close();
    await shown;
  }
}

export function installing({ label, title = label, path, body = {}, cli, kind, scope = "install", done, then }) {
  const run = async (given) => {
    const wanted = { ...body, ...given };
    const attempt = (approve) => follow(title, (onProgress) => progress(path, approve ? { ...wanted, approve } : wanted, { onProgress }));
    try {
      return await attempt();
    } catch (err) {
      if (err.code !== "approval_required" || !err.plan) throw err;
      if (!(await agree(err.plan, cli))) throw Object.assign(new Error("cancelled"), { name: "AbortError" });
      return attempt(err.plan.digest);
    }
  };
  return { label, scope, kind, method: "POST", path, body, cli, run, done: done ?? ((p) => `${p.name} ${p.version} is ${p.state.replaceAll("_", " ")}`), then };
}

export const manifestConfig = (name, signal) => request("GET", pluginPath(name) + "/config", { signal });
export const storedVersions = async (name, signal) => (await get("/plugins/verify", {}, signal)).items.filter((v) => v.plugin === name);
