package document

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/agnivade/levenshtein"
	"gopkg.in/yaml.v3"
)

const (
	// maxExpansion bounds a text with its aliases followed: it counts values and bytes
	// of text. A text without aliases cannot exceed it.
	maxExpansion = 2 * MaxSize
	// maxDepth bounds the nesting of values, with aliases followed.
	maxDepth = 64
)

// Value is a value with its position in the document. A value that was reported as
// unreadable is null.
type Value struct {
	d      *Document
	node   *yaml.Node // with aliases followed
	parent *Value     // nil for the root
	name   string     // its key in parent, or its [index], for paths
	line   int
	depth  int
	bad    bool // reported already, or beyond the budget: Fail does nothing
}

// Entry is one key of a mapping.
type Entry struct {
	Key   string
	Line  int // of the key
	Value Value

	text bool // the key is text
}

// Fail reports a problem of the value.
func (v Value) Fail(format string, args ...any) {
	if v.bad {
		return
	}
	v.d.problems = append(v.d.problems, Problem{File: v.d.file, Line: v.line, Path: v.path(), Reason: fmt.Sprintf(format, args...)})
	if len(v.d.problems) > 10*maxProblems {
		v.d.budget = -1 // stop reading
	}
}

func (v Value) path() string {
	if v.parent == nil {
		return v.name
	}
	path := v.parent.path()
	if path != "" && !strings.HasPrefix(v.name, "[") {
		path += "."
	}
	return path + v.name
}

// child returns the value of a member; name is its key or its [index].
func (v *Value) child(n *yaml.Node, name string) Value { return v.d.at(n, v, name) }

// at returns the value of a node. A node beyond a bound, or with a custom tag, is
// reported and reads as null.
func (d *Document) at(n *yaml.Node, parent *Value, name string) Value {
	v := Value{d: d, node: n, parent: parent, name: name, line: n.Line}
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
		v.Fail("expands to more than %d bytes when its aliases are followed", maxExpansion)
		return v.spoilt()
	case v.depth > maxDepth:
		v.Fail("nests more than %d levels deep", maxDepth)
		d.budget = -1 // thousands of values may nest too deep
		return v.spoilt()
	}
	switch tag := n.ShortTag(); {
	case n.Kind == yaml.MappingNode && tag == "!!map", n.Kind == yaml.SequenceNode && tag == "!!seq":
	case n.Kind == yaml.ScalarNode && slices.Contains(scalarTags, tag):
	default:
		v.Fail("the tag %s has no meaning here", Quote(tag))
		return v.spoilt()
	}
	return v
}

var scalarTags = []string{"!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp", "!!merge"}

// Null returns a null value in the same position.
func (v Value) Null() Value {
	v.node = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Line: v.line}
	return v
}

func (v Value) spoilt() Value {
	v = v.Null()
	v.bad = true
	return v
}

// Raw returns the text of a scalar, whatever its type.
func (v Value) Raw() string { return v.node.Value }

// Problems returns how many problems were reported in the document.
func (v Value) Problems() int { return len(v.d.problems) }

// IsNull reports whether the value is null.
func (v Value) IsNull() bool { return v.Tag() == "!!null" }

// Tag returns the YAML tag, such as !!map.
func (v Value) Tag() string { return v.node.ShortTag() }

// Kind describes the type of the value, and a scalar's value, for an error.
func (v Value) Kind() string {
	switch v.Tag() {
	case "!!map":
		return "a mapping"
	case "!!seq":
		return "a list"
	case "!!null":
		return "nothing"
	case "!!int", "!!float":
		return "the number " + Quote(v.node.Value)
	case "!!bool":
		return Quote(v.node.Value)
	}
	return "the text " + Quote(v.node.Value)
}

// Entries returns the keys of a mapping in file order, followed by those of merged
// mappings (<<). It reports duplicates and keys that are not scalars.
func (v Value) Entries() []Entry {
	if v.Tag() != "!!map" {
		v.Fail("must be a mapping (key: value), not %s", v.Kind())
		return nil
	}
	var own []Entry
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
			key.Fail("a key must be a word, not %s", key.Kind())
			continue
		}
		name := key.node.Value
		if line, found := first[name]; found {
			key.Fail("is here twice; the first is on line %d", line)
			continue
		}
		first[name] = k.Line
		own = append(own, Entry{Key: name, Line: key.node.Line, Value: v.child(n, pathPart(name)), text: key.Tag() == "!!str"})
	}
	for _, n := range merged {
		if v.d.budget < 0 {
			break
		}
		own = v.merge(own, first, v.child(n, "<<"))
	}
	return own
}

// merge adds the entries of a merged mapping, or of a list of them; the first of equal
// keys counts.
func (v Value) merge(own []Entry, first map[string]int, from Value) []Entry {
	if from.Tag() == "!!seq" {
		for _, part := range from.Items() {
			if part.Tag() == "!!seq" {
				part.Fail("must be a mapping, not a list")
				continue
			}
			own = v.merge(own, first, part)
		}
		return own
	}
	for _, e := range from.Entries() {
		if _, found := first[e.Key]; !found {
			first[e.Key] = e.Line
			e.Value.parent = &v // its path is below v
			own = append(own, e)
		}
	}
	return own
}

// Fields passes the keys of a mapping and their values to read, in file order, and
// returns the values by key. When read returns false for an unknown key, Fields reports
// it; names returns the known keys. A key without a value counts as absent: read must
// not read a null value.
func (v Value) Fields(read func(key string, v Value) bool, names func() []string) map[string]Value {
	if v.IsNull() {
		return nil
	}
	found := make(map[string]Value)
	for _, e := range v.Entries() {
		switch {
		case !read(e.Key, e.Value):
			e.Value.line = e.Line
			e.Value.Fail("unknown key; the nearest known key is %s", Nearest(e.Key, names()))
		case !e.Value.IsNull():
			found[e.Key] = e.Value
		}
	}
	return found
}

// Items returns the values of a list.
func (v Value) Items() []Value {
	if v.Tag() != "!!seq" {
		v.Fail("must be a list, not %s", v.Kind())
		return nil
	}
	var items []Value
	for i, n := range v.node.Content {
		if v.d.budget < 0 {
			break
		}
		items = append(items, v.child(n, "["+strconv.Itoa(i)+"]"))
	}
	return items
}

// EntriesUpTo returns the entries of a mapping, or none when there are more than limit.
func (v Value) EntriesUpTo(limit int, what string) []Entry {
	entries := v.Entries()
	if len(entries) > limit {
		v.Fail("has %d %s; the limit is %d", len(entries), what, limit)
		return nil
	}
	return entries
}

// ItemsUpTo returns the values of a list, or none when there are more than limit.
func (v Value) ItemsUpTo(limit int) []Value {
	items := v.Items()
	if len(items) > limit {
		v.Fail("has %d items; the limit is %d", len(items), limit)
		return nil
	}
	return items
}

// Nearest returns the known key with the smallest edit distance, which a common
// beginning reduces, as for abbreviations.
func Nearest(key string, known []string) string {
	key = key[:min(len(key), 64)]
	best, fewest := "", 0
	for _, name := range known {
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

// pathPart returns a key as a path shows it: quoted unless it is a plain word.
func pathPart(key string) string {
	for _, r := range key {
		if r <= ' ' || r > '~' || r == '"' {
			return Quote(key)
		}
	}
	if key == "" || len(key) > 64 {
		return Quote(key)
	}
	return key
}

// Quote returns input as an error shows it: shortened, and safe to print.
func Quote(s string) string {
	const limit = 64
	if len(s) > limit {
		return strconv.Quote(s[:limit]) + "…"
	}
	return strconv.Quote(s)
}
