// Plugins: what is here, what waits for a decision, and how does a new one come in?

import { get, request } from "../api.js";
import { button, buttons, commands } from "../action.js";
import { code, copy, empty, h, link, panel, say, statePill, table, when } from "../ui.js";
import { num, plural } from "../format.js";
import { approval, capabilityTable, differing, fileName, handlerUrl, installing, lifecycle, named, pluginPath } from "../plugin.js";

export default async function plugins(ctx) {
  ctx.title("Plugins");
  let directories = [];
  if (ctx.may("operate")) {
    const settings = await get("/config", {}, ctx.signal).catch(() => ({ items: [] }));
    directories = settings.items.filter((s) => s.path === "plugin_directories").map((s) => s.value.replace(/^\[|\]$/g, ""));
  }
  await ctx.every(3000, async () => {
    const list = (await get("/events/plugins", {}, ctx.signal)).items;
    const waiting = await Promise.all(list.filter((p) => p.state === "needs_approval" || p.state === "held" || p.pending)
      .map(async (p) => {
        const found = await request("GET", pluginPath(p.name), { signal: ctx.signal });
        return [found.data, found.etag];
      }));
    ctx.show(view(ctx, list, waiting, directories));
  });
}

const order = ["rejected", "stuck", "breaker_open", "needs_approval", "held", "draining", "vetting", "discovered", "paused", "standby", "active", "disabled"];

function view(ctx, list, waiting, directories) {
  const sorted = [...list].sort((a, b) => order.indexOf(a.state) - order.indexOf(b.state) || a.name.localeCompare(b.name));
  const active = list.filter((p) => p.state === "active").length;
  const acts = [urlInstall()];
  return [
    h("div", { class: "head" }, h("h1", {}, "Plugins"), h("span", { class: "dim" }, list.length ? `${num(active)} of ${num(list.length)} active` + (waiting.length ? ` · ${plural(waiting.length, "waits", "wait")} for you` : "") : ""),
      h("div", { class: "acts" }, h("a", { class: "btn", href: "/marketplace" }, "Marketplace"), acts.map((a) => (ctx.may(a.scope) ? button(ctx, a) : null)))),
    waiting.map(([p, etag]) => decision(ctx, p, etag)),
    panel("All plugins", { flush: true }, table({ label: "Plugins", items: sorted, key: (p) => p.name, href: (p) => handlerUrl(p.name), columns: [
      { title: "Plugin", main: true, cell: (p) => named(handlerUrl(p.name), p.name, p.version) },
      { title: "State", cell: (p) => [statePill(p.state), p.reason ? h("div", { class: "dim" }, p.reason.split("\n")[0]) : null] },
      { title: "Since", class: "nowrap", cell: (p) => when(p.since) },
      { title: "From", cell: (p) => (p.file ? fileName(p.file) : "installed") },
      { title: "Style", cell: (p) => p.style || "–" },
      { title: "Subscribes", cell: (p) => (p.subscribes?.length ? p.subscribes.map((s, n) => [n ? ", " : "", code(s)]) : h("span", { class: "dim" }, "what routes give it")) },
      { title: "Grants", cell: grants },
      { title: "", hint: "actions", plain: true, cell: (p) => buttons(ctx, lifecycle(p).slice(0, 1), { small: true }) },
    ], empty: empty("No plugins yet", "Copy a WebAssembly file into a watched directory; it runs at once.", "berth plugin add my-handler.wasm") })),
    panel("Add a plugin", {}, h("p", {}, "Copy a WebAssembly file, with its manifest beside it or inside, into a watched directory",
      directories.length ? [" (", code(directories.join(", ")), ")"] : "", ". The host checks, compiles and starts it. A file of the same name replaces the version that runs, without a lost event."),
      h("div", { class: "cli stack tight" }, ["berth plugin add my-handler.wasm", `cp my-handler.wasm ${directories[0]?.split(",")[0].trim().replaceAll('"', "") || "plugins"}/`].map((t) => h("div", { class: "line" }, code(t), copy(t)))),
      h("p", {}, "Plugins of a ", link("/marketplace", "marketplace"), " are installed with their versions, and can be rolled back.")),
    commands(ctx, acts),
  ];
}

function grants(p) {
  if (!p.capabilities?.length) return h("span", { class: "dim" }, "asks for none");
  return p.capabilities.map((c, n) => [n ? ", " : "", c.granted ? code(c.name) : h("span", { class: "dim" }, code(c.name), " not granted")]);
}

// decision shows what a plugin that waits asks for, compared with what runs.
function decision(ctx, p, etag) {
  const acts = p.state === "held" ? lifecycle(p) : [approval(p, etag), p.pending ? null : lifecycle(p)[0]];
  const list = p.pending ? differing(p) : p.capabilities;
  const missing = list.filter((c) => !c.granted).map((c) => c.name).join(", ");
  const text = p.state === "held" ? [h("b", {}, `${p.name} ${p.version}`), " is a new file, and waits to be enabled."]
    : p.pending ? [h("b", {}, `${p.name} ${p.pending.version}`), ` asks for more: ${missing}. Version ${p.version || p.sha256.slice(0, 8)} goes on meanwhile.`]
      : [h("b", {}, `${p.name} ${p.version}`), ` asks for ${missing || "nothing more"}. Its events wait.`];
  return h("section", { class: "stack", key: "waits " + p.name, "aria-label": `Decision about ${p.name}` },
    say("wait", p.state === "held" ? "held" : "approval", text, buttons(ctx, acts)),
    panel(`What ${p.name} asks for`, { flush: true }, capabilityTable(`What ${p.name} asks for`, list)), commands(ctx, acts));
}

function urlInstall() {
  const action = installing({ label: "Install from a URL", title: "Install from a URL", path: "/plugins/install", body: {}, cli: "berth plugin install --url URL --sha256 HEX" });
  const run = action.run;
  return { ...action, path: undefined, run: (body) => run(body), ask: { title: "Install from a URL", text: "The module must have this SHA-256. What it asks for is shown before anything is installed.", confirm: "Look at it",
    fields: [{ name: "url", label: "URL", placeholder: "plugins.example/fraud-check.wasm, with https before it", required: true }, { name: "sha256", label: "SHA-256", hint: "64 hexadecimal digits", required: true },
      { name: "name", label: "Name", hint: "Only if the module has no manifest that names it." }] },
    input: (v) => {
      const body = { url: v.url.trim(), sha256: v.sha256.trim().toLowerCase() };
      if (!/^[0-9a-f]{64}$/.test(body.sha256)) throw new Error("The SHA-256 has 64 hexadecimal digits.");
      return v.name.trim() ? { ...body, name: v.name.trim() } : body;
    } };
}
