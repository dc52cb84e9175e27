package abi_test

import (
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/berth-host/berth/abi"
)

// resolve is field in its plainest form: what testdata/pointer.json describes.
func resolve(document, pointer string) (string, abi.Code) {
	if !abi.ValidPointer(pointer) {
		return "", abi.Invalid
	}
	value := json.RawMessage(strings.TrimSpace(document))
	for i, token := range strings.Split(pointer, "/") {
		if i == 0 {
			continue
		}
		token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
		var ok bool
		switch value[0] {
		case '{':
			var object map[string]json.RawMessage
			if err := json.Unmarshal(value, &object); err != nil {
				return "", abi.Invalid
			}
			value, ok = object[token]
		case '[':
			var array []json.RawMessage
			if err := json.Unmarshal(value, &array); err != nil {
				return "", abi.Invalid
			}
			n, err := strconv.ParseUint(token, 10, 32)
			if ok = err == nil && n < uint64(len(array)) && token == strconv.FormatUint(n, 10); ok {
				value = array[n]
			}
		}
		if !ok {
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

// TestPointerVectors holds the golden vectors against a second reading of the
// RFC, so that a vector that is wrong does not become everyone's rule.
func TestPointerVectors(t *testing.T) {
	text, err := os.ReadFile("testdata/pointer.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name, Doc, Pointer, Want, Code string
	}
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			if v.Name == "" || seen[v.Name] {
				t.Error("the name is missing or not unique")
			}
			seen[v.Name] = true
			var want abi.Code
			if v.Code != "" {
				var ok bool
				if want, ok = abi.ParseCode(v.Code); !ok {
					t.Fatalf("no code is called %q", v.Code)
				}
			}
			if got, code := resolve(v.Doc, v.Pointer); got != v.Want || code != want {
				t.Errorf("%s at %q: got %q, %v; want %q, %v", v.Doc, v.Pointer, got, code, v.Want, want)
			}
		})
	}
}
