// Package resultcheck checks the results of guests.
package resultcheck

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/berth-host/berth/abi/strictjson"
	"github.com/berth-host/berth/host/event"
)

// maxRepeated bounds the results that a Check remembers, in bytes.
const maxRepeated = 256

// Check checks the results of one instance. It remembers the last valid one, because many
// handlers answer the same to most events. It is for one goroutine.
type Check struct{ valid []byte }

// Bad is the function Bad.
func (c *Check) Bad(result []byte) (reason string) {
	if bytes.Equal(result, c.valid) { // nothing is valid too
		return ""
	}
	if reason = Bad(result); reason == "" && len(result) <= maxRepeated {
		c.valid = append(c.valid[:0], result...)
	}
	return reason
}

// Bad returns why bytes are not a valid result: they are not JSON in UTF-8, or nest
// deeper than data may, so that clients could not decode the API's responses. It returns
// "" for a valid result, which may be empty. The caller has checked the size.
func Bad(result []byte) (reason string) {
	switch {
	case len(result) == 0:
		return ""
	case !utf8.Valid(result):
	case strictjson.Valid(result): // it nests at most strictjson.MaxDepth levels
		return ""
	case json.Valid(result):
		if depth := strictjson.Depth(result); depth > event.MaxDepth {
			return fmt.Sprintf("nests %d levels of lists and objects; the limit is %d", depth, event.MaxDepth)
		}
		return ""
	}
	return "is not JSON: " + Excerpt(result)
}

// Excerpt quotes the first 80 bytes.
func Excerpt(b []byte) string {
	const maxBytes = 80
	if len(b) > maxBytes {
		return fmt.Sprintf("%q…", b[:maxBytes])
	}
	return fmt.Sprintf("%q", b)
}
