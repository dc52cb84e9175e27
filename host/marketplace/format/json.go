package format

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/berth-host/berth/abi/strictjson"
)

const (
	maxDepth  = 16      // of nested objects and arrays
	maxValues = 400_000 // of one file
)

// parse reads one JSON object of at most limit bytes. Depth and number of values are
// bounded, and a repeated key is refused, so that no two readers see different values.
func parse(what string, text []byte, limit int) (map[string]any, error) {
	if len(text) > limit {
		return nil, Refuse(TooLarge, "%s: %d bytes are over the limit of %d", what, len(text), limit)
	}
	if err := strictjson.Check(text); err != nil {
		return nil, Refuse(Malformed, "%s: %v", what, err)
	}
	if strictjson.Depth(text) > maxDepth {
		return nil, Refuse(Malformed, "%s: nests more than %d deep", what, maxDepth)
	}
	switch shape := strictjson.Inspect(text, false); {
	case shape.Values > maxValues:
		return nil, Refuse(Malformed, "%s: holds more than %d values", what, maxValues)
	case shape.Repeated:
		return nil, Refuse(Malformed, "%s: %s: duplicate key", what, quoted(shape.Path))
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var m map[string]any
	if err := dec.Decode(&m); err != nil || m == nil {
		return nil, Refuse(Malformed, "%s: must be an object", what)
	}
	return m, nil
}

// fields reads the members of one object by their exact names and ignores others. It
// keeps the first error.
type fields struct {
	what string // the file and the place in it
	m    map[string]any
	err  *error
}

func read(what string, m map[string]any) fields { return fields{what, m, new(error)} }

func (f fields) fail(kind Kind, key, text string, args ...any) {
	if *f.err == nil {
		*f.err = Refuse(kind, "%s: %s: %s", f.what, key, fmt.Sprintf(text, args...))
	}
}

// note keeps an error that already names its position.
func (f fields) note(err error) {
	if *f.err == nil {
		*f.err = err
	}
}

// text reads a string of 1 to most bytes, or "" when the key is not there.
func (f fields) text(key string, limit int) string {
	v, there := f.m[key]
	if !there {
		return ""
	}
	s, ok := v.(string)
	switch {
	case !ok:
		f.fail(Malformed, key, "must be a string")
	case s == "":
		f.fail(Malformed, key, "must not be empty: leave it out instead")
	case len(s) > limit:
		f.fail(Malformed, key, "%d bytes are over the limit of %d", len(s), limit)
	default:
		if err := shown(s); err != nil {
			f.fail(Malformed, key, "%v", err)
		}
		return s
	}
	return ""
}

// need is text for a key that must be there.
func (f fields) need(key string, limit int) string {
	if _, there := f.m[key]; !there {
		f.fail(Malformed, key, "is required")
		return ""
	}
	return f.text(key, limit)
}

// number reads a whole number from least to most, which must be there.
func (f fields) number(key string, lower, upper int64) int64 {
	n, ok := f.m[key].(json.Number)
	if !ok {
		f.fail(Malformed, key, "is required: a whole number")
		return 0
	}
	v, err := strconv.ParseInt(n.String(), 10, 64)
	if err != nil || v < lower || v > upper {
		f.fail(Malformed, key, "%s is not a whole number from %d to %d", quoted(n.String()), lower, upper)
		return 0
	}
	return v
}

// time reads a time of RFC 3339 in UTC, which must be there.
func (f fields) time(key string) time.Time {
	s := f.need(key, 64)
	t, err := time.Parse(time.RFC3339, s)
	if s != "" && (err != nil || !strings.HasSuffix(s, "Z")) {
		f.fail(Malformed, key, "%s is not a time in UTC such as 2026-01-31T12:00:00Z", quoted(s))
	}
	return t.UTC()
}

// flag reads true or false; false when the key is not there.
func (f fields) flag(key string) bool {
	v, there := f.m[key]
	b, ok := v.(bool)
	if there && !ok {
		f.fail(Malformed, key, "must be true or false")
	}
	return b
}

// digest reads a SHA-256, which must be there.
func (f fields) digest(key string) string {
	s := f.need(key, 64)
	if s != "" && !checkDigest(s) {
		f.fail(Malformed, key, "%s is not a SHA-256: 64 hexadecimal digits in lower case", quoted(s))
	}
	return s
}

// list reads an array of at most so many items; nil when the key is not there.
func (f fields) list(key string, limit int) []any {
	v, there := f.m[key]
	if !there {
		return nil
	}
	list, ok := v.([]any)
	switch {
	case !ok:
		f.fail(Malformed, key, "must be an array")
	case len(list) > limit:
		f.fail(TooLarge, key, "%d items are over the limit of %d", len(list), limit)
	default:
		return list
	}
	return nil
}

// inner is the reader of one item of an array.
func (f fields) inner(key string, i int, v any) (fields, bool) {
	m, ok := v.(map[string]any)
	if !ok {
		f.fail(Malformed, fmt.Sprintf("%s[%d]", key, i), "must be an object")
	}
	return fields{fmt.Sprintf("%s: %s[%d]", f.what, key, i), m, f.err}, ok
}

// shown refuses characters that change what a person sees elsewhere than where
// they stand.
func shown(text string) error {
	i := strings.IndexFunc(text, func(r rune) bool {
		return r != '\n' && r != '\t' &&
			(unicode.IsControl(r) || '\u202a' <= r && r <= '\u202e' || '\u2066' <= r && r <= '\u2069')
	})
	if i < 0 {
		return nil
	}
	r, _ := utf8.DecodeRuneInString(text[i:])
	return fmt.Errorf("%+q is an invisible character", r)
}

// encode writes a file as the tools do: indented, keys in a fixed order, a line
// feed at the end.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// quoted shows input in an error: short, and safe to print.
func quoted(s string) string {
	const limit = 80
	if len(s) > limit {
		return strconv.QuoteToASCII(s[:limit]) + "…"
	}
	return strconv.QuoteToASCII(s)
}
