package abi

import "bytes"

// TrimBOM drops a UTF-8 byte order mark at the beginning of a file: editors add it
// without being asked. The host does so with every file that a person writes.
func TrimBOM(text []byte) []byte {
	return bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
}

// TrimFileEnd is TrimBOM for a file with a single value. It also drops one line end,
// LF or CR LF, after the value.
func TrimFileEnd(text []byte) []byte {
	text, ended := bytes.CutSuffix(TrimBOM(text), []byte("\n"))
	if ended {
		text = bytes.TrimSuffix(text, []byte("\r"))
	}
	return text
}
