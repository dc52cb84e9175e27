package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/berth-host/berth/host/spec"
)

type object = map[string]any

func newKind[T any](label string, schema object, read func(value) T, text func(T) string) kind[T] {
	return kind[T]{description{label: label, schema: schema}, read, text}
}

func textKind(label string, read func(value) string) kind[string] {
	return newKind(label, object{"type": "string"}, read, plainText)
}

func boolKind() kind[bool] {
	return newKind("true or false", object{"type": "boolean"}, value.bool, strconv.FormatBool)
}

func wordKind[T ~string](words ...T) kind[T] {
	return newKind(either(words), object{"enum": words}, func(v value) T { return oneOf(v, words...) }, func(w T) string { return string(w) })
}

func numberKind[T int | uint64](low, high T) kind[T] {
	return newKind(fmt.Sprintf("number, %d to %d", low, high), object{"type": "integer", "minimum": low, "maximum": high},
		func(v value) T { return T(v.integer(int64(low), int64(high))) }, func(n T) string { return fmt.Sprint(n) })
}

// durationPattern is what parseDuration takes, but for its bounds.
const durationPattern = `^([+-]?([0-9.]+(ns|us|µs|μs|ms|s|m|h))+|[0-9]+d|[+-]?0)$`

func durationKind(low, high time.Duration) kind[time.Duration] {
	return newKind(fmt.Sprintf("duration, %s to %s", dayText(low), dayText(high)), object{"type": "string", "pattern": durationPattern},
		func(v value) time.Duration { return v.duration(low, high) }, durationText)
}

func sizeKind(low, high int64) kind[int64] {
	return newKind(fmt.Sprintf("size, %s to %s", sizeText(low), sizeText(high)), object{"type": []string{"string", "integer"}, "pattern": sizePattern.String()},
		func(v value) int64 { return v.size(low, high) }, sizeText)
}

// orZero takes the values from low on, and zero, which has a meaning of its own.
func orZero[T int64 | time.Duration](k kind[T], low T, meaning string) kind[T] {
	read, text := k.read, k.text
	k.read = func(v value) T {
		n := read(v)
		if n != 0 && n < low {
			v.fail("is %s; it must be at least %s, or %s for %s", text(n), text(low), text(0), meaning)
		}
		return n
	}
	k.label = strings.Replace(k.label, " "+text(0)+" to ", " "+text(low)+" to ", 1) + ", or " + text(0) + " for " + meaning
	return k
}

func listKind(label string, limit int, read func(value) string) kind[[]string] {
	return newKind("list of "+label, object{"type": "array", "items": object{"type": "string"}, "maxItems": limit},
		func(v value) []string { return v.list(limit, read) }, listText)
}

func startKind() kind[Start] {
	return newKind("now, earliest or a time as in RFC 3339", object{"type": "string"}, readStart, Start.String)
}

func jsonKind() kind[json.RawMessage] {
	return newKind("mapping", object{"type": "object"}, value.object, func(m json.RawMessage) string { return string(m) })
}

// pointerKind is a JSON Pointer (RFC 6901), or "" for none.
func pointerKind() kind[string] {
	return newKind("JSON Pointer", object{"type": "string"}, readPointer, jsonText[string])
}

// grantsKind is a list of capabilities, or a mapping by their names.
func grantsKind() kind[[]spec.Grant] {
	names, targets := slices.Sorted(maps.Keys(capabilities())), object{}
	list := object{"type": "array", "items": object{"type": "string"}}
	for _, c := range capabilities() {
		if c.list != "" {
			targets[c.list] = list
		}
	}
	byName := object{}
	for _, name := range names {
		byName[name] = object{"type": []string{"object", "null"}, "properties": targets, "additionalProperties": false}
	}
	one := object{"type": "object", "properties": maps.Clone(targets), "additionalProperties": false, "required": []string{"name"}}
	one["properties"].(object)["name"] = object{"enum": names}
	return newKind("list of capabilities", object{"anyOf": []object{
		{"type": "array", "items": object{"anyOf": []object{{"enum": names}, one}}},
		{"type": "object", "properties": byName, "additionalProperties": false},
	}}, readGrants, func(grants []spec.Grant) string {
		if grants == nil {
			return "[]"
		}
		return jsonText(grants)
	})
}

// credentialsKind is a list of credentials, at most one for a host. A secret's name
// is in the file, never the secret.
func credentialsKind() kind[[]Credential] {
	fields := []field[Credential]{
		setting("host", textKind("host or host:port", readCredentialHost), func(c *Credential) *string { return &c.Host }, "The server."),
		setting("secret", textKind("name of a secret", readSecretName), func(c *Credential) *string { return &c.Secret },
			"A file in `<data_dir>/secrets` with a token, or with user:password."),
		setting("type", wordKind("bearer", "basic"), func(c *Credential) *string { return &c.Type }, "How the server takes it; bearer by default."),
	}
	return kind[[]Credential]{description{label: "list of {host, secret, type}", schema: object{"type": "array"}, parts: describe(fields)}, func(v value) (list []Credential) {
		seen := map[string]bool{}
		for _, item := range v.limitedItems(100) {
			c := Credential{Type: "bearer"}
			readTable(item, &c, fields, nil)
			switch {
			case c.Host == "" || c.Secret == "":
				item.fail("needs host and secret")
			case seen[c.Host]:
				item.fail("%s is here twice", quoted(c.Host))
			}
			seen[c.Host] = true
			list = append(list, c)
		}
		return list
	}, jsonText[[]Credential]}
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

// dayText is durationText in days where there are whole ones.
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
