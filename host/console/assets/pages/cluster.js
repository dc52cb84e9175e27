// Cluster: do all hosts live, does every handler have a host, and which one can be stopped?

import { get } from "../api.js";
import { arg, buttons, commands } from "../action.js";
import { code, empty, h, link, panel, pill, say, table, when } from "../ui.js";
import { ago, num, plural } from "../format.js";
import { handlerUrl } from "../plugin.js";

const shownAge = 2000; // ms; what the host saw so long ago is said to be old
const clockLimit = 5000; // ms, of the finding about a clock

export default async function cluster(ctx) {
  ctx.title("Cluster");
  const only = ctx.query.get("host") ?? "";
  await ctx.every(2000, async () => {
    const c = await get("/cluster", {}, ctx.signal);
    ctx.show(c.shared ? view(ctx, c, only) : alone(c));
  });
}

function alone(c) {
  return [h("div", { class: "head" }, h("h1", {}, "Cluster")), h("section", { class: "panel" },
    empty(`${c.host} runs alone`, `bus.engine is ${c.engine}. Several hosts that share a PostgreSQL database run each other's handlers when one of them ends. An existing store comes along: docs/cluster.md.`,
      "bus:\n  engine: postgres\n  postgres:\n    url: postgres://berth@db.example.com:5432/berth?sslmode=verify-full", "berth migrate --help"))];
}

const memberPath = (m) => "/cluster/members/" + encodeURIComponent(m.name);

const drain = (c, m) => {
  const others = c.members.filter((o) => o.alive && !o.draining && o.id !== m.id).length;
  return { label: "Drain", scope: "operate", kind: others ? "" : "danger", method: "POST", path: memberPath(m) + "/drain", cli: `berth cluster drain ${arg(m.name)} --wait`,
    ask: { title: `Drain ${m.name}`, confirm: "Drain it", text: [
      h("p", {}, `${what(c, m) ? `It gives ${what(c, m)} to the other hosts, and` : "It runs nothing now, and"} takes none until you undo it or it starts again. Open attempts may end: nothing is lost or repeated.`),
      h("p", {}, "Its API goes on: take it out of the load balancer too before you work on the machine."),
      others ? null : h("p", { class: "bad-text strong" }, "No other live host takes handlers: none would run.")] },
    done: () => `${m.name} gives its handlers to the other hosts` };
};

const undrain = (m) => ({ label: "Undo drain", scope: "operate", method: "POST", path: memberPath(m) + "/undrain", cli: `berth cluster drain ${arg(m.name)} --undo`,
  done: () => `${m.name} takes handlers again` });

const action = (c, m) => (!m.alive || c.problem ? null : m.draining ? undrain(m) : drain(c, m));

function state(c, m) {
  if (c.problem) return m.name === c.host ? pill("bad", "cut off") : pill("idle", "not known");
  if (!m.alive) return [pill("bad", "lost"), h("div", { class: "dim" }, "no renewal")];
  if (!m.draining) return pill("ok", "alive");
  return [pill("wait", "draining"), h("div", { class: "dim" }, m.units ? `${num(m.units)} left` : "can be stopped")];
}

// handlersOf counts handlers, and their shards if some have several: "2 handlers in 5 units"; "" for none.
function handlersOf(units) {
  const list = units.filter((u) => u.kind === "handler"), handlers = new Set(list.map((u) => u.name.split("/")[0])).size;
  return handlers ? plural(handlers, "handler") + (list.length > handlers ? ` in ${plural(list.length, "unit")}` : "") : "";
}

// what a host runs: "2 handlers, 1 job"; "" for nothing.
function what(c, m) {
  const own = c.units.filter((u) => u.host === m.name), jobs = own.filter((u) => u.kind !== "handler").length;
  return [handlersOf(own), jobs ? plural(jobs, "job") : ""].filter(Boolean).join(", ");
}

const runs = (ctx, c, m) => (what(c, m) ? link(ctx.with({ host: m.name }), what(c, m)) : h("span", { class: "dim" }, "nothing"));

function offset(ms) {
  const text = (Math.abs(ms) < 50 ? "" : ms > 0 ? "+" : "−") + (Math.abs(ms) / 1000).toFixed(1) + " s";
  return Math.abs(ms) < clockLimit ? text : h("span", { class: "bad-text" }, text);
}

// urgency has those first that no host runs, then those that change their host.
const urgency = (u) => (u.host || u.moves_to ? (u.moves_to ? 1 : 2) : 0);

const tones = { problem: "bad", warning: "wait" };
const finding = (f) => say(tones[f.level] ?? "wait", f.level, [h("b", {}, f.detail), ". ", f.advice[0].toUpperCase() + f.advice.slice(1), "."]);

function view(ctx, c, only) {
  const alive = c.members.filter((m) => m.alive).length;
  const units = c.units.filter((u) => !only || u.host === only).sort((a, b) => urgency(a) - urgency(b));
  const seen = `as ${c.host} ${c.age_ms < shownAge ? "sees it" : `saw it ${ago(Date.now() - c.age_ms)}`}`;
  return [
    h("div", { class: "head" }, h("h1", {}, "Cluster"), h("span", { class: "dim" }, `${c.problem ? plural(c.members.length, "host") : `${num(alive)} of ${plural(c.members.length, "host")} alive`} · ${handlersOf(c.units) || "no handlers"} · ${seen}`)),
    c.findings.length ? c.findings.map(finding) : say("ok", "all well", "All hosts are alive, and every handler has a host."),
    panel("Hosts", { flush: true }, table({ label: "Hosts", items: c.members, key: (m) => m.id, columns: [
      { title: "Host", main: true, cell: (m) => [h("b", {}, m.name), m.name === c.host ? h("span", { class: "dim" }, " this host") : null, h("div", { class: "dim" }, m.url.startsWith("https:") ? link(m.url, m.url) : code(m.url))] },
      { title: "State", plain: true, cell: (m) => state(c, m) },
      { title: "", hint: "actions", plain: true, cell: (m) => buttons(ctx, [action(c, m)], { small: true }) },
      { title: "Runs", cell: (m) => runs(ctx, c, m) },
      { title: "Version", cell: (m) => [m.version, h("div", { class: "dim nowrap" }, "since ", when(m.started_at))] },
      { title: "Renewed", class: "nowrap", hint: "Its lease, every 0.75 s; after 3 s the other hosts take its handlers", cell: (m) => ago(Date.now() - m.age_ms) },
      { title: "Clock", num: true, hint: "Ahead of the database's", cell: (m) => offset(m.clock_offset_ms) },
    ], empty: h("div", { class: "empty" }, "No host has joined yet.") })),
    panel(only ? `Handlers and jobs of ${only}` : "Handlers and jobs", { aside: only ? link(ctx.with({ host: null }), "All hosts") : h("span", { class: "dim" }, "each runs on one host"), flush: true },
      table({ label: "Handlers and jobs", items: units, key: (u) => u.name, columns: [
        { title: "Handler or job", main: true, cell: (u) => (u.kind === "handler" ? link(handlerUrl(u.name.split("/")[0]), u.name) : [code(u.name), h("span", { class: "dim" }, " job")]) },
        { title: "Runs on", cell: (u) => u.host || (c.problem ? h("span", { class: "dim" }, "not known") : h("span", { class: u.moves_to ? "dim" : "bad-text" }, "no host")) },
        { title: "Epoch", num: true, hint: "Grows each time a host takes it", cell: (u) => num(u.epoch) },
        { title: "Note", plain: true, cell: (u) => (c.problem ? null : u.moves_to ? `goes to ${u.moves_to}` : u.host ? null : "no live host takes it") },
      ], empty: h("div", { class: "empty" }, only ? `${only} runs nothing.` : "There is nothing to run yet.") })),
    commands(ctx, [{ label: "Status", cli: "berth cluster status", method: "GET", path: "/cluster" }, ...c.members.slice(0, 1).map((m) => action(c, m))]),
  ];
}
