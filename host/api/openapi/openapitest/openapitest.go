// Package openapitest reads an OpenAPI 3.1 document for tests: Read checks that
// it keeps the rules that generators of clients rely on, and Answer that an
// answer of the API is one that the document tells of.
package openapitest

import (
	"bytes"
	"fmt"
	"maps"
	"mime"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// location is what the document is called while its references are followed.
const location = "mem:///openapi.json"

// Document is a document that keeps the rules. It is not for concurrent use.
type Document struct {
	Operations []Operation // by path, then method

	root     map[string]any
	compiler *jsonschema.Compiler
	compiled map[string]*jsonschema.Schema // by pointer
}

// Operation is one operation of a document.
type Operation struct {
	Method, Path, ID, Scope string
	Parameters              []Parameter
	Bodies                  map[string]any // schemas by media type
	Statuses                []int
	at                      string // pointer
}

// Parameter is one parameter of an operation.
type Parameter struct {
	In, Name string
	Required bool
	Schema   map[string]any
}

var inPath = regexp.MustCompile(`\{([^}]+)\}`)

// Read reads a document. Its errors tell which rule it breaks, and where.
func Read(content []byte) (*Document, error) {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("the document: %w", err)
	}
	root, _ := value.(map[string]any)
	d := &Document{root: root, compiler: jsonschema.NewCompiler(), compiled: make(map[string]*jsonschema.Schema)}
	d.compiler.DefaultDraft(jsonschema.Draft2020)
	d.compiler.AssertFormat()
	if err := d.compiler.AddResource(location, value); err != nil {
		return nil, fmt.Errorf("the document: %w", err)
	}
	if version, _ := root["openapi"].(string); !strings.HasPrefix(version, "3.1.") {
		return nil, fmt.Errorf("it is of version %q", version)
	}
	info := object(root["info"])
	if text(info["title"]) == "" || text(info["version"]) == "" {
		return nil, fmt.Errorf("info has no title or no version: %v", info)
	}
	if err := d.references(root, ""); err != nil {
		return nil, err
	}
	for name := range object(object(root["components"])["schemas"]) {
		if _, err := d.schema("/components/schemas/" + escaped(name)); err != nil {
			return nil, err
		}
	}
	ids := make(map[string]bool)
	paths := object(root["paths"])
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		item := object(paths[path])
		for _, method := range slices.Sorted(maps.Keys(item)) {
			op, err := d.operation(path, method, object(item[method]))
			if err != nil {
				return nil, fmt.Errorf("%s %s: %w", method, path, err)
			}
			if ids[op.ID] {
				return nil, fmt.Errorf("%s %s: the operationId %q is there twice", method, path, op.ID)
			}
			ids[op.ID] = true
			d.Operations = append(d.Operations, op)
		}
	}
	return d, nil
}

// references checks that what every $ref leads to is there.
func (d *Document) references(value any, at string) error {
	switch v := value.(type) {
	case map[string]any:
		if ref, ok := v["$ref"].(string); ok && d.at(strings.TrimPrefix(ref, "#")) == nil {
			return fmt.Errorf("%s: %s leads nowhere", at, ref)
		}
		for key, inner := range v {
			if err := d.references(inner, at+"/"+escaped(key)); err != nil {
				return err
			}
		}
	case []any:
		for i, inner := range v {
			if err := d.references(inner, at+"/"+strconv.Itoa(i)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *Document) operation(path, method string, item map[string]any) (Operation, error) {
	op := Operation{Method: strings.ToUpper(method), Path: path, ID: text(item["operationId"]), Scope: text(item["x-scope"]),
		Bodies: make(map[string]any), at: "/paths/" + escaped(path) + "/" + method}
	if op.ID == "" || text(item["summary"]) == "" {
		return op, fmt.Errorf("it has no operationId or no summary")
	}
	inItsPath := make(map[string]bool)
	for _, m := range inPath.FindAllStringSubmatch(path, -1) {
		inItsPath[m[1]] = true
	}
	seen := make(map[string]bool)
	for i, raw := range list(item["parameters"]) {
		p := object(raw)
		parameter := Parameter{In: text(p["in"]), Name: text(p["name"]), Required: p["required"] == true, Schema: object(p["schema"])}
		if _, err := d.schema(op.at + "/parameters/" + strconv.Itoa(i) + "/schema"); err != nil {
			return op, err
		}
		key := parameter.In + " " + parameter.Name
		if seen[key] {
			return op, fmt.Errorf("the parameter in %s is there twice", key)
		}
		seen[key] = true
		if parameter.In == "path" {
			if !inItsPath[parameter.Name] || !parameter.Required {
				return op, fmt.Errorf("the parameter %q is not in the path, or not required", parameter.Name)
			}
			delete(inItsPath, parameter.Name)
		}
		op.Parameters = append(op.Parameters, parameter)
	}
	if len(inItsPath) > 0 {
		return op, fmt.Errorf("parameters of the path are not declared: %v", inItsPath)
	}
	for media, content := range object(object(item["requestBody"])["content"]) {
		if _, err := d.schema(op.at + "/requestBody/content/" + escaped(media) + "/schema"); err != nil {
			return op, err
		}
		op.Bodies[media] = object(content)["schema"]
	}
	return op, d.answers(&op, object(item["responses"]))
}

// answers checks what an operation may answer.
func (d *Document) answers(op *Operation, responses map[string]any) error {
	if responses["default"] == nil {
		return fmt.Errorf("it does not say how it fails")
	}
	for code, raw := range responses {
		at := op.at + "/responses/" + code
		if code != "default" {
			status, err := strconv.Atoi(code)
			if err != nil {
				return fmt.Errorf("%q is no status", code)
			}
			op.Statuses = append(op.Statuses, status)
			if text(object(raw)["description"]) == "" {
				return fmt.Errorf("its answer %s has no description", code)
			}
		}
		for media := range object(object(raw)["content"]) {
			if _, err := d.schema(at + "/content/" + escaped(media) + "/schema"); err != nil {
				return err
			}
		}
		for name := range object(object(raw)["headers"]) {
			if _, err := d.schema(at + "/headers/" + escaped(name) + "/schema"); err != nil {
				return err
			}
		}
	}
	if len(op.Statuses) == 0 {
		return fmt.Errorf("it never succeeds")
	}
	slices.Sort(op.Statuses)
	return nil
}

// Problem checks the answer of a failure.
func (d *Document) Problem(contentType string, body []byte) error {
	if contentType != "application/problem+json" {
		return fmt.Errorf("a failure has the content type %q", contentType)
	}
	return d.valid("/components/responses/problem/content/application~1problem+json/schema", body)
}

// Answer checks the answer of a success: its status, media type and body. Of a
// stream of events the body is not looked at.
func (d *Document) Answer(op Operation, status int, contentType string, body []byte) error {
	if !slices.Contains(op.Statuses, status) {
		return fmt.Errorf("the document has no answer %d of %s", status, op.ID)
	}
	at := op.at + "/responses/" + strconv.Itoa(status)
	contents := object(object(d.at(at))["content"])
	if len(contents) == 0 {
		if len(body) > 0 {
			return fmt.Errorf("%d of %s has a body of %d bytes, and should have none", status, op.ID, len(body))
		}
		return nil
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil || contents[media] == nil {
		return fmt.Errorf("%d of %s has the content type %q, which the document does not tell of", status, op.ID, contentType)
	}
	if slices.Contains([]string{"text/event-stream", "application/x-tar", "text/plain"}, media) {
		return nil
	}
	return d.valid(at+"/content/"+escaped(media)+"/schema", body)
}

// Event checks the data of one event of a stream.
func (d *Document) Event(op Operation, status int, name string, data []byte) error {
	return d.valid(op.at+"/responses/"+strconv.Itoa(status)+"/content/text~1event-stream/schema/x-events/"+escaped(name), data)
}

// Resolve follows the reference that a schema may be.
func (d *Document) Resolve(schema any) map[string]any {
	s := object(schema)
	for {
		ref, ok := s["$ref"].(string)
		if !ok {
			return s
		}
		s = object(d.at(strings.TrimPrefix(ref, "#")))
	}
}

// valid checks JSON text against the schema at a pointer.
func (d *Document) valid(pointer string, body []byte) error {
	schema, err := d.schema(pointer)
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("the answer is no JSON: %w", err)
	}
	if err := schema.Validate(value); err != nil {
		return fmt.Errorf("the answer is not what the document says: %w", err)
	}
	return nil
}

func (d *Document) schema(pointer string) (*jsonschema.Schema, error) {
	if s := d.compiled[pointer]; s != nil {
		return s, nil
	}
	fragment := strings.NewReplacer("%", "%25", "{", "%7B", "}", "%7D").Replace(pointer)
	s, err := d.compiler.Compile(location + "#" + fragment)
	if err != nil {
		return nil, fmt.Errorf("the schema at %s: %w", pointer, err)
	}
	d.compiled[pointer] = s
	return s, nil
}

// at follows a JSON pointer.
func (d *Document) at(pointer string) any {
	var value any = d.root
	for _, key := range strings.Split(pointer, "/")[1:] {
		key = strings.NewReplacer("~1", "/", "~0", "~").Replace(key)
		switch v := value.(type) {
		case map[string]any:
			value = v[key]
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i < 0 || i >= len(v) {
				return nil
			}
			value = v[i]
		default:
			return nil
		}
	}
	return value
}

// escaped writes a key as a part of a JSON pointer (RFC 6901).
func escaped(key string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(key) }

func object(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

func text(v any) string {
	s, _ := v.(string)
	return s
}
