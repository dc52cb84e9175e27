package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"
)

// generatedBelow separates the text of docs/configuration.md that people write from
// the part that TestDocumentation writes.
const generatedBelow = "<!-- Generated from host/config. To update: go test ./host/config -run TestDocumentation -update -->\n"

// TestDocumentation holds the documentation and the editors' schema equal to the
// table of settings.
func TestDocumentation(t *testing.T) {
	root := filepath.Join("..", "..")
	page := filepath.Join(root, "docs", "configuration.md")
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	written, _, found := strings.Cut(string(text), generatedBelow)
	if !found {
		t.Fatalf("%s does not have the line %q", page, generatedBelow)
	}
	for path, want := range map[string]string{
		page: written + generatedBelow + reference(),
		filepath.Join(root, "config", "event_handlers.schema.json"): schemaText(t),
	} {
		if flag.Lookup("update").Value.String() == "true" {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s is stale (%v); run: go test ./host/config -run TestDocumentation -update", path, err)
		}
	}
}

// reference is the generated part of the documentation: a table for each section.
func reference() string {
	t := configTable(Default())
	defaults := t.states()
	var out strings.Builder
	section := ""
	for _, d := range t.fields {
		a := d.about()
		name, _, nested := strings.Cut(d.path, ".")
		if !nested && a.key == "" {
			name = "general"
		}
		if name != section {
			section = name
			fmt.Fprintf(&out, "\n## %s\n\n", strings.ToUpper(section[:1])+section[1:])
			if a.key != "" {
				fmt.Fprintf(&out, "%s\n\n", wrapped(d.doc))
			}
			out.WriteString("| key | value | default | |\n|---|---|---|---|\n")
		}
		if a.key == "" {
			writeField(&out, "", d, defaults)
			continue
		}
		own := map[string]state{}
		switch d.path {
		case "handlers":
			own = handlerTable(newHandler()).states()
		case "schedules":
			own = scheduleTable(newSchedule("")).states()
		case "event_types":
			own = typeTable(newType()).states()
		}
		for _, part := range a.parts {
			if _, shared := defaults["defaults."+part.path]; !shared {
				writeField(&out, d.path+"."+a.key+".", part, own)
			}
		}
		if d.path == "handlers" {
			fmt.Fprintf(&out, "| `handlers.<name>.limits`, `.retry`, `.breaker`, `.order_by` | as in `defaults` | `defaults` | Each setting of `defaults`, for one handler. |\n")
		}
	}
	return out.String()
}

func writeField(out *strings.Builder, prefix string, d field, defaults map[string]state) {
	a := d.about()
	if a.schema == nil && len(a.parts) > 0 { // each of its keys has a row
		for _, part := range a.parts {
			part.restart = d.restart
			part.path = d.path + "." + part.path
			writeField(out, prefix, part, map[string]state{})
		}
		return
	}
	doc := d.doc
	if d.restart {
		doc += " Read when the host starts."
	}
	value := defaults[d.path].shown
	if age, err := time.ParseDuration(value); err == nil && age > 0 {
		value = dayText(age)
	}
	if slices.Contains([]string{"", `""`, "null", "[]"}, value) {
		value = "none"
	} else if defaults[d.path].text != "" {
		value = "`" + value + "`"
	}
	fmt.Fprintf(out, "| `%s` | %s | %s | %s |\n", prefix+d.path, strings.ReplaceAll(a.label, "|", `\|`), value, strings.ReplaceAll(doc, "|", `\|`))
}

// wrapped breaks a paragraph into lines.
func wrapped(text string) string {
	var out strings.Builder
	line := 0
	for i, word := range strings.Fields(text) {
		if i > 0 && line+1+len(word) > 138 {
			out.WriteByte('\n')
			line = 0
		} else if i > 0 {
			out.WriteByte(' ')
			line++
		}
		out.WriteString(word)
		line += len(word)
	}
	return out.String()
}

func schemaText(t *testing.T) string {
	t.Helper()
	schema := mappingSchema(configTable(Default()).fields, configTable(Default()).states())
	schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	schema["title"] = "Berth configuration"
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(schema); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// mappingSchema is the schema of a mapping with these settings. Every value may be
// null: a key without a value counts as absent.
func mappingSchema(settings []field, defaults map[string]state) object {
	properties := object{}
	mapping := object{"type": []string{"object", "null"}, "additionalProperties": false, "properties": properties}
	groups := map[string][]field{}
	for _, d := range settings {
		key, tail, nested := strings.Cut(d.path, ".")
		if nested {
			d.path = tail
			groups[key] = append(groups[key], d)
			continue
		}
		properties[key] = valueSchema(d, defaults[d.path].shown)
	}
	for key, group := range groups {
		inner := map[string]state{}
		for path, s := range defaults {
			if tail, ok := strings.CutPrefix(path, key+"."); ok {
				inner[tail] = s
			}
		}
		properties[key] = mappingSchema(group, inner)
	}
	return mapping
}

func valueSchema(d field, shown string) object {
	a, value := d.about(), object{}
	maps.Copy(value, a.schema)
	switch inner := mappingSchema(a.parts, nil); {
	case a.key != "":
		value["type"], value["additionalProperties"] = []string{"object", "null"}, inner
	case d.path == "grants":
		value = grantsSchema(inner["properties"].(object))
	case len(a.parts) > 0 && value["type"] == "array":
		value["items"] = inner
	case len(a.parts) > 0:
		value = inner
	}
	switch typ := value["type"].(type) {
	case string:
		value["type"] = []string{typ, "null"}
	case []string:
		if !slices.Contains(typ, "null") {
			value["type"] = append(slices.Clone(typ), "null")
		}
	}
	if words, ok := value["enum"]; ok {
		delete(value, "enum")
		value["anyOf"] = []object{{"enum": words}}
	}
	if either, ok := value["anyOf"].([]object); ok {
		value["anyOf"] = append(slices.Clone(either), object{"type": "null"})
	}
	value["description"] = strings.ReplaceAll(d.doc, "`", "")
	if shown != "" {
		value["description"] = fmt.Sprintf("%s Default: %s.", value["description"], shown)
	}
	return value
}

// grantsSchema is a list of names and mappings, or a mapping of names.
func grantsSchema(targets object) object {
	names, byName := sortedKeys(capabilities()), object{}
	for _, name := range names {
		byName[name] = object{"type": []string{"object", "null"}, "properties": targets, "additionalProperties": false}
	}
	one := object{"type": "object", "properties": maps.Clone(targets), "additionalProperties": false, "required": []string{"name"}}
	one["properties"].(object)["name"] = object{"enum": names}
	return object{"anyOf": []object{
		{"type": "array", "items": object{"anyOf": []object{{"enum": names}, one}}},
		{"type": "object", "properties": byName, "additionalProperties": false},
	}}
}

// TestExampleNamesEverySetting: the example file shows every key, in comments or in force.
func TestExampleNamesEverySetting(t *testing.T) {
	example, err := os.ReadFile(filepath.Join("..", "..", "config", "event_handlers.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var check func(prefix string, fields []field)
	check = func(prefix string, fields []field) {
		for _, f := range fields {
			key := f.path[strings.LastIndexByte(f.path, '.')+1:]
			if !regexp.MustCompile(`\b`+key+`: ?`).Match(example) && f.path != "event_types" && f.path != "names" {
				t.Errorf("the example does not show %s%s", prefix, f.path)
			}
			check(prefix+f.path+".", f.about().parts)
		}
	}
	check("", configTable(Default()).fields)
}

// TestSchemaAcceptsValidFiles, and refuses keys and values that Parse refuses.
func TestSchemaAcceptsValidFiles(t *testing.T) {
	compiler := jsonschema.NewCompiler()
	text, err := jsonschema.UnmarshalJSON(strings.NewReader(schemaText(t)))
	if err != nil {
		t.Fatal(err)
	}
	if err := compiler.AddResource("schema.json", text); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile(filepath.Join("..", "..", "config", "event_handlers.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		text  string
		valid bool
	}{
		{string(example), true},
		{"plugin_directories:\nroutes: {a: , \"b_*\": {handlers: [x], when: data.n > 1}}\n", true},
		{"handlers: {x: {grants: [kv, {name: http, hosts: [a.example]}]}, y: {grants: {kv: , emit: {event_types: [a]}}}, z: }\n", true},
		{"handlers: {x: {start: earliest, config: {a: [1]}, limits: {memory: 65536, recycle_after: {age: 7d}}, order_by: ''}}\n", true},
		{"server: {tls: {cert_file: a, key_file: b}, rate_limit: {burst: 3}}\n", true},
		{"marketplace: {credentials: [{host: h, secret: s}], refresh: 0s}\n", true},
		{"schedules: {a: {event_type: t, cron: '@daily', zone: UTC, data: [1], missed: once}, b: {event_type: t, every: 1h, data: x, paused: true}}\n", true},
		{"event_types: {a: , b: {schema: a.json, mode: warn}, c: {schema: {type: object}, owner: o, description: d}, d: {schema: false}}\n", true},
		{"schedules: {a: {event_type: t, every: 1h, missed: never}}\n", false},
		{"schedules: {A_b: {event_type: t, every: 1h}}\n", false},
		{"event_types: {\"order_*\": {}}\n", false},
		{"event_types: {a: {schema: [1]}}\n", false},
		{"handlers: {x: {enable: true}}\n", false},
		{"handlers: {X: {}}\n", false},
		{"bus: {engine: kafka}\n", false},
		{"defaults: {limits: {timeout: 5 seconds}}\n", false},
		{"defaults: {limits: {memory: lots}}\n", false},
		{"marketplace: {credentials: [{hosts: h}]}\n", false},
		{"handlers: {x: {grants: [root]}}\n", false},
	} {
		var value any
		if err := yaml.Unmarshal([]byte(tt.text), &value); err != nil {
			t.Fatal(err)
		}
		_, wrong := Parse("f", []byte(tt.text))
		if err := schema.Validate(value); (err == nil) != tt.valid || (wrong == nil) != tt.valid {
			t.Errorf("%s: the schema says %v and Parse %v, want valid %v", tt.text, err, wrong, tt.valid)
		}
	}
}
