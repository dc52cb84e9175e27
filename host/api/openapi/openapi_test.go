package openapi

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

type list[T any] struct {
	Items []T     `json:"items"`
	Next  *string `json:"next" jsonschema:"nullable"`
}

type thing struct {
	Name string          `json:"name"`
	Any  json.RawMessage `json:"any"`
	Kind *string         `json:"kind,omitempty"`
}

type wanted struct {
	Name string `json:"name"`
}

type failure struct {
	Status int `json:"status"`
}

func ok(value any) []Answer { return []Answer{{Status: 200, Content: []Content{{Value: value}}}} }

// at follows keys into a decoded document.
func at(t *testing.T, doc any, keys ...string) any {
	t.Helper()
	for _, key := range keys {
		if list, ok := doc.([]any); ok {
			i, err := strconv.Atoi(key)
			if err != nil || i >= len(list) {
				t.Fatalf("there is no %s (of %v) in %v", key, keys, list)
			}
			doc = list[i]
			continue
		}
		m, _ := doc.(map[string]any)
		next, found := m[key]
		if !found {
			t.Fatalf("there is no %s (of %v) in %v", key, keys, m)
		}
		doc = next
	}
	return doc
}

func TestBuild(t *testing.T) {
	text, err := Build(Info{Title: "Things", Version: "1.2.3"}, failure{}, []Operation{
		{Method: "GET", Path: "/things", ID: "listThings", Tag: "things", Summary: "List things", Scope: "read",
			Parameters: []Parameter{{In: "query", Name: "limit", Schema: map[string]any{"type": "integer"}}}, Answers: ok(list[thing]{})},
		{Method: "POST", Path: "/things/{id}", ID: "putThing", Tag: "things", Summary: "Put a thing",
			Body: []Content{{Value: OneOf{wanted{}, []wanted{}, thing{}}}, {Media: "text/plain", Value: Schema{"type": "string"}}},
			Answers: []Answer{{Status: 201, Headers: []Parameter{{Name: "Location", Description: "where it is"}},
				Content: []Content{{Media: "text/event-stream", Value: Stream{"made": thing{}}}}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var doc any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "$defs") {
		t.Error("a reference leads out of the document")
	}
	for _, tt := range []struct {
		want any
		keys []string
	}{
		{"3.1.0", []string{"openapi"}},
		{"#/components/schemas/ThingList", []string{"paths", "/things", "get", "responses", "200", "content", "application/json", "schema", "$ref"}},
		{"#/components/schemas/Thing", []string{"components", "schemas", "ThingList", "properties", "items", "items", "$ref"}},
		{[]any{"items", "next"}, []string{"components", "schemas", "ThingList", "required"}},
		{[]any{map[string]any{"type": "string"}, map[string]any{"type": "null"}}, []string{"components", "schemas", "ThingList", "properties", "next", "oneOf"}},
		{[]any{"name", "any"}, []string{"components", "schemas", "Thing", "required"}},
		{false, []string{"components", "schemas", "Wanted", "additionalProperties"}},
		{[]any{map[string]any{"token": []any{}}}, []string{"paths", "/things", "get", "security"}},
		{[]any{}, []string{"paths", "/things/{id}", "post", "security"}},
		{true, []string{"paths", "/things/{id}", "post", "requestBody", "required"}},
		{"string", []string{"paths", "/things/{id}", "post", "requestBody", "content", "text/plain", "schema", "type"}},
		{[]any{map[string]any{"name": "id", "in": "path", "required": true, "schema": map[string]any{"type": "string"}}}, []string{"paths", "/things/{id}", "post", "parameters"}},
		{"#/components/schemas/Wanted", []string{"paths", "/things/{id}", "post", "requestBody", "content", "application/json", "schema", "oneOf", "0", "$ref"}},
		{"array", []string{"paths", "/things/{id}", "post", "requestBody", "content", "application/json", "schema", "oneOf", "1", "type"}},
		{"#/components/schemas/ThingInput", []string{"paths", "/things/{id}", "post", "requestBody", "content", "application/json", "schema", "oneOf", "2", "$ref"}},
		{false, []string{"components", "schemas", "ThingInput", "additionalProperties"}},
		{"#/components/schemas/Thing", []string{"paths", "/things/{id}", "post", "responses", "201", "content", "text/event-stream", "schema", "x-events", "made", "$ref"}},
		{"where it is", []string{"paths", "/things/{id}", "post", "responses", "201", "headers", "Location", "description"}},
		{"#/components/schemas/Failure", []string{"components", "responses", "problem", "content", "application/problem+json", "schema", "$ref"}},
	} {
		if got := at(t, doc, tt.keys...); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%v: got %v, want %v", tt.keys, got, tt.want)
		}
	}
	if open, _ := at(t, doc, "components", "schemas", "Thing").(map[string]any); open["additionalProperties"] != nil {
		t.Error("an answer is closed to further keys")
	}
}

func TestBuildRefuses(t *testing.T) {
	good := Operation{Method: "GET", Path: "/a", ID: "a", Summary: "a", Answers: ok(thing{})}
	tests := map[string]func(*Operation){
		"no ID":                  func(o *Operation) { o.ID = "" },
		"no summary":             func(o *Operation) { o.Summary = "" },
		"no answer":              func(o *Operation) { o.Answers = nil },
		"a parameter of no path": func(o *Operation) { o.Parameters = []Parameter{{In: "path", Name: "id"}} },
		"a parameter of no kind": func(o *Operation) { o.Parameters = []Parameter{{In: "cookie", Name: "id"}} },
	}
	for name, spoil := range tests {
		op := good
		spoil(&op)
		if _, err := Build(Info{}, failure{}, []Operation{op}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	other := good
	other.ID = "b"
	for name, ops := range map[string][]Operation{"the same ID": {good, good}, "the same operation": {good, other}} {
		if _, err := Build(Info{}, failure{}, ops); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
