package source

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/berth-host/berth/host/event/stack"
	"github.com/berth-host/berth/host/sandbox/meter"
	"github.com/berth-host/berth/host/sandbox/wasmbin"
)

// sourceMap is a source map of version 3. Its one generated line is the module's file, and
// its columns are offsets in it. Its sourceRoot does not count: it is where an editor finds
// the sources, and AssemblyScript writes the name of the module there.
type sourceMap struct {
	Version  int             `json:"version"`
	Sources  []string        `json:"sources"`
	Mappings string          `json:"mappings"`
	Sections json.RawMessage `json:"sections"`
	// Functions of each source: [name, first line, last line]. plugin build adds them, because
	// the compiler inlines functions.
	Functions [][]listed `json:"x_berth_functions"`
}

// resolveMap fills in the frames that a module's source map knows.
func resolveMap(sections map[string][]byte, origins []meter.Origin, found [][]Frame) error {
	text, err := mapText(sections)
	if err != nil || text == nil {
		return err
	}
	var m sourceMap
	if err := json.Unmarshal(text, &m); err != nil {
		return fmt.Errorf("the source map: %w", err)
	}
	if m.Version != 3 || m.Sections != nil {
		return fmt.Errorf("the source map has version %d, or sections", m.Version)
	}
	best, last := make([]segment, len(origins)), make([]segment, len(origins))
	err = m.segments(func(s segment) {
		for i, o := range origins {
			if !o.Known || s.column < int64(o.Body) || s.column > int64(o.Offset) {
				continue
			}
			if s.column >= last[i].column {
				last[i] = s
			}
			if s.mapped && s.column >= best[i].column {
				best[i] = s
			}
		}
	})
	for i, s := range best {
		if !s.mapped || found[i] != nil || s.source < 0 || s.source >= int64(len(m.Sources)) {
			continue
		}
		name := m.Sources[s.source]
		f := Frame{Function: m.function(s.source, s.line+1), File: fileName(name, ""), Line: int(s.line) + 1, Column: int(s.sourceColumn) + 1}
		if !last[i].mapped { // the code has no line: only the file of that before it is known
			f.Line, f.Column = 0, 0
		}
		f.Inlined = f.Function != ""
		found[i] = []Frame{f}
	}
	return err
}

// listed is a function of a source.
type listed struct {
	name        string
	first, last int64
}

// UnmarshalJSON implements json.Unmarshaler.
func (l *listed) UnmarshalJSON(text []byte) error {
	return json.Unmarshal(text, &[]any{&l.name, &l.first, &l.last})
}

// function returns the name of the innermost function that has a line of a source, as the
// compiler would name it; "" if that is not known.
func (m *sourceMap) function(source, line int64) string {
	if source >= int64(len(m.Functions)) {
		return ""
	}
	best := listed{first: -1}
	for _, f := range m.Functions[source] {
		if f.first <= line && line <= f.last && f.first >= best.first {
			best = f
		}
	}
	if best.name == "" {
		return ""
	}
	return stack.Printable(strings.TrimSuffix(m.Sources[source], ".ts")+"/"+best.name, maxFunction)
}

// mapText returns the text of a module's source map; nil if there is none.
func mapText(sections map[string][]byte) ([]byte, error) {
	if text, ok := sections[meter.SourceMap]; ok {
		return text, nil
	}
	section, ok := sections[meter.SourceMapURL]
	if !ok {
		return nil, nil
	}
	r := wasmbin.NewReader(section)
	url, err := r.Name()
	if err != nil {
		return nil, fmt.Errorf("the URL of the source map: %w", err)
	}
	head, data, ok := strings.Cut(string(url), ",")
	if !ok || !strings.HasPrefix(head, "data:") {
		return nil, nil // a file beside the module, which the host does not have
	}
	if !strings.HasSuffix(head, ";base64") {
		return nil, errors.New("the source map's data: URL is not in base64")
	}
	text, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		return nil, fmt.Errorf("the source map's data: URL: %w", err)
	}
	return text, nil
}

// segment is an entry of the mappings: from a column on, the code comes from a line of a
// source. mapped is false if it comes from none.
type segment struct {
	column, source, line, sourceColumn int64
	mapped                             bool
}

// segments decodes the mappings. It reads them up to the first malformed one.
func (m *sourceMap) segments(each func(segment)) error {
	var s segment
	fields, n := [5]int64{}, 0
	flush := func() {
		if n == 0 {
			return
		}
		s.column += fields[0]
		s.mapped = n >= 4
		if s.mapped {
			s.source += fields[1]
			s.line += fields[2]
			s.sourceColumn += fields[3]
		}
		each(s)
		n = 0
	}
	text := m.Mappings
	for at := 0; at < len(text); {
		switch text[at] {
		case ',':
			flush()
			at++
			continue
		case ';': // a second line, which a module does not have
			flush()
			return nil
		}
		value, size := vlq(text[at:])
		if size == 0 || n == len(fields) {
			return fmt.Errorf("the source map's mappings are malformed at byte %d", at)
		}
		fields[n] = value
		n++
		at += size
	}
	flush()
	return nil
}

// vlq decodes one number in base64 VLQ, and returns how many bytes it takes; 0 if it is
// malformed or has more than 32 bits.
func vlq(text string) (value int64, size int) {
	for shift := 0; size < len(text) && size < 7; shift += 5 {
		digit := sextet(text[size])
		if digit < 0 {
			return 0, 0
		}
		value |= (digit & 31) << shift
		size++
		if digit < 32 {
			if value&1 != 0 {
				return -(value >> 1), size
			}
			return value >> 1, size
		}
	}
	return 0, 0
}

// sextet is the value of a base64 digit; -1 for any other byte.
func sextet(c byte) int64 {
	switch {
	case c >= 'A' && c <= 'Z':
		return int64(c - 'A')
	case c >= 'a' && c <= 'z':
		return int64(c-'a') + 26
	case c >= '0' && c <= '9':
		return int64(c-'0') + 52
	case c == '+':
		return 62
	case c == '/':
		return 63
	}
	return -1
}
