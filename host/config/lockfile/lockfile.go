// Package lockfile reads and writes YAML that the host keeps and a person only
// reads, as plugins.lock.yaml. Unlike the configuration it is written as a whole,
// and whatever is not exactly what was written is refused: unknown keys, keys
// named twice or in other case, a second document, aliases and merges.
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

// MaxSize bounds a file, in bytes.
const MaxSize = 8 << 20

// Codec turns values into text and back, as encoding/json would, in YAML. The zero
// value is ready to use, concurrently too. Header, a comment without the #, is the
// first line.
type Codec struct{ Header string }

// Marshal writes v.
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
		return nil, fmt.Errorf("the text is %d bytes long: the limit is %d", b.Len(), MaxSize)
	}
	return b.Bytes(), nil
}

// escape writes what is not ASCII, which JSON has in texts only, as YAML's escapes:
// YAML does not take every character as it is.
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

// restyle makes blocks of JSON. A text of a plain line stands as it is where that
// can be; any other stays quoted, because as a block not each is read as it was.
func restyle(n *yaml.Node) {
	special := func(r rune) bool { return r < ' ' || r > '~' }
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" || !strings.ContainsFunc(n.Value, special) {
		n.Style = 0
	}
	for _, child := range n.Content {
		restyle(child)
	}
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
		return fmt.Errorf("line %d: an alias or a merge (<<) is not written here", line)
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
