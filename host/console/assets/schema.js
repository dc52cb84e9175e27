// A form for an object that a JSON Schema describes: one control for each property. What a control cannot show is edited as JSON.
//
//   const form = schemaForm(schema, value)     schema may be null
//   form.nodes                                 the controls, to be shown in a form
//   form.read()                                the object as it is now; throws Error(text) and marks the control that is wrong
//   form.mark(pointer, text)                   an error at a control, by a path such as "/limit"; false when no control has it
//   exact(value)                               false when a number has more digits than the browser keeps

import { field, h, select } from "./ui.js";

export function exact(value) {
  if (typeof value === "number") return !Number.isInteger(value) || Number.isSafeInteger(value);
  if (value && typeof value === "object") return Object.values(value).every(exact);
  return true;
}

const whole = "config";

const kindOf = (schema) => {
  if (Array.isArray(schema.enum) && schema.enum.every((v) => typeof v === "string" || typeof v === "number")) return "enum";
  if (["string", "integer", "number", "boolean"].includes(schema.type)) return schema.type;
  if (schema.type === "array" && schema.items?.type === "string" && !schema.items.enum) return "lines";
  return "json";
};

function hintOf(schema, kind) {
  const bounds = [];
  if (schema.minimum !== undefined) bounds.push(`at least ${schema.minimum}`);
  if (schema.maximum !== undefined) bounds.push(`at most ${schema.maximum}`);
  if (schema.minLength !== undefined) bounds.push(`at least ${schema.minLength} characters`);
  if (schema.maxLength !== undefined) bounds.push(`at most ${schema.maxLength} characters`);
  if (schema.pattern) bounds.push(`matches ${schema.pattern}`);
  const shape = { lines: "one a line", json: "JSON" }[kind];
  const rule = [shape, ...bounds].filter(Boolean).join(", ");
  if (!schema.description) return rule ? rule[0].toUpperCase() + rule.slice(1) + "." : null;
  return rule ? `${schema.description} (${rule})` : schema.description;
}

function parseNumber(text, kind) {
  const n = Number(text);
  if (text.trim() === "" || !Number.isFinite(n)) throw new Error("must be a number");
  if (kind === "integer" && !Number.isInteger(n)) throw new Error("must be a whole number");
  if (!exact(n)) throw new Error("has more digits than a browser keeps; use berth config set");
  return n;
}

function parseJSON(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch (err) {
    throw new Error("is not JSON: " + err.message);
  }
  if (!exact(value)) throw new Error("has a number with more digits than a browser keeps; use berth config set");
  return value;
}

// entry is one control with its reader.
function entry(name, schema, value, required) {
  const kind = kindOf(schema);
  const id = "config-" + name.replace(/[^A-Za-z0-9_-]/g, "-");
  const placeholder = schema.default !== undefined ? `default ${JSON.stringify(schema.default)}` : null;
  const props = { id, name, "data-config": name, "aria-required": required ? "true" : null };
  const given = value !== undefined;
  let control, read;
  if (kind === "enum" || kind === "boolean") {
    const options = kind === "boolean" ? [true, false] : schema.enum;
    control = select({ ...props, value: given ? JSON.stringify(value) : "" }, [["", placeholder ?? "not set"], ...options.map((o) => [JSON.stringify(o), String(o)])]);
    read = (text) => JSON.parse(text);
  } else if (kind === "integer" || kind === "number") {
    control = h("input", { ...props, inputmode: kind === "integer" ? "numeric" : "decimal", autocomplete: "off", placeholder, value: given ? String(value) : "" });
    read = (text) => parseNumber(text, kind);
  } else if (kind === "string") {
    control = h("input", { ...props, autocomplete: "off", spellcheck: "false", placeholder, type: schema.format === "password" || schema.writeOnly ? "password" : "text", value: given ? String(value) : "" });
    read = (text) => text;
  } else if (kind === "lines") {
    control = h("textarea", { ...props, class: "short", rows: 3, spellcheck: "false", placeholder, value: Array.isArray(value) ? value.join("\n") : "" });
    read = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);
  } else {
    control = h("textarea", { ...props, class: "short", rows: 4, spellcheck: "false", placeholder, value: given ? JSON.stringify(value, null, 2) : "" });
    read = parseJSON;
  }
  const problem = h("span", { class: "error", role: "alert", id: id + "-error" });
  control.setAttribute("aria-describedby", problem.id);
  const label = name === whole ? "Config" : (schema.title ? `${schema.title} (${name})` : name) + (required ? ", required" : "");
  const node = field(label, control, { hint: hintOf(schema, kind), wide: kind === "json" || kind === "lines" });
  node.append(problem);
  const mark = (text) => { problem.textContent = text; control.setAttribute("aria-invalid", text ? "true" : "false"); };
  return { name, node, mark, read: () => {
    mark("");
    if (control.value === "" || (kind !== "string" && control.value.trim() === "")) return undefined;
    try {
      return read(control.value);
    } catch (err) {
      mark(err.message);
      control.focus();
      throw new Error(`${name} ${err.message}`);
    }
  } };
}

export function schemaForm(schema, value) {
  const known = schema && typeof schema === "object" && schema.properties && typeof schema.properties === "object" ? schema.properties : null;
  if (!known) {
    const all = entry(whole, { type: "object", description: schema ? "The schema has no list of properties: write the whole object." : "The plugin's manifest has no schema for it: write the whole object." }, value, true);
    return { nodes: [all.node], read: () => object(all.read() ?? {}), mark: (pointer, text) => { all.mark(`${pointer} ${text}`.trim()); return true; } };
  }
  const required = Array.isArray(schema.required) ? schema.required : [];
  const entries = Object.entries(known).map(([name, s]) => entry(name, s && typeof s === "object" ? s : {}, Object.hasOwn(value, name) ? value[name] : undefined, required.includes(name)));
  const rest = Object.fromEntries(Object.entries(value).filter(([name]) => !Object.hasOwn(known, name)));
  let others = null;
  if (schema.additionalProperties !== false || Object.keys(rest).length) {
    others = entry("other keys", { type: "object", description: "Keys that the schema does not list, as one object." }, Object.keys(rest).length ? rest : undefined, false);
  }
  return {
    nodes: [...entries, others].filter(Boolean).map((e) => e.node),
    read: () => {
      const answer = {};
      for (const e of entries) {
        const v = e.read();
        if (v !== undefined) answer[e.name] = v;
      }
      return others ? { ...object(others.read() ?? {}), ...answer } : answer;
    },
    mark: (pointer, text) => {
      const name = pointer.split("/")[1]?.replaceAll("~1", "/").replaceAll("~0", "~");
      const found = entries.find((e) => e.name === name) ?? (name ? others : null);
      found?.mark(text);
      return Boolean(found);
    },
  };
}

function object(value) {
  if (!value || typeof value !== "object" || Array.isArray(value)) throw new Error("The config must be a JSON object.");
  return value;
}
