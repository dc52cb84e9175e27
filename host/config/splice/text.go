package splice

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// text is a YAML text and its lines, as YAML counts them.
type text struct {
	src   []byte
	lines []int  // offset of each line's first byte; a byte order mark is not part of its line
	eol   string // how the text ends its lines
	unit  string // one level of indentation in the text
}

func newText(src []byte) *text {
	t := &text{src: src, eol: "\n", unit: "  "}
	start := 0
	if bytes.HasPrefix(src, []byte("\ufeff")) {
		start = len("\ufeff")
	}
	t.lines = []int{start}
	for i := start; i < len(src); {
		n := breakLen(src[i:])
		if n == 0 {
			i++
			continue
		}
		i += n
		t.lines = append(t.lines, i)
	}
	if len(t.lines) > 1 {
		switch first := src[:t.lines[1]]; {
		case bytes.HasSuffix(first, []byte("\r\n")):
			t.eol = "\r\n"
		case bytes.HasSuffix(first, []byte("\r")):
			t.eol = "\r"
		}
	}
	if t.lines[len(t.lines)-1] == len(src) && len(t.lines) > 1 {
		t.lines = t.lines[:len(t.lines)-1] // the last line ends with a break
	}
	t.unit = t.findUnit()
	return t
}

// breakLen returns the length of the line break at the start of b, or 0. YAML
// 1.1 (section 4.2) breaks at CR LF, CR, LF, NEL, LS and PS.
func breakLen(b []byte) int {
	switch {
	case b[0] == '\n':
		return 1
	case b[0] == '\r':
		if len(b) > 1 && b[1] == '\n' {
			return 2
		}
		return 1
	case bytes.HasPrefix(b, []byte("\u0085")):
		return 2
	case bytes.HasPrefix(b, []byte("\u2028")), bytes.HasPrefix(b, []byte("\u2029")):
		return 3
	}
	return 0
}

// findUnit returns the indentation of the first indented line that is neither a list
// nor a comment.
func (t *text) findUnit() string {
	for i := 1; i < len(t.lines); i++ {
		line := string(t.src[t.lines[i]:t.start(i+1)])
		body := strings.TrimLeft(line, " ")
		depth := len(line) - len(body)
		before := string(t.src[t.lines[i-1]:t.lines[i]])
		if depth > 0 && depth <= 8 && word(before) && word(body) {
			return line[:depth]
		}
	}
	return "  "
}

func word(s string) bool { return s != "" && s[0] > ' ' && s[0] != '#' && s[0] != '-' }

// start returns the offset of a line (from 0), or the text's end.
func (t *text) start(line int) int {
	if line >= len(t.lines) {
		return len(t.src)
	}
	return t.lines[line]
}

// last returns the line (from 0) after the last line of the document: that of the end
// marker (YAML 1.1, section 4.3.1), or one past the last line of the text.
func (t *text) last() int {
	for i := range t.lines {
		after, marks := bytes.CutPrefix(t.src[t.lines[i]:t.start(i+1)], []byte("..."))
		if marks && (len(after) == 0 || bytes.IndexByte([]byte(" \t\r\n"), after[0]) >= 0) {
			return i
		}
	}
	return len(t.lines)
}

// offset returns the byte offset of a node, whose column counts characters.
func (t *text) offset(n *yaml.Node) int {
	at := t.start(n.Line - 1)
	for col := 1; col < n.Column && at < len(t.src); col++ {
		_, size := utf8.DecodeRune(t.src[at:])
		at += size
	}
	return at
}

// indent returns the blanks before a key that begins its line.
func (t *text) indent(key *yaml.Node) (string, error) {
	blanks := string(t.src[t.start(key.Line-1):t.offset(key)])
	if strings.Trim(blanks, " ") != "" {
		return "", fmt.Errorf("line %d: %s does not begin its line", key.Line, key.Value)
	}
	return blanks, nil
}

// blank reports whether a range has only blanks and a comment.
func (t *text) blank(from, to int) bool {
	after := strings.TrimLeft(string(t.src[from:max(from, to)]), " \t")
	return after == "" || breakLen([]byte(after)) > 0 || after[0] == '#'
}

// skippable reports whether a line (from 0) is blank, or a comment that is
// indented less than column.
func (t *text) skippable(line, column int) bool {
	s := string(t.src[t.start(line):t.start(line+1)])
	body := strings.TrimLeft(s, " \t")
	if strings.TrimSpace(body) == "" {
		return true
	}
	return body[0] == '#' && len(s)-len(body) < column
}

// block writes nested keys, one a line, and the value after the last one.
func (t *text) block(indent string, keys []string, value string) string {
	var b strings.Builder
	for i, k := range keys {
		b.WriteString(indent + k + ":")
		if i == len(keys)-1 {
			b.WriteString(" " + value)
		}
		b.WriteString(t.eol)
		indent += t.unit
	}
	return b.String()
}

// putLines inserts whole lines at the start of a line or at the end of the text.
func (t *text) putLines(at int, lines string) []byte {
	if at > t.lines[0] && !t.atBreak(at) {
		lines = t.eol + strings.TrimSuffix(lines, t.eol)
	}
	return t.put(at, at, lines)
}

func (t *text) atBreak(at int) bool {
	return at < len(t.src) && slices.Contains(t.lines, at) || endsLine(t.src[:at])
}

func endsLine(b []byte) bool {
	for n := 1; n <= 3 && n <= len(b); n++ {
		if breakLen(b[len(b)-n:]) == n {
			return true
		}
	}
	return false
}

// put replaces a run of bytes.
func (t *text) put(from, to int, with string) []byte {
	return slices.Concat(t.src[:from], []byte(with), t.src[to:])
}

func (t *text) cut(from, to int) []byte { return t.put(from, to, "") }
