// Elements of the console. Text reaches the page as text nodes only: guests and events may contain anything.
//
//   h("div", { class: "line", on: { click: f }, vars: { "--x": "4%" } }, "text", node, [nodes], null)   an element; s(...) in SVG
//       value, checked and open are the model's; a later render changes them only when the model's value changed
//       key: identity among its siblings when a list is rendered again; keep: true is never rendered again
//   mount(container, ...nodes)            shows these nodes: what is there already is changed in place, focus and scroll stay
//   pill("ok" | "wait" | "bad" | "idle", text), statePill(state), deliveryPill(status)                  colour with a word
//   panel(title, { aside, id }, ...body)  stat(title, value, { unit, note, chart, href })
//   table({ label, columns: [{ title, num, main, cell: (item) => node }], items, key: (item) => id, href: (item) => url, empty: node })
//                                         with a main column, every line is a card in narrow windows, with that cell first
//   kv([["Type", node], ...])             tabs(label, [{ title, href, current }])        field(label, control, { hint, error })
//   when(at)                              absolute time with a relative title            copy(text, label?) a copy button
//   id(text)                              a monospaced id with its copy button           link(href, ...children) within the console
//   visible(text)                         text with the characters that do not show as their numbers
//   json(value)                           pretty JSON                                    code(text), say(tone, word, body, acts)
//   empty(title, text, ...commands)       what an empty page teaches
//   toast(text, "ok" | "bad"), announce(text)                                            dialog({ title, body, foot }) see action.js
//   throttle(f, perSecond, signal)        a function that runs f at most so often, and once after the last call
//   rowKeys(container)                    j, k and Enter for [data-row] elements; app.js calls it

import * as format from "./format.js";

const plain = /^(\/(?![/\\\t\n\r])|#|\?|https:\/\/)/; // no javascript:, and no other site's page without https

function build(el, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") {
      el.$on = Object.keys(value);
      for (const [type, handle] of Object.entries(value)) el["on" + type] = handle;
    } else if (name === "vars") {
      for (const [variable, v] of Object.entries(value)) el.style.setProperty(variable, v);
    } else if (name === "key" || name === "keep") {
      el["$" + name] = value;
    } else if (name === "value" || name === "checked" || name === "open") {
      el["$" + name] = value;
    } else if (/^(on|style|srcdoc|inner|outer)/i.test(name)) {
      throw new Error("not an attribute of the console: " + name);
    } else if ((name === "href" || name === "src" || name === "action") && !plain.test(value)) {
      continue;
    } else {
      el.setAttribute(name, value === true ? "" : value);
    }
  }
  append(el, children);
  for (const name of ["value", "checked", "open"]) if (el["$" + name] !== undefined) el[name] = el["$" + name];
  return el;
}

function append(el, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (Array.isArray(child)) append(el, child);
    else el.append(child instanceof Node ? child : String(child));
  }
}

export const h = (tag, props, ...children) => build(document.createElement(tag), props, children);
export const s = (tag, props, ...children) => build(document.createElementNS("http://www.w3.org/2000/svg", tag), props, children);

export function mount(container, ...nodes) {
  const next = document.createElement("div");
  append(next, nodes);
  morphChildren(container, next);
}

function morph(from, to) {
  if (from.nodeType !== Node.ELEMENT_NODE) {
    if (from.data !== to.data) from.data = to.data;
    return;
  }
  if (from.$keep && to.$keep) return;
  for (const { name } of [...from.attributes]) {
    if (name !== "style" && name !== "open" && name !== "data-at" && !to.hasAttribute(name)) from.removeAttribute(name); // data-at: see rowKeys
  }
  for (const { name, value } of to.attributes) {
    if (name !== "style" && name !== "open" && from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
  if (from.style.cssText !== to.style.cssText) from.style.cssText = to.style.cssText;
  for (const type of from.$on ?? []) from["on" + type] = null;
  for (const type of to.$on ?? []) from["on" + type] = to["on" + type];
  from.$on = to.$on;
  morphChildren(from, to);
  for (const name of ["value", "checked", "open"]) {
    if (to["$" + name] !== undefined && from["$" + name] !== to["$" + name]) from[name] = from["$" + name] = to["$" + name];
  }
}

function morphChildren(from, to) {
  const next = [...to.childNodes];
  const wanted = new Set(next.map((node) => node.$key).filter((key) => key !== undefined));
  const keyed = new Map();
  for (const child of [...from.childNodes]) {
    if (child.$key === undefined) continue;
    if (wanted.has(child.$key)) keyed.set(child.$key, child);
    else child.remove();
  }
  let at = from.firstChild;
  for (const node of next) {
    let match = null;
    if (node.$key !== undefined) match = keyed.get(node.$key) ?? null;
    else if (at && at.$key === undefined && at.nodeName === node.nodeName) match = at;
    if (match && match.nodeName !== node.nodeName) match = null;
    if (!match) {
      from.insertBefore(node, at);
    } else {
      if (match === at) at = at.nextSibling;
      else from.insertBefore(match, at);
      morph(match, node);
    }
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

// small things

export const pill = (tone, text) => h("span", { class: "pill " + tone }, text);

const stateTones = {
  active: "ok", standby: "idle", paused: "idle", disabled: "idle", breaker_open: "bad", stuck: "bad", rejected: "bad", needs_approval: "wait", held: "wait",
  open: "bad", acknowledged: "wait", resolved: "ok", ignored: "idle", running: "wait", done: "ok", cancelled: "idle", failed: "bad",
};
export const statePill = (state) => pill(stateTones[state] ?? "wait", String(state).replaceAll("_", " "));

const deliveryTones = { ok: "ok", retrying: "wait", pending: "wait", delivering: "wait", dead: "bad" };
export const deliveryPill = (status) => pill(deliveryTones[status] ?? "idle", status === "dead" ? "dead letter" : status);

export const link = (href, ...children) => h("a", { href }, ...children);
export const code = (text) => h("code", {}, text);

// visible writes characters that do not show, or that change the direction of writing, as their number.
const hidden = /[\p{C}\p{Zl}\p{Zp}]|^\p{Zs}+|\p{Zs}+$/gu;
export const visible = (text) => text.replace(hidden, (found) => [...found].map((c) => `\\u{${c.codePointAt(0).toString(16)}}`).join(""));

export function when(at, { full = false } = {}) {
  if (!at) return h("span", { class: "dim" }, "–");
  const text = full ? format.stamp(at) : format.clock(at);
  return h("time", { datetime: new Date(format.millis(at)).toISOString(), title: `${format.stamp(at)}, ${format.ago(at)}`, class: "nowrap" }, text);
}

export function copy(text, label = "Copy", what = "") {
  return h("button", { type: "button", class: "copy", "aria-label": `${label}: ${what || text}`.slice(0, 120), title: "Copy", on: {
    click: async (e) => {
      e.stopPropagation();
      try {
        await navigator.clipboard.writeText(text);
        announce("Copied");
        e.target.textContent = "Copied";
      } catch {
        toast("The browser did not allow copying.", "bad");
        return;
      }
      setTimeout(() => { e.target.textContent = label; }, 1500);
    },
  } }, label);
}

export const id = (text, href) => h("span", { class: "nowrap-id" }, href ? link(href, code(text)) : code(text), " ", copy(text));

export function panel(title, options, ...body) {
  const { aside, id: name, flush } = options ?? {};
  return h("section", { class: "panel", id: name, "aria-label": typeof title === "string" ? title : null },
    h("header", {}, h("h2", {}, title), aside), flush ? body : h("div", { class: "in stack" }, body));
}

export function stat(title, value, { unit, note, chart, href } = {}) {
  return h("section", { class: "panel stat", "aria-label": title },
    h("div", { class: "in" }, h("h2", {}, href ? link(href, title) : title),
      h("div", { class: "v" }, value, unit ? h("small", {}, " " + unit) : null),
      note === undefined ? null : h("div", { class: "note" }, note), chart));
}

export const say = (tone, word, body, acts) =>
  h("div", { class: "say " + tone, role: tone === "bad" ? "status" : null }, pill(tone, word), h("div", {}, body),
    acts instanceof Element && acts.classList.contains("acts") ? acts : acts ? h("div", { class: "acts" }, acts) : null);

export const kv = (pairs) => h("dl", { class: "kv" }, pairs.filter(Boolean).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));

export const tabs = (label, items) => h("nav", { class: "tabs", "aria-label": label },
  items.map((t) => h("a", { href: t.href, "aria-current": t.current ? "true" : null }, t.title)));

let fieldCount = 0;
export function field(label, control, { hint, error, wide } = {}) {
  control.id ||= "f" + ++fieldCount;
  return h("div", { class: "field" + (wide ? " wide" : "") }, h("label", { for: control.id }, label), control,
    hint ? h("span", { class: "hint" }, hint) : null, error ? h("span", { class: "error", role: "alert" }, error) : null);
}

export const select = (props, options) =>
  h("select", props, options.map((o) => (typeof o === "string" ? h("option", { value: o }, o || "any") : h("option", { value: o[0] }, o[1]))));

export const json = (value) => h("pre", { tabindex: "0", "aria-label": "JSON" }, typeof value === "string" ? value : JSON.stringify(value, null, 2));

export function empty(title, text, ...commands) {
  return h("div", { class: "empty" }, h("strong", {}, title), text ? h("p", {}, text) : null,
    commands.map((c) => h("div", { class: "stack tight" }, h("pre", {}, c), h("div", {}, copy(c)))));
}

export function table({ label, columns, items, key, href, empty: none, now }) {
  if (items.length === 0 && none) return none;
  const cards = columns.some((c) => c.main);
  const role = (name) => (cards ? name : null); // the layout as cards would take it away
  const cells = (item) => columns.map((c) => h("td", { role: role("cell"), "data-title": cards && !c.main && !c.plain ? c.title : null,
    class: [c.num ? "num" : "", c.main ? "main" : "", c.class ?? ""].filter(Boolean).join(" ") || null }, c.cell(item)));
  return h("div", { class: "scroll", role: "region", "aria-label": label, tabindex: "0" },
    h("table", { class: cards ? "cards" : null, role: role("table") }, h("caption", { class: "hidden-text" }, label),
      h("thead", { role: role("rowgroup") }, h("tr", { role: role("row") }, columns.map((c) =>
        h("th", { scope: "col", role: role("columnheader"), class: c.num ? "num" : null, title: c.hint }, c.title || h("span", { class: "hidden-text" }, c.hint ?? "actions"))))),
      h("tbody", { role: role("rowgroup") }, items.map((item) =>
        h("tr", { role: role("row"), key: key ? key(item) : undefined, "data-row": href ? href(item) : null, class: now?.(item) ? "at" : null }, cells(item))))));
}

// messages

let toasts = null, polite = null;
function regions() {
  if (toasts) return;
  polite = h("div", { class: "hidden-text", role: "status", "aria-live": "polite" });
  toasts = h("div", { class: "toasts", role: "region", "aria-label": "Messages" });
  document.body.append(polite, toasts);
}

export function announce(text) {
  regions();
  polite.textContent = "";
  setTimeout(() => { polite.textContent = text; }, 50);
}

export function toast(text, tone = "ok") {
  regions();
  const close = () => el.remove();
  const el = h("div", { class: "toast " + (tone === "bad" ? "bad" : ""), role: tone === "bad" ? "alert" : "status" }, h("div", {}, text),
    h("button", { type: "button", class: "copy", "aria-label": "Close message", on: { click: close } }, "✕"));
  toasts.append(el);
  while (toasts.childElementCount > 4) toasts.firstElementChild.remove();
  setTimeout(close, tone === "bad" ? 15000 : 6000);
}

// dialog shows a modal dialog; body and foot are nodes. It resolves with what close(value) was given; undefined when it was dismissed.
export function dialog({ title, body, foot, submit }) {
  return new Promise((resolve) => {
    let result;
    const close = (value) => { result = value; el.close(); };
    const heading = h("h2", { id: "dialog-title" }, title);
    const form = h("form", { method: "dialog", on: { submit: (e) => { e.preventDefault(); submit?.(close, form); } } },
      heading, body, h("div", { class: "foot" }, foot(close)));
    const before = document.activeElement;
    const el = h("dialog", { "aria-labelledby": "dialog-title", on: {
      close: () => { el.remove(); before?.focus?.(); resolve(result); },
      click: (e) => { if (e.target === el) el.close(); },
    } }, form);
    document.body.append(el);
    el.showModal();
  });
}

export function throttle(f, perSecond, signal) {
  let timer = 0, last = 0;
  const run = () => { timer = 0; last = performance.now(); if (!signal?.aborted) f(); };
  signal?.addEventListener("abort", () => clearTimeout(timer), { once: true });
  return () => {
    if (timer || signal?.aborted) return;
    timer = setTimeout(run, Math.max(0, last + 1000 / perSecond - performance.now()));
  };
}

// rowKeys moves among the [data-row] elements with j and k, and opens one with Enter.
export function rowKeys(container, open) {
  let at = "";
  return (key) => {
    const rows = [...container.querySelectorAll("[data-row]")];
    if (rows.length === 0) return false;
    const index = rows.findIndex((row) => "at" in row.dataset && row.dataset.row === at);
    if (key === "Enter") {
      if (index < 0) return false;
      open(rows[index].dataset.row);
      return true;
    }
    const next = rows[Math.min(Math.max(index + (key === "j" ? 1 : -1), 0), rows.length - 1)];
    for (const row of rows) row.toggleAttribute("data-at", row === next);
    at = next.dataset.row;
    next.scrollIntoView({ block: "nearest" });
    announce(next.innerText.replace(/\s+/g, " ").slice(0, 200));
    return true;
  };
}
