package toolchain

import (
	"encoding/json"
	"strings"
)

// functionsMember is the member of a source map with the functions of each source, as the
// host reads them (host/sandbox/source): [name, first line, last line], the lines from 1. The
// compiler inlines functions and keeps no names of those; an error can name them by the line.
const functionsMember = "x_berth_functions"

// maxFunctions bounds the functions listed for one source.
const maxFunctions = 5000

// sourceFunction is one function of a source.
type sourceFunction struct {
	name        string
	first, last int
}

// MarshalJSON implements json.Marshaler.
func (f sourceFunction) MarshalJSON() ([]byte, error) {
	return json.Marshal([]any{f.name, f.first, f.last})
}

// listFunctions returns the functions and methods of a source in AssemblyScript. It follows
// braces, strings and comments, and knows no other grammar: a name that it does not find is
// only missing in an error.
func listFunctions(source string) []sourceFunction {
	s := functionScan{text: source, line: 1}
	for s.at < len(s.text) && len(s.found) < maxFunctions {
		s.step()
	}
	return s.found
}

// functionsOfMap returns the functions of each source of a source map that has their texts.
func functionsOfMap(text []byte) (json.RawMessage, error) {
	var m struct {
		Sources []string  `json:"sources"`
		Texts   []*string `json:"sourcesContent"`
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, err
	}
	all := make([][]sourceFunction, len(m.Sources))
	for i, name := range m.Sources {
		if own := !strings.HasPrefix(name, "~lib/"); own && i < len(m.Texts) && m.Texts[i] != nil {
			all[i] = listFunctions(*m.Texts[i])
		}
	}
	return json.Marshal(all)
}

// block is an open brace: of a class, of a function, or neither.
type block struct {
	class, function string
	first           int
	parens          int // open when the block began
}

type functionScan struct {
	text   string
	at     int
	line   int
	parens int
	blocks []block
	next   block  // what the next brace opens
	word   string // the last word, if nothing but types stands behind it
	found  []sourceFunction
}

// step reads one token.
func (s *functionScan) step() {
	c := s.text[s.at]
	switch {
	case c == '\n':
		s.line++
		s.at++
	case strings.HasPrefix(s.text[s.at:], "//"):
		s.skipTo("\n", 0)
	case strings.HasPrefix(s.text[s.at:], "/*"):
		s.skipTo("*/", 2)
	case c == '"' || c == '\'' || c == '`':
		s.skipString(c)
	case c == '@': // a decorator, which may have arguments
		for s.at++; s.at < len(s.text) && isWord(s.text[s.at]); s.at++ {
		}
		s.word = ""
	case isWord(c):
		s.readWord()
	case c == '{':
		s.next.parens = s.parens
		s.blocks = append(s.blocks, s.next)
		s.next, s.word, s.parens = block{}, "", 0
		s.at++
	case c == '}':
		if len(s.blocks) > 0 {
			closed := s.blocks[len(s.blocks)-1]
			s.blocks = s.blocks[:len(s.blocks)-1]
			s.parens = closed.parens
			if closed.function != "" {
				s.found = append(s.found, sourceFunction{closed.function, closed.first, s.line})
			}
		}
		s.next, s.word = block{}, ""
		s.at++
	default:
		s.punctuation(c)
		s.at++
	}
}

// punctuation reads a character that is neither a brace nor part of a word.
func (s *functionScan) punctuation(c byte) {
	switch c {
	case '(':
		if class := s.class(); class != "" && s.parens == 0 && s.word != "" && s.next.function == "" {
			s.next.function, s.next.first = class+"#"+s.word, s.line
		}
		s.parens++
		s.word = ""
	case ')':
		s.parens = max(0, s.parens-1)
	case ';', '=':
		if s.parens == 0 { // a declaration without a body, a variable
			s.next, s.word = block{}, ""
		}
	}
}

// class returns the class whose body the position is in.
func (s *functionScan) class() string {
	if len(s.blocks) == 0 {
		return ""
	}
	return s.blocks[len(s.blocks)-1].class
}

func (s *functionScan) readWord() {
	start := s.at
	for s.at < len(s.text) && isWord(s.text[s.at]) {
		s.at++
	}
	last := s.word
	s.word = s.text[start:s.at]
	if s.parens > 0 {
		return
	}
	switch last {
	case "function":
		s.next = block{function: s.word, first: s.line}
	case "class":
		s.next = block{class: s.word}
	}
}

// skipTo passes over text up to an end, and over so many bytes of it.
func (s *functionScan) skipTo(end string, over int) {
	n := strings.Index(s.text[s.at:], end)
	if n < 0 {
		n, over = len(s.text)-s.at, 0
	}
	s.line += strings.Count(s.text[s.at:s.at+n], "\n")
	s.at += n + over
}

func (s *functionScan) skipString(quote byte) {
	for s.at++; s.at < len(s.text) && s.text[s.at] != quote; s.at++ {
		switch s.text[s.at] {
		case '\\':
			if s.at++; s.at < len(s.text) && s.text[s.at] == '\n' {
				s.line++
			}
		case '\n':
			s.line++
			if quote != '`' {
				return
			}
		}
	}
	s.at++
	s.word = ""
}

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '$' || c >= 0x80
}
