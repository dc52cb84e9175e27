package strictjson

import (
	"strconv"
	"strings"
)

// Get returns the value at a JSON Pointer (RFC 6901) in a valid JSON text: a string
// without quotes and escapes, any other value as its JSON. The pointer is valid;
// found is false if the text has no such value. Where an object has a key twice, the
// last one counts, as in encoding/json. Get allocates only for a string with escapes.
func Get(text, pointer string) (value string, found bool) {
	at := blank(text, 0)
	for pointer != "" {
		token := pointer[1:]
		if end := strings.IndexByte(token, '/'); end >= 0 {
			token = token[:end]
		}
		pointer = pointer[1+len(token):]
		switch byteAt(text, at) {
		case '{':
			at = memberAt(text, at, token)
		case '[':
			at = elementAt(text, at, token)
		default:
			return "", false
		}
		if at < 0 {
			return "", false
		}
	}
	value = text[at:skip(text, at)]
	if value == "" || value == `"` {
		return "", false
	}
	if value[0] == '"' {
		return unescape(value[1 : len(value)-1]), true
	}
	return value, true
}

// The functions below move over valid text by its structure and check nothing else.

// blank is NonBlank in text that is known to be valid.
func blank(text string, at int) int {
	for at < len(text) && text[at] <= ' ' {
		at++
	}
	return at
}

func byteAt(text string, at int) byte {
	if at < len(text) {
		return text[at]
	}
	return 0
}

// memberAt returns the offset of the value of the last member whose key is the
// pointer's token, of the object at at; -1 for none.
func memberAt(text string, at int, token string) int {
	found := -1
	at++ // {
	for {
		if at = blank(text, at); byteAt(text, at) != '"' {
			return found
		}
		end := skipString(text, at)
		key := text[at+1 : max(at+1, end-1)]
		if at = blank(text, end); byteAt(text, at) != ':' {
			return found
		}
		at = blank(text, at+1)
		if sameKey(key, token) {
			found = at
		}
		if at = blank(text, skip(text, at)); byteAt(text, at) != ',' {
			return found
		}
		at++
	}
}

// elementAt returns the offset of an element of the list at at, -1 for none.
func elementAt(text string, at int, token string) int {
	if token == "" || len(token) > 1 && token[0] == '0' || token[0] < '0' || token[0] > '9' {
		return -1
	}
	index, err := strconv.ParseUint(token, 10, 31)
	if err != nil {
		return -1
	}
	if at = blank(text, at+1); byteAt(text, at) == ']' {
		return -1
	}
	for ; index > 0; index-- {
		if at = blank(text, skip(text, at)); byteAt(text, at) != ',' {
			return -1
		}
		at = blank(text, at+1)
	}
	if at >= len(text) {
		return -1
	}
	return at
}

// skip returns the offset of the end of the value at at.
func skip(text string, at int) int {
	switch byteAt(text, at) {
	case '"':
		return skipString(text, at)
	case '{', '[':
		depth := 0
		for at < len(text) {
			switch text[at] {
			case '"':
				at = skipString(text, at)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			}
			at++
			if depth == 0 {
				break
			}
		}
		return at
	}
	return scalarEnd(text, at)
}

// scalarEnd returns the offset of the end of a number, true, false or null.
func scalarEnd(text string, at int) int {
	for at < len(text) {
		if c := text[at]; c == ',' || c == '}' || c == ']' || c <= ' ' {
			break
		}
		at++
	}
	return at
}

// skipString returns the offset of the end of the string at at.
func skipString(text string, at int) int {
	for at++; at < len(text); at++ {
		switch text[at] {
		case '\\':
			at++
		case '"':
			return at + 1
		}
	}
	return len(text)
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

// unescape returns the characters of a string's inside.
func unescape(inside string) string {
	if strings.IndexByte(inside, '\\') < 0 {
		return inside
	}
	return string(AppendUnescaped(make([]byte, 0, len(inside)), inside))
}
