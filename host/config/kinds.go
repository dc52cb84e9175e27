package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/berth-host/berth/host/config/document"
)

// textKind is a text that parse accepts; parse may return another form of it.
func textKind(label string, parse func(string) (string, error)) kind[string] {
	return kind[string]{func(v document.Value) string { return v.Parsed(parse) }, plainText, func() about {
		return about{label: label, schema: object{"type": "string"}}
	}}
}

// listKind is a list of different texts that parse accepts.
func listKind(label string, limit int, parse func(string) (string, error)) kind[[]string] {
	return kind[[]string]{func(v document.Value) []string { return v.Texts(limit, parse) }, listText, func() about {
		return about{label: "list of " + label, schema: object{"type": "array", "items": object{"type": "string"}, "maxItems": limit}}
	}}
}

func boolKind() kind[bool] {
	return kind[bool]{document.Value.Bool, strconv.FormatBool, func() about {
		return about{label: "true or false", schema: object{"type": "boolean"}}
	}}
}

func wordKind[T ~string](words ...T) kind[T] {
	return kind[T]{func(v document.Value) T { return document.OneOf(v, words...) }, func(w T) string { return string(w) }, func() about {
		return about{label: document.Either(words), schema: object{"enum": words}}
	}}
}

func numberKind[T int | uint64](low, high T) kind[T] {
	read := func(v document.Value) T { return T(v.Integer(int64(low), int64(high))) }
	return kind[T]{read, func(n T) string { return fmt.Sprint(n) }, func() about {
		return about{label: fmt.Sprintf("number, %d to %d", low, high), schema: object{"type": "integer", "minimum": low, "maximum": high}}
	}}
}

func durationKind(low, high time.Duration) kind[time.Duration] {
	return kind[time.Duration]{func(v document.Value) time.Duration { return v.Duration(low, high) }, durationText, func() about {
		return about{label: fmt.Sprintf("duration, %s to %s", dayText(low), dayText(high)),
			schema: object{"type": "string", "pattern": document.DurationPattern}}
	}}
}

func sizeKind(low, high int64) kind[int64] {
	return kind[int64]{func(v document.Value) int64 { return v.Size(low, high) }, document.SizeText, func() about {
		return about{label: fmt.Sprintf("size, %s to %s", document.SizeText(low), document.SizeText(high)),
			schema: object{"type": []string{"string", "integer"}, "minimum": 0, "pattern": document.SizePattern.String()}}
	}}
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
