package document

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Text reads a non-empty text of at most 4096 bytes without control characters.
func (v Value) Text() string {
	if tag := v.Tag(); tag != "!!str" {
		v.Fail("must be text, not %s%s", v.Kind(), quoteHint(tag))
		return ""
	}
	s := v.node.Value
	switch {
	case s == "":
		v.Fail("must not be empty")
	case len(s) > 4096:
		v.Fail("is %d bytes; the limit is 4096", len(s))
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f }):
		v.Fail("contains a control character")
	default:
		return s
	}
	return ""
}

func quoteHint(tag string) string {
	switch tag {
	case "!!int", "!!float", "!!bool", "!!timestamp":
		return "; put it in quotes"
	}
	return ""
}

// Bool reads true or false.
func (v Value) Bool() bool {
	if v.Tag() == "!!bool" {
		switch v.node.Value {
		case "true", "True", "TRUE":
			return true
		case "false", "False", "FALSE":
			return false
		}
	}
	v.Fail("must be true or false, not %s", v.Kind())
	return false
}

// Integer reads a whole number between low and high. Like Duration and Size it returns
// low when it reports a problem.
func (v Value) Integer(low, high int64) int64 {
	if v.Tag() != "!!int" {
		v.Fail("must be a whole number, not %s", v.Kind())
		return low
	}
	n, err := strconv.ParseInt(v.node.Value, 0, 64)
	if err != nil || n < low || n > high {
		v.Fail("is %s; it must be between %d and %d", clip(v.node.Value), low, high)
		return low
	}
	return n
}

// Duration reads a duration with its unit, such as 200ms, 5s, 1m30s, 12h or 7d.
func (v Value) Duration(low, high time.Duration) time.Duration {
	if v.Tag() != "!!str" {
		v.Fail("must be a duration with a unit such as 200ms, 5s or 1m, not %s", v.Kind())
		return low
	}
	d, ok := parseDuration(v.node.Value)
	if !ok {
		v.Fail("%s is not a duration; write it with a unit, such as 200ms, 5s, 1m30s or 7d", Quote(v.node.Value))
		return low
	}
	if d < low || d > high {
		v.Fail("is %s; it must be between %s and %s", d, low, high)
		return low
	}
	return d
}

func parseDuration(s string) (time.Duration, bool) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16) // 65535 days do not overflow
		return time.Duration(n) * 24 * time.Hour, err == nil
	}
	d, err := time.ParseDuration(s)
	return d, err == nil
}

// SizePattern is the pattern of a size in a JSON Schema.
var SizePattern = regexp.MustCompile(`^([0-9]{1,15}) ?(B|[kKMGT]B|[KMGT]iB)?$`)

// Size reads a number of bytes, such as 65536, 512KiB, 64MiB, 1GiB or 64MB.
func (v Value) Size(low, high int64) int64 {
	m := SizePattern.FindStringSubmatch(v.node.Value)
	if tag := v.Tag(); tag != "!!str" && tag != "!!int" || m == nil {
		v.Fail("must be a size such as 512KiB, 64MiB or 1GiB, not %s", v.Kind())
		return low
	}
	n, _ := strconv.ParseInt(m[1], 10, 64) // 15 digits cannot overflow
	unit := int64(1)
	switch exp := strings.IndexByte("KMGT", upper(m[2])) + 1; {
	case strings.HasSuffix(m[2], "iB"):
		unit = 1 << (10 * exp)
	default:
		for range exp {
			unit *= 1000
		}
	}
	if n > math.MaxInt64/unit || n*unit < low || n*unit > high {
		v.Fail("is %s; it must be between %s and %s", clip(v.node.Value), SizeText(low), SizeText(high))
		return low
	}
	return n * unit
}

func upper(unit string) byte {
	if unit == "" || unit == "B" {
		return '-' // none of the prefixes
	}
	return strings.ToUpper(unit)[0]
}

// SizeText writes bytes in the largest binary unit that divides them.
func SizeText(n int64) string {
	for _, u := range []struct {
		bytes int64
		name  string
	}{{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

// OneOf reads one of the words. It returns the first when it reports a problem.
func OneOf[T ~string](v Value, words ...T) T {
	if v.Tag() == "!!str" && slices.Contains(words, T(v.node.Value)) {
		return T(v.node.Value)
	}
	v.Fail("must be %s, not %s", Either(words), v.Kind())
	return words[0]
}

// Either lists words: a, b or c.
func Either[T ~string](words []T) string {
	var b strings.Builder
	for i, w := range words {
		switch {
		case i > 0 && i == len(words)-1:
			b.WriteString(" or ")
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(string(w))
	}
	return b.String()
}

// Parsed reads a text and parses it. It reports the error of parse.
func (v Value) Parsed(parse func(string) (string, error)) string {
	s := v.Text()
	if s == "" {
		return ""
	}
	parsed, err := parse(s)
	if err != nil {
		v.Fail("%v", err)
	}
	return parsed
}

// Texts reads a list of at most limit texts, and reports repeated ones. It is never nil.
func (v Value) Texts(limit int, parse func(string) (string, error)) []string {
	texts := []string{}
	for _, item := range v.ItemsUpTo(limit) {
		before := len(v.d.problems)
		s := item.Parsed(parse)
		switch {
		case len(v.d.problems) > before:
		case slices.Contains(texts, s):
			item.Fail("%s is here twice", Quote(s))
		default:
			texts = append(texts, s)
		}
	}
	return texts
}

// DurationPattern is the pattern of a duration in a JSON Schema.
const DurationPattern = `^([+-]?([0-9.]+(ns|us|µs|μs|ms|s|m|h))+|[0-9]+d|[+-]?0)$`

func clip(s string) string { return s[:min(len(s), 64)] }
