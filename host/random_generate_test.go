package host_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/berth-host/berth/host/api/openapi/openapitest"
)

// generator generates requests from an OpenAPI document. A request depends only on its
// number, the seed and the known values.
type generator struct {
	doc   *openapitest.Document
	known map[string][]string // values that exist, by the name of the parameter or key, or by operation and name
	whole map[string][]string // valid bodies, by operation and media type
	seed  uint64
}

// request is a request that can be sent and printed repeatedly.
type request struct {
	method, path, query string // the path is escaped
	header              http.Header
	body                []byte
	chunked             bool // without a Content-Length
	token               string
}

func (r request) String() string {
	body := string(r.body)
	if len(body) > 500 {
		body = fmt.Sprintf("%s... (%d bytes)", body[:500], len(body))
	}
	return fmt.Sprintf("%s %s?%s %v %q", r.method, r.path, r.query, r.header, body)
}

// draw draws the random choices of one request.
type draw struct {
	*rand.Rand
	g  *generator
	op openapitest.Operation
}

// oneIn is true once in n times.
func (d draw) oneIn(n int) bool { return d.IntN(n) == 0 }

func pick[T any](d draw, list ...T) T { return list[d.IntN(len(list))] }

// request generates the n-th request.
func (g *generator) request(n int) request {
	d := draw{rand.New(rand.NewPCG(g.seed, uint64(n))), g, openapitest.Operation{}}
	for {
		d.op = pick(d, g.doc.Operations...)
		rare := slices.Contains([]string{"streamActivity", "installPlugin", "upgradePlugin", "reloadConfig", "getDescription"}, d.op.ID)
		if !rare || d.oneIn(4) { // these are slow
			break
		}
	}
	r := request{method: d.op.Method, path: d.path(), query: d.query(), header: make(http.Header), token: "admin"}
	d.headers(r.header)
	d.body(&r)
	if d.oneIn(25) {
		r.method = pick(d, "GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS", "TRACE", "PROPFIND")
	}
	if d.oneIn(20) {
		r.token = pick(d, "narrow", "narrow", "narrow", "wrong", "", "basic")
	}
	return r
}

// text returns unusual text.
func (d draw) text() string {
	return pick(d, "", " ", ".", "..", "../x", "../../etc/passwd", "a/b", "%2F", "%00", "\x00", "\n", "\xff\xfe", "\u202e", "é", "日本", "\U0001F4A5", "İ", "ſ",
		"'; DROP TABLE events; --", "*", "%", "_", "\"", "\\", "<script>", "null", "true", "-1", "0", "1e999", "18446744073709551616", "9223372036854775808",
		"NaN", "redrive", "replay", "plugins", "stream", "log", "install", "verify", strings.Repeat("x", 300), strings.Repeat("é/", 2000), "2026-13-45T99:00:00Z", "0001-01-01T00:00:00Z", "1d", "-7d")
}

// knownAs returns the existing values of a name.
func (d draw) knownAs(name string) []string {
	if known, ok := d.g.known[d.op.ID+" "+name]; ok {
		return known
	}
	return d.g.known[name]
}

// named returns a value for a name: an existing one, one allowed by the schema, or any
// text.
func (d draw) named(name string, schema map[string]any) string {
	known := d.knownAs(name)
	switch {
	case len(known) > 0 && !d.oneIn(5):
		return pick(d, known...)
	case d.oneIn(3):
		return d.text()
	}
	switch v := d.value(name, schema, 0).(type) {
	case string:
		return v
	default:
		return fmt.Sprint(v)
	}
}

func (d draw) path() string {
	parts := strings.Split(d.op.Path, "/")
	for i, part := range parts {
		if !strings.HasPrefix(part, "{") {
			continue
		}
		name := strings.Trim(part, "{}")
		var schema map[string]any
		for _, p := range d.op.Parameters {
			if p.In == "path" && p.Name == name {
				schema = p.Schema
			}
		}
		value := d.named(name, schema)
		parts[i] = url.PathEscape(value)
		if d.oneIn(20) && !strings.ContainsAny(value, "%?#\x00\n \"<>\\") { // not escaped
			parts[i] = (&url.URL{Path: value}).EscapedPath()
		}
	}
	path := strings.Join(parts, "/")
	switch {
	case d.oneIn(100):
		path += "/"
	case d.oneIn(100):
		path += "/" + url.PathEscape(d.text())
	case d.oneIn(100):
		path = "/" + path
	}
	return path
}

func (d draw) query() string {
	var parts []string
	add := func(name, value string) {
		parts = append(parts, url.QueryEscape(name)+"="+url.QueryEscape(value))
	}
	many := len(d.op.Parameters) > 8 // nearly all requests with so many have one that is wrong
	for _, p := range d.op.Parameters {
		if p.In != "query" || !p.Required && (d.oneIn(2) || many && !d.oneIn(3)) {
			continue
		}
		if d.oneIn(8) {
			add(p.Name, d.text())
		} else {
			add(p.Name, d.named(p.Name, p.Schema))
		}
		if d.oneIn(15) {
			add(p.Name, d.named(p.Name, p.Schema))
		}
	}
	switch {
	case d.oneIn(20):
		add(pick(d, "x", "Limit", "limit ", "", "plugin[]", "format"), d.text())
	case d.oneIn(40):
		parts = append(parts, pick(d, "%zz", "a;b", "&&&", "=", "%", "a=%ff%fe", strings.Repeat("a&", 500)))
	}
	return strings.Join(parts, "&")
}

func (d draw) headers(h http.Header) {
	for _, p := range d.op.Parameters {
		if p.In != "header" || !d.oneIn(8) && (!p.Required || d.oneIn(8)) {
			continue
		}
		value := d.named(p.Name, p.Schema)
		if d.oneIn(3) {
			value = pick(d, `"1"`, `1`, `*`, `W/"1"`, `"1", "2"`, `"`, `,,,`, `"a b"`, ``, `-1`, `99999999999999999999`, `"é"`, "k")
		}
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			continue // no client can send it
		}
		h.Add(p.Name, value)
		if d.oneIn(20) {
			h.Add(p.Name, value)
		}
	}
	if d.oneIn(8) {
		h.Set("Accept", pick(d, "*/*", "application/json", "application/cloudevents+json", "text/event-stream", "application/cloudevents+json;q=x", ";;;", "text/html", "application/json;q=0"))
	}
	if d.oneIn(40) {
		name := pick(d, "Origin", "Sec-Fetch-Site", "Cookie", "X-HTTP-Method-Override", "Range", "If-Modified-Since", "X-Forwarded-For", "Te", "traceparent")
		h.Set(name, pick(d, "null", "cross-site", "DELETE", "bytes=0-1", "http://evil.example", "10.0.0.1", "x"))
	}
}

// body adds a body to a request: usually one allowed by its schema, or a mutation.
func (d draw) body(r *request) {
	if len(d.op.Bodies) == 0 {
		if d.oneIn(30) {
			r.body = []byte(d.text())
		}
		return
	}
	media := pick(d, slices.Sorted(maps.Keys(d.op.Bodies))...)
	r.header.Set("Content-Type", media)
	value := d.value("", d.op.Bodies[media], 0)
	if whole := d.g.whole[d.op.ID+" "+media]; len(whole) > 0 && d.oneIn(2) {
		if err := json.Unmarshal([]byte(pick(d, whole...)), &value); err != nil {
			panic(err) // the test defines it
		}
	}
	if d.oneIn(5) {
		value = d.mutated(value)
	}
	text, err := json.Marshal(value)
	if err != nil {
		text = []byte("null")
	}
	if d.oneIn(8) {
		text = d.spoilt(text)
	}
	r.body, r.chunked = text, d.oneIn(10)
	switch {
	case d.oneIn(25):
		r.header.Set("Content-Type", pick(d, "", "text/plain", "application/json; charset=utf-16", "application/json;;", "application/cloudevents+xml", "application/cloudevents+json", "application/x-www-form-urlencoded", "multipart/form-data", "/", "application/problem+json", "application/json"))
	case d.oneIn(50):
		r.header.Set("Content-Encoding", pick(d, "gzip", "identity", "br", "x", "gzip, gzip"))
	}
}

// mutated returns a value with one change.
func (d draw) mutated(value any) any {
	switch v := value.(type) {
	case map[string]any:
		keys := slices.Sorted(maps.Keys(v))
		if len(keys) == 0 || d.oneIn(6) {
			v[pick(d, "x", "", "Name", "__proto__", "event_id", "é")] = d.any(0)
			return v
		}
		key := pick(d, keys...)
		switch d.IntN(4) {
		case 0:
			delete(v, key)
		case 1:
			v[strings.ToUpper(key)] = v[key]
		default:
			v[key] = d.mutated(v[key])
		}
		return v
	case []any:
		if len(v) == 0 || d.oneIn(3) {
			return append(v, d.any(0))
		}
		i := d.IntN(len(v))
		v[i] = d.mutated(v[i])
		return v
	}
	return d.any(0)
}

// spoilt changes JSON text to invalid or other JSON. A URL in valid JSON stays unchanged,
// so that the host connects to no other server.
func (d draw) spoilt(text []byte) []byte {
	switch d.IntN(7) {
	case 0:
		return text[:d.IntN(len(text)+1)]
	case 1:
		return nil
	case 2:
		return append(bytes.Clone(text), pick(d, "x", "{}", "\x00", ",", "]", " \n ")...)
	case 3: // a key twice
		if bytes.HasPrefix(text, []byte(`{"`)) {
			return append([]byte(`{"x":1,`), text[1:]...)
		}
		return []byte(`{"event_type":"t","event_type":"t"}`)
	case 4:
		garbage := make([]byte, d.IntN(200))
		for i := range garbage {
			garbage[i] = byte(d.Uint32())
		}
		return garbage
	case 5:
		deep := pick(d, 30, 1000, 9_990, 100_000)
		inner := strings.Repeat("[", deep) + strings.Repeat("]", deep)
		return []byte(pick(d, inner, `{"event_type":"t","data":`+inner+`}`, strings.Repeat(`{"data":`, deep)))
	}
	if bytes.Contains(text, []byte("://")) {
		return text[:len(text)-1]
	}
	out := bytes.Clone(text)
	for range 1 + d.IntN(3) {
		if len(out) > 0 {
			out[d.IntN(len(out))] = pick(d, byte(d.Uint32()), '"', '{', '}', '[', ',', '0', '\\', 0xff)
		}
	}
	return out
}

// any returns any JSON value.
func (d draw) any(depth int) any {
	switch n := d.IntN(10); {
	case n < 3 || depth > 3:
		return d.text()
	case n == 3:
		return pick[any](d, nil, true, false)
	case n == 4:
		return json.RawMessage(pick(d, "0", "-0", "1", "-1", "1.5", "1e308", "1e400", "9007199254740993", "123456789012345678901234567890", "-9223372036854775809"))
	case n == 5:
		list := []any{}
		for range d.IntN(4) {
			list = append(list, d.any(depth+1))
		}
		return list
	case n == 6 && d.oneIn(40):
		return strings.Repeat("large ", d.IntN(250_000))
	}
	object := map[string]any{}
	for range d.IntN(4) {
		object[d.text()] = d.any(depth + 1)
	}
	return object
}

// value returns a value allowed by the schema of a name.
func (d draw) value(name string, of any, depth int) any {
	schema := d.g.doc.Resolve(of)
	if list, ok := schema["oneOf"].([]any); ok {
		return d.value(name, pick(d, list...), depth)
	}
	if list, ok := schema["enum"].([]any); ok {
		return pick(d, list...)
	}
	kind := schema["type"]
	if list, ok := kind.([]any); ok {
		kind = pick(d, list...)
	}
	if known := d.knownAs(name); len(known) > 0 && kind == "string" && (name == "url" || !d.oneIn(4)) {
		return pick(d, known...)
	}
	switch kind {
	case "object":
		object := map[string]any{}
		required, _ := schema["required"].([]any)
		properties, _ := schema["properties"].(map[string]any)
		for _, key := range slices.Sorted(maps.Keys(properties)) {
			if slices.Contains(required, any(key)) || d.oneIn(4) && depth < 6 {
				object[key] = d.value(key, properties[key], depth+1)
			}
		}
		return object
	case "array":
		list := []any{}
		for range d.IntN(3) + int(number(schema["minItems"], 0)) {
			list = append(list, d.value(name, schema["items"], depth+1))
		}
		return list
	case "integer":
		lower, upper := number(schema["minimum"], 0), number(schema["maximum"], 1000)
		return pick(d, lower, lower, min(lower+3, upper), upper, lower+d.Int64N(upper-lower+1))
	case "boolean":
		return d.oneIn(2)
	case "string":
		return d.string(schema)
	}
	return d.any(depth)
}

func (d draw) string(schema map[string]any) string {
	if pattern, ok := schema["pattern"].(string); ok {
		re, err := syntax.Parse(pattern, syntax.Perl)
		if err != nil {
			panic(err) // the document was checked
		}
		return d.matching(re)
	}
	if schema["format"] == "date-time" {
		return pick(d, "2026-05-01T10:00:00Z", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999+23:59", "2026-05-01T10:00:00.5-07:00")
	}
	text := pick(d, "a", "plain text", "ü", "order 7", "x.y-z")
	if d.oneIn(8) {
		text = d.text()
	}
	for int64(len(text)) < number(schema["minLength"], 0) {
		text += "x"
	}
	return text[:min(int64(len(text)), number(schema["maxLength"], 1<<20))]
}

// matching returns a short text that matches a pattern.
func (d draw) matching(re *syntax.Regexp) string {
	repeat := func(lower, upper int) string {
		if upper < 0 || upper > lower+6 {
			upper = lower + 6
		}
		var b strings.Builder
		for range lower + d.IntN(upper-lower+1) {
			b.WriteString(d.matching(re.Sub[0]))
		}
		return b.String()
	}
	switch re.Op {
	case syntax.OpLiteral:
		return string(re.Rune)
	case syntax.OpCharClass:
		at := 2 * d.IntN(len(re.Rune)/2)
		return string(re.Rune[at] + rune(d.IntN(int(min(re.Rune[at+1]-re.Rune[at], 60))+1)))
	case syntax.OpStar:
		return repeat(0, -1)
	case syntax.OpPlus:
		return repeat(1, -1)
	case syntax.OpQuest:
		return repeat(0, 1)
	case syntax.OpRepeat:
		return repeat(re.Min, re.Max)
	case syntax.OpAlternate:
		return d.matching(pick(d, re.Sub...))
	case syntax.OpConcat, syntax.OpCapture:
		var b strings.Builder
		for _, sub := range re.Sub {
			b.WriteString(d.matching(sub))
		}
		return b.String()
	}
	return "" // the beginning and the end
}

func number(v any, otherwise int64) int64 {
	if n, ok := v.(json.Number); ok {
		if i, err := n.Int64(); err == nil {
			return i
		}
	}
	return otherwise
}

// http returns the request for an HTTP client.
func (r request) http(ctx context.Context, base string, tokens map[string]string) (*http.Request, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("the host's URL: %w", err)
	}
	if u.Path, err = url.PathUnescape(r.path); err != nil {
		return nil, fmt.Errorf("the path: %w", err)
	}
	u.RawPath, u.RawQuery = r.path, r.query
	var body io.Reader
	if len(r.body) > 0 {
		body = bytes.NewReader(r.body)
		if r.chunked {
			body = io.MultiReader(body) // hides the length
		}
	}
	req, err := http.NewRequestWithContext(ctx, r.method, base, body)
	if err != nil {
		return nil, fmt.Errorf("the request: %w", err)
	}
	req.URL = u
	req.Header = r.header.Clone()
	switch r.token {
	case "":
	case "basic":
		req.SetBasicAuth("admin", "admin")
	default:
		req.Header.Set("Authorization", "Bearer "+tokens[r.token])
	}
	return req, nil
}
