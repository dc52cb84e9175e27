package schema

import (
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// whole reports whether a violation is more informative than its causes.
func whole(k jsonschema.ErrorKind) bool {
	switch k.(type) {
	case *kind.AnyOf, *kind.OneOf, *kind.Contains, *kind.PropertyNames:
		return true
	}
	return false
}

// reason describes what the schema requires. It contains text of the schema and names of
// keys, never a value of the config.
func reason(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Type:
		return fmt.Sprintf("must be %s, not %s", strings.Join(k.Want, " or "), k.Got)
	case *kind.Enum:
		return "must be one of " + values(k.Want)
	case *kind.Const:
		return "must be " + value(k.Want)
	case *kind.Required:
		return "needs " + names(k.Missing)
	case *kind.AdditionalProperties:
		return "does not take " + names(k.Properties)
	case *kind.PropertyNames:
		return "does not take a key such as " + quoted(k.Property)
	case *kind.Dependency:
		return fmt.Sprintf("with %s it needs %s", quoted(k.Prop), names(k.Missing))
	case *kind.DependentRequired:
		return fmt.Sprintf("with %s it needs %s", quoted(k.Prop), names(k.Missing))
	case *kind.FalseSchema:
		return "must not be there"
	case *kind.Not:
		return "is what the schema excludes"
	case *kind.AnyOf:
		return "is none of what the schema allows (anyOf)"
	case *kind.OneOf:
		if len(k.Subschemas) > 1 {
			return "is more than one of what the schema allows one of (oneOf)"
		}
		return "is none of what the schema allows (oneOf)"
	case *kind.MinProperties:
		return fmt.Sprintf("must have at least %d keys", k.Want)
	case *kind.MaxProperties:
		return fmt.Sprintf("must have at most %d keys", k.Want)
	case *kind.MinItems:
		return fmt.Sprintf("must have at least %d items", k.Want)
	case *kind.MaxItems:
		return fmt.Sprintf("must have at most %d items", k.Want)
	case *kind.AdditionalItems:
		return fmt.Sprintf("has %d items too many", k.Count)
	case *kind.UniqueItems:
		return fmt.Sprintf("the items %d and %d must differ", k.Duplicates[0], k.Duplicates[1])
	case *kind.Contains, *kind.MinContains, *kind.MaxContains:
		return "does not contain the items that the schema wants"
	case *kind.MinLength:
		return fmt.Sprintf("must have at least %d characters", k.Want)
	case *kind.MaxLength:
		return fmt.Sprintf("must have at most %d characters", k.Want)
	case *kind.Pattern:
		return "must match the pattern " + quoted(k.Want)
	case *kind.Format:
		return "must have the format " + quoted(k.Want)
	case *kind.Minimum:
		return "must be at least " + number(k.Want)
	case *kind.Maximum:
		return "must be at most " + number(k.Want)
	case *kind.ExclusiveMinimum:
		return "must be above " + number(k.Want)
	case *kind.ExclusiveMaximum:
		return "must be below " + number(k.Want)
	case *kind.MultipleOf:
		return "must be a multiple of " + number(k.Want)
	}
	return "is not as the schema wants it"
}

// quoted quotes untrusted text: short, and safe to print.
func quoted(s string) string {
	const limit = 80
	if len(s) > limit {
		return strconv.Quote(s[:limit]) + "…"
	}
	return strconv.Quote(s)
}

// names lists at most five keys.
func names(keys []string) string {
	return listFirst(slices.Sorted(slices.Values(keys)), 5, quoted)
}

// values lists at most ten values of the schema.
func values(list []any) string {
	return listFirst(list, 10, value)
}

// listFirst lists at most limit values as texts, and the number of the others.
func listFirst[T any](list []T, limit int, text func(T) string) string {
	var texts []string
	for _, v := range list[:min(len(list), limit)] {
		texts = append(texts, text(v))
	}
	if more := len(list) - limit; more > 0 {
		texts = append(texts, fmt.Sprintf("%d more", more))
	}
	return strings.Join(texts, ", ")
}

// value formats a value of the schema.
func value(v any) string {
	text, err := json.Marshal(v)
	switch {
	case err != nil:
		return "what the schema says"
	case len(text) > 80:
		return strings.ToValidUTF8(string(text[:80]), "") + "…"
	}
	return string(text)
}

// number formats a bound of the schema.
func number(r *big.Rat) string {
	if r.IsInt() {
		return r.Num().String()
	}
	f, _ := r.Float64() // the precision of JSON readers
	return strconv.FormatFloat(f, 'g', -1, 64)
}
