package jsonscan

import "unicode/utf16"

// Depth returns how deep the lists and objects of a valid JSON text nest: 0 for
// a scalar. It never reads outside the text, whatever it is given.
func Depth(text []byte) int {
	depth, deepest := 0, 0
	for at := 0; at < len(text); at++ {
		switch text[at] {
		case '"':
			end, _, ok := String(text, at)
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
func LoneSurrogate(text []byte) bool {
	for at := 0; at+1 < len(text); at++ {
		if text[at] != '\\' {
			continue
		}
		at++
		unit, ok := escapedUnit(text, at)
		if !ok || !utf16.IsSurrogate(unit) {
			continue
		}
		if at+5 >= len(text) || text[at+5] != '\\' {
			return true
		}
		low, ok := escapedUnit(text, at+6)
		if !ok || utf16.DecodeRune(unit, low) == '\uFFFD' {
			return true
		}
		at += 10
	}
	return false
}

// escapedUnit reads uXXXX.
func escapedUnit(text []byte, at int) (rune, bool) {
	if at < 0 || len(text)-at < 5 || text[at] != 'u' {
		return 0, false
	}
	unit := rune(0)
	for _, c := range text[at+1 : at+5] {
		unit <<= 4
		switch {
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
