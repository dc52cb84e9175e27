package berth

import (
	"slices"
	"strconv"
	"unicode/utf8"
	"unsafe"
)

// Object writes a JSON object without reflection, member by member. The zero
// Object is empty and ready. It does not check for duplicate keys.
//
//	var o berth.Object
//	o.Str("audit", "ok").Int("total_cents", 1999)
//	return o.Result(), nil
type Object struct{ buf []byte }

// Str adds a string. Invalid UTF-8 in it becomes U+FFFD.
func (o *Object) Str(key, value string) *Object {
	o.key(key)
	o.buf = appendString(o.buf, value)
	return o
}

// Int adds a whole number.
func (o *Object) Int(key string, value int64) *Object {
	o.key(key)
	o.buf = strconv.AppendInt(o.buf, value, 10)
	return o
}

// Bool adds true or false.
func (o *Object) Bool(key string, value bool) *Object {
	o.key(key)
	o.buf = strconv.AppendBool(o.buf, value)
	return o
}

// Strs adds an array of strings.
func (o *Object) Strs(key string, values []string) *Object {
	o.key(key)
	o.buf = append(o.buf, '[')
	for i, v := range values {
		if i > 0 {
			o.buf = append(o.buf, ',')
		}
		o.buf = appendString(o.buf, v)
	}
	o.buf = append(o.buf, ']')
	return o
}

// Raw adds a value that is JSON text already. It is not checked.
func (o *Object) Raw(key, json string) *Object {
	o.key(key)
	o.buf = append(o.buf, json...)
	return o
}

// Text returns the object as JSON text.
func (o *Object) Text() string {
	if len(o.buf) == 0 {
		return "{}"
	}
	return string(append(o.buf, '}'))
}

// Result returns the object as a handler's result, without a copy. The object is empty
// afterwards.
func (o *Object) Result() Result {
	if len(o.buf) == 0 {
		return RawJSON("{}")
	}
	text := append(o.buf, '}')
	o.buf = nil
	return RawJSON(unsafe.String(unsafe.SliceData(text), len(text)))
}

func (o *Object) key(key string) {
	if len(o.buf) == 0 {
		o.buf = append(make([]byte, 0, 128), '{')
	} else {
		o.buf = append(o.buf, ',')
	}
	o.buf = append(appendString(o.buf, key), ':')
}

// appendString appends s as a JSON string. It copies while it looks for bytes to escape:
// for texts as short as keys a call of copy would cost more.
func appendString(buf []byte, s string) []byte {
	start := len(buf)
	if cap(buf)-start < len(s)+2 {
		buf = slices.Grow(buf, len(s)+2)
	}
	text := buf[start : start+len(s)+2]
	text[0] = '"'
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c-' ' > '~'-' ' || c == '"' || c == '\\' {
			return appendEscaped(buf, s)
		}
		text[i+1] = c
	}
	text[len(s)+1] = '"'
	return buf[:start+len(s)+2]
}

// appendEscaped is appendString for any text.
func appendEscaped(buf []byte, s string) []byte {
	const hex = "0123456789abcdef"
	buf = append(buf, '"')
	clean := 0 // s[:clean] is in buf
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		size := 1
		if c >= utf8.RuneSelf {
			var r rune
			if r, size = utf8.DecodeRuneInString(s[i:]); r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
		}
		buf = append(buf, s[clean:i]...)
		switch {
		case c >= utf8.RuneSelf:
			buf = append(buf, `\ufffd`...)
		case c < ' ':
			buf = append(buf, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			buf = append(buf, '\\', c)
		}
		i += size
		clean = i
	}
	return append(append(buf, s[clean:]...), '"')
}
