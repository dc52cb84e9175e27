package wire

import (
	"encoding/json"
	"time"
)

// KVKey is a key of a plugin's key-value state. One of Key and KeyBase64 is set.
type KVKey struct {
	Key       *string    `json:"key,omitempty"`        // the key, if it is UTF-8
	KeyBase64 *string    `json:"key_base64,omitempty"` // otherwise its bytes
	Size      int        `json:"size"`                 // of the value, in bytes
	ExpiresAt *time.Time `json:"expires_at,omitempty"` // when it disappears; absent for never
}

// KVList answers GET /api/v1/events/plugins/{name}/kv.
type KVList struct {
	Items []KVKey `json:"items"`
	Next  *string `json:"next" jsonschema:"nullable"` // the cursor of the next page; null for none
	Used  int64   `json:"used"`                       // by the whole state, in bytes: keys, values and 128 for each entry
	Quota int64   `json:"quota"`                      // bytes that the state may use
}

// KVValue answers GET /api/v1/events/plugins/{name}/kv/{key}. One of Text and Base64 is set:
// both are the exact value.
type KVValue struct {
	KVKey
	Text   *string `json:"value_text,omitempty"`   // the value, if it is UTF-8
	Base64 *string `json:"value_base64,omitempty"` // otherwise its bytes
	ETag   string  `json:"etag"`                   // of the value, for If-Match, without quotes
}

// NewKVValue is the body of PUT /api/v1/events/plugins/{name}/kv/{key}. It has exactly one of
// Value, Text and Base64.
type NewKVValue struct {
	Value     json.RawMessage `json:"value,omitempty"`        // any JSON, stored as it is written
	Text      *string         `json:"value_text,omitempty"`   // stored without quotes
	Base64    *string         `json:"value_base64,omitempty"` // stored decoded
	ExpiresIn string          `json:"expires_in,omitempty"`   // a duration, such as 15m; "" for no limit
}

// KVStored answers PUT /api/v1/events/plugins/{name}/kv/{key}.
type KVStored struct {
	KVKey
	ETag string `json:"etag"`
}
