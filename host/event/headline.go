package event

import (
	"strings"
	"unicode/utf8"
)

// Headline returns the first line of a message that is not blank, shortened to limit
// bytes and an ellipsis.
func Headline(message string, limit int) string {
	s, _, _ := strings.Cut(strings.TrimLeft(message, " \t\r\n"), "\n")
	s = strings.TrimRight(s, " \t\r")
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit] + "…"
}
