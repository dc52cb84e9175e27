// Configuration: what is in force, what does the file say, and what would a reload change?

import { get } from "../api.js";
import { buttons, commands } from "../action.js";
import { code, h, kv, link, panel, say, table, when } from "../ui.js";
import { num, plural } from "../format.js";

export default async function configuration(ctx) {
  if (!ctx.need("operate")) return;
  ctx.title("Configuration");
  const state = { file: null, settings: null, filter: ctx.query.get("q") ?? "", last: null };
  await ctx.every(5000, async () => {
    [state.file, state.settings] = await Promise.all([get("/config/file", {}, ctx.signal), get("/config", {}, ctx.signal)]);
    ctx.show(view(ctx, state));
  });
}

function view(ctx, state) {
  const { file, settings, last } = state;
  const actions = [{ label: "Reload", scope: "operate", kind: "primary", method: "POST", path: "/events/reload-config", cli: "berth config reload",
    done: (r) => {
      state.last = r;
      return r.changed.length ? `${plural(r.changed.length, "setting")} changed` : "Nothing has changed";
    } }];
  const lines = file.text.split("\n");
  if (lines[lines.length - 1] === "") lines.pop();
  const wrong = new Map(file.errors.map((e) => [e.line, e.reason]));
  const items = settings.items.filter((s) => !state.filter || s.path.includes(state.filter) || s.value.includes(state.filter));
  return [
    h("div", { class: "head" }, h("h1", {}, "Configuration"), h("span", { class: "dim mono" }, file.path), buttons(ctx, actions)),
    standing(file),
    last ? panel("The last reload from here", {}, last.changed.length ? changes(last.changed) : h("p", {}, "It changed nothing.")) : null,
    h("div", { class: "grid g2" },
      panel("The file", { aside: file.modified_at ? h("span", { class: "dim" }, "saved ", when(file.modified_at)) : null }, file.exists || file.text
        ? h("pre", { tabindex: "0", "aria-label": "Text of the configuration file", "data-file": "" }, h("span", { class: "numbered" }, lines.map((line, n) => [
          h("span", { class: "dim", "aria-hidden": "true" }, String(n + 1)), h("span", { class: wrong.has(n + 1) ? "hl" : null }, line || " ", wrong.has(n + 1) ? h("b", {}, "  ← " + wrong.get(n + 1)) : null)])))
        : h("div", { class: "empty" }, h("strong", {}, "There is no file: the defaults apply"), h("p", {}, "Create it with routes, and reload."), h("pre", {}, 'routes:\n  "*": {}\n'))),
      h("div", { class: "stack" },
        panel("What a reload would change", {}, file.errors.length ? h("p", {}, "Nothing: the file has errors, so the configuration in force stays.") : file.changed.length ? changes(file.changed) : h("p", {}, "Nothing: the file is in force.")),
        panel("State", {}, kv([["In force since", when(file.applied_at, { full: true })], ["File saved", when(file.modified_at, { full: true })],
          ["Waits for a restart", file.needs_restart.length ? file.needs_restart.map((p) => h("div", {}, code(p))) : "nothing"],
          ["Changes", [link("/audit?action=reload-config", "reloads in the audit log")]]])),
        h("p", { class: "dim" }, "The host reads the file by itself when it is saved. It checks everything before it applies anything. The values of handlers' configs are in the file, and may be secrets."))),
    panel(`Settings in force (${num(items.length)})`, { aside: h("input", { id: "settings-filter", type: "search", "aria-label": "Filter the settings", placeholder: "part of a setting or value", value: state.filter, autocomplete: "off", on: { input: (e) => {
      state.filter = e.currentTarget.value.trim();
      history.replaceState(null, "", ctx.with({ q: state.filter }));
      ctx.show(view(ctx, state));
    } } }), flush: true }, table({ label: "Settings in force", items, key: (s) => s.path, columns: [
      { title: "Setting", main: true, cell: (s) => code(s.path) }, { title: "Value", plain: true, cell: (s) => s.value }], empty: h("div", { class: "empty" }, "No setting matches.") })),
    commands(ctx, [...actions, { label: "Settings in force", cli: "berth config show", method: "GET", path: "/config" }, { label: "What a reload would change", cli: "berth config diff", method: "GET", path: "/config/file" }]),
  ];
}

const changes = (list) => h("ul", { class: "tree" }, list.map((line) => h("li", {}, code(line))));

function standing(file) {
  if (file.errors.length) {
    const [first, ...others] = file.errors;
    return say("bad", "errors", [`A reload would refuse the file: line ${first.line}: `, first.path ? [code(first.path), ": "] : "", first.reason, others.length ? ` And ${plural(others.length, "more error")}.` : ".", " The configuration of ", when(file.applied_at), " stays in force."]);
  }
  if (file.changed.length) return say("wait", "not applied", [plural(file.changed.length, "setting"), " in the file ", file.changed.length === 1 ? "differs" : "differ", " from what is in force. Reload to apply it."]);
  if (file.needs_restart.length) return say("wait", "restart", [plural(file.needs_restart.length, "setting waits", "settings wait"), " for the next start: ", file.needs_restart.join(", "), "."]);
  return say("ok", "in force", ["The file is in force since ", when(file.applied_at), "."]);
}
