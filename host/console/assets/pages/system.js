// System: is the machine fit for the host, how full is the log, which version runs, and where is the backup?

import { get } from "../api.js";
import { commands } from "../action.js";
import { code, copy, h, kv, link, panel, pill, say, stat, table, when } from "../ui.js";
import { bytes, num, plural, span } from "../format.js";
import { handlerUrl } from "../plugin.js";

const tones = { ok: "ok", warning: "wait", problem: "bad" };

export default async function system(ctx) {
  if (!ctx.need("operate")) return;
  ctx.title("System");
  const state = { overview: null, log: null, doctor: null, at: 0, stored: null, examining: false };
  const render = () => { if (state.overview && state.log) ctx.show(view(ctx, state, examine, verify)); };
  ctx.overview((o) => { state.overview = o; render(); });
  const examine = async () => {
    if (state.examining) return;
    state.examining = true;
    render();
    try {
      state.doctor = await get("/doctor", {}, ctx.signal);
      state.at = Date.now();
    } finally {
      state.examining = false;
    }
    render();
  };
  const verify = async () => {
    state.stored = (await get("/plugins/verify", {}, ctx.signal)).items;
    render();
  };
  await ctx.every(5000, async () => {
    [state.log, state.overview] = await Promise.all([get("/events/log", {}, ctx.signal), get("/overview", {}, ctx.signal)]);
    render();
  });
  await examine();
}

function view(ctx, state, examine, verify) {
  const { overview: o, log, doctor } = state;
  const full = log.max_bytes ? log.bytes / log.max_bytes : 0;
  const used = o.disk.total_bytes ? 1 - o.disk.free_bytes / o.disk.total_bytes : 0;
  const bar = (part) => h("div", { class: "bar " + (part > 0.9 ? "bad" : ""), vars: { "--share": part * 100 + "%" }, "aria-hidden": "true" }, h("i", {}));
  const backup = `berth backup berth-${new Date().toISOString().slice(0, 10)}.tar`;
  return [
    h("div", { class: "head" }, h("h1", {}, "System"), h("span", { class: "dim" }, `${o.host} · Berth ${o.version} · up ${span(Date.now() - Date.parse(o.started_at))}`),
      h("div", { class: "acts" }, h("button", { type: "button", "aria-busy": state.examining ? "true" : null, "data-action": "Examine", on: { click: examine } }, "Examine again"))),
    standing(o, log, doctor),
    h("div", { class: "grid g4" },
      stat("Ready", o.ready ? "yes" : "no", { note: o.ready ? "takes events" : o.problem }),
      stat("Disk free", bytes(o.disk.free_bytes), { note: [`of ${bytes(o.disk.total_bytes)}`, bar(used)] }),
      stat("Memory", bytes(o.memory_bytes), { note: "resident, of the host" }),
      stat("Event log", bytes(log.bytes), { note: log.max_bytes ? [`of at most ${bytes(log.max_bytes)}`, bar(full)] : plural(log.events, "event") })),
    panel("What the doctor finds", { aside: h("span", { class: "dim" }, state.examining ? "examining…" : state.at ? ["examined ", when(state.at)] : ""), flush: true }, doctor
      ? table({ label: "What the doctor finds", items: [...doctor.checks].sort((a, b) => rank(a) - rank(b)), columns: [
        { title: "Check", main: true, cell: (f) => f.check },
        { title: "Result", cell: (f) => pill(tones[f.level] ?? "idle", f.level) },
        { title: "Found", plain: true, cell: (f) => [f.detail, f.advice ? h("div", {}, h("b", {}, "Do: "), f.advice) : null] },
      ] }) : h("div", { class: "more dim" }, "The checks take a moment.")),
    h("div", { class: "grid g2" },
      panel("Event log", {}, kv([["Engine", log.engine], ["Events", num(log.events)], ["Positions", `${num(log.first_seq)} to ${num(log.last_seq)}`], ["Oldest", when(log.oldest_at, { full: true })],
        ["Kept for", log.retention_s ? span(log.retention_s * 1000) : "ever"], ["Store on disk", bytes(o.disk.store_bytes)], log.problem ? ["Problem", h("span", { class: "bad-text" }, log.problem)] : null])),
      panel("Backup", {}, h("p", {}, "A backup has the events, outcomes, orders, kv, configuration, plugins and the audit log, as of one moment. It needs the admin token, and is made while the host runs."),
        [backup, `curl -X POST -H "Authorization: Bearer $BERTH_TOKEN" -o berth.tar ${location.origin}/api/v1/backup`].map((t) => h("div", { class: "cli" }, h("div", { class: "line" }, code(t), copy(t)))))),
    panel("How far the handlers are", { flush: true }, table({ label: "How far the handlers are", items: log.handlers, key: (r) => r.plugin, href: (r) => handlerUrl(r.plugin), columns: [
      { title: "Handler", main: true, cell: (r) => link(handlerUrl(r.plugin), r.plugin) }, { title: "Position", num: true, cell: (r) => num(r.cursor) }, { title: "Lag", num: true, cell: (r) => num(r.lag) },
      { title: "Open", num: true, hint: "Read and not final", cell: (r) => num(r.open) }, { title: "Dead letters", num: true, cell: (r) => num(r.dead) },
      { title: "Lost", num: true, hint: "Events that the log lost before it had them, since the host started", cell: (r) => num(r.lost) }, { title: "Oldest", class: "nowrap", cell: (r) => when(r.oldest_at) },
    ], empty: h("div", { class: "empty" }, "No handler has a position in the log.") })),
    panel("Installed versions on disk", { flush: true, aside: h("button", { type: "button", class: "small", on: { click: verify } }, "Hash them") }, state.stored
      ? table({ label: "Installed versions on disk", items: state.stored, key: (v) => v.plugin + v.version, columns: [
        { title: "Plugin", main: true, cell: (v) => link(handlerUrl(v.plugin), v.plugin) }, { title: "Version", cell: (v) => [v.version, v.current ? [" ", pill("ok", "current")] : ""] },
        { title: "Result", cell: (v) => (v.ok ? pill("ok", "as locked") : [pill("bad", "differs"), h("div", {}, v.problem)]) }, { title: "Source", cell: (v) => code(v.source) }, { title: "Signed by", cell: (v) => v.signed_by || "–" },
      ], empty: h("div", { class: "empty" }, "No plugin is installed: files of watched directories are not in the lock.") })
      : h("div", { class: "more dim" }, "Compares every stored version with the lock file.")),
    panel("This session", {}, kv([["Token", `${ctx.session.data.name}${ctx.session.data.token ? ` (${ctx.session.data.token})` : ""}`], ["Scopes", ctx.session.data.scopes.join(", ")],
      ["Ends", when(ctx.session.data.expires, { full: true })], ["API", h("a", { href: "/openapi.json" }, "its description (OpenAPI)")]])),
    commands(ctx, [{ label: "Doctor", cli: "berth doctor", method: "GET", path: "/doctor" }, { label: "Event log", cli: "berth events log", method: "GET", path: "/events/log" }, { label: "Verify", cli: "berth plugin verify", method: "GET", path: "/plugins/verify" }]),
  ];
}

const rank = (f) => ["problem", "warning", "ok"].indexOf(f.level);

function standing(o, log, doctor) {
  if (!o.ready) return say("bad", "not ready", [o.problem || "The host is starting", "."]);
  if (log.problem) return say("bad", "event log", log.problem);
  if (log.full) return say("bad", "full", "The event log is full: the host refuses events. Repair slow handlers, or raise bus.max_size.");
  if (doctor?.problems) {
    const first = doctor.checks.find((f) => f.level === "problem");
    return say("bad", plural(doctor.problems, "problem"), [h("b", {}, first.check), ": ", first.detail, ". ", first.advice, "."]);
  }
  if (doctor?.warnings) {
    const first = doctor.checks.find((f) => f.level === "warning");
    return say("wait", plural(doctor.warnings, "warning"), [h("b", {}, first.check), ": ", first.detail, ". ", first.advice, "."]);
  }
  return say("ok", "ready", doctor ? "The host takes events, and the doctor finds nothing to mend." : "The host takes events.");
}
