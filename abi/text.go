package abi

import "bytes"

// TrimBOM drops a UTF-8 byte order mark at the beginning of a file that a person
// has written. It is the rule for all of them: editors leave the mark unasked.
func TrimBOM(text []byte) []byte {
	return bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
}

// TrimFileEnd is TrimBOM for a file that holds one value: of line ends after the
// value, the last one is dropped, too, as LF or CR LF.
func TrimFileEnd(text []byte) []byte {
	text, ended := bytes.CutSuffix(TrimBOM(text), []byte("\n"))
	if ended {
		text = bytes.TrimSuffix(text, []byte("\r"))
	}
	return text
}
