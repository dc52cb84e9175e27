package schema

import (
	"encoding/json"
	"fmt"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
)

// The limits. A check takes at most one step for every pair of a part of the schema, with
// its references followed, and a part of the config, because references form no cycle. The
// limits bound that product.
const (
	maxText      = 64 << 10  // bytes of a schema, the limit of a manifest
	maxParts     = 5_000     // of a schema, its references followed
	maxDepth     = 64        // of a schema, and of a config, in values
	maxWork      = 4_000_000 // parts of a schema times parts of a config: about a second
	maxEventWork = 100_000   // steps of the check of an event's data, which comes more often: about 0.1 s; see work.go
	maxPattern   = 2_000     // instructions of a compiled regular expression
	maxNumber    = 100       // bytes of a number, and digits it stands for
)

// drafts returns the known values of $schema.
func drafts() []string {
	return []string{
		"https://json-schema.org/draft/2020-12/schema",
		"https://json-schema.org/draft/2019-09/schema",
		"http://json-schema.org/draft-07/schema",
	}
}

// measurer counts a schema's parts.
type measurer struct {
	root  any
	costs map[string]int  // of the targets of references, by pointer
	open  map[string]bool // references being followed
}

// measure returns the cost of checking one value, in parts of the schema, or the limit
// that the schema exceeds. It counts every object as a schema, so the cost is an upper
// bound.
func measure(doc any) (int, error) {
	switch doc.(type) {
	case bool, map[string]any:
	default:
		return 0, fmt.Errorf("the schema must be an object")
	}
	m := &measurer{root: doc, costs: map[string]int{}, open: map[string]bool{}}
	return m.value(doc, "", 0)
}

func (m *measurer) value(v any, at string, depth int) (int, error) {
	if depth > maxDepth {
		return 0, fmt.Errorf("the schema nests more than %d levels deep", maxDepth)
	}
	cost := 1
	add := func(n int, err error) error {
		if cost += n; err == nil && cost > maxParts {
			err = fmt.Errorf("the schema has more than %d parts when its references are followed, which is the limit", maxParts)
		}
		return err
	}
	switch v := v.(type) {
	case string:
		cost += len(v) / 64
	case json.Number:
		if long(v) {
			return 0, fmt.Errorf("%s: the number is too long", at)
		}
	case []any:
		for i, item := range v {
			if err := add(m.value(item, at+"/"+strconv.Itoa(i), depth+1)); err != nil {
				return 0, err
			}
		}
	case map[string]any:
		for key, member := range v {
			if err := add(m.member(key, member, pointer([]string{key}), at, depth)); err != nil {
				return 0, err
			}
		}
	}
	return cost, nil
}

// member returns the cost of one member of an object.
func (m *measurer) member(key string, v any, token, at string, depth int) (int, error) {
	at += token
	text, isText := v.(string)
	switch {
	case key == "$ref" && isText:
		return m.reference(text, at, depth)
	case key == "$schema" && isText:
		if !slices.Contains(drafts(), strings.TrimSuffix(text, "#")) {
			return 0, fmt.Errorf("%s: %.80q is not known; there are %s", at, text, strings.Join(drafts(), ", "))
		}
	case strings.HasPrefix(key, "$") && isText && slices.Contains([]string{"$id", "$anchor", "$dynamicRef", "$dynamicAnchor",
		"$recursiveRef"}, key):
		return 0, fmt.Errorf("%s: is not supported; refer to parts of the schema by $ref and a path such as #/$defs/name", at)
	case key == "$recursiveAnchor" || key == "$vocabulary":
		return 0, fmt.Errorf("%s: is not supported", at)
	case key == "pattern" && isText:
		cost, err := pattern(text)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", at, err)
		}
		return cost, nil
	}
	cost, err := m.value(v, at, depth+1)
	if err != nil {
		return 0, err
	}
	switch key {
	case "uniqueItems":
		cost += 200 // up to 20 items are compared pairwise
	case "patternProperties":
		patterns, _ := v.(map[string]any)
		for p := range patterns {
			n, err := pattern(p)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", at, err)
			}
			cost += n
		}
	}
	return cost + len(key)/64, nil
}

// reference returns the cost of a reference's target.
func (m *measurer) reference(ref, at string, depth int) (int, error) {
	path, inside := strings.CutPrefix(ref, "#")
	if !inside || path != "" && path[0] != '/' || strings.Contains(path, "%") {
		return 0, fmt.Errorf("%s: %.80q leads out of the schema; only paths inside it are followed, such as #/$defs/name", at, ref)
	}
	if m.open[path] {
		return 0, fmt.Errorf("%s: %.80q leads back to itself; recursive schemas are not supported", at, ref)
	}
	if cost, known := m.costs[path]; known {
		return cost, nil
	}
	target, found := lookup(m.root, path)
	if !found {
		return 0, fmt.Errorf("%s: there is nothing at %.80q", at, ref)
	}
	m.open[path] = true
	cost, err := m.value(target, path, depth+1)
	delete(m.open, path)
	m.costs[path] = cost
	return cost, err
}

// lookup follows a JSON Pointer.
func lookup(v any, path string) (any, bool) {
	if path == "" {
		return v, true
	}
	unescape := strings.NewReplacer("~1", "/", "~0", "~")
	for _, token := range strings.Split(path[1:], "/") {
		switch at := v.(type) {
		case map[string]any:
			member, ok := at[unescape.Replace(token)]
			if !ok {
				return nil, false
			}
			v = member
		case []any:
			i, err := strconv.ParseUint(token, 10, 31)
			if err != nil || i >= uint64(len(at)) {
				return nil, false
			}
			v = at[i]
		default:
			return nil, false
		}
	}
	return v, true
}

// pattern returns the cost of a regular expression, in instructions. Go's regular
// expressions take at most one step for each instruction and byte.
func pattern(text string) (int, error) {
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return 0, fmt.Errorf("the regular expression %.80q is not valid (RE2 syntax): %w", text, err)
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return 0, fmt.Errorf("the regular expression %.80q is not valid: %w", text, err)
	}
	if n := len(prog.Inst); n > maxPattern {
		return 0, fmt.Errorf("the regular expression %.80q is too costly", text)
	}
	return len(prog.Inst), nil
}

// long reports whether a number is so long that arithmetic with it is slow.
func long(n json.Number) bool {
	if len(n) > maxNumber {
		return true
	}
	if i := strings.IndexAny(string(n), "eE"); i >= 0 {
		exp, err := strconv.Atoi(string(n[i+1:]))
		return err != nil || exp > maxNumber || exp < -maxNumber
	}
	return false
}

// weigh returns the number of parts of a config, and the path of a number that is too
// long, nil for none.
func weigh(v any) (size int, tooLong []string) {
	var walk func(v any, way []string)
	walk = func(v any, way []string) {
		size++
		switch v := v.(type) {
		case string:
			size += len(v) / 64
		case json.Number:
			if long(v) && tooLong == nil {
				tooLong = slices.Clone(way)
			}
		case []any:
			for i, item := range v {
				walk(item, append(way, strconv.Itoa(i)))
			}
		case map[string]any:
			for key, member := range v {
				size += len(key) / 64
				walk(member, append(way, key))
			}
		}
	}
	walk(v, []string{})
	return size, tooLong
}
