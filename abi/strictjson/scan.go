// Package strictjson reads JSON from outside: it scans texts without decoding
// them, several times faster than encoding/json checks them, and decodes structs
// without the leniencies of encoding/json. It imports the standard library only.
//
// Scanning functions take a text as string or []byte, never read outside of it,
// and do not panic on malformed text. All functions are safe for concurrent use.
//
// Read scan.go first, then decode.go.
package strictjson

import "unsafe"

// MaxDepth is how deep the lists and objects of a scanned text may nest.
const MaxDepth = 256

// Text is a JSON text.
type Text interface{ ~string | ~[]byte }

// view returns a text as a string that shares its memory, which nothing changes
// during a call.
func view[T Text](text T) string {
	return *(*string)(unsafe.Pointer(&text)) // a slice's header begins with that of a string
}

// Valid reports whether text is one JSON value (RFC 8259), with white space
// around it at most. It is false for values that nest deeper than MaxDepth. Strings
// may hold invalid UTF-8, as in encoding/json.
func Valid[T Text](text T) bool {
	end, _, ok := Value(text, NonBlank(text, 0))
	return ok && NonBlank(text, end) == len(text)
}

// NonBlank returns the offset of the first byte from at that is not white space.
func NonBlank[T Text](text T, at int) int { return nonBlank(view(text), at) }

func nonBlank(text string, at int) int {
	for at < len(text) {
		switch text[at] {
		case ' ', '\t', '\n', '\r':
			at++
		default:
			return at
		}
	}
	return at
}

// Value scans the value that begins at at. It returns the offset of its end, and
// whether it has no white space outside of strings. ok is false for a value that is
// malformed or nests deeper than MaxDepth.
func Value[T Text](text T, at int) (end int, compact, ok bool) {
	s := scanner{text: view(text), at: at, compact: true}
	ok = s.value()
	return s.at, s.compact, ok
}

// String scans the string that begins at at. It returns the offset of its end, and
// whether it is plain: without escapes.
func String[T Text](text T, at int) (end int, plain, ok bool) { return scanString(view(text), at) }

func scanString(text string, at int) (end int, plain, ok bool) {
	if at >= len(text) || text[at] != '"' {
		return at, false, false
	}
	for at++; at < len(text); at++ {
		switch c := text[at]; {
		case c == '"':
			return at + 1, true, true
		case c == '\\' || c < ' ':
			end, ok = scanEscaped(text, at)
			return end, false, ok
		}
	}
	return at, false, false
}

// scanEscaped scans the rest of a string with escapes.
func scanEscaped(text string, at int) (end int, ok bool) {
	for ; at < len(text); at++ {
		switch c := text[at]; {
		case c == '"':
			return at + 1, true
		case c < ' ':
			return at, false
		case c == '\\':
			if at++; at == len(text) {
				return at, false
			}
			switch text[at] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				if _, ok := codeUnit(text, at); !ok {
					return at, false
				}
				at += 4
			default:
				return at, false
			}
		}
	}
	return at, false
}

type scanner struct {
	text    string
	at      int
	compact bool
	depth   int
	objects uint64                  // a bit for each of the last 64 levels: an object, not a list
	outer   [MaxDepth/64 - 1]uint64 // the levels before them
}

// peek returns the next byte that is not white space, 0 at the end.
func (s *scanner) peek() byte {
	if s.at < len(s.text) && s.text[s.at] > ' ' {
		return s.text[s.at]
	}
	if at := nonBlank(s.text, s.at); at != s.at {
		s.at, s.compact = at, false
	}
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

// take moves past the byte c.
func (s *scanner) take(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.at++
	return true
}

// open enters a list, or an object.
func (s *scanner) open(object uint64) bool {
	if s.depth&63 == 0 && s.depth > 0 {
		if s.depth == MaxDepth {
			return false
		}
		s.outer[s.depth/64-1] = s.objects
	}
	s.objects = s.objects<<1 | object
	s.depth++
	s.at++
	return true
}

// close leaves a list, or an object.
func (s *scanner) close() {
	s.at++
	s.depth--
	s.objects >>= 1
	if s.depth&63 == 0 && s.depth > 0 {
		s.objects = s.outer[s.depth/64-1]
	}
}

func (s *scanner) value() bool {
	for {
		ended := true
		switch c := s.peek(); c {
		case '{':
			if !s.open(1) {
				return false
			}
			if s.peek() != '}' {
				if !s.key() {
					return false
				}
				ended = false
			}
		case '[':
			if !s.open(0) {
				return false
			}
			ended = s.peek() == ']'
		case '"':
			if !s.str() {
				return false
			}
		case 't':
			if !s.word("true") {
				return false
			}
		case 'f':
			if !s.word("false") {
				return false
			}
		case 'n':
			if !s.word("null") {
				return false
			}
		default:
			if !s.number() {
				return false
			}
		}
		for ended {
			if s.depth == 0 {
				return true
			}
			object := s.objects&1 == 1
			switch c := s.peek(); {
			case c == '}' && object, c == ']' && !object:
				s.close()
			case c == ',':
				s.at++
				if object && !s.key() {
					return false
				}
				ended = false
			default:
				return false
			}
		}
	}
}

// key moves past a key and its colon.
func (s *scanner) key() bool {
	s.peek()
	return s.str() && s.take(':')
}

func (s *scanner) str() (ok bool) {
	s.at, _, ok = scanString(s.text, s.at)
	return ok
}

func (s *scanner) word(w string) bool {
	if len(s.text)-s.at < len(w) || s.text[s.at:s.at+len(w)] != w {
		return false
	}
	s.at += len(w)
	return true
}

func (s *scanner) number() bool {
	text, at, ok := s.text, s.at, false
	if byteAt(text, at) == '-' {
		at++
	}
	if byteAt(text, at) == '0' {
		at++
	} else if at, ok = digits(text, at); !ok {
		return false
	}
	if byteAt(text, at) == '.' {
		if at, ok = digits(text, at+1); !ok {
			return false
		}
	}
	if c := byteAt(text, at); c == 'e' || c == 'E' {
		at++
		if c := byteAt(text, at); c == '+' || c == '-' {
			at++
		}
		if at, ok = digits(text, at); !ok {
			return false
		}
	}
	s.at = at
	return true
}

// digits moves past digits; ok is false for none.
func digits(text string, at int) (end int, ok bool) {
	from := at
	for at < len(text) && text[at] >= '0' && text[at] <= '9' {
		at++
	}
	return at, at > from
}
