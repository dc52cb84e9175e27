package abi_test

import (
	"testing"

	"github.com/berth-host/berth/abi"
)

func TestTrimFileEnd(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "a": "a", "a\n": "a", "a\r\n": "a", "a\n\n": "a\n", "a\r\n\r\n": "a\r\n", "a\r": "a\r", "\n": "", "\r\n": "", " a \n": " a ",
		"\xef\xbb\xbfa\r\n": "a", "\xef\xbb\xbf": "", "\xef\xbb\xbf\xef\xbb\xbfa": "\xef\xbb\xbfa", "a\xef\xbb\xbf": "a\xef\xbb\xbf", "\xef\xbb": "\xef\xbb",
	} {
		if got := string(abi.TrimFileEnd([]byte(text))); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
