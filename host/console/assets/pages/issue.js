// Issue: what fails, since which version, who is affected, what can I do?

import { get, post } from "../api.js";
import { arg, buttons, commands } from "../action.js";
import { code, h, link, panel, say, stat, statePill, table, when } from "../ui.js";
import { clock, num, plural, unit } from "../format.js";
import { barChart } from "../chart.js";
import { frameText } from "./overview.js";

export default async function issue(ctx) {
  ctx.title("Issue");
  const path = "/issues/" + encodeURIComponent(ctx.params.id);
  const state = { plugin: null, markers: [], read: 0 };
  await ctx.every(2000, async () => {
    const i = await get(path, {}, ctx.signal);
    const name = encodeURIComponent(i.handler);
    const requests = [get(`/events/plugins/${name}`, {}, ctx.signal).catch(absent)];
    if (Date.now() - state.read > 15_000) requests.push(get("/series", { plugin: i.handler, range: "1h" }, ctx.signal).catch(absent));
    const [plugin, series] = await Promise.all(requests);
    state.plugin = plugin;
    if (series) Object.assign(state, { markers: series.markers ?? [], read: Date.now() });
    ctx.title(`Issue ${i.id}`);
    ctx.show(view(ctx, i, state, path));
  });
}

const absent = (err) => {
  if (err.name === "AbortError" || err.status === 401) throw err;
  return null;
};

function view(ctx, i, { plugin, markers }, path) {
  const actions = stateActions(i, path);
  const remedies = remediesOf(ctx, i, plugin);
  const lines = String(i.message).split("\n");
  const minutes = i.minutes ?? [];
  return [
    h("div", { class: "head" }, h("h1", {}, lines[0]), statePill(i.state), h("span", { class: "dim" }, `issue #${i.id} · `, link("/handlers/" + encodeURIComponent(i.handler), unit(i)), ` · ${i.class}`,
      i.frame ? [" in ", code(`${i.frame.function} ${i.frame.file ? frameText(i.frame) : ""}`.trim())] : null), buttons(ctx, actions)),
    i.state_at ? h("p", { class: "dim" }, `${i.state} by ${i.state_by || "the host"} `, when(i.state_at), i.note ? [": ", h("b", {}, i.note)] : "",
      i.reopened ? ` · reopened ${plural(i.reopened, "time")}` : "") : null,
    h("div", { class: "grid g4" },
      stat("Times", num(i.count), { note: [when(i.first_seen), " to ", when(i.last_seen)] }),
      stat("Keys affected", num(i.key_count), { note: i.keys.slice(0, 3).map((key, n) => [n ? ", " : "", link("/events?subject=" + encodeURIComponent(key), key)]) }),
      stat("First seen in", i.versions[0] ?? "–", { note: i.versions.length > 1 ? `also ${i.versions.slice(1).join(", ")}` : versionNote(i, markers) }),
      stat("Dead letters", num(i.dead), { note: i.dead ? link(`/dead-letters?plugin=${encodeURIComponent(i.handler)}&class=${encodeURIComponent(i.class)}`, "list") : "none so far" })),
    panel("Failures a minute", { aside: h("span", { class: "dim" }, `last hour · ${plural(minutes.reduce((sum, n) => sum + n, 0), "failure")}`) },
      barChart({ label: "Failures a minute", values: minutes, start: (Math.floor(Date.now() / 60_000) + 1 - minutes.length) * 60_000, stepS: 60, tone: "bad", height: 96, format: num,
        markers: markers.filter((m) => !m.plugin || m.plugin === i.handler).map((m) => ({ at: m.at, text: m.version || m.sha256.slice(0, 8) })) })),
    advice(ctx, i, plugin, remedies),
    commands(ctx, [...remedies, ...actions]),
    h("section", { class: "panel", "aria-label": "Latest failures" }, h("header", {}, h("h2", {}, "Latest failures"),
      link(`/events?handler=${encodeURIComponent(i.handler)}&class=${encodeURIComponent(i.class)}`, "All events with this class")),
    table({ label: "Latest failures", items: i.latest ?? [], key: (f) => f.event_id + f.at, href: (f) => eventUrl(i, f), columns: [
      { title: "When", plain: true, class: "mono nowrap", cell: (f) => when(f.at) },
      { title: "Event", main: true, cell: (f) => link(eventUrl(i, f), code(f.event_id)) },
      { title: "Key", cell: (f) => f.key || "–" },
      { title: "Attempt", num: true, cell: (f) => num(f.attempt) },
      { title: "Version", cell: (f) => f.version || "–" },
      { title: "Last log line", cell: (f) => h("span", { class: "dim" }, f.log || "–") },
    ], empty: h("div", { class: "empty" }, "The host keeps the latest failures in memory; none has occurred since it started.") })),
    lines.length > 1 ? panel("Text of the first failure", {}, h("pre", { tabindex: "0" }, i.message)) : null,
  ];
}

const eventUrl = (i, f) => `/events/${encodeURIComponent(f.event_id)}?plugin=${encodeURIComponent(i.handler)}`;

function versionNote(i, markers) {
  const marker = markers.find((m) => m.version === i.versions[0]);
  return marker ? `active since ${clock(marker.at)}` : "only there";
}

const notes = [{ name: "note", label: "Note", hint: "Optional. Whoever opens the issue sees it." }];

function stateActions(i, path) {
  const change = (label, action, verb, text, more = {}) => ({ label, scope: "operate", method: "POST", path: `${path}/${action}`, body: {}, cli: `berth issues ${verb} ${i.id}`,
    done: (answer) => `Issue ${i.id} is ${answer.state}`, input: (v) => (v.note ? { note: v.note } : {}), ask: { text, fields: notes, confirm: label }, ...more });
  const list = [];
  if (i.state === "open") list.push(change("Acknowledge", "acknowledge", "ack", "", { ask: null }));
  if (i.state === "open" || i.state === "acknowledged") {
    list.push(change("Ignore", "ignore", "ignore", "Further failures are counted, and nothing reopens the issue."));
    list.push(change("Resolve", "resolve", "resolve", "Another failure of this kind opens it again.", { kind: "primary" }));
  } else {
    list.push(change("Reopen", "reopen", "reopen", "", { ask: null, kind: "primary" }));
  }
  return list;
}

// remediesOf are the actions on the handler and on the events that failed.
function remediesOf(ctx, i, plugin) {
  const name = arg(i.handler), at = `/events/plugins/${encodeURIComponent(i.handler)}`;
  const operation = (label, kind, cli, waits) => {
    const body = { kind, plugin: i.handler, name: `issue ${i.id}`, filter: { issue: i.id } };
    return { label, scope: "operate", method: "POST", path: "/operations", body, cli,
      ask: { title: label, text: waits, confirm: label, preview: async () => {
        const found = await post("/operations", { ...body, preview: true });
        return `${found.exact ? "" : "at least "}${plural(found.matches, "event matches", "events match")}`;
      } },
      done: (op) => `Started operation ${op.id}`, then: (op) => ctx.go("/operations/" + encodeURIComponent(op.id)) };
  };
  const version = plugin?.file ? [] : [{ name: "version", label: "Version", hint: "Empty: the version before this one." }];
  return [
    plugin?.state === "paused"
      ? { label: "Resume", scope: "operate", method: "POST", path: at + "/resume", cli: `berth plugin resume ${name}`, done: () => `${i.handler} takes events again` }
      : plugin && plugin.state !== "disabled" ? { label: "Pause", scope: "operate", method: "POST", path: at + "/pause", cli: `berth plugin pause ${name}`,
        done: () => `${i.handler} is paused: its events wait` } : null,
    plugin && !plugin.file ? { label: "Roll back", scope: "install", method: "POST", path: at + "/rollback", body: {}, cli: `berth plugin rollback ${name}`,
      ask: { text: `${i.handler} ${plugin.version} is replaced by a former version.`, fields: version, confirm: "Roll back" }, input: (v) => (v.version ? { version: v.version } : {}),
      done: (answer) => `${i.handler} runs ${answer?.version ?? "the former version"}` } : null,
    i.dead ? operation("Redrive dead letters", "redrive", `berth issues redrive ${i.id}`, `${i.handler} gets the dead letters of this issue again, from their first attempt.`) : null,
    plugin?.lag && operation("Retry what waits", "retry", `berth issues retry ${i.id}`, `The events of this issue that wait for their next attempt are tried now.`),
  ].filter(Boolean);
}

function advice(ctx, i, plugin, remedies) {
  if (i.state === "resolved") return say("ok", "resolved", "Another failure of this kind opens the issue again.", buttons(ctx, remedies));
  const waits = plugin?.lag ? `${plural(plugin.lag, "event waits", "events wait")} for ${i.handler}. ` : "";
  const replace = plugin?.file ? ["copy a fixed file over ", h("code", { title: plugin.file }, plugin.file.split("/").slice(-2).join("/"))] : ["install another version"];
  const back = plugin?.file ? "" : " Or roll back.";
  let text;
  if (!plugin) text = `${i.handler} is not there any more.`;
  else if (plugin.state === "paused") text = [`${i.handler} is paused. ${waits}Now `, replace, ", resume it, and retry what waits.", back];
  else if (plugin.state === "breaker_open") text = [`${i.handler} fails so often that its breaker is open. ${waits}Pause it, `, replace, ", and resume it.", back];
  else if (i.versions.length && plugin.version && !i.versions.includes(plugin.version)) text = `${i.handler} runs ${plugin.version} now, in which this did not occur. ${waits}Retry what waits, then resolve the issue.`;
  else text = [`${waits}Pause ${i.handler}, `, replace, ", resume it, and retry what waits.", back];
  return say("wait", "what you can do", text, buttons(ctx, remedies));
}
