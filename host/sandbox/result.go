package sandbox

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/berth-host/berth/abi/strictjson"
	"github.com/berth-host/berth/host/event"
)

// badResult returns why bytes are not a valid result: they are not JSON in UTF-8, or nest
// deeper than data may, so that clients could not decode the API's responses. It returns
// "" for a valid result, which may be empty. The caller has checked the size.
func badResult(bytes []byte) (reason string) {
	switch {
	case len(bytes) == 0:
		return ""
	case !utf8.Valid(bytes):
	case strictjson.Valid(bytes): // it nests at most strictjson.MaxDepth levels
		return ""
	case json.Valid(bytes):
		if depth := strictjson.Depth(bytes); depth > event.MaxDepth {
			return fmt.Sprintf("nests %d levels of lists and objects; the limit is %d", depth, event.MaxDepth)
		}
		return ""
	}
	return "is not JSON: " + excerpt(bytes)
}
