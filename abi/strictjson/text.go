package strictjson

import "unicode/utf8"

// Depth returns how deep the lists and objects of a valid JSON text nest: 0 for
// a scalar.
func Depth[T Text](of T) int {
	text := view(of)
	depth, deepest := 0, 0
	for at := 0; at < len(text); at++ {
		switch text[at] {
		case '"':
			end, _, ok := scanString(text, at)
			if !ok {
				return deepest
			}
			at = end - 1
		case '{', '[':
			depth++
			deepest = max(deepest, depth)
		case '}', ']':
			depth--
		}
	}
	return deepest
}

// LoneSurrogate reports whether a JSON string has an escape (\ud800 to \udfff)
// that is half of a surrogate pair without the other half. It names no character:
// decoders replace it, and two strings that differ become equal.
func LoneSurrogate[T Text](of T) bool {
	text := view(of)
	for at := 0; at+1 < len(text); at++ {
		if text[at] != '\\' {
			continue
		}
		at++
		unit, ok := codeUnit(text, at)
		if !ok || !surrogate(unit) {
			continue
		}
		if _, ok := pair(text, at, unit); !ok {
			return true
		}
		at += 10
	}
	return false
}

// AppendUnescaped appends the characters of a JSON string as UTF-8; inside is the
// string without its quotes. Half of a surrogate pair becomes U+FFFD.
func AppendUnescaped[T Text](b []byte, inside T) []byte {
	return appendUnescaped(b, view(inside), false)
}

// appendUnescaped is AppendUnescaped. With distinct, half of a surrogate pair
// becomes three bytes that are unlike those of any character.
func appendUnescaped(b []byte, inside string, distinct bool) []byte {
	from := 0 // the bytes before it are in b
	for at := 0; at+1 < len(inside); at++ {
		if inside[at] != '\\' {
			continue
		}
		b = append(b, inside[from:at]...)
		at++
		switch c := inside[at]; c {
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
			unit, ok := codeUnit(inside, at)
			if !ok {
				return append(b, inside[at:]...)
			}
			if r, ok := pair(inside, at, unit); ok {
				unit, at = r, at+6
			} else if distinct && surrogate(unit) {
				b = append(b, 0xed, 0x80|byte(unit>>6&0x3f), 0x80|byte(unit&0x3f))
				at, from = at+4, at+5
				continue
			}
			at += 4
			b = utf8.AppendRune(b, unit) // U+FFFD for a surrogate
		default:
			b = append(b, c)
		}
		from = at + 1
	}
	return append(b, inside[from:]...)
}

// codeUnit reads the uXXXX at at.
func codeUnit(text string, at int) (rune, bool) {
	if at < 0 || len(text)-at < 5 || text[at] != 'u' {
		return 0, false
	}
	unit := rune(0)
	for i := at + 1; i < at+5; i++ {
		unit <<= 4
		switch c := text[i]; {
		case c >= '0' && c <= '9':
			unit |= rune(c - '0')
		case c >= 'a' && c <= 'f':
			unit |= rune(c-'a') + 10
		case c >= 'A' && c <= 'F':
			unit |= rune(c-'A') + 10
		default:
			return 0, false
		}
	}
	return unit, true
}

func surrogate(unit rune) bool { return unit>>11 == 0xd800>>11 }

// pair returns the character of the surrogate pair that begins with the uXXXX at
// at, whose value is high.
func pair(text string, at int, high rune) (rune, bool) {
	if high>>10 != 0xd800>>10 || at+5 >= len(text) || text[at+5] != '\\' {
		return 0, false
	}
	low, ok := codeUnit(text, at+6)
	if !ok || low>>10 != 0xdc00>>10 {
		return 0, false
	}
	return 0x10000 + (high&0x3ff)<<10 + low&0x3ff, true
}
