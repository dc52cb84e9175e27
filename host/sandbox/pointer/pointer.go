// Package pointer extracts one value from a JSON text by JSON Pointer (RFC
// 6901), as the ABI's function field does: a string comes unquoted and
// unescaped, anything else as the JSON text it is.
//
// The text must be valid JSON, as every stored envelope is: the scanner skips
// values by their structure and checks nothing else, but it never reads outside
// the text or panics, whatever it is given. It allocates only when a string has
// escapes.
package pointer

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/berth-host/berth/abi"
)

// Get yields the value of doc at ptr. It answers abi.Invalid for a malformed
// pointer and abi.NotFound when there is nothing; 0 otherwise. Where an object
// names a key twice, the last one counts, as in encoding/json.
func Get(doc, ptr string) (string, abi.Code) {
	if !abi.ValidPointer(ptr) {
		return "", abi.Invalid
	}
	s := scanner{doc: doc}
	s.space()
	for ptr != "" {
		token := ptr[1:]
		if end := strings.IndexByte(token, '/'); end >= 0 {
			token = token[:end]
		}
		ptr = ptr[1+len(token):]
		found := false
		switch s.peek() {
		case '{':
			found = s.member(token)
		case '[':
			found = s.element(token)
		}
		if !found {
			return "", abi.NotFound
		}
	}
	from := s.pos
	s.skip()
	value := doc[from:s.pos]
	if value == "" {
		return "", abi.NotFound
	}
	if value[0] == '"' {
		if len(value) < 2 {
			return "", abi.NotFound
		}
		return unescape(value[1 : len(value)-1]), 0
	}
	return value, 0
}

type scanner struct {
	doc string
	pos int
}

func (s *scanner) peek() byte {
	if s.pos < len(s.doc) {
		return s.doc[s.pos]
	}
	return 0
}

func (s *scanner) space() {
	for s.pos < len(s.doc) && s.doc[s.pos] <= ' ' {
		s.pos++
	}
}

// member moves to the value of the last member whose key is the escaped token.
func (s *scanner) member(token string) bool {
	at := -1
	s.pos++ // {
	for {
		s.space()
		if s.peek() != '"' {
			break
		}
		from := s.pos + 1
		s.str()
		to := max(from, s.pos-1)
		s.space()
		if s.peek() != ':' {
			break
		}
		s.pos++
		s.space()
		if sameKey(s.doc[from:to], token) {
			at = s.pos
		}
		s.skip()
		s.space()
		if s.peek() != ',' {
			break
		}
		s.pos++
	}
	if at < 0 {
		return false
	}
	s.pos = at
	return true
}

// element moves to an array's element by its index.
func (s *scanner) element(token string) bool {
	if token == "" || len(token) > 1 && token[0] == '0' || token[0] < '0' || token[0] > '9' {
		return false
	}
	index, err := strconv.ParseUint(token, 10, 31)
	if err != nil {
		return false
	}
	s.pos++ // [
	s.space()
	if s.peek() == ']' {
		return false
	}
	for ; index > 0; index-- {
		s.skip()
		s.space()
		if s.peek() != ',' {
			return false
		}
		s.pos++
		s.space()
	}
	return s.pos < len(s.doc)
}

// skip moves past one value.
func (s *scanner) skip() {
	switch s.peek() {
	case '"':
		s.str()
	case '{', '[':
		depth := 0
		for s.pos < len(s.doc) {
			switch s.doc[s.pos] {
			case '"':
				s.str()
				continue
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			}
			s.pos++
			if depth == 0 {
				return
			}
		}
	default:
		for s.pos < len(s.doc) {
			switch c := s.doc[s.pos]; {
			case c == ',' || c == '}' || c == ']' || c <= ' ':
				return
			}
			s.pos++
		}
	}
}

// str moves past one string.
func (s *scanner) str() {
	for s.pos++; s.pos < len(s.doc); s.pos++ {
		switch s.doc[s.pos] {
		case '\\':
			s.pos++
		case '"':
			s.pos++
			return
		}
	}
	s.pos = len(s.doc)
}

// sameKey compares a key as it stands in the text with a token of a pointer.
func sameKey(key, token string) bool {
	if strings.IndexByte(key, '\\') >= 0 {
		key = unescape(key)
	}
	for strings.IndexByte(token, '~') >= 0 {
		at := strings.IndexByte(token, '~')
		if len(key) <= at || key[:at] != token[:at] || at+1 >= len(token) {
			return false
		}
		want := byte('~')
		if token[at+1] == '1' {
			want = '/'
		}
		if key[at] != want {
			return false
		}
		key, token = key[at+1:], token[at+2:]
	}
	return key == token
}

// unescape resolves the escapes of RFC 8259, section 7. A surrogate without its
// partner becomes U+FFFD, as in encoding/json.
func unescape(s string) string {
	at := strings.IndexByte(s, '\\')
	if at < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for at >= 0 && at+1 < len(s) {
		b = append(b, s[:at]...)
		c := s[at+1]
		s = s[at+2:]
		switch c {
		case 'b':
			b = append(b, '\b')
		case 'f':
			b = append(b, '\f')
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 't':
			b = append(b, '\t')
		case 'u':
			r, ok := hex4(s)
			if !ok {
				return string(append(b, s...))
			}
			s = s[4:]
			if utf16.IsSurrogate(r) {
				low, ok := rune(0), false
				if strings.HasPrefix(s, `\u`) {
					low, ok = hex4(s[2:])
				}
				if r = utf16.DecodeRune(r, low); ok && r != utf8.RuneError {
					s = s[6:]
				} else {
					r = utf8.RuneError
				}
			}
			b = utf8.AppendRune(b, r)
		default:
			b = append(b, c)
		}
		at = strings.IndexByte(s, '\\')
	}
	return string(append(b, s...))
}

func hex4(s string) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	n, err := strconv.ParseUint(s[:4], 16, 16)
	return rune(n), err == nil
}
