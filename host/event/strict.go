package event

import (
	"errors"
	"regexp"
	"strings"

	"github.com/berth-host/berth/abi/strictjson"
	"github.com/berth-host/berth/host/fault"
)

// DecodeStrict decodes the JSON body of a request into the struct, or other value,
// that v points to; null is the zero value. Errors are fault.Invalid and name the
// field. See strictjson.Decoder for what is refused.
func DecodeStrict(body []byte, v any) error {
	return DecodeWith(strictjson.Decoder{Null: true}, "body", body, v)
}

// listIndex is the index of an element in a path.
var listIndex = regexp.MustCompile(`\[[0-9]+\]`)

// DecodeWith decodes a JSON text by a decoder whose errors it returns as
// fault.Invalid. whole is the field of an error that concerns the whole text.
func DecodeWith(d strictjson.Decoder, whole string, text []byte, v any) error {
	err := d.Decode(text, v)
	var known *strictjson.Error
	if !errors.As(err, &known) {
		return err
	}
	field := known.Path
	switch {
	case known.Type != nil: // as encoding/json names it
		field = strings.TrimPrefix(listIndex.ReplaceAllString(field, ""), ".")
	case field == "":
		field = whole
	}
	return fault.Field(field, "%s", known.Reason)
}
