// Package document reads YAML and reports every problem with its line and path. The
// methods of a Value report problems and continue, so that one pass finds all of them.
// A hostile text costs bounded memory and time: aliases are followed within a budget.
//
// Read document.go first, then value.go.
package document

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"sort"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// MaxSize bounds a text, in bytes.
const MaxSize = 1 << 20

// Document is a well-formed YAML text with the problems reported of its values. It is
// not safe for concurrent use.
type Document struct {
	file     string
	root     *yaml.Node // nil for an empty text
	problems []Problem
	budget   int // remainder of maxExpansion; negative when it is exceeded
}

// Parse reads a text. Errors call the file by name. A malformed text is a fault.Invalid
// that wraps an *Error.
func Parse(name string, data []byte) (*Document, error) {
	root, err := parseYAML(name, data)
	if err != nil {
		return nil, err
	}
	return &Document{file: name, root: root, budget: maxExpansion}, nil
}

// Root returns the outermost value, which is null for an empty text.
func (d *Document) Root() Value {
	if d.root == nil {
		return Value{d: d, line: 1}.Null()
	}
	return d.at(d.root, nil, "")
}

// Err returns the reported problems as a fault.Invalid that wraps an *Error.
func (d *Document) Err() error {
	if len(d.problems) == 0 {
		return nil
	}
	return NewError(d.problems...)
}

// parseYAML returns the root of the only document, or nil when there is none. It does
// not expand aliases.
func parseYAML(name string, data []byte) (*yaml.Node, error) {
	fail := func(line int, format string, args ...any) error {
		return NewError(Problem{File: name, Line: line, Reason: fmt.Sprintf(format, args...)})
	}
	if len(data) > MaxSize {
		return nil, fail(1, "is over %d bytes, which is the limit", MaxSize)
	}
	if at := invalidUTF8(data); at >= 0 {
		return nil, fail(1+bytes.Count(data[:at], []byte{'\n'}), "malformed YAML: not valid UTF-8")
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return nil, fail(malformedLine(data, err), "malformed YAML: %s", malformedReason(err))
	}
	var second yaml.Node
	switch err := dec.Decode(&second); {
	case err == nil:
		return nil, fail(second.Line, "a second YAML document starts here; the file must hold one")
	case !errors.Is(err, io.EOF):
		return nil, fail(malformedLine(data, err), "malformed YAML: %s", malformedReason(err))
	}
	return doc.Content[0], nil
}

func invalidUTF8(data []byte) int {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size <= 1 {
			return i
		}
		i += size
	}
	return -1
}

// malformedLine returns the line at which the YAML parser fails. The parser's own line
// numbers are those of the surrounding block, or one off, or missing. It reads from
// front to back, so the shortest run of lines that fails with the same error ends with
// that line.
func malformedLine(data []byte, err error) int {
	lines := bytes.SplitAfter(data, []byte{'\n'})
	ends := make([]int, len(lines))
	n := 0
	for i, line := range lines {
		n += len(line)
		ends[i] = n
	}
	return 1 + sort.Search(len(lines)-1, func(i int) bool {
		dec := yaml.NewDecoder(bytes.NewReader(data[:ends[i]]))
		for {
			var doc yaml.Node
			if got := dec.Decode(&doc); got != nil {
				return got.Error() == err.Error()
			}
		}
	})
}

var yamlPrefix = regexp.MustCompile(`^yaml: (line \d+: )?`)

func malformedReason(err error) string {
	reason := yamlPrefix.ReplaceAllString(err.Error(), "")
	switch {
	case strings.Contains(reason, "did not find expected alphabetic or numeric character"):
		reason += ` (a word that starts with * or & must be quoted: "*")`
	case strings.Contains(reason, "cannot start any token"):
		reason += " (indent with spaces, and quote text that starts with a special character)"
	}
	return reason
}
