// Event: what happened to it, why is it waiting, until when, and what came of it?

import { get, post } from "../api.js";
import { arg, button, buttons, commands, curl } from "../action.js";
import { code, copy, deliveryPill, h, id, json, kv, link, panel, pill, say, when } from "../ui.js";
import { ago, clock, millis, ms, num, plural, short, span, stamp, unit } from "../format.js";
import { frameText } from "./overview.js";
import { publisher } from "./events.js";

export default async function event(ctx) {
  ctx.title("Event");
  const path = "/events/" + encodeURIComponent(ctx.params.id);
  const state = { tree: null, explanation: null, explained: "" };
  await ctx.every(1500, async () => {
    const e = await get(path, {}, ctx.signal);
    const deliveries = e.deliveries ?? [];
    const status = deliveries.map((d) => unit(d) + d.status + d.attempts).join();
    if (state.explained !== status) { // something changed: so may what came of it
      [state.tree, state.explanation] = await Promise.all([
        get(`/events/${encodeURIComponent(e.metadata.event_id)}/tree`, {}, ctx.signal).catch(absent), // the path may have its key
        post("/events/explain", draftOf(e), { signal: ctx.signal }).catch(absent),
      ]);
      state.explained = status;
    }
    ctx.title(`${e.event_type} ${e.metadata.subject}`.trim());
    ctx.show(view(ctx, e, deliveries, state));
    return deliveries.every(isFinal) ? 6000 : 1500;
  });
}

const absent = (err) => {
  if (err.name === "AbortError" || err.status === 401) throw err;
  return null;
};
const isFinal = (d) => d.status === "ok" || d.status === "dead";

// draftOf is the event as a producer would publish it.
function draftOf(e, changes = {}) {
  const metadata = { subject: e.metadata.subject, source: e.metadata.source };
  for (const name of Object.keys(metadata)) if (!metadata[name]) delete metadata[name];
  return { event_type: e.event_type, data: e.data, metadata, ...changes };
}

// publishedAt is the host's time in the event's id, a UUIDv7; the producer's time when the id is another one.
function publishedAt(e) {
  const hex = /^([0-9a-f]{8})-([0-9a-f]{4})-7/.exec(e.metadata.event_id);
  return hex ? parseInt(hex[1] + hex[2], 16) : millis(e.metadata.time);
}

function view(ctx, e, deliveries, state) {
  const key = e.metadata.event_id;
  const path = "/events/" + encodeURIComponent(key);
  const handled = deliveries.filter((d) => d.status === "ok").length;
  const open = deliveries.filter((d) => d.status !== "ok");
  const tone = deliveries.some((d) => d.status === "dead") ? "bad" : open.length ? "wait" : deliveries.length ? "ok" : "idle";
  const selected = select(ctx, deliveries);
  const actions = actionsOf(ctx, e, deliveries, path, selected);
  const notTaken = (state.explanation?.handlers ?? []).filter((x) => !deliveries.some((d) => d.plugin === x.plugin));
  return [
    h("div", { class: "head" }, h("h1", {}, e.event_type), id(e.metadata.idempotency_key),
      pill(tone, deliveries.length ? `${handled} of ${deliveries.length} handled` : "no handler"), buttons(ctx, actions)),
    commands(ctx, actions),
    deliveries.length ? null : say("idle", "no handler", [state.explanation?.reason ? `No handler has it: ${state.explanation.reason}.` : "No handler takes this event."]),
    h("section", { class: "panel", "aria-label": "Deliveries" },
      h("header", {}, h("h2", {}, "Deliveries"), h("span", { class: "dim" }, "published ", when(publishedAt(e), { full: true }), " by ", publisher(e))),
      h("div", { class: "in stack" }, deliveries.length ? lanes(ctx, e, deliveries, selected, path) : null,
        notTaken.length ? h("details", { open: deliveries.length === 0 }, h("summary", {}, `Why not ${notTaken.length === 1 ? notTaken[0].plugin : "the other " + num(notTaken.length)}?`),
          h("dl", { class: "kv" }, notTaken.map((x) => [h("dt", {}, link("/handlers/" + encodeURIComponent(x.plugin), x.plugin)), h("dd", {}, x.reason)]))) : null)),
    h("div", { class: "grid g2" },
      selected ? attempt(ctx, selected) : h("div", {}),
      h("div", { class: "stack" },
        state.tree ? panel("What came of it", { aside: link("/events?correlation_id=" + encodeURIComponent(e.metadata.correlation_id), "As a list") }, tree(state.tree, key)) : null,
        panel("Event", { aside: copy(JSON.stringify(envelope(e), null, 2), "Copy", "the envelope") },
          kv([["Id", id(key)], ["Subject", e.metadata.subject ? link("/events?subject=" + encodeURIComponent(e.metadata.subject), e.metadata.subject) : "–"],
            ["Seq", num(e.seq)], e.only ? ["Only for", e.only] : null,
            e.copy_of ? ["Copy of", id(e.copy_of, "/events/" + encodeURIComponent(e.copy_of))] : null,
            e.metadata.causation_id ? ["Caused by", id(e.metadata.causation_id, "/events/" + encodeURIComponent(e.metadata.causation_id))] : null]),
          json(envelope(e))))),
  ];
}

const envelope = (e) => ({ event_type: e.event_type, data: e.data, metadata: e.metadata });

// actions

function actionsOf(ctx, e, deliveries, path, selected) {
  const key = arg(e.metadata.idempotency_key);
  const open = deliveries.filter((d) => d.status === "retrying" || d.status === "dead");
  const retried = (answer) => `Retries now: ${plural(answer.plugins.length, "delivery", "deliveries")}`;
  const blocked = selected && selected.delivery.status !== "ok" && selected.delivery.status !== "dead" ? selected.delivery : null;
  return [
    open.length ? { label: "Retry now", kind: "primary", scope: "operate", method: "POST", path: path + "/retry", body: open.length === 1 ? { plugin: open[0].plugin } : {},
      cli: `berth events retry ${key}` + (open.length === 1 ? ` --plugin ${arg(open[0].plugin)}` : ""), done: retried } : null,
    blocked ? skip(e, blocked, path) : null,
    ctx.may("publish") ? { label: "Publish an edited copy", scope: "operate", method: "POST", path: path + "/copy", body: { data: e.data },
      cli: `berth events copy ${key} --edit`,
      ask: { title: "Publish an edited copy", confirm: "Publish", text: "The copy is a new event with a new key. This event stays as it is.",
        fields: [{ name: "data", label: "Data (JSON)", rows: 12, value: JSON.stringify(e.data, null, 2) }, { name: "event_type", label: "Type", value: e.event_type },
          { name: "subject", label: "Subject", value: e.metadata.subject, hint: "Its events come in order." },
          { name: "plugin", label: "For", options: [["", "every handler that takes it"], ...deliveries.map((d) => [d.plugin, "only " + d.plugin])] }] },
      input: (v) => {
        const body = { data: parse(v.data), event_type: v.event_type, subject: v.subject, plugin: v.plugin };
        for (const name of ["event_type", "subject", "plugin"]) if (!body[name] || body[name] === e[name] || body[name] === e.metadata[name]) delete body[name];
        return body;
      },
      done: (receipt) => (receipt.routed === false ? "Published, but no route takes it" : "Published"),
      then: (receipt) => ctx.go("/events/" + encodeURIComponent(receipt.event_id)) } : null,
    { label: "Copy as curl", run: async () => navigator.clipboard.writeText(curl("POST", "/events", draftOf(e))), done: () => "Copied: a command that publishes this event", then: () => {} },
  ];
}

const skip = (e, d, path) => ({ label: "Skip", kind: "danger", scope: "operate", method: "POST", path: path + "/skip", body: { plugin: d.plugin },
  cli: `berth events skip ${arg(e.metadata.idempotency_key)} --plugin ${arg(d.plugin)}`,
  ask: { title: `Skip this event for ${d.plugin}`, confirm: "Skip it",
    text: `${d.plugin} does not get this event: it becomes a dead letter, which can be redriven. Later events of ${e.metadata.subject ? "the key " + e.metadata.subject : "its key"} go on.`,
    fields: [{ name: "note", label: "Note for the audit log", hint: "Optional." }] },
  input: (v) => (v.note ? { plugin: d.plugin, note: v.note } : { plugin: d.plugin }), done: () => "Skipped: it is a dead letter now" });

function parse(text) {
  try {
    return JSON.parse(text);
  } catch (err) {
    throw new Error("The data is not JSON: " + err.message);
  }
}

// lanes

// attemptsOf lists the attempts that are known, the oldest first, each with its start and end in milliseconds.
function attemptsOf(d) {
  const list = (d.history ?? []).map((a) => ({ ...a, end: millis(a.at), start: millis(a.at) - a.duration_ms }));
  const last = list.at(-1);
  if (isFinal(d) && d.result_kept !== false && d.attempts > 0 && (!last || last.status !== d.status)) {
    list.push({ attempt: d.attempts, status: d.status, error: d.error, duration_ms: d.duration_ms, fuel: d.fuel, at: d.at, version: d.version, sha256: d.sha256,
      logs: [], end: millis(d.at), start: millis(d.at) - d.duration_ms });
  }
  if (!isFinal(d) && list.length === 0 && d.error) {
    list.push({ attempt: d.attempts, status: "retrying", error: d.error, duration_ms: d.duration_ms, fuel: d.fuel, at: d.at, version: d.version, sha256: d.sha256,
      logs: [], end: millis(d.at), start: millis(d.at) - d.duration_ms });
  }
  return list;
}

// select returns the attempt of the URL; without one the last attempt of the delivery that needs attention.
function select(ctx, deliveries) {
  const plugin = ctx.query.get("plugin");
  const order = { dead: 0, retrying: 1, delivering: 2, pending: 3, ok: 4 };
  const d = deliveries.find((x) => unit(x) === plugin) ?? deliveries.find((x) => x.plugin === plugin) ?? [...deliveries].sort((x, y) => order[x.status] - order[y.status])[0];
  if (!d) return null;
  const list = attemptsOf(d);
  const index = plugin && ctx.query.has("attempt") ? Math.min(Number(ctx.query.get("attempt")) || 0, list.length - 1) : list.length - 1;
  return { delivery: d, attempts: list, index, attempt: list[index] ?? null };
}

function lanes(ctx, e, deliveries, selected, path) {
  const now = Date.now(), from = Math.min(publishedAt(e), ...deliveries.flatMap((d) => attemptsOf(d).map((a) => a.start)));
  const ends = deliveries.flatMap((d) => [millis(d.due_at), ...attemptsOf(d).map((a) => a.end), isFinal(d) ? millis(d.at) : now]).filter((t) => !Number.isNaN(t));
  const to = Math.max(from + 1, ...ends), long = to - from;
  const bar = (start, end) => ({ "--from": Math.max(0, (start - from) / long) * 100 + "%", "--long": Math.max(0, (Math.min(end, to) - start) / long) * 100 + "%" });
  const lane = (d) => {
    const list = attemptsOf(d), marks = [];
    let at = publishedAt(e);
    const wait = (until, why, off) => { if (until > at) marks.push(h("i", { class: "w" + (off ? " off" : ""), vars: bar(at, until), title: `${why}: ${span(until - at)}` })); };
    list.forEach((a, i) => {
      wait(a.start, i === 0 ? "waited for its first attempt" : "waited for the next attempt");
      const here = selected?.delivery === d && selected.index === i;
      marks.push(h("a", { class: a.status === "ok" ? "r-ok" : "r-bad", href: ctx.with({ plugin: unit(d), attempt: i }), vars: bar(a.start, a.end), "aria-current": here ? "true" : null,
        title: `attempt ${a.attempt}, ${clock(a.at)}: ${a.status === "ok" ? "ok" : a.error?.class ?? a.status}, ran ${ms(a.duration_ms)}`,
        "aria-label": `${unit(d)}, attempt ${a.attempt}: ${a.status === "ok" ? "ok" : a.error?.class ?? a.status}` }));
      at = a.end;
    });
    if (d.status === "delivering") marks.push(h("a", { class: "r-run", href: ctx.with({ plugin: unit(d) }), vars: bar(millis(d.at), now), title: "runs now", "aria-label": unit(d) + " runs now" }));
    else if (!isFinal(d)) wait(Math.max(now, millis(d.due_at) || 0), "waits", d.waiting_for?.kind === "pause" || d.waiting_for?.kind === "disabled");
    return h("div", { class: "lane" }, marks);
  };
  const acts = (d) => (d.status === "retrying" || d.status === "dead" ? retryOne(e, d, path) : null);
  return h("div", { class: "lanes" }, deliveries.map((d) => [
    h("div", { class: "lane-name" }, link("/handlers/" + encodeURIComponent(d.plugin), unit(d)), " ", d.version ? h("span", { class: "dim" }, d.version) : null),
    lane(d),
    h("div", { class: "lane-state line" }, deliveryPill(d.status), d.status === "ok" && d.result_kept !== false ? h("span", { class: "dim num" }, ms(d.duration_ms)) : null,
      deliveries.length > 1 && ctx.may("operate") && acts(d) ? button(ctx, acts(d), true) : null),
    waiting(d) ? h("div", { class: "why" }, waiting(d)) : null,
  ]), h("div", { class: "scale", "aria-hidden": "true" }, h("span", {}, clock(from)), h("span", {}, `+ ${span(long)}`)),
  h("div", { class: "scale key" }, h("span", {}, h("i", { class: "w" }), "waiting"), h("span", {}, h("i", {}), "ran, ok"), h("span", {}, h("i", { class: "b" }), "ran, failed")));
}

const retryOne = (e, d, path) => ({ label: "Retry", scope: "operate", method: "POST", path: path + "/retry", body: { plugin: d.plugin },
  cli: `berth events retry ${arg(e.metadata.idempotency_key)} --plugin ${arg(d.plugin)}`, done: () => `${d.plugin} tries it again now` });

// waiting says what a delivery waits for, and until when.
function waiting(d) {
  const w = d.waiting_for;
  if (!w) return d.status === "retrying" && d.due_at ? ["Waits until ", when(d.due_at), ", ", ago(d.due_at), ", for attempt ", num(d.attempts + 1), "."] : null;
  const until = w.until ?? d.due_at;
  const then = until ? [" until ", when(until), ", ", ago(until)] : "";
  switch (w.kind) {
    case "retry": return ["Waits", then, ", for attempt ", num(d.attempts + 1), "."];
    case "key": return ["Waits behind ", w.event_id ? link("/events/" + encodeURIComponent(w.event_id), "an earlier event") : "an earlier event", " of the same key", w.until ? [", which is tried again at ", when(w.until)] : "", "."];
    case "breaker": return ["Waits because the breaker is open", then, ": the handler failed too often in a row."];
    case "pause": return ["Waits because ", h("b", {}, d.plugin), " is paused."];
    case "disabled": return ["Waits because ", h("b", {}, d.plugin), " does not run", w.reason ? `: ${w.reason}` : "", "."];
    case "instance": return ["Waits for a free instance", then, "."];
    case "backlog": return ["Waits because ", h("b", {}, d.plugin), " works on earlier events."];
    case "stuck": return ["Waits because the log cannot be read: ", w.reason, "."];
    default: return [w.reason || `Waits: ${w.kind}`, then, "."];
  }
}

// attempt shows one attempt.
function attempt(ctx, { delivery: d, attempts, index, attempt: a }) {
  const turn = (to, text) => (attempts[to] ? link(ctx.with({ plugin: unit(d), attempt: to }), text) : null);
  if (!a) {
    return panel(unit(d), {}, h("p", {}, d.status === "delivering" ? "Its first attempt runs now." : d.result_kept === false ? "It succeeded; an older version of the host did not keep the result." : "No attempt was made yet."),
      waiting(d) ? h("p", {}, waiting(d)) : null);
  }
  const lines = String(a.error?.message ?? "").split("\n");
  return panel([unit(d), ` · attempt ${a.attempt} · `, when(a.at)], {
    aside: h("span", { class: "line" }, turn(index - 1, "‹ earlier"), h("span", { class: "dim" }, `${index + 1} of ${attempts.length}`), turn(index + 1, "later ›")) },
  a.error ? h("div", { class: "line" }, h("b", {}, lines[0]), pill("bad", a.error.class)) : h("div", { class: "line" }, pill("ok", "ok"), h("span", {}, "The handler took it.")),
  a.error?.stack?.length ? stack(a.error.stack) : lines.length > 1 ? h("pre", { tabindex: "0", "aria-label": "Output of the guest" }, lines.slice(1).join("\n")) : null,
  h("h3", {}, "Log of this attempt"),
  a.logs?.length ? logs(a.logs) : h("p", { class: "dim" }, a.status === "ok" ? "Not kept: a success keeps its log when the handler sets logs: keep." : "The handler logged nothing."),
  kv([["Ran", ms(a.duration_ms)], ["Fuel", a.fuel ? num(a.fuel) : "–"], a.version ? ["Version", a.version] : null,
    a.sha256 ? ["Module", h("span", {}, code(a.sha256.slice(0, 12)), " ", copy(a.sha256))] : null, a.instance ? ["Instance", num(a.instance)] : null,
    ["Ended", stamp(a.at)]]),
  d.status === "ok" && index === attempts.length - 1 && d.result !== null && d.result !== undefined ? [h("h3", {}, "Result"), json(d.result)] : null,
  a.error?.stack?.length && lines.length > 1 ? h("details", {}, h("summary", {}, "Text of the failure"), h("pre", { tabindex: "0" }, lines.join("\n"))) : null,
  a.error ? h("p", {}, link(`/issues?handler=${encodeURIComponent(d.plugin)}&class=${encodeURIComponent(a.error.class)}&state=all`, "Issues of this handler with this class")) : null);
}

function stack(frames) {
  const where = (f) => (f.file ? `${f.file.split("/").slice(-2).join("/")}${f.line ? ":" + f.line : ""}` : "");
  const width = Math.min(44, Math.max(...frames.map((f) => f.function.length)));
  return h("pre", { tabindex: "0", "aria-label": "Stack, innermost call first", "data-stack": frameText(frames[0]) }, frames.map((f, i) => {
    const text = `${f.function.padEnd(width)}  ${where(f)}`.trimEnd();
    return h("span", { class: i === 0 ? "hl" : null, title: f.file || null }, text + "\n");
  }));
}

const logs = (lines) => h("pre", { tabindex: "0", "aria-label": "Log of this attempt" }, h("span", { class: "loglines" }, lines.map((l) => [
  h("span", { class: "dim" }, stamp(l.at).slice(11)), h("span", { class: "lv-" + l.level }, l.level.toUpperCase()), h("span", { class: "msg" }, l.message)])));

// tree shows an event with those that it caused; this event is bold.
function tree(answer, here) {
  const node = (n) => {
    const counts = n.delivery_counts ?? {};
    const all = ["ok", "dead", "retrying", "pending", "delivering"].reduce((sum, name) => sum + (counts[name] ?? 0), 0);
    const tone = counts.dead ? "bad" : (counts.ok ?? 0) < all ? "wait" : "ok";
    const text = [n.event_type, n.subject].filter(Boolean).join(" ");
    return h("li", {}, n.event_id === here ? h("b", {}, text) : link("/events/" + encodeURIComponent(n.event_id), text), " ",
      n.source && n.source !== "api" ? h("span", { class: "dim" }, `by ${n.source} `) : null, all ? pill(tone, `${short(counts.ok ?? 0)} of ${short(all)}`) : null, n.due_at ? [h("span", { class: "dim" }, "due "), when(n.due_at)] : null,
      n.children?.length ? h("ul", { class: "tree" }, n.children.map(node)) : null);
  };
  return [h("ul", { class: "tree" }, node(answer.root)), answer.truncated ? h("p", { class: "dim" }, "There are more: the list has them.") : null];
}
