// Audit: who changed what, when, from where, and who was refused?

import { address, get } from "../api.js";
import { arg } from "../action.js";
import { code, copy, field, h, json, link, panel, pill, select, table, when } from "../ui.js";
import { num } from "../format.js";

const names = ["action", "who", "target", "result", "since", "until"];
const tones = { ok: "ok", failed: "bad", refused: "bad", begun: "wait" };
const resultOf = (r) => (r.stage === "refused" ? "refused" : r.stage === "begin" ? "begun" : r.result ?? "ok");

export default async function audit(ctx) {
  if (!ctx.need("operate")) return;
  ctx.title("Audit");
  const given = Object.fromEntries(names.map((name) => [name, ctx.query.get(name) ?? ""]).filter(([, v]) => v));
  const cursor = ctx.query.get("cursor") ?? "";
  const opened = new Set();
  await ctx.every(5000, async () => {
    const page = await get("/audit", { ...given, cursor, limit: 50 }, ctx.signal);
    ctx.show(view(ctx, page, given, cursor, opened));
  });
}

function view(ctx, page, given, cursor, opened) {
  const items = [...page.items].reverse();
  const apply = (e) => ctx.go(ctx.with({ [e.currentTarget.name]: e.currentTarget.value.trim(), cursor: null }));
  const text = (name, title, placeholder) => field(title, h("input", { id: "audit-" + name, name, type: "search", value: given[name] ?? "", placeholder, autocomplete: "off", spellcheck: "false", on: { change: apply } }));
  const cli = "berth audit list" + ["action", "who", "target", "result"].filter((name) => given[name]).map((name) => ` --${name} ${arg(given[name])}`).join("");
  const refused = items.filter((r) => resultOf(r) === "refused").length;
  return [
    h("div", { class: "head" }, h("h1", {}, "Audit"), h("span", { class: "dim" }, "Every change by the API, the file system and reloads", refused ? ` · ${num(refused)} refused on this page` : "")),
    h("div", { class: "filters" }, text("action", "Action", "disable"), text("who", "Token", "name or id"), text("target", "Target", "fraud-check"),
      field("Result", select({ id: "audit-result", name: "result", value: given.result ?? "", on: { change: apply } }, ["", "ok", "failed", "refused", "begun"])),
      text("since", "Since", "2026-05-01T10:00:00Z"), text("until", "Before", ""), Object.keys(given).length ? h("div", { class: "field" }, link(ctx.path, "Clear")) : null),
    panel("Changes, the latest first", { flush: true }, table({ label: "Changes, the latest first", items, key: (r) => r.id + r.stage, columns: [
      { title: "When", class: "mono nowrap", cell: (r) => when(r.at) },
      { title: "Who", cell: (r) => [r.who ? link(ctx.with({ who: r.token_id || r.who, cursor: null }), r.who) : h("span", { class: "dim" }, "no valid token"), r.remote ? h("div", { class: "dim mono" }, r.remote) : null] },
      { title: "Action", main: true, cell: (r) => link(ctx.with({ action: r.action, cursor: null }), r.action) },
      { title: "Target", cell: (r) => (r.target ? link(ctx.with({ target: r.target, cursor: null }), r.target) : h("span", { class: "dim" }, "–")) },
      { title: "Result", cell: (r) => [pill(tones[resultOf(r)] ?? "idle", resultOf(r)), r.status ? [" ", h("span", { class: "dim" }, String(r.status))] : null, r.suppressed ? h("div", { class: "dim" }, `and ${num(r.suppressed)} refused before it`) : null] },
      { title: "What", plain: true, cell: (r) => details(r, opened) },
    ], empty: h("div", { class: "empty" }, h("strong", {}, Object.keys(given).length ? "No change matches" : "No changes yet"),
      h("p", {}, "Enabling, approving, installing, redriving and reloading are recorded before they are made. Publishing is not recorded here: see Events.")) })),
    cursor || page.next ? h("div", { class: "line" }, cursor ? link(ctx.with({ cursor: null }), "« Latest") : null,
      page.next ? h("span", { class: "end" }, link(ctx.with({ cursor: page.next }), "Older »")) : null) : null,
    h("details", { class: "cli" }, h("summary", {}, "This list on the command line ", code(cli)), h("div", { class: "all" },
      [cli, "berth audit tail", `curl -H "Authorization: Bearer $BERTH_TOKEN" ${arg(location.origin + address("/audit", given))}`].map((t) => h("div", { class: "line" }, code(t), copy(t))))),
  ];
}

function details(r, opened) {
  const parts = [["Request", r.request], ["Asked", r.asked], ["Before", r.before], ["After", r.after]].filter(([, v]) => v !== undefined && v !== null);
  const first = r.error ? h("span", { class: "bad-text" }, r.error) : r.request ? code(r.request) : null;
  if (parts.length === 0) return first;
  const key = r.id + r.stage;
  return [first, h("details", { open: opened.has(key), "data-plain": "", on: { toggle: (e) => (e.currentTarget.open ? opened.add(key) : opened.delete(key)) } }, h("summary", {}, "Details"),
    h("div", { class: "stack tight" }, parts.map(([name, v]) => [h("h3", {}, name), json(v)]), h("div", { class: "dim" }, "id ", code(r.id))))];
}
