// Operation: what does it do, how far is it, when is it done?

import { get } from "../api.js";
import { buttons, commands } from "../action.js";
import { h, kv, link, panel, say, stat, statePill, when } from "../ui.js";
import { num, plural, rate, span } from "../format.js";
import { handlerUrl } from "../plugin.js";
import { bar, cancelling, filterText } from "./operations.js";

export default async function operation(ctx) {
  ctx.title(`Operation ${ctx.params.id}`);
  const path = "/operations/" + encodeURIComponent(ctx.params.id);
  const seen = [];
  await ctx.every(1000, async () => {
    const op = await get(path, {}, ctx.signal);
    seen.push([Date.now(), op.done]);
    if (seen.length > 10) seen.shift();
    ctx.show(view(ctx, op, path, seen));
  });
}

const verbs = { replay: "delivers events of the log to", redrive: "delivers the dead letters of", retry: "retries the waiting events of" };
const results = { done: "ok", failed: "bad", cancelled: "idle" };

function view(ctx, op, path, seen) {
  const actions = [op.state === "running" ? cancelling(op) : null,
    { label: "Watch", cli: `berth operations wait ${op.id}`, method: "GET", path }].filter(Boolean);
  const ended = op.finished_at ? Date.parse(op.finished_at) : Date.now();
  const took = ended - Date.parse(op.started_at);
  const [first, last] = [seen[0], seen[seen.length - 1]];
  const perSecond = op.state !== "running" ? op.done / Math.max(took / 1000, 0.001) : first && last[0] > first[0] ? ((last[1] - first[1]) * 1000) / (last[0] - first[0]) : null;
  const left = op.state === "running" && op.total && perSecond > 0 ? ((op.total - op.done) / perSecond) * 1000 : null;
  return [
    h("div", { class: "head" }, h("h1", {}, op.name || `${op.kind} ${op.plugin}`), statePill(op.state), h("span", { class: "dim" }, `operation #${op.id} · ${op.kind} · `, link(handlerUrl(op.plugin), op.plugin)),
      buttons(ctx, actions.filter((a) => a.label !== "Watch"))),
    say(results[op.state] ?? "wait", op.state, sentence(op, left)),
    h("div", { class: "grid g4" },
      stat("Done", num(op.done), { note: op.total ? `of ${num(op.total)} that matched at the start` : "total is not known" }),
      stat("Per second", rate(perSecond), { note: op.rate ? `at most ${num(op.rate)}` : "no bound" }),
      stat(op.finished_at ? "Took" : "Runs for", span(took), { note: [when(op.started_at), op.finished_at ? [" to ", when(op.finished_at)] : ""] }),
      stat("Left", op.state === "running" ? (left === null ? "–" : span(left)) : op.total > op.done && op.state !== "done" ? `${num(op.total - op.done)} not given` : "nothing", { note: op.state === "running" ? "at this rate" : op.state })),
    panel("Progress", {}, bar(op)),
    panel("What it was asked", {}, kv([["Kind", op.kind], ["Handler", link(handlerUrl(op.plugin), op.plugin)], ["Filter", filterText(op.filter)],
      op.filter?.issue ? ["Issue", link("/issues/" + encodeURIComponent(op.filter.issue), "#" + op.filter.issue)] : null, ["Rate", op.rate ? `${plural(op.rate, "event")} a second` : "no bound"],
      ["Started", [when(op.started_at, { full: true }), ` by ${op.started_by}`]], op.finished_at ? ["Ended", when(op.finished_at, { full: true })] : null])),
    commands(ctx, actions),
  ];
}

function sentence(op, left) {
  const what = `It ${verbs[op.kind] ?? op.kind} ${op.plugin} again. `;
  if (op.state === "running") return what + (op.total ? `${num(op.done)} of ${num(op.total)} are done${left === null ? "" : `, about ${span(left)} are left`}.` : `${num(op.done)} are done.`);
  if (op.state === "done") return `${plural(op.done, "event was", "events were")} given to ${op.plugin} again.`;
  return `It ended after ${plural(op.done, "event")}${op.reason ? ": " + op.reason : ""}.`;
}
