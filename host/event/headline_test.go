package event

import (
	"strings"
	"testing"
)

func TestHeadline(t *testing.T) {
	for _, tt := range []struct {
		name, message string
		max           int
		want          string
	}{
		{"empty", "", 10, ""},
		{"blank lines only", "\n \r\n\t", 10, ""},
		{"one line", "wasm error: unreachable", 100, "wasm error: unreachable"},
		{"the first of several", "wasm error: unreachable\nwasm stack trace:\n\t.run()", 100, "wasm error: unreachable"},
		{"begins with blank lines", "\r\n\n  no ledger \r\nmore", 100, "no ledger"},
		{"at the limit", strings.Repeat("a", 10), 10, strings.Repeat("a", 10)},
		{"over the limit by one", strings.Repeat("a", 11), 10, strings.Repeat("a", 10) + "…"},
		{"cut between characters", "ääää", 5, "ää…"},
		{"not UTF-8", "\xff\xfe\xfd", 2, "\xff\xfe…"},
		{"no start of a character", "\x80\x80\x80", 2, "…"},
	} {
		if got := Headline(tt.message, tt.max); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}
