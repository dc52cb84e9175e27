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
				_, good := s.CheckEvent([]byte(`[1]`))
				_, wrong := s.CheckEvent([]byte(`[1,"x"]`))
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
	if _, err := s.CheckEvent(large); err == nil || err.Error() != "is too large to be checked against a schema of this size" {
		t.Errorf("of an event: %v", err)
	}
}

// TestWorkFollowsTheData: what counts is the way of the check through the data, not the size of
// the schema times that of the data.
func TestWorkFollowsTheData(t *testing.T) {
	var properties, many []string
	for i := range 200 {
		properties = append(properties, fmt.Sprintf(`"p%d":{"type":"integer","minimum":0}`, i))
		many = append(many, fmt.Sprintf(`{"not":{"const":%d}}`, -i))
	}
	wide := `{"items":{"properties":{` + strings.Join(properties, ",") + `}}}`
	times := func(item string, n int) string { return "[" + item + strings.Repeat(","+item, n-1) + "]" }
	for _, tt := range []struct {
		name, schema, data string
		low, high          int // of the work; high 0: the data is refused
	}{
		{"many items with few members each", wide, times(`{"p1":1,"p199":3}`, 5_000), 20_000, 40_000},
		{"an empty schema", `{}`, times("1", 100_000), 10_000, 60_000},
		{"all parts for each item", `{"items":{"allOf":[` + strings.Join(many, ",") + `]}}`, times("1", 100), 60_000, 70_000},
		{"too many of them", `{"items":{"allOf":[` + strings.Join(many, ",") + `]}}`, times("1", 200), 0, 0},
		{"items that must differ", `{"uniqueItems":true}`, times("1", 2_000), 20_000, 25_000},
		{"long lists that must differ", `{"uniqueItems":true}`, times(times("1", 100), 200), 0, 0},
		{"a pattern over a long text", `{"pattern":"^[a-z]{100}[0-9]"}`, `"` + strings.Repeat("a", 20_000) + `"`, 20_000, 50_000},
		{"many patterns of names", `{"patternProperties":{"a{1000}b":{},"c{1000}d":{}}}`, `{"x0":1` + manyMembers(100) + `}`, 0, 0},
		{"an enumeration for each item", `{"items":{"enum":[0` + manyNumbers(2, 900) + `]}}`, times("1", 100), 80_000, 100_000},
		{"names that depend", `{"dependentSchemas":{"x0":{"$ref":"#/$defs/d"}},"$defs":{"d":{"additionalProperties":{"type":"integer"}}}}`, `{"x0":1` + manyMembers(1000) + `}`, 1000, 3000},
	} {
		s, err := schema.Compile([]byte(tt.schema))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		work, err := s.CheckEvent([]byte(tt.data))
		if refused := err != nil && strings.Contains(err.Error(), "too large to be checked"); refused != (tt.high == 0) {
			t.Errorf("%s: got %d, %v", tt.name, work, err)
		}
		if tt.high > 0 && (work < tt.low || work > tt.high) {
			t.Errorf("%s: the work is %d, want %d to %d", tt.name, work, tt.low, tt.high)
		}
	}
}

// manyMembers is the text of so many members of an object.
func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"x%d":1`, i+1)
	}
	return b.String()
}

// manyNumbers is the text of the items of a list from one number to another.
func manyNumbers(from, to int) string {
	var b strings.Builder
	for i := from; i <= to; i++ {
		fmt.Fprintf(&b, ",%d", i)
	}
	return b.String()
}

// BenchmarkCheckEvent reports what a step of the work takes, of checks that are as costly as
// can be.
func BenchmarkCheckEvent(b *testing.B) {
	var properties, many, wrong, deep []string
	for i := range 100 {
		properties = append(properties, fmt.Sprintf(`"p%d":{"type":"integer","minimum":0}`, i))
		many = append(many, fmt.Sprintf(`{"not":{"const":%d}}`, -i-1))
		wrong = append(wrong, fmt.Sprintf(`{"minimum":%d}`, i+2))
		deep = append(deep, `{"unevaluatedProperties":true}`)
	}
	times := func(item string, n int) string { return "[" + item + strings.Repeat(","+item, n-1) + "]" }
	for name, tt := range map[string]struct{ schema, data string }{
		"small":       {`{"type":"object","required":["sku"],"properties":{"sku":{"type":"string","pattern":"^[a-z]+$"},"n":{"type":"integer"}}}`, `{"sku":"abc","n":7,"x":[1,2]}`},
		"wide":        {`{"type":"object","properties":{` + strings.Join(properties, ",") + `}}`, `{"p1":1,"p50":2,"p99":3}`},
		"empty":       {`{}`, times("1", 200_000)},
		"not":         {`{"items":{"allOf":[` + strings.Join(many, ",") + `]}}`, times("1", 300)},
		"anyOf":       {`{"items":{"anyOf":[` + strings.Join(wrong, ",") + `]}}`, times("1", 400)},
		"allOf":       {`{"items":{"allOf":[` + strings.Join(wrong, ",") + `]}}`, times("1", 400)},
		"enum":        {`{"items":{"enum":[0` + manyNumbers(2, 900) + `]}}`, times("1", 100)},
		"unique":      {`{"uniqueItems":true}`, "[" + uniqueLists(20, 400) + "]"},
		"unique long": {`{"uniqueItems":true}`, "[0" + manyNumbers(1, 9000) + "]"},
		"pattern":     {`{"pattern":"(a?){100}a{100}b"}`, `"` + strings.Repeat("a", 10_000) + `"`},
		"names":       {`{"patternProperties":{"(a?){50}b":{},"(b?){50}c":{}}}`, `{"x0":1` + manyMembers(100) + `}`},
		"additional":  {`{"additionalProperties":false}`, `{"x0":1` + manyMembers(50_000) + `}`},
		"unevaluated": {`{"allOf":[` + strings.Join(deep, ",") + `],"unevaluatedProperties":false}`, `{"x0":1` + manyMembers(400) + `}`},
		"uneval list": {`{"allOf":[` + strings.Join(many, ",") + `]}`, times("1", 1_000)},
		"contains":    {`{"items":{"contains":{"type":"string"}}}`, times(times("1", 100), 500)},
	} {
		b.Run(name, func(b *testing.B) {
			s, err := schema.Compile([]byte(tt.schema))
			if err != nil {
				b.Fatal(err)
			}
			work := 0
			for b.Loop() {
				if work, err = s.CheckEvent([]byte(tt.data)); err != nil && strings.Contains(err.Error(), "too large") {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(work), "steps")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*max(work, 1)), "ns/step")
		})
	}
}

// uniqueLists is the text of n lists that differ in their last item only.
func uniqueLists(n, length int) string {
	var lists []string
	for i := range n {
		lists = append(lists, "[0"+strings.Repeat(",1", length)+fmt.Sprintf(",%d]", i))
	}
	return strings.Join(lists, ",")
}
