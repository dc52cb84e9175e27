package berth

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// FieldJSON returns a field as the JSON text that it is in the envelope, byte for byte: a
// string with its quotes and escapes, unlike Field, which does not tell "7" from 7. It looks
// the field up in the guest. ok is false if there is no such field. A malformed pointer
// panics.
func (e *Event) FieldJSON(pointer string) (text string, ok bool) {
	value, ok := locate(e.Raw(), pointer)
	return string(value), ok
}

// locate returns the value that a JSON Pointer (RFC 6901) names in a JSON text, which must be
// valid. Of members with equal names the last counts.
func locate(value []byte, pointer string) ([]byte, bool) {
	value = trim(value)
	for pointer != "" {
		if pointer[0] != '/' {
			panic("berth: " + strconv.Quote(pointer) + " is not a JSON Pointer: it begins with /")
		}
		token, after, more := strings.Cut(pointer[1:], "/")
		pointer = ""
		if more {
			pointer = "/" + after
		}
		name := unescape(token)
		if value == nil {
			continue // the pointer is checked to its end
		}
		switch value[0] {
		case '{':
			value = member(value, name)
		case '[':
			value = element(value, token)
		default:
			value = nil
		}
	}
	return value, value != nil
}

// unescape resolves ~0 and ~1 in a token of a pointer.
func unescape(token string) string {
	if !strings.Contains(token, "~") {
		return token
	}
	var b strings.Builder
	for i := 0; i < len(token); i++ {
		c := token[i]
		if c == '~' {
			i++
			switch {
			case i < len(token) && token[i] == '0':
			case i < len(token) && token[i] == '1':
				c = '/'
			default:
				panic("berth: " + strconv.Quote(token) + " is not a part of a JSON Pointer: ~ is followed by 0 or 1")
			}
		}
		b.WriteByte(c)
	}
	return b.String()
}

// member returns the last member of this name; nil if there is none.
func member(object []byte, name string) (found []byte) {
	for in := trim(object[1:]); in[0] != '}'; {
		n := length(in)
		key := in[:n]
		in = trim(in[n:])
		in = trim(in[1:]) // the colon
		n = length(in)
		if keyIs(key, name) {
			found = in[:n]
		}
		if in = trim(in[n:]); in[0] == ',' {
			in = trim(in[1:])
		}
	}
	return found
}

// element returns the element with this index; nil if there is none.
func element(array []byte, token string) []byte {
	index, err := strconv.ParseUint(token, 10, 31)
	if err != nil || token[0] == '+' || token[0] == '0' && len(token) > 1 {
		return nil
	}
	for in := trim(array[1:]); in[0] != ']'; index-- {
		n := length(in)
		if index == 0 {
			return in[:n]
		}
		if in = trim(in[n:]); in[0] == ',' {
			in = trim(in[1:])
		}
	}
	return nil
}

// trim removes the white space before a value.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t' || b[0] == '\n' || b[0] == '\r') {
		b = b[1:]
	}
	return b
}

// length returns the length of the value that b begins with.
func length(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			for i++; b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
			continue
		case '}', ']':
			if depth == 0 {
				return i // the end of what a number or a word is in
			}
			depth--
		case ',', ':', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return i
			}
			continue
		default:
			continue
		}
		if depth == 0 {
			return i + 1
		}
	}
	return len(b)
}

// keyIs reports whether a member's name in JSON is this one. Half of a surrogate pair is
// U+FFFD.
func keyIs(quoted []byte, name string) bool {
	text := string(quoted[1 : len(quoted)-1])
	if !strings.Contains(text, `\`) {
		return text == name
	}
	var b []byte
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c != '\\' {
			b = append(b, c)
			continue
		}
		i++
		switch c = text[i]; c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r := unit(text, i-1)
			i += 4
			if utf16.IsSurrogate(r) {
				if r = utf16.DecodeRune(r, unit(text, i+1)); r != utf8.RuneError {
					i += 6
				}
			}
			b = utf8.AppendRune(b, r)
			continue
		}
		b = append(b, c)
	}
	return string(b) == name
}

// unit returns the UTF-16 unit of the escape \uXXXX at i; 0 if there is none.
func unit(text string, i int) rune {
	if i+6 > len(text) || text[i:i+2] != `\u` {
		return 0
	}
	n, err := strconv.ParseUint(text[i+2:i+6], 16, 16)
	if err != nil {
		return 0
	}
	return rune(n)
}
