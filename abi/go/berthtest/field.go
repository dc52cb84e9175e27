package berthtest

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	berth "github.com/berth-host/berth/abi/go"
)

// field returns the text of the value at a JSON Pointer (RFC 6901) into a valid
// JSON document, as the ABI's field does. It is written to be right, not fast.
func field(document, pointer string) (string, berth.Code) {
	if !validPointer(pointer) {
		return "", berth.ErrInvalid
	}
	value := json.RawMessage(strings.TrimSpace(document))
	for _, token := range strings.Split(pointer, "/")[1:] {
		token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
		var ok bool
		if value, ok = child(value, token); !ok {
			return "", berth.ErrNotFound
		}
	}
	if value[0] != '"' {
		return string(value), 0
	}
	var text string
	if err := json.Unmarshal(value, &text); err != nil {
		return "", berth.ErrInvalid
	}
	return text, 0
}

func validPointer(p string) bool {
	escapes := strings.Count(p, "~0") + strings.Count(p, "~1")
	return p == "" || p[0] == '/' && utf8.ValidString(p) && strings.Count(p, "~") == escapes
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
