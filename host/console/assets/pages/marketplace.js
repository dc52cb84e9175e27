// Marketplace: which plugins are offered, what do they ask for, and which version runs here?

import { get, request } from "../api.js";
import { arg, buttons, commands } from "../action.js";
import { code, copy, empty, field, h, kv, link, panel, pill, say, table, toast, when } from "../ui.js";
import { bytes, num, plural } from "../format.js";
import { capabilityTable, handlerUrl, installing, named, pluginPath, storedVersions } from "../plugin.js";

const listingUrl = (name) => "/marketplace/" + encodeURIComponent(name);

export default async function marketplace(ctx) {
  const name = ctx.params.name;
  ctx.title(name ? `${name} · Marketplace` : "Marketplace");
  const given = { q: name ?? ctx.query.get("q") ?? "", publisher: ctx.query.get("publisher") ?? "", cursor: name ? "" : ctx.query.get("cursor") ?? "" };
  await ctx.every(15_000, async () => {
    let page;
    try {
      page = await get("/plugins/marketplace", { ...given, limit: name ? 200 : 50 }, ctx.signal);
    } catch (err) {
      if (err.status !== 404 && err.status !== 502) throw err;
      ctx.show(absent(err));
      return;
    }
    if (!name) {
      ctx.show(list(ctx, page, given));
      return;
    }
    const found = page.items.find((l) => l.name === name);
    const stored = found?.installed ? await storedVersions(name, ctx.signal) : [];
    ctx.show(found ? one(ctx, found, page, stored) : missing(name));
  });
}

const absent = (err) => [h("div", { class: "head" }, h("h1", {}, "Marketplace")),
  h("section", { class: "panel" }, err.status === 404
    ? empty("No marketplace is configured", "A marketplace is a signed list of plugins at a URL. Name it in the configuration, with the key that signs it.",
      "marketplace:\n  enabled: true\n  index_url: URL\n  trusted_keys: [RW...]")
    : empty("The marketplace does not answer", err.message, "berth marketplace search --refresh"))];

const missing = (name) => [h("div", { class: "head" }, h("h1", {}, name)), h("section", { class: "panel" },
  h("div", { class: "empty" }, h("strong", {}, "The marketplace has no plugin of this name"), link("/marketplace", "All plugins")))];

// refetch has the host fetch the list, even if it is recent.
async function refetch(ctx) {
  try {
    await get("/plugins/marketplace", { refresh: true, limit: 1 });
    toast("The list is fetched");
  } catch (err) {
    toast(err.message, "bad");
  }
  await ctx.refresh();
}

// standing says how far the list can be trusted.
function standing(page) {
  if (page.expired) return say("bad", "expired", ["The list expired ", when(page.expires), ": the host installs nothing from it until the marketplace confirms it again."]);
  if (page.stale) return say("wait", "not confirmed", ["The list is of ", when(page.fetched_at), ": ", page.reason || "the marketplace does not answer", "."]);
  if (page.unsigned) return say("wait", "not signed", "The list has no signature: whoever can change it decides what is offered.");
  return null;
}

function list(ctx, page, given) {
  const apply = (e) => ctx.go(ctx.with({ [e.currentTarget.name]: e.currentTarget.value.trim(), cursor: null }));
  const updates = page.items.filter((l) => l.update_available).length;
  const text = ["berth marketplace search", given.q ? arg(given.q) : "", given.publisher ? "--publisher " + arg(given.publisher) : ""].filter(Boolean).join(" ");
  return [
    h("div", { class: "head" }, h("h1", {}, "Marketplace"), h("span", { class: "dim" }, page.marketplace, updates ? ` · ${plural(updates, "update")} available` : "", " · confirmed ", when(page.fetched_at)),
      h("div", { class: "acts" }, h("button", { type: "button", "data-refresh": "", on: { click: () => refetch(ctx) } }, "Fetch the list now"))),
    standing(page),
    h("div", { class: "filters" },
      field("Search", h("input", { id: "market-q", name: "q", type: "search", value: given.q, placeholder: "fraud", autocomplete: "off", on: { change: apply } })),
      field("Publisher", h("input", { id: "market-publisher", name: "publisher", type: "search", value: given.publisher, autocomplete: "off", on: { change: apply } })),
      given.q || given.publisher ? h("div", { class: "field" }, link("/marketplace", "Clear")) : null),
    panel("Plugins on offer", { flush: true }, table({ label: "Plugins on offer", items: page.items, key: (l) => l.name, href: (l) => listingUrl(l.name), columns: [
      { title: "Plugin", main: true, cell: (l) => [named(listingUrl(l.name), l.name, l.version || "no version"), h("div", {}, l.description)] },
      { title: "Publisher", cell: (l) => l.publisher },
      { title: "Asks for", cell: (l) => (l.capabilities.length ? l.capabilities.map((c, n) => [n ? ", " : "", code(c.name)]) : h("span", { class: "dim" }, "nothing")) },
      { title: "Here", cell: (l) => (l.installed ? [pill(l.update_available ? "wait" : "ok", l.update_available ? "update available" : "installed"), " ", h("span", { class: "dim" }, l.installed)] : h("span", { class: "dim" }, "–")) },
      { title: "Released", class: "nowrap", cell: (l) => when(l.released) },
      { title: "Size", num: true, cell: (l) => bytes(l.size) },
      { title: "", hint: "actions", plain: true, cell: (l) => buttons(ctx, changes(ctx, l).slice(0, 1), { small: true }) },
    ], empty: h("div", { class: "empty" }, h("strong", {}, "No plugin matches"), link("/marketplace", "All plugins")) })),
    given.cursor || page.next ? h("div", { class: "line" }, given.cursor ? link(ctx.with({ cursor: null }), "« First") : null,
      page.next ? h("span", { class: "end" }, link(ctx.with({ cursor: page.next }), "More »")) : null) : null,
    h("details", { class: "cli" }, h("summary", {}, "This list on the command line ", code(text)), h("div", { class: "all" }, h("div", { class: "line" }, code(text), copy(text)))),
  ];
}

// changes are what can be done with a listing.
function changes(ctx, l) {
  if (l.installed && l.update_available) {
    return [installing({ label: "Upgrade", title: `Upgrade ${l.name}`, kind: "primary", path: pluginPath(l.name) + "/upgrade", body: { version: l.update_available }, cli: `berth plugin upgrade ${arg(l.name + "@" + l.update_available)}` })];
  }
  if (l.installed || l.yanked || !l.version) return [];
  return [installing({ label: "Install", title: `Install ${l.name}`, kind: "primary", path: "/plugins/install", body: { name: l.name, version: l.version }, cli: `berth plugin install ${arg(l.name + "@" + l.version)}` })];
}

// removal are the actions about what is installed.
export function removal(ctx, name, stored) {
  const former = stored.filter((v) => !v.current && v.ok);
  return [
    former.length ? { label: "Roll back", scope: "install", method: "POST", path: pluginPath(name) + "/rollback", body: { version: former[0].version }, cli: `berth plugin rollback ${arg(name)} ${arg(former[0].version)}`,
      ask: { title: `Roll back ${name}`, text: "The former version takes the following events. What is under way finishes first.", confirm: "Roll back",
        fields: [{ name: "version", label: "Version", value: former[0].version, options: former.map((v) => [v.version, `${v.version} (${v.sha256.slice(0, 8)})`]) }] },
      input: (v) => ({ version: v.version }), done: (p) => `${name} runs ${p.version}` } : null,
    { label: "Uninstall", scope: "install", kind: "danger", method: "DELETE", path: "/plugins/uninstall/" + encodeURIComponent(name), cli: `berth plugin uninstall ${arg(name)}`,
      ask: { title: `Uninstall ${name}`, confirm: "Uninstall", text: "It finishes what is under way. Its versions, its settings, its position in the log and its dead letters are removed. This cannot be undone.",
        fields: [{ name: "purge", label: "What it has stored (kv)", value: "", options: [["", "keep"], ["true", "remove as well"]] }, { name: "force", label: "If a route names it", value: "", options: [["", "refuse"], ["true", "uninstall nevertheless"]] }] },
      input: (v) => v, run: (v) => request("DELETE", "/plugins/uninstall/" + encodeURIComponent(name), { params: v }), done: (r) => (r.data ? `${name} is removed from this host; it stays on ${r.data.remains_on.join(", ")}` : `${name} is uninstalled`), then: () => ctx.go("/plugins") },
  ].filter(Boolean);
}

function one(ctx, l, page, stored) {
  const acts = [...changes(ctx, l), ...(l.installed ? removal(ctx, l.name, stored) : [])];
  return [
    h("div", { class: "head" }, h("h1", {}, l.name), l.installed ? pill("ok", `installed ${l.installed}`) : pill("idle", "not installed"), h("span", { class: "dim" }, `${l.version} by ${l.publisher}`), buttons(ctx, acts)),
    standing(page),
    l.deprecated ? say("wait", "deprecated", l.deprecated) : null,
    h("p", {}, l.description || "It has no description."),
    h("div", { class: "grid g2" },
      panel("What it asks for", { flush: true }, capabilityTable("What it asks for", l.capabilities.map((c) => ({ ...c, granted: false })))),
      panel("About", {}, kv([["Version", l.version || "–"], ["Publisher", l.publisher], ["Key", l.key ? code(l.key) : "none"], ["License", l.license || "–"],
        l.homepage ? ["Homepage", h("a", { href: l.homepage, rel: "noreferrer noopener", target: "_blank" }, l.homepage)] : null, ["ABI", l.abi], ["Size", bytes(l.size)], ["SHA-256", code(l.sha256)],
        l.installed ? ["Here", link(handlerUrl(l.name), "the handler")] : null]))),
    panel(`Versions (${num(l.versions.length)})`, { flush: true }, table({ label: "Versions", items: l.versions, key: (v) => v.version, columns: [
      { title: "Version", main: true, cell: (v) => [v.version, v.version === l.installed ? [" ", pill("ok", "installed")] : null] },
      { title: "Released", class: "nowrap", cell: (v) => when(v.released) },
      { title: "Standing", cell: (v) => (v.revoked ? [pill("bad", "revoked"), h("div", { class: "dim" }, v.revoked)] : v.yanked ? pill("wait", "yanked") : v.deprecated ? [pill("wait", "deprecated"), h("div", { class: "dim" }, v.deprecated)] : pill("ok", "offered")) },
      { title: "Asks for", cell: (v) => (v.capabilities.length ? v.capabilities.map((c) => c.name).join(", ") : "nothing") },
      { title: "Size", num: true, cell: (v) => bytes(v.size) },
      { title: "SHA-256", class: "mono", cell: (v) => v.sha256.slice(0, 12) },
    ] })),
    commands(ctx, acts),
  ];
}
