package schema_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/plugin/schema"
)

const settings = `{
  "type": "object",
  "required": ["url"],
  "additionalProperties": false,
  "properties": {
    "url": {"type": "string", "pattern": "^https://"},
    "token": {"type": "string", "minLength": 8, "enum": ["letmein-now"]},
    "tries": {"type": "integer", "minimum": 1, "maximum": 5, "multipleOf": 0.5},
    "hosts": {"type": "array", "items": {"$ref": "#/$defs/host"}, "uniqueItems": true, "maxItems": 2},
    "part": {"minimum": 1e-25},
    "either": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    "a/b": {"const": 7}
  },
  "$defs": {"host": {"type": "object", "properties": {"port": {"type": "integer"}}}}
}`

func TestCheck(t *testing.T) {
	s, err := schema.Compile([]byte(settings))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ config, want string }{ // want "": valid
		{`{"url":"https://a","part":-1}`, `/part: must be at least 1e-25`},
		{`{"url":"https://a"}`, ""},
		{`{"url":"https://a","tries":2,"hosts":[{"port":1}],"either":null,"a/b":7}`, ""},
		{`{}`, `needs "url"`},
		{`[]`, `must be object, not array`},
		{`{"url":"http://hunter2"}`, `/url: must match the pattern "^https://"`},
		{`{"url":"https://a","token":"hunter2"}`, `/token: must be one of "letmein-now"`},
		{`{"url":"https://a","tries":0}`, `/tries: must be at least 1`},
		{`{"url":"https://a","tries":9}`, `/tries: must be at most 5`},
		{`{"url":"https://a","tries":"hunter2"}`, `/tries: must be integer, not string`},
		{`{"url":"https://a","hosts":[{"port":1},{"port":"x"}]}`, `/hosts/1/port: must be integer, not string`},
		{`{"url":"https://a","hosts":[{"port":1},{"port":1.0}]}`, `/hosts: the items 0 and 1 must differ`},
		{`{"url":"https://a","hosts":[{},{"port":1},{"port":2}]}`, `/hosts: must have at most 2 items`},
		{`{"url":"https://a","either":5}`, `/either: is none of what the schema allows (anyOf)`},
		{`{"url":"https://a","a/b":8}`, `/a~1b: must be 7`},
		{`{"url":"https://a","URL":"x","Hosts":"hunter2"}`, `does not take "Hosts", "URL"`},
		{`{"tries":0,"url":1}`, "/tries: must be at least 1; /url: must be string, not number"},
		{`{"url":"https://a","tries":1e999999999}`, "/tries: is a number too long to be checked; make it text"},
		{`{"url":`, "is not JSON"},
	}
	for _, tt := range tests {
		for range 2 { // the second answer is the kept one
			err := s.Check([]byte(tt.config))
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("%s: %v", tt.config, err)
			case tt.want != "" && (err == nil || err.Error() != tt.want || !fault.Is(err, fault.Invalid)):
				t.Errorf("%s: got %v, want %s", tt.config, err, tt.want)
			case err != nil && strings.Contains(err.Error(), "hunter2"):
				t.Errorf("a value is shown: %v", err)
			}
			var e *schema.Error
			if err != nil && (!errors.As(err, &e) || len(e.Violations) == 0) {
				t.Errorf("%s: got %#v, want violations", tt.config, err)
			}
		}
	}
}

func TestManyViolationsAreCut(t *testing.T) {
	s, err := schema.Compile([]byte(`{"items":{"type":"string"}}`))
	if err != nil {
		t.Fatal(err)
	}
	err = s.Check([]byte("[1" + strings.Repeat(",1", 99) + "]"))
	var e *schema.Error
	if !errors.As(err, &e) || len(e.Violations) != 20 || e.More != 80 || !strings.HasSuffix(err.Error(), "and 80 more") {
		t.Errorf("got %v", err)
	}
}

func TestOlderDrafts(t *testing.T) {
	s, err := schema.Compile([]byte(`{"$schema":"http://json-schema.org/draft-07/schema#","properties":{"u":{"format":"ipv4"}},"definitions":{"a":true}}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Check([]byte(`{"u":"hunter2"}`)); err == nil || err.Error() != `/u: must have the format "ipv4"` {
		t.Errorf("got %v", err)
	}
}

func TestCompileRefuses(t *testing.T) {
	double := func(n int) string { // each definition refers to the next one twice
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"d%d":{"allOf":[{"$ref":"#/$defs/d%d"},{"$ref":"#/$defs/d%d"}]},`, i, i+1, i+1)
		}
		return fmt.Sprintf(`{"$ref":"#/$defs/d0","$defs":{%s"d%d":{"type":"object"}}}`, b.String(), n)
	}
	tests := []struct{ name, schema, want string }{
		{"no JSON", `{`, "the schema is not JSON"},
		{"two values", `{} {}`, "something follows it"},
		{"a list", `[]`, "the schema must be an object"},
		{"not a schema", `{"type":"strange"}`, "it is not a JSON Schema: /type"},
		{"not a schema, deep", `{"properties":{"a":{"minimum":"x"}}}`, "it is not a JSON Schema: /properties/a/minimum: must be number, not string"},
		{"a file", `{"$ref":"file:///etc/passwd"}`, `/$ref: "file:///etc/passwd" leads out of the schema`},
		{"the network", `{"properties":{"a":{"$ref":"https://example.com/s.json"}}}`, "/properties/a/$ref: "},
		{"a sibling", `{"$ref":"other.json#/a"}`, "leads out of the schema"},
		{"an id", `{"$id":"https://example.com/s.json"}`, "/$id: is not supported"},
		{"an anchor", `{"$defs":{"a":{"$anchor":"x"}}}`, "/$defs/a/$anchor: is not supported"},
		{"a dynamic reference", `{"$dynamicRef":"#x"}`, "/$dynamicRef: is not supported"},
		{"another dialect", `{"$schema":"https://example.com/mine"}`, "/$schema: "},
		{"nothing there", `{"$ref":"#/$defs/a"}`, "there is nothing at"},
		{"itself", `{"$ref":"#"}`, "leads back to itself"},
		{"itself, below", `{"properties":{"a":{"$ref":"#"}}}`, "leads back to itself"},
		{"a circle", `{"$ref":"#/$defs/a","$defs":{"a":{"not":{"$ref":"#/$defs/b"}},"b":{"items":{"$ref":"#/$defs/a"}}}}`, "leads back to itself"},
		{"doubling", double(14), "more than 5000 parts"},
		{"large", `{"enum":[1` + strings.Repeat(",1", 6000) + `]}`, "more than 5000 parts"},
		{"long", `{"description":"` + strings.Repeat("x", 64<<10) + `"}`, "the limit is 65536"},
		{"deep", strings.Repeat(`{"not":`, 70) + "{}" + strings.Repeat("}", 70), "nests more than 64 levels"},
		{"a long number", `{"minimum":1e999999999}`, "/minimum: the number is too long"},
		{"a bad pattern", `{"pattern":"(?=x)"}`, "/pattern: the regular expression"},
		{"a costly pattern", `{"pattern":"` + strings.Repeat(".{1000}", 100) + `"}`, "is too costly"},
		{"a costly key pattern", `{"patternProperties":{"` + strings.Repeat(".{1000}", 3) + `":{}}}`, "is too costly"},
	}
	for _, tt := range tests {
		_, err := schema.Compile([]byte(tt.schema))
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
}

// A property may have any name, also one that is a keyword elsewhere.
func TestPropertiesWithNamesOfKeywords(t *testing.T) {
	s, err := schema.Compile([]byte(`{"properties":{"$ref":{"type":"string"},"$id":{"type":"string"},"pattern":{"type":"string"},"uniqueItems":{"type":"integer"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Check([]byte(`{"$id":1}`)); err == nil || err.Error() != "/$id: must be string, not number" {
		t.Errorf("got %v", err)
	}
}

func TestCheckOfAConfigTooLargeForItsSchema(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"items":{"allOf":[{}`)
	for range 1000 {
		b.WriteString(`,{"not":{"type":"null"}}`)
	}
	b.WriteString(`]}}`)
	s, err := schema.Compile([]byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	const want = "is too large to be checked against a schema of this size"
	if err := s.Check([]byte("[1" + strings.Repeat(",1", 100_000) + "]")); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	began := time.Now()
	if err := s.Check([]byte("[1" + strings.Repeat(",1", 500) + "]")); err != nil {
		t.Error(err)
	}
	t.Logf("a check of the largest size took %v", time.Since(began))
}

func FuzzSchema(f *testing.F) {
	f.Add([]byte(settings), []byte(`{"url":"https://a"}`))
	f.Add([]byte(`{"$ref":"#/a/0","a":[{"not":{}}]}`), []byte(`[[1e9,"x"]]`))
	f.Add([]byte(`{"oneOf":[{"if":{},"then":false},{"unevaluatedItems":false}]}`), []byte(`[1]`))
	f.Add([]byte(`{"$schema":"http://json-schema.org/draft-07/schema","dependencies":{"a":["b"]},"propertyNames":{"maxLength":3}}`), []byte(`{"a":1}`))
	f.Fuzz(func(t *testing.T, text, config []byte) {
		s, err := schema.Compile(text)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("got %v, want invalid", err)
			}
			return
		}
		first := s.Check(config)
		var e *schema.Error
		if first != nil && (!errors.As(first, &e) || len(e.Violations) == 0 || len(first.Error()) > 1<<16) {
			t.Fatalf("got %v", first)
		}
		other, err := schema.Compile(text)
		if err != nil {
			t.Fatal(err)
		}
		if again := other.Check(config); (first == nil) != (again == nil) {
			t.Fatalf("got %v, then %v", first, again)
		}
	})
}

// TestCheckEvent: checks of events do not wait for each other, keep nothing, and have a bound of their own.
func TestCheckEvent(t *testing.T) {
	s, err := schema.Compile([]byte(`{"items":{"type":"integer"}}`))
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for range 100 {
				good, wrong := s.CheckEvent([]byte(`[1]`)), s.CheckEvent([]byte(`[1,"x"]`))
				if good != nil || wrong == nil || wrong.Error() != "/1: must be integer, not string" {
					t.Errorf("caller %d: got %v, %v", i, good, wrong)
				}
			}
		})
	}
	group.Wait()
	large := []byte("[1" + strings.Repeat(",1", 400_000) + "]")
	if err := s.Check(large); err != nil {
		t.Errorf("of a config: %v", err)
	}
	if err := s.CheckEvent(large); err == nil || err.Error() != "is too large to be checked against a schema of this size" {
		t.Errorf("of an event: %v", err)
	}
}

func BenchmarkCheckEvent(b *testing.B) {
	var properties, many []string
	for i := range 100 {
		properties = append(properties, fmt.Sprintf(`"p%d":{"type":"integer","minimum":0}`, i))
		many = append(many, fmt.Sprintf(`{"not":{"const":%d}}`, -i))
	}
	for name, tt := range map[string]struct{ schema, data string }{
		"small":    {`{"type":"object","required":["sku"],"properties":{"sku":{"type":"string","pattern":"^[a-z]+$"},"n":{"type":"integer"}}}`, `{"sku":"abc","n":7,"x":[1,2]}`},
		"wide":     {`{"type":"object","properties":{` + strings.Join(properties, ",") + `}}`, `{"p1":1,"p50":2,"p99":3}`},
		"at bound": {`{"items":{"allOf":[` + strings.Join(many, ",") + `]}}`, "[1" + strings.Repeat(",1", 3000) + "]"},
	} {
		b.Run(name, func(b *testing.B) {
			s, err := schema.Compile([]byte(tt.schema))
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if err := s.CheckEvent([]byte(tt.data)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
