package browser

import "testing"

// The form of a config: what it shows, what it reads back, and where it puts an error.
func TestSchemaForm(t *testing.T) {
	h := start(t)
	b := h.open(t, wide).login(h.token)
	const prepare = `import("/console/schema.js").then(({ schemaForm, exact }) => {
		const write = (form, name, text) => { form.nodes.map((n) => n.querySelector("[data-config='" + name + "']")).find(Boolean).value = text; };
		const refusal = (form) => { try { form.read(); return "none"; } catch (err) { return err.message; } };
		const schema = { type: "object", required: ["n"], additionalProperties: false, properties: {
			n: { type: "integer" }, share: { type: "number" }, name: { type: "string" }, on: { type: "boolean" }, mode: { enum: ["a", "b", 3] },
			list: { type: "array", items: { type: "string" } }, deep: { type: "object" } } };
		return JSON.stringify((() => { `
	const end = ` })()); })`
	for _, tt := range []struct{ name, script, want string }{
		{"what it shows is what it reads", `return schemaForm(schema, { n: 1, share: 0.5, name: "", on: false, mode: 3, list: ["x", "y"], deep: { a: [1] } }).read();`,
			`{"n":1,"share":0.5,"on":false,"mode":3,"list":["x","y"],"deep":{"a":[1]}}`},
		{"empty is not set", `const f = schemaForm(schema, { n: 1, on: true }); write(f, "on", ""); return f.read();`, `{"n":1}`},
		{"a number that is whole", `const f = schemaForm(schema, {}); write(f, "n", "1.5"); return refusal(f);`, `"n must be a whole number"`},
		{"more digits than a browser keeps", `const f = schemaForm(schema, {}); write(f, "n", "9007199254740993"); return refusal(f);`,
			`"n has more digits than a browser keeps; use berth config set"`},
		{"JSON that is none", `const f = schemaForm(schema, {}); write(f, "deep", "{"); return refusal(f).startsWith("deep is not JSON");`, `true`},
		{"numbers inside", `return [exact({ a: [1, 2.5] }), exact({ a: [9007199254740993] })];`, `[true,false]`},
		{"keys that the schema does not list", `return schemaForm({ properties: { a: {} } }, { a: 1, z: 2 }).read();`, `{"z":2,"a":1}`},
		{"and does not permit", `return schemaForm(schema, { n: 1, z: 2 }).read();`, `{"z":2,"n":1}`},
		{"no schema", `return schemaForm(null, { a: 1 }).read();`, `{"a":1}`},
		{"no object", `const f = schemaForm(null, {}); write(f, "config", "[1]"); return refusal(f);`, `"The config must be a JSON object."`},
		{"a schema that is only true", `return schemaForm(true, { a: 1 }).read();`, `{"a":1}`},
		{"an error at its field", `const f = schemaForm(schema, {}); return [f.mark("/list/0", "no"), f.mark("/none", "no"), f.mark("", "no"), f.nodes[5].innerText.includes("no")];`,
			`[true,false,false,true]`},
		{"words of the language", `return schemaForm({ properties: { constructor: { type: "string" }, a: {} } }, { toString: 1, a: 2 }).read();`, `{"toString":1,"a":2}`},
		{"__proto__ is a key like others", `return schemaForm(null, JSON.parse('{"__proto__":1}')).read();`, `{"__proto__":1}`},
	} {
		if got := eval[string](b, prepare+tt.script+end); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}
