// Schedules: what does the clock publish, when next, and did it work?

import { address, get } from "../api.js";
import { arg, buttons, commands } from "../action.js";
import { code, copy, empty, h, link, panel, pill, table, when } from "../ui.js";
import { num, plural } from "../format.js";

export default async function schedules(ctx) {
  ctx.title("Schedules");
  await ctx.every(3000, async () => {
    const list = await get("/schedules", {}, ctx.signal);
    ctx.show(view(ctx, list.items));
  });
}

const run = (s) => ({ label: "Run now", scope: "operate", method: "POST", path: `/schedules/${encodeURIComponent(s.name)}/run`, cli: `berth schedules run ${arg(s.name)}`,
  done: (answer) => `${s.name} has published the event ${answer?.event_id ?? ""}` });

const stateOf = (s) => (s.last_error ? pill("bad", "failing") : s.paused ? pill("idle", "paused") : pill("ok", "runs"));

function view(ctx, items) {
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
    commands(ctx, items.slice(0, 1).map(run)),
    h("details", { class: "cli" }, h("summary", {}, "This list on the command line ", code(text)), h("div", { class: "all" },
      [text, `curl -H "Authorization: Bearer $BERTH_TOKEN" ${arg(location.origin + address("/schedules"))}`].map((t) => h("div", { class: "line" }, code(t), copy(t))))),
  ];
}
