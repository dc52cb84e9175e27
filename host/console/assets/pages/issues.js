// Issues: what fails, grouped by handler, class, message and source line.

import { address, get } from "../api.js";
import { arg } from "../action.js";
import { code, copy, field, h, link, select, statePill, table, tabs, when } from "../ui.js";
import { num, plural, unit } from "../format.js";
import { frameText } from "./overview.js";

const states = [["", "Open"], ["open", "Not acknowledged"], ["acknowledged", "Acknowledged"], ["resolved", "Resolved"], ["ignored", "Ignored"], ["all", "All"]];

export default async function issues(ctx) {
  ctx.title("Issues");
  const params = Object.fromEntries(["state", "handler", "class", "version", "cursor"].map((name) => [name, ctx.query.get(name) ?? ""]).filter(([, v]) => v));
  let handlers = [];
  ctx.overview((o) => { handlers = o.handlers.map((p) => p.plugin); });
  await ctx.every(3000, async () => {
    const list = await get("/issues", { ...params, limit: 50 }, ctx.signal);
    ctx.show(view(ctx, list, params, handlers));
  });
}

function view(ctx, list, params, handlers) {
  const apply = (e) => ctx.go(ctx.with({ [e.currentTarget.name]: e.currentTarget.value, cursor: null }));
  const names = [...new Set([...handlers, ...(params.handler ? [params.handler] : [])])].sort();
  const filtered = Object.keys(params).length > 0;
  const { cursor, ...asked } = params;
  const text = "berth issues list" + Object.entries(asked).map(([name, value]) => ` --${name} ${arg(value)}`).join("");
  return [
    h("div", { class: "head" }, h("h1", {}, "Issues"), h("div", { class: "acts" },
      tabs("State", states.map(([value, title]) => ({ title, href: ctx.with({ state: value, cursor: null }), current: (params.state ?? "") === value }))))),
    h("div", { class: "filters" },
      field("Handler", select({ id: "issue-handler", name: "handler", value: params.handler ?? "", on: { change: apply } }, [["", "any"], ...names.map((n) => [n, n])])),
      field("Class", select({ id: "issue-class", name: "class", value: params.class ?? "", on: { change: apply } },
        ["", "timeout", "fuel", "trap", "memory", "stack", "exit", "bad_result", "rejected", "retry", "conflict", "kv_conflict", "kv_quota", "scheduled_quota"])),
      filtered ? h("div", { class: "field" }, link(ctx.path, "Clear")) : null),
    h("section", { class: "panel", "aria-label": "Issues" }, table({ label: "Issues, the latest first", items: list.items, key: (i) => i.id, href: (i) => "/issues/" + i.id, columns: [
      { title: "Issue", main: true, cell: (i) => [link("/issues/" + i.id, String(i.message).split("\n")[0]), h("div", { class: "dim" }, `#${i.id} · ${unit(i)} · ${i.class}`,
        i.frame ? [" · ", code(frameText(i.frame))] : null)] },
      { title: "State", plain: true, cell: (i) => statePill(i.state) },
      { title: "Times", num: true, cell: (i) => num(i.count) },
      { title: "Dead letters", num: true, cell: (i) => num(i.dead) },
      { title: "Keys", num: true, cell: (i) => num(i.key_count) },
      { title: "First seen", class: "nowrap", cell: (i) => [when(i.first_seen), i.versions.length ? h("div", { class: "dim" }, "in " + i.versions[0]) : null] },
      { title: "Last seen", class: "nowrap", cell: (i) => when(i.last_seen) },
    ], empty: h("div", { class: "empty" }, h("strong", {}, filtered ? "No issue matches" : "No failures"),
      h("p", {}, filtered ? "Other states and handlers may have some." : "Failed attempts are grouped here by handler, class, message and source line, as soon as there are any."),
      filtered ? link(ctx.path + "?state=all", "All issues") : null) }),
    cursor || list.next ? h("div", { class: "more line" }, cursor ? link(ctx.with({ cursor: null }), "« Latest") : null,
      list.next ? h("span", { class: "end" }, link(ctx.with({ cursor: list.next }), "Older »")) : null) : null),
    h("details", { class: "cli" }, h("summary", {}, `${plural(list.items.length, "issue")} on the command line `, code(text)), h("div", { class: "all" },
      [text, `curl -H "Authorization: Bearer $BERTH_TOKEN" ${arg(location.origin + address("/issues", asked))}`].map((t) => h("div", { class: "line" }, code(t), copy(t))))),
  ];
}
