// Package jsonscan moves over JSON texts without decoding them, several times
// faster than encoding/json checks them. What it takes, encoding/json takes too;
// a text that nests deeper than 64 it leaves to its caller, as if it were wrong.
package jsonscan

// maxDepth is how deep values may nest: a bit for each level.
const maxDepth = 64

// Valid reports whether text is one JSON value, with white space around it at
// most. It says no to values that nest deeper than 64.
func Valid(text []byte) bool {
	end, _, ok := Value(text, Space(text, 0))
	return ok && Space(text, end) == len(text)
}

// Space returns where the white space that begins at at ends.
func Space(text []byte, at int) int {
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

// Value moves over the value that begins at at, and answers where it ends and
// whether there is no white space in it outside of strings. When ok is false the
// value is malformed, or nests too deep.
func Value(text []byte, at int) (end int, compact, ok bool) {
	s := scanner{text: text, at: at, compact: true}
	ok = s.value()
	return s.at, s.compact, ok
}

// String moves over the string that begins at at, and answers where it ends and
// whether it is plain: without escapes.
func String(text []byte, at int) (end int, plain, ok bool) {
	if at >= len(text) || text[at] != '"' {
		return at, false, false
	}
	plain = true
	for at++; at < len(text); at++ {
		switch c := text[at]; {
		case c == '"':
			return at + 1, plain, true
		case c < ' ':
			return at, false, false
		case c == '\\':
			plain = false
			if at++; at == len(text) {
				return at, false, false
			}
			switch text[at] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				if len(text)-at < 5 {
					return at, false, false
				}
				for _, c := range text[at+1 : at+5] {
					if !isHex(c) {
						return at, false, false
					}
				}
				at += 4
			default:
				return at, false, false
			}
		}
	}
	return at, false, false
}

type scanner struct {
	text    []byte
	at      int
	compact bool
	depth   int
	objects uint64 // by level: it is an object, else a list
}

// peek returns the next byte that is no white space, 0 at the end.
func (s *scanner) peek() byte {
	if s.at < len(s.text) && s.text[s.at] > ' ' {
		return s.text[s.at]
	}
	if at := Space(s.text, s.at); at != s.at {
		s.at, s.compact = at, false
	}
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

// take moves over the byte c.
func (s *scanner) take(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.at++
	return true
}

func (s *scanner) value() bool {
	for {
		closed := true // a value has ended here
		switch c := s.peek(); c {
		case '{', '[':
			if s.depth == maxDepth {
				return false
			}
			s.at++
			s.objects <<= 1
			if s.depth++; c == '{' {
				s.objects |= 1
				if s.peek() != '}' {
					if !s.key() {
						return false
					}
					closed = false
				}
			} else {
				closed = s.peek() == ']'
			}
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
		for closed {
			if s.depth == 0 {
				return true
			}
			object := s.objects&1 == 1
			switch c := s.peek(); {
			case c == '}' && object, c == ']' && !object:
				s.at++
				s.depth--
				s.objects >>= 1
			case c == ',':
				s.at++
				if object && !s.key() {
					return false
				}
				closed = false
			default:
				return false
			}
		}
	}
}

// key moves over a key and its colon.
func (s *scanner) key() bool {
	s.peek()
	return s.str() && s.take(':')
}

func (s *scanner) str() (ok bool) {
	s.at, _, ok = String(s.text, s.at)
	return ok
}

func (s *scanner) word(w string) bool {
	if len(s.text)-s.at < len(w) || string(s.text[s.at:s.at+len(w)]) != w {
		return false
	}
	s.at += len(w)
	return true
}

func (s *scanner) number() bool {
	s.found('-')
	if !s.found('0') && !s.digits() {
		return false
	}
	if s.found('.') && !s.digits() {
		return false
	}
	if s.found('e') || s.found('E') {
		if !s.found('+') {
			s.found('-')
		}
		return s.digits()
	}
	return true
}

func (s *scanner) found(c byte) bool {
	if s.at == len(s.text) || s.text[s.at] != c {
		return false
	}
	s.at++
	return true
}

// digits moves over one digit at least.
func (s *scanner) digits() bool {
	from := s.at
	for s.at < len(s.text) && s.text[s.at] >= '0' && s.text[s.at] <= '9' {
		s.at++
	}
	return s.at > from
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}
