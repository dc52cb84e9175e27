// State: what has a plugin stored, and how can I change it? Keys and values are bytes that guests choose.

import { address, get, request } from "../api.js";
import { arg, button, buttons, commands } from "../action.js";
import { code, copy, empty, field, h, kv, link, panel, pill, table, visible, when } from "../ui.js";
import { bytes, num, plural } from "../format.js";
import { handlerUrl, pluginPath } from "../plugin.js";

const maxShown = 64 << 10; // characters of a value that are shown
const maxEdited = 256 << 10; // bytes of a value that the dialog takes

export default async function state(ctx) {
  const name = ctx.params.name;
  ctx.title(`State of ${name}`);
  const given = { prefix: ctx.query.get("prefix") ?? "", cursor: ctx.query.get("cursor") ?? "" };
  const chosen = ctx.query.get("entry") ?? "";
  await ctx.every(5000, async () => {
    const [list, entry] = await Promise.all([get(pluginPath(name) + "/kv", { ...given, limit: 100 }, ctx.signal), chosen ? read(ctx, name, chosen) : null]);
    ctx.show(view(ctx, name, list, given, chosen, entry));
  });
}

// read returns an entry with its value; null when there is no such key.
async function read(ctx, name, chosen) {
  try {
    const found = await request("GET", entryPath(name, chosen), { params: { key_encoding: "base64" }, signal: ctx.signal });
    return { ...found.data, tag: found.etag };
  } catch (err) {
    if (err.status === 404 || err.status === 400) return null;
    throw err;
  }
}

const entryPath = (name, encoded) => `${pluginPath(name)}/kv/${encodeURIComponent(encoded)}`;

// encode returns the base64url of bytes or of a text, which keeps every key as one part of a path.
function encode(source) {
  let text = "";
  for (const b of typeof source === "string" ? new TextEncoder().encode(source) : source) text += String.fromCharCode(b);
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

const encodedKey = (item) => (item.key === undefined ? item.key_base64.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "") : encode(item.key));

const shown = (item) => (item.key === undefined ? "base64:" + item.key_base64 : visible(item.key));

// A command line for people to copy has no characters that a terminal acts on, and no key that looks like a flag.
const keyArg = (item) => (item.key === undefined ? `--base64 ${arg(item.key_base64)}` : visible(item.key) !== item.key || item.key.startsWith("-") ? `--base64 ${arg(standard(item.key))}` : arg(item.key));

function view(ctx, name, list, given, chosen, entry) {
  const adding = add(ctx, name);
  const apply = (e) => ctx.go(ctx.with({ prefix: e.currentTarget.value, cursor: null, entry: null }));
  const text = `berth kv list ${name}` + (given.prefix ? ` --prefix ${arg(given.prefix)}` : "");
  return [
    h("div", { class: "head" }, h("h1", {}, `State of ${name}`), h("span", { class: "dim" }, `${bytes(list.used)} of ${bytes(list.quota)} used`),
      h("div", { class: "acts" }, h("a", { class: "btn", href: handlerUrl(name) }, "Handler"), adding.map((a) => (ctx.may(a.scope) ? button(ctx, a) : null)))),
    h("div", { class: "filters" }, field("Keys that begin with", h("input", { id: "state-prefix", type: "search", value: given.prefix, autocomplete: "off", spellcheck: "false", on: { change: apply } })),
      given.prefix ? h("div", { class: "field" }, link(ctx.path, "Clear")) : null),
    chosen ? panel(entry ? `Value of ${shown(entry)}` : "Value", { aside: link(ctx.with({ entry: null }), "Close") }, entry ? value(ctx, name, entry) : h("p", {}, "There is no such key any more: it was deleted, or its time is over.")) : null,
    panel("Keys", { flush: true }, table({ label: "Keys, in the order of their bytes", items: list.items, key: encodedKey, href: (k) => ctx.with({ entry: encodedKey(k) }), now: (k) => encodedKey(k) === chosen, columns: [
      { title: "Key", main: true, cell: (k) => h("a", { href: ctx.with({ entry: encodedKey(k) }) }, code(shown(k))) },
      { title: "Size", num: true, class: "nowrap", cell: (k) => bytes(k.size) },
      { title: "Expires", class: "nowrap", cell: (k) => when(k.expires_at) },
    ], empty: empty(given.prefix ? "No key begins with this" : "Nothing is stored", "A handler with the capability kv stores values by key. An operator can write them, too.", `berth kv set ${name} KEY VALUE`) })),
    given.cursor || list.next ? h("div", { class: "line" }, given.cursor ? link(ctx.with({ cursor: null, entry: null }), "« First keys") : null,
      list.next ? h("span", { class: "end" }, link(ctx.with({ cursor: list.next, entry: null }), "More keys »")) : null) : null,
    commands(ctx, [...(entry ? changes(ctx, name, entry) : []), ...adding]),
    h("details", { class: "cli" }, h("summary", {}, `${plural(list.items.length, "key")} on the command line `, code(text)), h("div", { class: "all" },
      [text, `curl -H "Authorization: Bearer $BERTH_TOKEN" ${arg(location.origin + address(pluginPath(name) + "/kv", { prefix: given.prefix }))}`].map((t) => h("div", { class: "line" }, code(t), copy(t))))),
  ];
}

function value(ctx, name, entry) {
  const text = entry.value_text ?? entry.value_base64;
  const long = text.length > maxShown;
  return [
    kv([["Key", [code(shown(entry)), " ", copy(entry.key ?? entry.key_base64, "Copy", "the key")]], ["Size", `${bytes(entry.size)} (${num(entry.size)} bytes)`], ["Expires", entry.expires_at ? when(entry.expires_at, { full: true }) : "never"],
      ["Kind", pill("idle", entry.value_text === undefined ? "bytes, as base64" : isJSON(text) ? "JSON" : "text")], ["ETag", code(entry.etag)]]),
    h("pre", { tabindex: "0", "aria-label": "Value", "data-value": "" }, long ? text.slice(0, maxShown) : text),
    long ? h("p", { class: "dim" }, `These are the first ${num(maxShown)} characters. `, code(`berth kv get ${name} ${keyArg(entry)}`), " prints all.") : null,
    h("div", { class: "line" }, buttons(ctx, changes(ctx, name, entry)), copy(text, "Copy the value", "the value")),
  ];
}

function isJSON(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

// A text field would change line ends and zero bytes: such values are edited as base64.
const asText = (entry) => entry.value_text !== undefined && !/[\r\0]/.test(entry.value_text);

// changes are the actions on an entry, which compare it with what is shown here.
function changes(ctx, name, entry) {
  const path = entryPath(name, encodedKey(entry)), params = { key_encoding: "base64" };
  const text = asText(entry);
  const former = text ? entry.value_text : entry.value_base64 ?? standard(entry.value_text);
  return [
    entry.size <= maxEdited && { label: "Edit", scope: "operate", kind: "primary", method: "PUT", path, params, ifMatch: entry.tag, body: text ? { value_text: "VALUE" } : { value_base64: "VALUE" },
      cli: `berth kv set ${name} ${keyArg(entry)} VALUE --if-match ${entry.etag}`,
      ask: { title: `Edit ${shown(entry)}`, confirm: "Write it", text: "The value is replaced only if it is still the one shown here. Deliveries of an atomic handler that have read it run again.",
        fields: [{ name: "value", label: text ? "Value" : "Value, as base64", value: former, rows: 10 },
          { name: "expires", label: "Remove it after", value: "", placeholder: "24h", hint: "Such as 15m or 24h. Empty: the time limit stays as it is." }] },
      input: (v) => ({ ...(text ? { value_text: v.value } : { value_base64: v.value.trim() }), ...limit(v) }),
      done: () => `${shown(entry)} is written` },
    { label: "Delete", scope: "operate", kind: "danger", method: "DELETE", path, params, ifMatch: entry.tag, cli: `berth kv delete ${name} ${keyArg(entry)}`,
      ask: { title: `Delete ${shown(entry)}`, text: "The value is removed at once, if it is still the one shown here. The audit log keeps the key and the size, not the value.", confirm: "Delete it" },
      done: () => `${shown(entry)} is deleted`, then: () => ctx.go(ctx.with({ entry: null })) },
  ].filter(Boolean);
}

// standard returns the base64 of a text with padding.
function standard(text) {
  const short = encode(text).replaceAll("-", "+").replaceAll("_", "/");
  return short + "=".repeat((4 - (short.length % 4)) % 4);
}

const limit = (v) => (v.expires.trim() ? { expires_in: v.expires.trim() } : {});

function add(ctx, name) {
  let key = "";
  return [{ label: "New key", scope: "operate", cli: `berth kv set ${name} KEY VALUE --if-absent`,
    ask: { title: "New key", confirm: "Write it", text: "The handler finds the value under this key. A key that is there already stays as it is.",
      cli: (v) => `berth kv set ${name} ${v.key ? arg(v.key) : "KEY"} ${v.value ? arg(v.value) : "VALUE"} --if-absent` + (v.expires.trim() ? ` --expire ${arg(v.expires.trim())}` : ""),
      fields: [{ name: "key", label: "Key", value: "", required: true, hint: "1 to 256 bytes." }, { name: "value", label: "Value", value: "", rows: 6 }, { name: "expires", label: "Remove it after", value: "", placeholder: "24h", hint: "Empty: never." }] },
    input: (v) => {
      if (!v.key) throw new Error("A key has at least one character.");
      key = v.key;
      return { value_text: v.value, ...limit(v) };
    },
    run: async (body) => (await request("PUT", entryPath(name, encode(key)), { params: { key_encoding: "base64" }, body, ifAbsent: true })).data,
    done: () => `${visible(key)} is written`, then: () => ctx.go(ctx.with({ entry: encode(key) })) }];
}
