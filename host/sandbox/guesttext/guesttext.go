// Package guesttext makes text of a guest's bytes.
package guesttext

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/berth-host/berth/abi"
)

// Line converts a guest's text for a log line or an error: UTF-8, at most abi.MaxLogLine
// bytes, cut at a character.
func Line(b []byte) string {
	if len(b) > abi.MaxLogLine {
		b = b[:abi.MaxLogLine]
		for len(b) > 0 && len(b) > abi.MaxLogLine-utf8.UTFMax && !utf8.FullRune(b[lastRune(b):]) {
			b = b[:lastRune(b)]
		}
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

func lastRune(b []byte) int {
	for i := len(b) - 1; i >= 0 && i > len(b)-utf8.UTFMax-1; i-- {
		if utf8.RuneStart(b[i]) {
			return i
		}
	}
	return len(b) - 1
}

// DecodeUTF16 reads little-endian UTF-16.
func DecodeUTF16(b []byte) string {
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = uint16(b[2*i]) | uint16(b[2*i+1])<<8
	}
	return string(utf16.Decode(units))
}
