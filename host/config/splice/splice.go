package splice

import (
	"bytes"
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
)

// maxProposals bounds how many texts Set and Remove propose.
const maxProposals = 64

// step is one mapping of a path, and the position of the path's next key in it.
type step struct {
	mapping *yaml.Node
	at      int // index of the key in mapping.Content; -1 for a missing key
}

func (s step) key() *yaml.Node   { return s.mapping.Content[s.at] }
func (s step) value() *yaml.Node { return s.mapping.Content[s.at+1] }

func flow(n *yaml.Node) bool { return n.Style&yaml.FlowStyle != 0 }

func null(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// Set proposes texts in which the key at path has the value, a scalar or flow collection
// on one line. It adds missing keys. An existing value must be a scalar on one line; to
// replace another one, Remove it first.
func Set(src []byte, path []string, value string) ([][]byte, error) {
	t := newText(src)
	steps, err := t.walk(path)
	if err != nil {
		return nil, err
	}
	if len(steps) == 0 {
		return t.appended(path, value), nil
	}
	last := steps[len(steps)-1]
	missing := path[len(steps):]
	switch {
	case last.at < 0:
		return t.insert(steps, path[len(steps)-1:], value)
	case null(last.value()):
		return t.fill(last, missing, value)
	case len(missing) > 0:
		return nil, fmt.Errorf("line %d: %s is not a mapping", last.value().Line, strings.Join(path[:len(steps)], "."))
	}
	return t.replace(last.value(), value)
}

// Remove proposes texts without the key at path; the text itself when the key is
// missing.
func Remove(src []byte, path []string) ([][]byte, error) {
	t := newText(src)
	steps, err := t.walk(path)
	if err != nil {
		return nil, err
	}
	if len(steps) < len(path) || steps[len(steps)-1].at < 0 {
		return [][]byte{src}, nil
	}
	last := steps[len(steps)-1]
	from := t.offset(last.key())
	if flow(last.mapping) {
		return t.cutFlow(last, from), nil
	}
	from = t.lines[last.key().Line-1]
	var texts [][]byte
	for _, to := range t.ends(steps, last.key().Column-1, true) {
		if to > from {
			texts = append(texts, t.cut(from, to))
		}
	}
	return texts, nil
}

// walk follows the path as far as it exists. It returns no steps for an empty document.
func (t *text) walk(path []string) ([]step, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(t.src, &doc); err != nil {
		return nil, err
	}
	if len(doc.Content) == 0 || null(doc.Content[0]) {
		return nil, nil
	}
	n := doc.Content[0]
	var steps []step
	for i, name := range path {
		if null(n) {
			return steps, nil
		}
		if err := plain(n, path[:i]); err != nil {
			return nil, err
		}
		if n.Kind != yaml.MappingNode {
			return nil, fmt.Errorf("line %d: %s is not a mapping", n.Line, where(path[:i]))
		}
		s := step{mapping: n, at: -1}
		for k := 0; k+1 < len(n.Content); k += 2 {
			if n.Content[k].Kind == yaml.ScalarNode && n.Content[k].Value == name {
				s.at = k
			}
		}
		steps = append(steps, s)
		if s.at < 0 {
			return steps, nil
		}
		n = s.value()
	}
	return steps, plain(n, path)
}

func plain(n *yaml.Node, path []string) error {
	what := ""
	switch {
	case n.Kind == yaml.AliasNode:
		what = "an alias (*" + n.Value + ")"
	case n.Anchor != "":
		what = "an anchor (&" + n.Anchor + ")"
	case n.Style&yaml.TaggedStyle != 0:
		what = "a tag (" + n.Tag + ")"
	default:
		return nil
	}
	return fmt.Errorf("line %d: %s is %s; an edit could change more than this place, so it is yours to make", n.Line, where(path), what)
}

func where(path []string) string {
	if len(path) == 0 {
		return "the document"
	}
	return strings.Join(path, ".")
}

// replace replaces a scalar by value.
func (t *text) replace(old *yaml.Node, value string) ([][]byte, error) {
	from := t.offset(old)
	if old.Kind != yaml.ScalarNode || !bytes.HasPrefix(t.src[from:], []byte(old.Value)) {
		return nil, fmt.Errorf("line %d: the value is not a plain word", old.Line)
	}
	return [][]byte{t.put(from, from+len(old.Value), value)}, nil
}

// fill sets the value of a key that has none: in a block below it when the line ends
// after the key, otherwise on the line.
func (t *text) fill(s step, missing []string, value string) ([][]byte, error) {
	n := s.value()
	from := t.offset(n)
	inline := nested(missing, value)
	if n.Value != "" { // null or ~
		return t.replace(n, inline)
	}
	// The null value is after a colon, before the next bracket, or (in a flow mapping)
	// after a key without a colon.
	sep := ""
	if from > 0 && t.src[from-1] == ':' {
		sep = " "
	}
	onLine := [][]byte{t.put(from, from, sep+inline)}
	if flow(s.mapping) {
		return append(onLine, t.put(from, from, ": "+inline)), nil
	}
	if len(missing) == 0 || !t.blank(from, t.start(n.Line)) {
		return onLine, nil
	}
	indent, err := t.indent(s.key())
	if err != nil {
		return nil, err
	}
	below := t.start(n.Line)
	return append([][]byte{t.putLines(below, t.block(indent+t.unit, missing, value))}, onLine...), nil
}

// insert adds keys to the mapping of the last step, which does not have the first one.
func (t *text) insert(steps []step, keys []string, value string) ([][]byte, error) {
	m := steps[len(steps)-1].mapping
	if flow(m) {
		one := nested(keys[1:], value)
		if len(m.Content) > 0 {
			first := t.offset(m.Content[0])
			return [][]byte{t.put(first, first, keys[0]+": "+one+", ")}, nil
		}
		from := t.offset(m)
		if from >= len(t.src) || t.src[from] != '{' {
			return nil, fmt.Errorf("line %d: cannot find where the mapping begins", m.Line)
		}
		return [][]byte{t.put(from+1, from+1, keys[0]+": "+one)}, nil
	}
	indent, err := t.indent(m.Content[0])
	if err != nil {
		return nil, err
	}
	block := t.block(indent, keys, value)
	var texts [][]byte
	if len(steps) > 1 && len(keys) == 1 {
		// A setting is inserted at the top of its mapping, below the mapping's own key.
		texts = append(texts, t.putLines(t.start(steps[len(steps)-2].key().Line), block))
	}
	for _, end := range t.ends(steps, m.Content[0].Column-1, false) {
		texts = append(texts, t.putLines(end, block))
	}
	texts = append(texts, t.putLines(t.lines[m.Content[0].Line-1], block))
	return texts, nil
}

// appended adds the whole path to a text without a document.
func (t *text) appended(path []string, value string) [][]byte {
	return [][]byte{t.putLines(t.start(t.last()), t.block("", path, value))}
}

// ends proposes offsets of the end of the last step's mapping (or, with within, of its
// key's value): before the blank lines and less indented comments that follow it, or at
// the next key.
func (t *text) ends(steps []step, column int, within bool) []int {
	line := t.last()
	for i := len(steps) - 1; i >= 0; i-- {
		s := steps[i]
		if i == len(steps)-1 && !within || s.at < 0 {
			continue
		}
		if s.at+2 < len(s.mapping.Content) {
			line = s.mapping.Content[s.at+2].Line - 1
			break
		}
	}
	far := line
	if within {
		column++ // comments with the key's indentation belong to the next key
	}
	for line > 0 && t.skippable(line-1, column) {
		line--
	}
	if line == far {
		return []int{t.start(line)}
	}
	return []int{t.start(line), t.start(far)}
}

// cutFlow proposes cuts of a key from a flow mapping: up to the comments above the next
// key, up to the next key, or from the previous key up to a closing bracket.
func (t *text) cutFlow(s step, from int) [][]byte {
	if s.at+2 < len(s.mapping.Content) {
		next := s.mapping.Content[s.at+2]
		var texts [][]byte
		for line := innermost(s.value()).Line; line < next.Line-1 && len(texts) == 0; line++ {
			if body := bytes.TrimLeft(t.src[t.start(line):], " \t"); bytes.HasPrefix(body, []byte("#")) {
				texts = append(texts, t.cut(from, len(t.src)-len(body)))
			}
		}
		return append(texts, t.cut(from, t.offset(next)))
	}
	commented := false // the cut follows a comment, which must not absorb the remainder
	if s.at > 0 {
		// Only blanks and comments can stand between the comma and this key.
		before := bytes.TrimRight(t.src[:from], " \t\r\n")
		line := before[bytes.LastIndexAny(before, "\r\n")+1:]
		commented = bytes.ContainsAny(t.src[len(before):from], "\r\n") && bytes.IndexByte(line, '#') >= 0
		from = len(before)
		if !commented && from > 0 && t.src[from-1] == ',' {
			from--
		}
	}
	var texts [][]byte
	cut := func(to int) {
		if !commented || breakLen(t.src[to:]) > 0 {
			texts = append(texts, t.cut(from, to))
		}
	}
	for i := t.offset(innermost(s.value())); i < len(t.src) && len(texts) < maxProposals; i++ {
		if t.src[i] != '}' && t.src[i] != ',' {
			continue
		}
		// Blanks before a closing bracket belong to the bracket.
		if end := len(bytes.TrimRight(t.src[:i], " \t\r\n")); end > from && end < i {
			cut(end)
		}
		cut(i)
	}
	return texts
}

// innermost returns the node below n that begins last: n ends after it.
func innermost(n *yaml.Node) *yaml.Node {
	for len(n.Content) > 0 {
		n = n.Content[len(n.Content)-1]
	}
	return n
}

// nested writes keys and a value as flow: {a: {b: value}}, or value without keys.
func nested(keys []string, value string) string {
	var b strings.Builder
	for _, k := range keys {
		b.WriteString("{" + k + ": ")
	}
	b.WriteString(value)
	b.WriteString(strings.Repeat("}", len(keys)))
	return b.String()
}
