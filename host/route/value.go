package route

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// decodeData decodes an event's data for conditions. Every valid JSON text has a value,
// whatever its numbers are (see number).
func decodeData(text string) (any, error) {
	if !mayHaveLargeNumber(text) { // faster, with the same result
		var v any
		err := json.Unmarshal([]byte(text), &v)
		return v, err
	}
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	return withNumbers(v), nil
}

// mayHaveLargeNumber reports whether a number of the text can be 2^53 or more: it has 16
// digits or an exponent. It also returns true for such digits in strings.
func mayHaveLargeNumber(text string) bool {
	run := 0
	for i := range len(text) {
		switch c := text[i]; {
		case c >= '0' && c <= '9', c == '.':
			if run++; run == 16 {
				return true
			}
		case run > 0 && (c == 'e' || c == 'E'):
			return true
		default:
			run = 0
		}
	}
	return false
}

// withNumbers replaces each json.Number in v; it modifies v.
func withNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		return number(string(v))
	case []any:
		for i := range v {
			v[i] = withNumbers(v[i])
		}
	case map[string]any:
		for name, inner := range v {
			v[name] = withNumbers(inner)
		}
	}
	return v
}

// exactDouble is 2^53: doubles represent every integer below it.
const exactDouble = 1 << 53

// number returns the value of a JSON number: the nearest double, as in CEL's mapping of
// JSON; above the largest double that is infinity, which compares like the number.
// Integers from 2^53 on, in any notation (1e16), are an int64 or uint64 if they fit, so
// that comparisons are exact.
func number(text string) any {
	f, _ := strconv.ParseFloat(text, 64) // ±Inf when out of range
	if math.Abs(f) < exactDouble || math.Abs(f) > 1<<64 {
		return f
	}
	digits, ok := integer(text)
	if !ok {
		return f
	}
	if n, err := strconv.ParseInt(digits, 10, 64); err == nil {
		return n
	}
	if n, err := strconv.ParseUint(digits, 10, 64); err == nil {
		return n
	}
	return f
}

// integer returns a JSON number between 2^53 and 2^64 without point and exponent, and
// false if it has a fraction.
func integer(text string) (string, bool) {
	mantissa, exponent, _ := strings.Cut(strings.ToLower(text), "e")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	shift := 0
	if exponent != "" {
		var err error
		if shift, err = strconv.Atoi(exponent); err != nil {
			return "", false
		}
	}
	digits := []byte(strings.TrimPrefix(whole, "-") + fraction)
	// The position of the point, in digits from the first significant one.
	point := len(digits) - len(fraction) + shift
	lead := len(digits) - len(bytes.TrimLeft(digits, "0"))
	digits, point = bytes.TrimRight(digits[lead:], "0"), point-lead
	if len(digits) > point || point > 20 {
		return "", false
	}
	digits = append(digits, bytes.Repeat([]byte("0"), point-len(digits))...)
	if text[0] == '-' {
		return "-" + string(digits), true
	}
	return string(digits), true
}
