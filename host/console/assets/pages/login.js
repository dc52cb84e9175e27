// Login: by a token, or by the code of a link that a terminal printed.

import { session } from "../api.js";
import { code, field, h } from "../ui.js";

export default async function login(ctx) {
  ctx.title("Log in");
  const target = within(ctx.query.get("next") ?? "/");
  const enter = async (secret) => {
    await session.login(secret);
    await session.load();
    location.replace(target);
  };
  const fromLink = new URLSearchParams(location.hash.slice(1)).get("code");
  if (fromLink) {
    history.replaceState(null, "", location.pathname + location.search); // a code is valid once: keep it out of the history
    ctx.show(box(h("p", { role: "status" }, "Logging in…")));
    try {
      await enter({ code: fromLink });
      return;
    } catch (err) {
      form(ctx, enter, err.status === 401 || err.status === 403 || err.status === 404
        ? "This link was used already, or is older than 10 minutes. berth console prints a new one." : err.message);
      return;
    }
  }
  form(ctx, enter, "");
}

// within returns the whole address of a page of the console; that of the overview for any other text. The browser decides what an
// address means: it skips tabs and line ends, and takes a backslash for a slash.
function within(next) {
  const home = location.origin + "/";
  if (!next.startsWith("/")) return home;
  try {
    const url = new URL(next, home);
    return url.origin === location.origin && !url.pathname.startsWith("//") ? url.href : home; // no page begins with two slashes
  } catch {
    return home;
  }
}

const box = (...content) => h("div", { class: "panel" }, h("div", { class: "in" },
  h("div", { class: "line" }, h("img", { src: "/console/icon.svg", alt: "", width: 24, height: 24 }), h("h1", {}, "Berth")), content));

function form(ctx, enter, problem) {
  const input = h("input", { type: "password", name: "token", autocomplete: "current-password", required: true, spellcheck: "false" });
  ctx.show(box(
    h("form", { on: { submit: async (e) => {
      e.preventDefault();
      try {
        await enter({ token: document.querySelector("input[name=token]").value.trim() });
      } catch (err) {
        form(ctx, enter, err.status === 401 ? "The host does not know this token. It may have expired or been revoked." : err.message);
        document.querySelector("input[name=token]").focus();
      }
    } } },
    field("Token", input, { error: problem || null }), h("button", { type: "submit", class: "primary" }, "Log in")),
    h("p", { class: "dim" }, "A command prints a link that logs in once: ", code("berth console"), ". The admin token is the file ", code("admin.token"),
      " in the host's data directory.")));
  if (!problem) document.querySelector("input[name=token]").focus();
}
