// Schedules: what does the clock publish, when next, and did it work? Which events are not due yet?

import { address, get } from "../api.js";
import { arg, buttons, commands } from "../action.js";
import { code, copy, empty, field, h, link, panel, pill, table, visible, when } from "../ui.js";
import { num, plural } from "../format.js";

export default async function schedules(ctx) {
  ctx.title("Schedules");
  const given = { type: ctx.query.get("type") ?? "", subject: ctx.query.get("subject") ?? "", cursor: ctx.query.get("cursor") ?? "" };
  await ctx.every(3000, async () => {
    const [list, later] = await Promise.all([get("/schedules", {}, ctx.signal), get("/events/scheduled", { ...given, limit: 50 }, ctx.signal)]);
    ctx.show(view(ctx, list.items, later, given));
  });
}

const run = (s) => ({ label: "Run now", scope: "operate", method: "POST", path: `/schedules/${encodeURIComponent(s.name)}/run`, cli: `berth schedules run ${arg(s.name)}`,
  done: (answer) => `${s.name} has published the event ${answer?.event_id ?? ""}` });

const stateOf = (s) => (s.last_error ? pill("bad", "failing") : s.paused ? pill("idle", "paused") : pill("ok", "runs"));

const cancelling = (ev) => ({ label: "Cancel", scope: "operate", kind: "danger", method: "DELETE", path: `/events/scheduled/${encodeURIComponent(ev.metadata.event_id)}`,
  cli: `berth events cancel ${arg(ev.metadata.idempotency_key)}`,
  ask: { title: `Cancel ${visible(ev.metadata.idempotency_key)}`, text: "The event is never delivered. Its key stays taken, so that a repeated request of its producer does not bring it back.", confirm: "Cancel the event" },
  done: () => `${visible(ev.metadata.idempotency_key)} is cancelled` });

// waiting shows the events that are stored and not due yet.
function waiting(ctx, later, given) {
  const apply = (e) => ctx.go(ctx.with({ [e.currentTarget.name]: e.currentTarget.value.trim(), cursor: null }));
  const filter = (name, title) => field(title, h("input", { id: "scheduled-" + name, name, type: "search", value: given[name], autocomplete: "off", spellcheck: "false", on: { change: apply } }));
  const text = "berth events scheduled" + ["type", "subject"].filter((name) => given[name]).map((name) => ` --${name} ${arg(given[name])}`).join("");
  return [
    h("div", { class: "filters" }, filter("type", "Event type"), filter("subject", "Subject"), given.type || given.subject ? h("div", { class: "field" }, link(ctx.path, "Clear")) : null),
    panel("Events that are not due yet", { flush: true }, table({ label: "Events that are not due yet, the first due first", items: later.items, key: (ev) => ev.metadata.event_id, href: (ev) => "/events/" + encodeURIComponent(ev.metadata.event_id), columns: [
      { title: "Event", main: true, cell: (ev) => link("/events/" + encodeURIComponent(ev.metadata.event_id), ev.event_type) },
      { title: "Due", class: "nowrap", cell: (ev) => when(ev.due_at) },
      { title: "Subject", cell: (ev) => ev.metadata.subject || h("span", { class: "dim" }, "–") },
      { title: "Key", cell: (ev) => code(visible(ev.metadata.idempotency_key)) },
      { title: "", hint: "actions", plain: true, cell: (ev) => buttons(ctx, [cancelling(ev)], { small: true }) },
    ], empty: empty(given.type || given.subject ? "No such event waits" : "No event waits for its time", "A producer or a handler can say when an event is due. It is stored at once, and delivered then.", "berth events emit reminder_due --after 15m --data '{}'") })),
    given.cursor || later.next ? h("div", { class: "line" }, given.cursor ? link(ctx.with({ cursor: null }), "« First due") : null,
      later.next ? h("span", { class: "end" }, link(ctx.with({ cursor: later.next }), "Later »")) : null) : null,
    h("details", { class: "cli" }, h("summary", {}, "These events on the command line ", code(text)), h("div", { class: "all" },
      [text, `curl -H "Authorization: Bearer $BERTH_TOKEN" ${arg(location.origin + address("/events/scheduled", { type: given.type, subject: given.subject }))}`].map((t) => h("div", { class: "line" }, code(t), copy(t))))),
  ];
}

function view(ctx, items, later, given) {
  const failing = items.filter((s) => s.last_error).length;
  const text = "berth schedules list";
  return [
    h("div", { class: "head" }, h("h1", {}, "Schedules"), h("span", { class: "dim" }, items.length ? `${plural(items.length, "schedule")}${failing ? ` · ${num(failing)} failing` : ""}` : "")),
    panel("Schedules of the configuration", { flush: true }, table({ label: "Schedules", items, key: (s) => s.name, columns: [
      { title: "Schedule", main: true, cell: (s) => [h("b", {}, s.name), h("div", { class: "dim" }, s.cron ? [code(s.cron), " ", s.zone || "UTC"] : ["every ", code((s.every ?? "").replace(/m0s$/, "m").replace(/h0m$/, "h"))])] },
      { title: "State", cell: (s) => [stateOf(s), s.last_error ? h("div", { class: "bad-text" }, s.last_error) : null] },
      { title: "Publishes", cell: (s) => [link(`/events?type=${encodeURIComponent(s.event_type)}`, s.event_type), s.subject ? h("div", { class: "dim" }, s.subject) : null] },
      { title: "Next", class: "nowrap", cell: (s) => (s.paused ? h("span", { class: "dim" }, "paused") : when(s.next_due_at)) },
      { title: "Last", class: "nowrap", cell: (s) => (s.last_event_id ? [link("/events/" + encodeURIComponent(s.last_event_id), when(s.last_due_at ?? s.last_run_at))] : when(s.last_due_at)) },
      { title: "Published", num: true, cell: (s) => num(s.published) },
      { title: "Missed", num: true, cell: (s) => [num(s.missed_runs), h("div", { class: "dim" }, s.missed)] },
      { title: "", hint: "actions", plain: true, cell: (s) => buttons(ctx, [run(s)], { small: true }) },
    ], empty: empty("No schedules yet", "A schedule publishes an event at the times of a cron expression, or at an interval. Each due time gives one event, over restarts and hosts.",
      "schedules:\n  nightly-report:\n    cron: \"0 3 * * *\"\n    zone: Europe/Berlin\n    event_type: report_due") })),
    waiting(ctx, later, given),
    commands(ctx, items.slice(0, 1).map(run)),
    h("details", { class: "cli" }, h("summary", {}, "This list on the command line ", code(text)), h("div", { class: "all" },
      [text, `curl -H "Authorization: Bearer $BERTH_TOKEN" ${arg(location.origin + address("/schedules"))}`].map((t) => h("div", { class: "line" }, code(t), copy(t))))),
  ];
}
