package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/agnivade/levenshtein"
	"gopkg.in/yaml.v3"
)

const (
	// maxExpansion bounds what a file may grow to when its aliases are followed:
	// one for each value, and one for each byte of text. A file without aliases
	// cannot reach it.
	maxExpansion = 2 * MaxSize
	// maxDepth bounds how deep values may nest, aliases followed.
	maxDepth = 64
)

// decoder reads a tree of YAML nodes and collects what is wrong with it. Its
// methods go on after a problem, so that all of them are reported at once.
type decoder struct {
	file     string
	problems []Problem
	budget   int // what is left of maxExpansion; negative once it was overdrawn
}

// value is a node at its path. Aliases have been followed.
type value struct {
	d      *decoder
	node   *yaml.Node
	parent *value // nil for the root
	name   string // its key in parent, or its [index]; shown in paths only
	line   int
	depth  int
	bad    bool // reported already, or past the end of the budget: no more of it
}

// entry is one key of a mapping.
type entry struct {
	key   string
	node  *yaml.Node // the key's
	value value
}

func (v value) fail(format string, args ...any) {
	if v.bad {
		return
	}
	v.d.problems = append(v.d.problems, Problem{File: v.d.file, Line: v.line, Path: v.path(), Reason: fmt.Sprintf(format, args...)})
	if len(v.d.problems) > 10*maxProblems {
		v.d.budget = -1 // nobody reads on
	}
}

func (v value) path() string {
	if v.parent == nil {
		return v.name
	}
	path := v.parent.path()
	if path != "" && !strings.HasPrefix(v.name, "[") {
		path += "."
	}
	return path + v.name
}

// child returns a member's value; name is its key or its [index].
func (v *value) child(n *yaml.Node, name string) value { return v.d.at(n, v, name) }

// at makes a value of a node. One that is past a bound or has a tag of its own
// is reported and reads as null.
func (d *decoder) at(n *yaml.Node, parent *value, name string) value {
	v := value{d: d, node: n, parent: parent, name: name, line: n.Line}
	if parent != nil {
		v.depth = parent.depth + 1
	}
	for range maxDepth {
		if n.Kind != yaml.AliasNode {
			break
		}
		n = n.Alias
	}
	v.node = n
	if d.budget < 0 {
		return v.spoilt()
	}
	d.budget -= 1 + len(n.Value)
	switch {
	case d.budget < 0:
		v.fail("expands to more than %d bytes when its aliases are followed", maxExpansion)
		return v.spoilt()
	case v.depth > maxDepth:
		v.fail("nests more than %d levels deep", maxDepth)
		d.budget = -1 // where one value nests too deep, thousands may
		return v.spoilt()
	}
	switch tag := n.ShortTag(); {
	case n.Kind == yaml.MappingNode && tag == "!!map", n.Kind == yaml.SequenceNode && tag == "!!seq":
	case n.Kind == yaml.ScalarNode && slices.Contains(scalarTags, tag):
	default:
		v.fail("the tag %s has no meaning here", quoted(tag))
		return v.spoilt()
	}
	return v
}

var scalarTags = []string{"!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp", "!!merge"}

func (v value) null() value {
	v.node = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Line: v.line}
	return v
}

func (v value) spoilt() value {
	v = v.null()
	v.bad = true
	return v
}

func (v value) isNull() bool { return v.tag() == "!!null" }

func (v value) tag() string { return v.node.ShortTag() }

// kind names the value's kind for a person.
func (v value) kind() string {
	switch v.tag() {
	case "!!map":
		return "a mapping"
	case "!!seq":
		return "a list"
	case "!!null":
		return "nothing"
	case "!!int", "!!float":
		return "the number " + quoted(v.node.Value)
	case "!!bool":
		return quoted(v.node.Value)
	}
	return "the text " + quoted(v.node.Value)
}

// entries returns the mapping's keys in file order, those of merged mappings
// (<<) after its own. It reports duplicates and keys that are not plain.
func (v value) entries() []entry {
	if v.tag() != "!!map" {
		v.fail("must be a mapping (key: value), not %s", v.kind())
		return nil
	}
	var own []entry
	var merged []*yaml.Node
	first := map[string]int{}
	for i := 0; i+1 < len(v.node.Content) && v.d.budget >= 0; i += 2 {
		k, n := v.node.Content[i], v.node.Content[i+1]
		if k.Kind == yaml.ScalarNode && k.ShortTag() == "!!merge" {
			merged = append(merged, n)
			continue
		}
		key := v.child(k, pathPart(k.Value))
		switch {
		case key.bad:
			continue
		case key.node.Kind != yaml.ScalarNode:
			key.fail("a key must be a word, not %s", key.kind())
			continue
		}
		name := key.node.Value
		if line, found := first[name]; found {
			key.fail("is here twice; the first is on line %d", line)
			continue
		}
		first[name] = k.Line
		own = append(own, entry{key: name, node: key.node, value: v.child(n, pathPart(name))})
	}
	for _, n := range merged {
		if v.d.budget < 0 {
			break
		}
		own = v.merge(own, first, v.child(n, "<<"))
	}
	return own
}

// merge adds what << names: a mapping, or a list of them, of which the earlier wins.
func (v value) merge(own []entry, first map[string]int, from value) []entry {
	if from.tag() == "!!seq" {
		for _, part := range from.items() {
			if part.tag() == "!!seq" {
				part.fail("must be a mapping, not a list")
				continue
			}
			own = v.merge(own, first, part)
		}
		return own
	}
	for _, e := range from.entries() {
		if _, found := first[e.key]; !found {
			first[e.key] = e.node.Line
			e.value.parent = &v // it counts as v's own
			own = append(own, e)
		}
	}
	return own
}

// fields reads a mapping whose keys are known, and returns the values. A key
// without a value counts as absent.
func (v value) fields(known map[string]func(value)) map[string]value {
	if v.isNull() {
		return nil
	}
	found := make(map[string]value)
	for _, e := range v.entries() {
		read, ok := known[e.key]
		switch {
		case !ok:
			e.value.line = e.node.Line
			e.value.fail("unknown key; the nearest known key is %s", nearest(e.key, known))
		case !e.value.isNull():
			found[e.key] = e.value
			read(e.value)
		}
	}
	return found
}

// items returns a list's values.
func (v value) items() []value {
	if v.tag() != "!!seq" {
		v.fail("must be a list, not %s", v.kind())
		return nil
	}
	var items []value
	for i, n := range v.node.Content {
		if v.d.budget < 0 {
			break
		}
		items = append(items, v.child(n, "["+strconv.Itoa(i)+"]"))
	}
	return items
}

// limitedEntries returns the entries of a mapping whose keys are names, or none when
// there are more than maxNamed.
func (v value) limitedEntries(what string) []entry {
	entries := v.entries()
	if len(entries) > maxNamed {
		v.fail("has %d %s; the limit is %d", len(entries), what, maxNamed)
		return nil
	}
	return entries
}

// limitedItems returns a list's values, or none when there are more than limit.
func (v value) limitedItems(limit int) []value {
	items := v.items()
	if len(items) > limit {
		v.fail("has %d items; the limit is %d", len(items), limit)
		return nil
	}
	return items
}

// nearest returns the known key most like this one: few edits away, and better
// if it starts the same, as abbreviations do.
func nearest[T any](key string, known map[string]T) string {
	key = key[:min(len(key), 64)]
	best, fewest := "", 0
	for name := range known {
		d := levenshtein.ComputeDistance(key, name)
		for i := 0; i < min(len(key), len(name)) && key[i] == name[i]; i++ {
			d--
		}
		if best == "" || d < fewest || d == fewest && name < best {
			best, fewest = name, d
		}
	}
	return best
}

// pathPart shows a key in a path: as it is when it is a plain word.
func pathPart(key string) string {
	for _, r := range key {
		if r <= ' ' || r > '~' || r == '"' {
			return quoted(key)
		}
	}
	if key == "" || len(key) > 64 {
		return quoted(key)
	}
	return key
}

// quoted shows input in an error: short, and safe to print.
func quoted(s string) string {
	const limit = 64
	if len(s) > limit {
		return strconv.Quote(s[:limit]) + "…"
	}
	return strconv.Quote(s)
}
