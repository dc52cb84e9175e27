// Package strict reads the JSON objects that guests pass to the host: every key
// in its exact spelling, once, and no other. encoding/json by itself takes keys
// in any case, the last of two, and text that is not UTF-8.
package strict

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/berth-host/berth/abi/strictjson"
	"github.com/berth-host/berth/host/fault"
)

// Object calls member for each member of the JSON object that text is, in order.
// member answers ErrUnknown for a key that it does not know. Values are
// its to keep. All errors are fault.Invalid, but for others of member.
func Object(text []byte, member func(key string, value []byte) error) error {
	if !utf8.Valid(text) {
		return fault.New(fault.Invalid, "it is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	if token, err := dec.Token(); err != nil {
		return malformed(err)
	} else if token != json.Delim('{') {
		return fault.New(fault.Invalid, "it is not a JSON object")
	}
	seen := make(map[string]bool)
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return malformed(err)
		}
		key, _ := token.(string)
		if seen[key] {
			return fault.Field(key, "is there twice")
		}
		seen[key] = true
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return malformed(err)
		}
		if err := member(key, value); err != nil {
			return in(key, err)
		}
	}
	if _, err := dec.Token(); err != nil {
		return malformed(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fault.New(fault.Invalid, "there is something after the JSON object")
	}
	return nil
}

// ErrUnknown is for a key that the reader of an object does not know.
var ErrUnknown = errors.New("is not a known key here")

// Text reads a JSON string.
func Text(value []byte) (string, error) {
	var s string
	if len(value) == 0 || value[0] != '"' || json.Unmarshal(value, &s) != nil {
		return "", errors.New("must be a string")
	}
	return s, nil
}

// Characters is Text for strings that are compared: half of a surrogate pair,
// which Text reads as U+FFFD, is refused.
func Characters(value []byte) (string, error) {
	if strictjson.LoneSurrogate(value) {
		return "", errors.New("has half of a surrogate pair (an escape from \\ud800 to \\udfff), which is no character")
	}
	return Text(value)
}

// in puts a key before what is wrong with its value.
func in(key string, err error) error {
	const most = 64
	if len(key) > most {
		key = key[:most]
	}
	key = string(bytes.ToValidUTF8([]byte(key), nil))
	var known *fault.Error
	if !errors.As(err, &known) {
		return fault.Field(key, "%v", err)
	}
	field := key
	if known.Field != "" {
		field += "." + known.Field
	}
	return &fault.Error{Code: known.Code, Field: field, Reason: known.Reason, Err: known.Err}
}

func malformed(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fault.New(fault.Invalid, "malformed JSON: it ends in the middle of a value")
	}
	return fault.New(fault.Invalid, "%w", fmt.Errorf("malformed JSON: %w", err))
}
