// Package lockfile reads and writes YAML that the host keeps and a person only
// reads, as plugins.lock.yaml. Unlike the configuration it is written as a whole,
// and whatever is not exactly what was written is refused: unknown keys, keys
// named twice, a second document, aliases.
package lockfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"gopkg.in/yaml.v3"
)

// MaxSize bounds a file, in bytes.
const MaxSize = 8 << 20

// Codec turns values with yaml tags into text and back. The zero value is ready
// to use, concurrently too. Header, a comment without the #, is the first line.
type Codec struct{ Header string }

// Marshal writes v.
func (c Codec) Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	if c.Header != "" {
		fmt.Fprintf(&b, "# %s\n", c.Header)
	}
	var doc yaml.Node
	if err := doc.Encode(v); err != nil {
		return nil, err
	}
	quote(&doc)
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(&doc), enc.Close()); err != nil {
		return nil, err
	}
	if b.Len() > MaxSize {
		return nil, fmt.Errorf("the text is %d bytes long: the limit is %d", b.Len(), MaxSize)
	}
	return b.Bytes(), nil
}

// Unmarshal reads text into v, a pointer.
func (Codec) Unmarshal(text []byte, v any) error {
	if len(text) > MaxSize {
		return fmt.Errorf("it is %d bytes long: the limit is %d", len(text), MaxSize)
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
		return fmt.Errorf("line %d: an alias is not written here", line)
	}
	strict := yaml.NewDecoder(bytes.NewReader(text))
	strict.KnownFields(true)
	return strict.Decode(v)
}

// quote has texts of more than one line quoted: as blocks some of them are not
// read as they were written (one that is nothing but line breaks, for one).
func quote(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" && strings.ContainsAny(n.Value, "\n\r\u0085\u2028\u2029") {
		n.Style = yaml.DoubleQuotedStyle
	}
	for _, child := range n.Content {
		quote(child)
	}
}

// alias returns the line of the first alias or anchor, 0 when there is none.
func alias(n *yaml.Node) int {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		return n.Line
	}
	for _, child := range n.Content {
		if line := alias(child); line > 0 {
			return line
		}
	}
	return 0
}
