package api_test

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/api"
)

var updateReference = flag.Bool("update", false, "write the generated part of docs/http-api.md")

// generatedBelow separates the text of docs/http-api.md that people write from the
// part that this test writes.
const generatedBelow = "<!-- Generated from /openapi.json. To update: go test ./host/api -run TestReference -update -->\n"

// TestReference holds the generated part of docs/http-api.md equal to the
// description that a server answers.
func TestReference(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "http-api.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	written, generated, found := strings.Cut(string(text), generatedBelow)
	if !found {
		t.Fatalf("%s does not have the line %q", path, generatedBelow)
	}
	var d referenceDocument
	if err := json.Unmarshal(call(newServer(t, setup(t).cfg).Handler(), "GET", "/openapi.json", "").Body.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	want := d.markdown()
	if generated == want {
		return
	}
	if *updateReference {
		if err := os.WriteFile(path, []byte(written+generatedBelow+want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("%s is stale; run: go test ./host/api -run TestReference -update", path)
}

// referenceDocument is the part of an OpenAPI document that the reference shows.
type referenceDocument struct {
	Paths      map[string]map[string]referenceOperation `json:"paths"`
	Components struct {
		Schemas map[string]referenceSchema `json:"schemas"`
	} `json:"components"`
}

type referenceOperation struct {
	OperationID string   `json:"operationId"`
	Summary     string   `json:"summary"`
	Description string   `json:"description"`
	Scope       string   `json:"x-scope"`
	Tags        []string `json:"tags"`
	Parameters  []struct {
		In          string          `json:"in"`
		Name        string          `json:"name"`
		Description string          `json:"description"`
		Required    bool            `json:"required"`
		Schema      referenceSchema `json:"schema"`
	} `json:"parameters"`
	RequestBody *struct {
		Required bool             `json:"required"`
		Content  referenceContent `json:"content"`
	} `json:"requestBody"`
	Responses map[string]struct {
		Description string           `json:"description"`
		Content     referenceContent `json:"content"`
		Headers     map[string]struct {
			Description string `json:"description"`
		} `json:"headers"`
	} `json:"responses"`

	method, path string
}

type referenceContent map[string]struct {
	Schema referenceSchema `json:"schema"`
}

// referenceSchema is the part of a JSON Schema that the reference shows.
type referenceSchema struct {
	Ref                  string                     `json:"$ref"`
	Type                 string                     `json:"type"`
	Format               string                     `json:"format"`
	Pattern              string                     `json:"pattern"`
	Description          string                     `json:"description"`
	Enum                 []any                      `json:"enum"`
	Default              any                        `json:"default"`
	Minimum              *float64                   `json:"minimum"`
	Maximum              *float64                   `json:"maximum"`
	Items                *referenceSchema           `json:"items"`
	OneOf                []referenceSchema          `json:"oneOf"`
	AnyOf                []referenceSchema          `json:"anyOf"`
	Properties           map[string]referenceSchema `json:"properties"`
	Required             []string                   `json:"required"`
	AdditionalProperties json.RawMessage            `json:"additionalProperties"`
}

// markdown writes all operations by tag, then the types of their bodies.
func (d referenceDocument) markdown() string {
	var ops []referenceOperation
	for path, item := range d.Paths {
		for method, op := range item {
			op.method, op.path = strings.ToUpper(method), path
			ops = append(ops, op)
		}
	}
	slices.SortFunc(ops, func(a, b referenceOperation) int {
		return cmp.Or(cmp.Compare(a.Tags[0], b.Tags[0]), cmp.Compare(a.path, b.path), cmp.Compare(a.method, b.method))
	})
	var out strings.Builder
	out.WriteString("\n## All calls\n\n| call | scope | |\n|---|---|---|\n")
	for _, op := range ops {
		fmt.Fprintf(&out, "| [`%s %s`](#%s) | %s | %s |\n", op.method, op.path, strings.ToLower(op.OperationID), cmp.Or(op.Scope, "—"), op.Summary)
	}
	tag := ""
	for _, op := range ops {
		if op.Tags[0] != tag {
			tag = op.Tags[0]
			fmt.Fprintf(&out, "\n## Calls: %s\n", tag)
		}
		op.write(&out)
	}
	out.WriteString("\n## Types\n")
	for _, name := range slices.Sorted(maps.Keys(d.Components.Schemas)) {
		d.Components.Schemas[name].write(&out, name)
	}
	return out.String()
}

func (op referenceOperation) write(out *strings.Builder) {
	fmt.Fprintf(out, "\n### %s\n\n`%s %s` · %s\n\n", op.OperationID, op.method, op.path, scopeText(op.Scope))
	out.WriteString(wrapped(strings.TrimSpace(op.Summary + ". " + op.Description)))
	if len(op.Parameters) > 0 {
		out.WriteString("\n| parameter | in | type | |\n|---|---|---|---|\n")
		for _, p := range op.Parameters {
			fmt.Fprintf(out, "| `%s` | %s | %s | %s |\n", p.Name, p.In, p.Schema.text(), cell(cmp.Or(p.Description, p.Schema.Description)))
		}
	}
	out.WriteString("\n")
	if op.RequestBody != nil {
		optional := ""
		if !op.RequestBody.Required {
			optional = " (optional)"
		}
		out.WriteString(wrapped(fmt.Sprintf("- body%s: %s", optional, op.RequestBody.Content.text())))
	}
	for _, status := range slices.Sorted(maps.Keys(op.Responses)) {
		if status == "default" {
			continue
		}
		answer := op.Responses[status]
		line := fmt.Sprintf("- %s %s", status, strings.TrimSuffix(answer.Description, "."))
		if len(answer.Content) > 0 {
			line += ": " + answer.Content.text()
		}
		for _, name := range slices.Sorted(maps.Keys(answer.Headers)) {
			line += fmt.Sprintf("; header `%s`", name)
		}
		out.WriteString(wrapped(line))
	}
}

func scopeText(scope string) string {
	switch scope {
	case "":
		return "no token"
	case api.ScopeAny:
		return "any token"
	}
	return "scope `" + scope + "`"
}

func (c referenceContent) text() string {
	var parts []string
	for _, media := range slices.Sorted(maps.Keys(c)) {
		s := c[media].Schema
		text := s.text()
		if media != "application/json" {
			text = "`" + media + "`: " + text
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}

// text names a schema on one line.
func (s referenceSchema) text() string {
	switch {
	case s.Ref != "":
		name := s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]
		return fmt.Sprintf("[%s](#%s)", name, strings.ToLower(name))
	case len(s.OneOf)+len(s.AnyOf) > 0:
		var parts []string
		for _, one := range slices.Concat(s.OneOf, s.AnyOf) {
			parts = append(parts, one.text())
		}
		return strings.Join(parts, " or ")
	case s.Items != nil:
		return "list of " + s.Items.text()
	case len(s.Enum) > 0:
		var parts []string
		for _, v := range s.Enum {
			parts = append(parts, fmt.Sprintf("`%v`", v))
		}
		return strings.Join(parts, ", ")
	case s.Type == "object" && len(s.Properties) > 0:
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
			parts = append(parts, fmt.Sprintf("`%s`: %s", name, s.Properties[name].text()))
		}
		return "object (" + strings.Join(parts, ", ") + ")"
	}
	text := cmp.Or(s.Format, s.Type, "any JSON")
	switch {
	case s.Minimum != nil && s.Maximum != nil:
		text += fmt.Sprintf(" %v to %v", *s.Minimum, *s.Maximum)
	case s.Minimum != nil:
		text += fmt.Sprintf(" from %v", *s.Minimum)
	}
	if s.Default != nil {
		text += fmt.Sprintf(", default `%v`", s.Default)
	}
	return text
}

func (s referenceSchema) write(out *strings.Builder, name string) {
	fmt.Fprintf(out, "\n### %s\n\n", name)
	if s.Description != "" {
		fmt.Fprintf(out, "%s\n\n", s.Description)
	}
	if len(s.Properties) == 0 {
		fmt.Fprintf(out, "%s\n", s.text())
		return
	}
	out.WriteString("| field | type | |\n|---|---|---|\n")
	for _, field := range slices.Sorted(maps.Keys(s.Properties)) {
		p := s.Properties[field]
		var about []string
		if !slices.Contains(s.Required, field) {
			about = append(about, "optional")
		}
		if p.Description != "" && p.Description != "Any JSON value." {
			about = append(about, cell(p.Description))
		}
		fmt.Fprintf(out, "| `%s` | %s | %s |\n", field, p.text(), strings.Join(about, "; "))
	}
}

// wrapped breaks a paragraph or the item of a list into lines.
func wrapped(text string) string {
	const width = 138
	var out strings.Builder
	line := 0
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case line+1+len(word) > width:
			out.WriteByte('\n')
			line = 0
		default:
			out.WriteByte(' ')
			line++
		}
		out.WriteString(word)
		line += len(word)
	}
	return out.String() + "\n"
}

// cell is a text for a cell of a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
