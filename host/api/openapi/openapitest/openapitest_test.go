package openapitest

import (
	"strings"
	"testing"
)

const good = `{"openapi":"3.1.0","info":{"title":"t","version":"1"},
"components":{"schemas":{"Thing":{"type":"object","required":["id"],"properties":{"id":{"type":"string"}}}},
"responses":{"problem":{"description":"it failed","content":{"application/problem+json":{"schema":{"type":"object","required":["code"]}}}}}},
"paths":{"/a/{id}":{"get":{"operationId":"getA","summary":"s","x-scope":"read",
"parameters":[{"in":"path","name":"id","required":true,"schema":{"type":"string"}}],
"responses":{"200":{"description":"ok","content":{"application/json":{"schema":{"$ref":"#/components/schemas/Thing"}},"text/event-stream":{"schema":{"type":"string","x-events":{"made":{"$ref":"#/components/schemas/Thing"}}}}}},
"204":{"description":"none"},"default":{"$ref":"#/components/responses/problem"}}}}}}`

func TestRead(t *testing.T) {
	for name, tt := range map[string][2]string{
		"no JSON":                    {`{"openapi"`, `{"openapi`},
		"another version":            {`"3.1.0"`, `"2.0"`},
		"no title":                   {`"title":"t"`, `"title":""`},
		"a reference to nowhere":     {`"#/components/schemas/Thing"`, `"#/components/schemas/Other"`},
		"a schema that is none":      {`"type":"string"`, `"type":7`},
		"no operationId":             {`"operationId":"getA"`, `"operationId":""`},
		"an operationId twice":       {`"paths":{`, `"paths":{"/b":{"get":{"operationId":"getA","summary":"s","responses":{"204":{"description":"d"},"default":{"description":"d"}}}},`},
		"a parameter not in path":    {`"name":"id"`, `"name":"other"`},
		"a path without parameter":   {`"/a/{id}"`, `"/a/{id}/{more}"`},
		"an optional path parameter": {`"required":true`, `"required":false`},
		"no failure":                 {`"default"`, `"201"`},
		"a status that is none":      {`"204"`, `"2xx"`},
		"an answer undescribed":      {`"description":"none"`, `"description":""`},
	} {
		if _, err := Read([]byte(strings.ReplaceAll(good, tt[0], tt[1]))); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestAnswer(t *testing.T) {
	d, err := Read([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	op := d.Operations[0]
	if op.ID != "getA" || op.Method != "GET" || op.Scope != "read" || len(op.Parameters) != 1 {
		t.Errorf("got %+v", op)
	}
	const kind = "application/json"
	for _, tt := range []struct {
		name string
		err  error
		good bool
	}{
		{"a thing", d.Answer(op, 200, kind+"; charset=utf-8", []byte(`{"id":"x","more":1}`)), true},
		{"no thing", d.Answer(op, 200, kind, []byte(`{"id":7}`)), false},
		{"no JSON", d.Answer(op, 200, kind, []byte(`{`)), false},
		{"another media type", d.Answer(op, 200, "text/html", []byte(`{"id":"x"}`)), false},
		{"another status", d.Answer(op, 201, kind, []byte(`{"id":"x"}`)), false},
		{"nothing", d.Answer(op, 204, "", nil), true},
		{"something", d.Answer(op, 204, "", []byte("x")), false},
		{"a stream", d.Answer(op, 200, "text/event-stream", nil), true},
		{"an event", d.Event(op, 200, "made", []byte(`{"id":"x"}`)), true},
		{"no such event", d.Event(op, 200, "lost", []byte(`{"id":"x"}`)), false},
		{"an event of another kind", d.Event(op, 200, "made", []byte(`{}`)), false},
		{"a problem", d.Problem("application/problem+json", []byte(`{"code":"c"}`)), true},
		{"a problem of another kind", d.Problem(kind, []byte(`{"code":"c"}`)), false},
		{"a problem without code", d.Problem("application/problem+json", []byte(`{}`)), false},
	} {
		if (tt.err == nil) != tt.good {
			t.Errorf("%s: %v", tt.name, tt.err)
		}
	}
}
