package stack

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/berth-host/berth/host/spec"
)

// Bounds of the names in a frame, in bytes.
const (
	maxFunction = 400
	maxFile     = 200
)

// Location returns the location that a headline ends with: (file:line), (file:line:column)
// or (function file:line). line is 0 if there is none.
func Location(headline string) (file string, line int) {
	_, file, line = cutLocation(headline)
	return file, line
}

// cutLocation is Location, with the headline before the location.
func cutLocation(headline string) (text, file string, line int) {
	inner, ok := strings.CutSuffix(headline, ")")
	at := strings.LastIndexByte(inner, '(')
	if !ok || at < 0 {
		return headline, "", 0
	}
	file, line = location(inner[at+1:])
	file = file[strings.LastIndexByte(file, ' ')+1:] // behind the name of a function
	if line == 0 || file == "" {
		return headline, "", 0
	}
	return strings.TrimRight(inner[:at], " "), file, line
}

// location splits file:line or file:line:column. line is 0 if there is none.
func location(at string) (file string, line int) {
	file = at
	for range 2 {
		i := strings.LastIndexByte(file, ':')
		if i < 0 {
			break
		}
		n := positive(file[i+1:])
		if n == 0 {
			break
		}
		file, line = file[:i], n
	}
	return file, line
}

// positive returns a decimal number up to 2^30, 0 for anything else.
func positive(digits string) int {
	digits = strings.TrimSpace(digits)
	n, err := strconv.Atoi(digits)
	if err != nil || n <= 0 || n > 1<<30 || digits[0] == '+' {
		return 0
	}
	return n
}

// clean returns a frame within bounds and without control characters.
func clean(f spec.Frame) spec.Frame {
	f.Function, f.File = Printable(f.Function, maxFunction), Printable(f.File, maxFile)
	return f
}

// Printable returns text in one line of at most limit bytes, and an ellipsis when it was
// longer, without control characters.
func Printable(text string, limit int) string {
	if len(text) > limit {
		text = text[:limit]
		for len(text) > 0 && !utf8.ValidString(text[max(0, len(text)-utf8.UTFMax):]) && !utf8.RuneStart(text[len(text)-1]) {
			text = text[:len(text)-1]
		}
		text += "…"
	}
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}
