package openapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/invopop/jsonschema"
)

// Info is the title and description of the document.
type Info struct {
	Title, Version, Description string
	// Raw has values of the types of answers' properties that Go has as raw JSON, by the names
	// of the type and the property: "Event.metadata". Others are any JSON value.
	Raw map[string]any
}

// Operation is one method at one path.
type Operation struct {
	Method      string
	Path        string // with its parameters in braces: /api/v1/events/{id}
	ID          string // unique; what a generated client calls the operation
	Tag         string
	Summary     string
	Description string
	Scope       string // that the token needs; "" for no token
	Parameters  []Parameter
	Body        []Content // alternatives by media type; none: no body
	BodyMayMiss bool
	Answers     []Answer // of success; every failure is a problem
}

// Parameter is one parameter. A parameter of the path is listed only if it has a description
// or a schema.
type Parameter struct {
	In          string // query, header or path
	Name        string
	Description string
	Schema      map[string]any // nil: a string
	Required    bool           // always, in the path
}

// Content is a body: a Go value whose type is encoded as JSON, a Schema, OneOf or Stream.
type Content struct {
	Media string // "" is application/json
	Value any
}

// Schema is a JSON Schema, which is used unchanged.
type Schema map[string]any

// OneOf is a body with several alternative types: values, as in Content.
type OneOf []any

// Stream is a body of server-sent events: for each event name a value, as in Content, whose
// JSON is the event's data.
type Stream map[string]any

// Answer is the answer of an operation with one status.
type Answer struct {
	Status      int
	Description string // "": the status's text
	Content     []Content
	Headers     []Parameter // Name, Description and Schema
}

var pathParameter = regexp.MustCompile(`\{([^}]+)\}`)

type builder struct {
	schemas schemas
	ids     map[string]bool
}

// Build returns the document. problem is a value of the type of failures, which are
// application/problem+json. The error names an operation with an invalid description, which
// is a defect of the program.
func Build(info Info, problem any, operations []Operation) ([]byte, error) {
	b := &builder{schemas: schemas{make(map[string]*jsonschema.Schema), make(map[string]bool), info.Raw}, ids: make(map[string]bool)}
	failure := map[string]any{
		"description": "The request failed (RFC 9457).",
		"content":     map[string]any{"application/problem+json": map[string]any{"schema": b.schemas.of(problem, false)}},
	}
	for _, op := range operations {
		for _, a := range op.Answers {
			b.content(a.Content, false)
		}
	}
	paths := make(map[string]map[string]any)
	for _, op := range operations {
		item, err := b.operation(op)
		if err != nil {
			return nil, fmt.Errorf("describe %s %s: %w", op.Method, op.Path, err)
		}
		if paths[op.Path] == nil {
			paths[op.Path] = make(map[string]any)
		}
		method := strings.ToLower(op.Method)
		if paths[op.Path][method] != nil {
			return nil, fmt.Errorf("%s %s is described twice", op.Method, op.Path)
		}
		paths[op.Path][method] = item
	}
	text, err := json.MarshalIndent(map[string]any{
		"openapi":           "3.1.0",
		"jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
		"info":              map[string]any{"title": info.Title, "version": info.Version, "description": info.Description},
		"servers":           []any{map[string]any{"url": "/"}},
		"paths":             paths,
		"components": map[string]any{
			"schemas":   b.schemas.byName,
			"responses": map[string]any{"problem": failure},
			"securitySchemes": map[string]any{"token": map[string]any{
				"type": "http", "scheme": "bearer",
				"description": "The admin token is the file admin.token in the data directory; `berth token create` makes others.",
			}},
		},
	}, "", " ")
	if err != nil {
		return nil, fmt.Errorf("describe the API: %w", err)
	}
	return inComponents(text), nil
}

func (b *builder) operation(op Operation) (map[string]any, error) {
	switch {
	case op.ID == "" || b.ids[op.ID]:
		return nil, fmt.Errorf("its ID %q is missing or taken", op.ID)
	case op.Summary == "" || len(op.Answers) == 0:
		return nil, fmt.Errorf("it has no summary or no answer")
	}
	b.ids[op.ID] = true
	parameters, err := parameters(op)
	if err != nil {
		return nil, err
	}
	item := map[string]any{"operationId": op.ID, "summary": op.Summary, "tags": []string{op.Tag}}
	if op.Description != "" {
		item["description"] = op.Description
	}
	if len(parameters) > 0 {
		item["parameters"] = parameters
	}
	if len(op.Body) > 0 {
		item["requestBody"] = map[string]any{"required": !op.BodyMayMiss, "content": b.content(op.Body, true)}
	}
	item["security"] = []any{}
	if op.Scope != "" {
		item["security"] = []any{map[string]any{"token": []string{}}}
		item["x-scope"] = op.Scope
	}
	answers := map[string]any{"default": map[string]any{"$ref": "#/components/responses/problem"}}
	for _, a := range op.Answers {
		text := a.Description
		if text == "" {
			text = http.StatusText(a.Status)
		}
		answer := map[string]any{"description": text}
		if len(a.Content) > 0 {
			answer["content"] = b.content(a.Content, false)
		}
		if len(a.Headers) > 0 {
			headers := make(map[string]any)
			for _, h := range a.Headers {
				headers[h.Name] = map[string]any{"description": h.Description, "schema": h.schema()}
			}
			answer["headers"] = headers
		}
		answers[strconv.Itoa(a.Status)] = answer
	}
	item["responses"] = answers
	return item, nil
}

// parameters lists an operation's parameters, those of its path first.
func parameters(op Operation) ([]any, error) {
	said := make(map[string]Parameter)
	for _, p := range op.Parameters {
		if p.In == "path" {
			said[p.Name] = p
		}
	}
	var list []any
	add := func(p Parameter) {
		item := map[string]any{"name": p.Name, "in": p.In, "schema": p.schema(), "required": p.Required || p.In == "path"}
		if p.Description != "" {
			item["description"] = p.Description
		}
		list = append(list, item)
	}
	for _, m := range pathParameter.FindAllStringSubmatch(op.Path, -1) {
		p, ok := said[m[1]]
		if !ok {
			p = Parameter{In: "path", Name: m[1]}
		}
		delete(said, m[1])
		add(p)
	}
	for name := range said {
		return nil, fmt.Errorf("its path has no parameter %q", name)
	}
	for _, p := range op.Parameters {
		switch p.In {
		case "path":
		case "query", "header":
			add(p)
		default:
			return nil, fmt.Errorf("parameter %q is in %q", p.Name, p.In)
		}
	}
	return list, nil
}

func (p Parameter) schema() map[string]any {
	if p.Schema == nil {
		return map[string]any{"type": "string"}
	}
	return p.Schema
}

func (b *builder) content(contents []Content, request bool) map[string]any {
	out := make(map[string]any)
	for _, c := range contents {
		media := c.Media
		if media == "" {
			media = "application/json"
		}
		out[media] = map[string]any{"schema": b.schemas.of(c.Value, request)}
	}
	return out
}
