package document

import (
	"encoding/json"
	"math/big"
	"strconv"
)

// maxObject bounds an object, in bytes of JSON.
const maxObject = 256 << 10

// Object reads any mapping as a JSON object, in file order. It reports values that JSON
// cannot represent (a key that is not text, .inf, .nan, binary) by their position and
// without the value, which may be a secret.
func (v Value) Object() json.RawMessage {
	if v.Tag() != "!!map" {
		kind := "a single value" // may be a secret
		if v.Tag() == "!!seq" {
			kind = "a list"
		}
		v.Fail("must be a mapping (key: value), not %s", kind)
		return json.RawMessage("{}")
	}
	return v.json("{}")
}

// JSON reads any value as JSON, likewise.
func (v Value) JSON() json.RawMessage { return v.json("null") }

// json returns instead for a value that it reports.
func (v Value) json(instead string) json.RawMessage {
	before := len(v.d.problems)
	b := v.appendJSON(nil)
	switch {
	case len(v.d.problems) > before:
		return json.RawMessage(instead)
	case len(b) > maxObject:
		v.Fail("is %d bytes as JSON; the limit is %d", len(b), maxObject)
		return json.RawMessage(instead)
	}
	return b
}

func (v Value) appendJSON(b []byte) []byte {
	switch v.Tag() {
	case "!!map":
		b = append(b, '{')
		for i, e := range v.Entries() {
			if i > 0 {
				b = append(b, ',')
			}
			if !e.text {
				e.Value.Fail("a key must be text in JSON; put it in quotes")
			}
			b = appendString(b, e.Key)
			b = append(b, ':')
			b = e.Value.appendJSON(b)
		}
		return append(b, '}')
	case "!!seq":
		b = append(b, '[')
		for i, item := range v.Items() {
			if i > 0 {
				b = append(b, ',')
			}
			b = item.appendJSON(b)
		}
		return append(b, ']')
	case "!!null":
		return append(b, "null"...)
	case "!!bool":
		return strconv.AppendBool(b, v.Bool())
	case "!!int", "!!float":
		return v.appendNumber(b)
	}
	return appendString(b, v.node.Value) // text, and timestamps as written
}

// appendNumber keeps the digits of a number that is valid JSON.
func (v Value) appendNumber(b []byte) []byte {
	s := v.node.Value
	if plainNumber(s) {
		return append(b, s...)
	}
	if v.Tag() == "!!int" {
		if n, ok := new(big.Int).SetString(s, 0); ok { // 0x1F, 0o17, 1_000, +1
			return n.Append(b, 10)
		}
	}
	var f float64
	if err := v.node.Decode(&f); err == nil {
		if text, err := json.Marshal(f); err == nil { // an error for .inf and .nan
			return append(b, text...)
		}
	}
	v.Fail("is not a number that JSON can represent; put it in quotes")
	return append(b, '0')
}

func plainNumber(s string) bool {
	digit := func(c byte) bool { return c >= '0' && c <= '9' }
	return s != "" && (s[0] == '-' || digit(s[0])) && digit(s[len(s)-1]) && json.Valid([]byte(s))
}

func appendString(b []byte, s string) []byte {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always encodes
	}
	return append(b, text...)
}
