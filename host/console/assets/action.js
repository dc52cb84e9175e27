// Actions: buttons that change something, each with the command line and the curl that do the same.
//
//   const list = [{
//     label: "Retry now", scope: "operate",       absent when the token lacks the scope; false and null entries are skipped
//     cli: "berth events retry " + arg(id),       the same on the command line; arg quotes for the shell
//     method: "POST", path: "/events/ID/retry", body: {}, ifMatch: etag,
//     kind: "primary" | "danger",                 looks; at most one primary
//     ask: { title, text, fields: [{ name, label, value, hint, type, rows, options }], preview: async (values) => "3 events match", confirm: "Skip it",
//            cli: (values) => "berth …" },         the command line of what the dialog has, instead of cli
//                                                 a dialog first: only for what cannot be undone, or needs a value
//     input: (values) => body,                    the body from the dialog's fields; throw Error(text) for a wrong value
//     done: (answer, values) => "text",           the message afterwards; a promise is awaited
//     then: (answer) => {},                       afterwards instead of ctx.refresh()
//     run: async (body) => answer,                instead of a request
//   }, ...];
//   h("div", { class: "head" }, h("h1", {}, ...), buttons(ctx, list)), commands(ctx, list)
//   curl("POST", path, body)                      the text of a curl command

import { address, request } from "./api.js";
import { copy, dialog, field, h, mount, select, toast } from "./ui.js";

const safe = /^[A-Za-z0-9_@%+=:,./-]+$/;
export const arg = (text) => (safe.test(text) ? text : `'${String(text).replaceAll("'", `'\\''`)}'`);

export function curl(method, path, body, { ifMatch, params } = {}) {
  const parts = ["curl"];
  if (method !== "GET") parts.push("-X", method);
  parts.push(`-H "Authorization: Bearer $BERTH_TOKEN"`);
  if (ifMatch) parts.push("-H", arg("If-Match: " + ifMatch));
  if (body !== undefined) parts.push("--json", arg(JSON.stringify(body)));
  parts.push(arg(location.origin + address(path, params)));
  return parts.join(" ");
}

const allowed = (ctx, list) => list.filter((a) => a && (!a.scope || ctx.may(a.scope)));

export function buttons(ctx, list, { small } = {}) {
  const shown = allowed(ctx, list);
  if (shown.length === 0) return null;
  return h("div", { class: "acts" }, shown.map((a) => button(ctx, a, small)));
}

export function button(ctx, a, small) {
  return h("button", { type: "button", key: a.label, class: [a.kind ?? "", small ? "small" : ""].join(" ").trim() || null, "data-action": a.label, on: {
    click: async (e) => {
      const el = e.currentTarget;
      if (el.getAttribute("aria-busy") === "true") return;
      el.setAttribute("aria-busy", "true");
      try {
        if (a.ask) await ask(ctx, a);
        else await finish(ctx, a, await perform(a, a.body), {});
      } catch (err) {
        if (err.name !== "AbortError") toast(err.message, "bad");
      } finally {
        el.removeAttribute("aria-busy");
      }
    },
  } }, a.label + (a.ask && !a.label.endsWith("…") ? "…" : ""));
}

async function perform(a, body) {
  if (a.run) return a.run(body);
  return (await request(a.method, a.path, { body, ifMatch: a.ifMatch, params: a.params })).data;
}

async function finish(ctx, a, answer, values) {
  const text = await (a.done ? a.done(answer, values) : `${a.label}: done`);
  if (text) toast(text);
  if (a.then) await a.then(answer, values);
  else await ctx.refresh();
}

function control(f) {
  const props = { name: f.name, value: f.value ?? "", required: f.required ?? false, "aria-describedby": f.hint ? null : undefined };
  if (f.options) return select(props, f.options);
  if (f.rows) return h("textarea", { ...props, rows: f.rows, spellcheck: "false" });
  return h("input", { ...props, type: f.type ?? "text", autocomplete: "off", placeholder: f.placeholder, min: f.min, max: f.max });
}

function ask(ctx, a) {
  const { title = a.label, text, fields = [], preview, confirm = a.label } = a.ask;
  const controls = fields.map((f) => [f, control(f)]);
  const values = () => Object.fromEntries(controls.map(([f, c]) => [f.name, c.value]));
  const count = h("p", { class: "strong", role: "status" }, preview ? "Counting…" : "");
  const problem = h("p", { class: "bad-text", role: "alert" });
  const command = h("div", { class: "cli" });
  const showCommand = () => {
    const line = a.ask.cli ? a.ask.cli(values()) : a.cli;
    mount(command, line ? h("div", { class: "line" }, "The same on the command line ", h("code", {}, line), h("span", { key: line }, copy(line))) : null);
  };
  let asked = 0;
  const recount = async () => {
    showCommand();
    if (!preview) return;
    const turn = ++asked;
    let text = "", wrong = "";
    try {
      text = await preview(values());
    } catch (err) {
      wrong = err.message;
    }
    if (turn !== asked) return; // the values have changed since
    count.textContent = text;
    problem.textContent = wrong;
  };
  for (const [, c] of controls) c.onchange = () => { problem.textContent = ""; recount(); };
  recount();
  return dialog({
    title: title.replace(/…$/, ""),
    body: [typeof text === "string" ? h("p", {}, text) : text, preview ? count : null,
      h("div", { class: fields.length > 4 ? "controls" : "stack" }, controls.map(([f, c]) => field(f.label, c, { hint: f.hint, wide: Boolean(f.rows) }))), problem, command],
    foot: (close) => [h("button", { type: "button", on: { click: () => close() } }, "Cancel"),
      h("button", { type: "submit", class: "primary" + (a.kind === "danger" ? " danger" : ""), "data-confirm": a.label }, confirm.replace(/…$/, ""))],
    submit: async (close, form) => {
      const submit = form.querySelector("[type=submit]");
      if (submit.getAttribute("aria-busy") === "true") return;
      submit.setAttribute("aria-busy", "true");
      try {
        const given = values();
        const answer = await perform(a, a.input ? a.input(given) : a.body);
        close(true);
        await finish(ctx, a, answer, given);
      } catch (err) {
        problem.textContent = err.message;
      } finally {
        submit.removeAttribute("aria-busy");
      }
    },
  });
}

// commands shows the first action's command line, and all others with their curl when it is opened.
export function commands(ctx, list) {
  const shown = allowed(ctx, list).filter((a) => a.cli || a.path);
  if (shown.length === 0) return null;
  const first = shown.find((a) => a.kind === "primary" && a.cli) ?? shown.find((a) => a.cli) ?? shown[0];
  return h("details", { class: "cli" },
    h("summary", {}, `${first.label.replace(/…$/, "")} on the command line `, first.cli ? h("code", {}, first.cli) : null),
    h("div", { class: "all" }, shown.map((a) => h("div", { class: "stack tight" }, h("b", {}, a.label.replace(/…$/, "")),
      a.cli ? h("div", { class: "line" }, h("code", {}, a.cli), copy(a.cli)) : null,
      a.path ? h("div", { class: "line" }, h("code", {}, curl(a.method, a.path, a.body, a)), copy(curl(a.method, a.path, a.body, a))) : null))));
}
