package route

import (
	"regexp"
	"strings"
)

// globPattern is a type's alphabet with *; see event.ParseType.
var globPattern = regexp.MustCompile(`^[a-z0-9_.*-]{1,128}$`)

// match reports whether the glob matches all of s. Every * stands for any run
// of bytes, also none. It takes at most len(glob) times len(s) steps: only the
// last * is ever tried again, because a later one can reach all an earlier one can.
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

// moreSpecific orders globs: the longer literal beginning first, then the more
// literal characters. A pattern without * is the most specific of those that
// match a type, because its beginning is all of it. Equal ones stay as declared.
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
