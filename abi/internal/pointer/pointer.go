// Package pointer is JSON Pointer (RFC 6901) as the ABI's field has it, in its
// plainest form: for tests and for the Go SDK's host of maps.
package pointer

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/berth-host/berth/abi"
)

// Resolve is the ABI's field: the text of the value at a JSON Pointer into a document that
// is valid JSON. It is written for being right, not for speed.
func Resolve(document, pointer string) (string, abi.Code) {
	if !abi.ValidPointer(pointer) {
		return "", abi.Invalid
	}
	value := json.RawMessage(strings.TrimSpace(document))
	for i, token := range strings.Split(pointer, "/") {
		if i == 0 {
			continue // what is before the first slash: nothing
		}
		token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
		var ok bool
		if value, ok = child(value, token); !ok {
			return "", abi.NotFound
		}
	}
	if value[0] != '"' {
		return string(value), 0
	}
	var text string
	if err := json.Unmarshal(value, &text); err != nil {
		return "", abi.Invalid
	}
	return text, 0
}

// child returns the member or element of an object or array.
func child(value json.RawMessage, token string) (json.RawMessage, bool) {
	switch value[0] {
	case '{':
		var members map[string]json.RawMessage
		if err := json.Unmarshal(value, &members); err != nil {
			return nil, false
		}
		member, ok := members[token]
		return member, ok
	case '[':
		var elements []json.RawMessage
		if err := json.Unmarshal(value, &elements); err != nil {
			return nil, false
		}
		i, err := strconv.ParseUint(token, 10, 32)
		if err != nil || i >= uint64(len(elements)) || strconv.FormatUint(i, 10) != token {
			return nil, false
		}
		return elements[i], true
	}
	return nil, false
}
