package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/berth-host/berth/host/config/document"
)

func newKind[T any](read func(document.Value) T, text func(T) string, schema object, label string, args ...any) kind[T] {
	return kind[T]{read, text, func() about { return about{label: fmt.Sprintf(label, args...), schema: schema} }}
}

// textKind is a text that parse accepts; parse may return another form of it.
func textKind(label string, parse func(string) (string, error)) kind[string] {
	return newKind(func(v document.Value) string { return v.Parsed(parse) }, plainText, object{"type": "string"}, "%s", label)
}

// listKind is a list of different texts that parse accepts.
func listKind(label string, limit int, parse func(string) (string, error)) kind[[]string] {
	return newKind(func(v document.Value) []string { return v.Texts(limit, parse) }, listText,
		object{"type": "array", "items": object{"type": "string"}, "maxItems": limit}, "list of %s", label)
}

func boolKind() kind[bool] {
	return newKind(document.Value.Bool, strconv.FormatBool, object{"type": "boolean"}, "true or false")
}

func wordKind[T ~string](words ...T) kind[T] {
	return newKind(func(v document.Value) T { return document.OneOf(v, words...) }, func(w T) string { return string(w) },
		object{"enum": words}, "%s", document.Either(words))
}

func numberKind[T int | uint64](low, high T) kind[T] {
	return newKind(func(v document.Value) T { return T(v.Integer(int64(low), int64(high))) }, func(n T) string { return fmt.Sprint(n) },
		object{"type": "integer", "minimum": low, "maximum": high}, "number, %d to %d", low, high)
}

func durationKind(low, high time.Duration) kind[time.Duration] {
	return newKind(func(v document.Value) time.Duration { return v.Duration(low, high) }, durationText,
		object{"type": "string", "pattern": document.DurationPattern}, "duration, %s to %s", dayText(low), dayText(high))
}

func sizeKind(low, high int64) kind[int64] {
	return newKind(func(v document.Value) int64 { return v.Size(low, high) }, document.SizeText,
		object{"type": []string{"string", "integer"}, "pattern": document.SizePattern.String()},
		"size, %s to %s", document.SizeText(low), document.SizeText(high))
}

// orZero is a kind of values from low on, and of 0, which has a meaning of its own.
func orZero[T int64 | time.Duration](k kind[T], low T, meaning string) kind[T] {
	inner := k
	k.read = func(v document.Value) T {
		n := inner.read(v)
		if n != 0 && n < low {
			v.Fail("is %s; it must be at least %s, or %s for %s", k.text(n), k.text(low), k.text(0), meaning)
		}
		return n
	}
	k.about = func() about {
		a := inner.about()
		a.label = strings.Replace(a.label, " "+k.text(0)+" to ", " "+k.text(low)+" to ", 1) + ", or " + k.text(0) + " for " + meaning
		return a
	}
	return k
}

func listText(texts []string) string { return "[" + strings.Join(texts, ", ") + "]" }

// durationText writes a duration as the file could hold it, without units whose
// number is 0: 720h, not 720h0m0s.
func durationText(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// dayText is durationText, in days where there are whole ones.
func dayText(d time.Duration) string {
	if d > 0 && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	return durationText(d)
}

// plainText writes a text as it is, and an empty one as "".
func plainText(s string) string {
	if s == "" {
		return `""`
	}
	return s
}
