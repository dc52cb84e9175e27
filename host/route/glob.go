package route

import (
	"regexp"
	"strings"
)

// globPattern is a type's alphabet with *; see event.ParseType.
var globPattern = regexp.MustCompile(`^[a-z0-9_.*-]{1,128}$`)

// match reports whether the glob matches all of s. Every * matches any run of bytes,
// including none. It takes at most len(glob) times len(s) steps: it only backtracks to
// the last *, because a later * can match whatever an earlier one can.
func match(glob, s string) bool {
	g, i := 0, 0
	star, from := -1, 0
	for i < len(s) {
		switch {
		case g < len(glob) && glob[g] == '*':
			star, from = g, i
			g++
		case g < len(glob) && glob[g] == s[i]:
			g++
			i++
		case star >= 0:
			from++
			g, i = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(glob[g:], "*") == ""
}

// moreSpecific orders globs: by the length of the literal beginning, then by the number
// of literal characters, both descending. A pattern without * is the most specific one
// that matches a type. Equal ones keep their order.
func moreSpecific(a, b string) int {
	if d := prefixLen(b) - prefixLen(a); d != 0 {
		return d
	}
	literals := func(s string) int { return len(s) - strings.Count(s, "*") }
	if d := literals(b) - literals(a); d != 0 {
		return d
	}
	return strings.Count(a, "*") - strings.Count(b, "*")
}

func prefixLen(glob string) int {
	if i := strings.IndexByte(glob, '*'); i >= 0 {
		return i
	}
	return len(glob)
}
