// Package lockfile encodes values as YAML that the host writes and people only read,
// such as plugins.lock.yaml. The text is written as a whole, and a text that the package
// would not write is refused: unknown keys, repeated keys, keys in other case, a second
// document, aliases and merges.
package lockfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/berth-host/berth/host/event"
)

// MaxSize bounds a text, in bytes.
const MaxSize = 8 << 20

// Codec encodes and decodes values in YAML with the rules and tags of encoding/json. The
// zero value is ready to use, and safe for concurrent use. Header is a comment, without
// the #, for the first line.
type Codec struct{ Header string }

// Marshal returns v as YAML.
func (c Codec) Marshal(v any) ([]byte, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(escape(plain), &doc); err != nil { // JSON is YAML
		return nil, err
	}
	restyle(&doc)
	var b bytes.Buffer
	if c.Header != "" {
		fmt.Fprintf(&b, "# %s\n", c.Header)
	}
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(&doc), enc.Close()); err != nil {
		return nil, err
	}
	if b.Len() > MaxSize {
		return nil, fmt.Errorf("the text has %d bytes: the limit is %d", b.Len(), MaxSize)
	}
	return b.Bytes(), nil
}

// escape replaces characters other than ASCII, which JSON has in strings only, by escapes
// of YAML, which does not allow every character.
func escape(plain []byte) []byte {
	var b bytes.Buffer
	for _, r := range string(plain) {
		if r >= 0x7f {
			fmt.Fprintf(&b, "\\U%08X", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.Bytes()
}

// restyle turns JSON's flow style into blocks. A string of printable ASCII is unquoted
// where YAML allows it; other strings stay quoted, because a block scalar does not
// preserve every string.
func restyle(n *yaml.Node) {
	special := func(r rune) bool { return r < ' ' || r > '~' }
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" || !strings.ContainsFunc(n.Value, special) {
		n.Style = 0
	}
	for _, child := range n.Content {
		restyle(child)
	}
}

// Unmarshal decodes text into v, a pointer.
func (Codec) Unmarshal(text []byte, v any) error {
	if len(text) > MaxSize {
		return fmt.Errorf("it has %d bytes: the limit is %d", len(text), MaxSize)
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return errors.New("it is empty")
		}
		return err
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return errors.New("it holds more than one document")
	}
	if line := alias(&doc); line > 0 {
		return fmt.Errorf("line %d: aliases, anchors and merges (<<) are not allowed", line)
	}
	var value map[string]any
	if err := doc.Decode(&value); err != nil {
		return err
	}
	plain, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return event.DecodeStrict(plain, v)
}

// alias returns the line of the first alias, anchor or merge key, 0 when there is none.
func alias(n *yaml.Node) int {
	if n.Kind == yaml.AliasNode || n.Anchor != "" || n.ShortTag() == "!!merge" {
		return n.Line
	}
	for _, child := range n.Content {
		if line := alias(child); line > 0 {
			return line
		}
	}
	return 0
}
