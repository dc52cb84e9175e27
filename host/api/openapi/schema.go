package openapi

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"regexp"
	"strings"

	"github.com/invopop/jsonschema"
)

// schemas collects the schemas of Go types, by name. Types of requests have no additional
// properties, since requests are decoded strictly; types of answers may have more in a later
// version. A type of both has two schemas: the request's is named NameInput. Answers must be
// collected before requests.
type schemas struct {
	byName   map[string]*jsonschema.Schema
	answered map[string]bool // names of types of answers
	raw      map[string]any  // see Info
}

// of returns the schema of a value's type, a reference where it has a name.
func (s schemas) of(value any, request bool) any {
	switch v := value.(type) {
	case Schema:
		return v
	case OneOf:
		var list []any
		for _, alternative := range v {
			list = append(list, s.of(alternative, request))
		}
		return Schema{"oneOf": list}
	case Stream:
		data := make(map[string]any)
		for event, of := range v {
			data[event] = s.of(of, request)
		}
		return Schema{"type": "string", "x-events": data,
			"description": "Server-sent events. x-events has the schema of the data, which is JSON, by the event's name."}
	}
	r := jsonschema.Reflector{
		Anonymous:                 true,
		AllowAdditionalProperties: !request,
		Mapper:                    listOfNullable,
		Namer: func(t reflect.Type) string {
			if n := name(t); !request || !s.answered[n] {
				return n
			}
			return name(t) + "Input"
		},
	}
	schema := r.Reflect(value)
	schema.Version = ""
	for name, definition := range schema.Definitions {
		s.openAny(name, definition, request)
	}
	maps.Copy(s.byName, schema.Definitions)
	if !request {
		for name := range schema.Definitions {
			s.answered[name] = true
		}
	}
	schema.Definitions = nil
	return schema
}

var (
	generic = regexp.MustCompile(`^(\w+)\[(.*)\]$`)
	path    = regexp.MustCompile(`[\w./-]*\.`)
)

// listOfNullable returns the schema of a list of numbers, each of which may be null; nil for
// other types, which the reflector describes.
func listOfNullable(t reflect.Type) *jsonschema.Schema {
	if t != reflect.TypeFor[[]*float64]() {
		return nil
	}
	return &jsonschema.Schema{Type: "array", Items: &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "number"}, {Type: "null"}}}}
}

// openAny describes a property of any type by an object without a type, or that of an answer by
// its type in raw. The reflector writes true, which generators of clients do not support.
func (s schemas) openAny(name string, definition *jsonschema.Schema, request bool) {
	for p := definition.Properties.Oldest(); p != nil; p = p.Next() {
		if text, err := json.Marshal(p.Value); err != nil || string(text) != "true" {
			continue
		}
		p.Value = &jsonschema.Schema{Description: "Any JSON value."}
		if value, known := s.raw[name+"."+p.Key]; known && !request {
			p.Value = s.of(value, false).(*jsonschema.Schema)
		}
	}
}

// name returns the name of a type as a reference can contain it: List[pkg.T] becomes TList.
func name(t reflect.Type) string {
	if m := generic.FindStringSubmatch(t.Name()); m != nil {
		return upper(path.ReplaceAllString(m[2], "")) + upper(m[1])
	}
	return upper(t.Name())
}

func upper(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// inComponents rewrites the references of the schemas, each of which the reflector writes as
// a document of its own, to their location in this document.
func inComponents(document []byte) []byte {
	return bytes.ReplaceAll(document, []byte(`"$ref": "#/$defs/`), []byte(`"$ref": "#/components/schemas/`))
}
