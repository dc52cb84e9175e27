// Package asked reads what a request asks for, as the audit log records it: without the
// parts that may be secret. It has no state.
package asked

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/berth-host/berth/host/fault"
)

const maxBytes = 8 << 10 // of a body that are recorded

// Read returns a request's body for the record, and leaves it to be read. A body that is not
// JSON is not recorded; of a long one only the fact is.
func Read(r *http.Request) (json.RawMessage, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	head, err := io.ReadAll(io.LimitReader(r.Body, maxBytes+1))
	if err != nil {
		return nil, fault.New(fault.Invalid, "the body ended early, after %d bytes: %w", len(head), err)
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(head), r.Body), r.Body}
	if len(head) > maxBytes {
		return json.Marshal(map[string]any{"not_recorded": fmt.Sprintf("the body is longer than %d bytes", maxBytes)})
	}
	var v any
	dec := json.NewDecoder(bytes.NewReader(head))
	dec.UseNumber()
	if !json.Valid(head) || dec.Decode(&v) != nil {
		return nil, nil
	}
	return json.Marshal(withoutSecrets(v))
}

// withoutSecrets removes the parts of URLs that may be secret: user, password, query.
func withoutSecrets(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key := range v {
			v[key] = withoutSecrets(v[key])
		}
	case []any:
		for i := range v {
			v[i] = withoutSecrets(v[i])
		}
	case string:
		if !strings.Contains(v, "://") {
			return v
		}
		u, err := url.Parse(v)
		if err != nil {
			return "(a URL that is malformed)"
		}
		u.User, u.RawQuery, u.Fragment = nil, "", ""
		return u.String()
	}
	return v
}

// WithoutData replaces the field data of a recorded body, which has the data of an event: the
// log of events has it, for as long as it is to be kept.
func WithoutData(text json.RawMessage) json.RawMessage {
	var fields map[string]json.RawMessage
	if json.Unmarshal(text, &fields) != nil || fields["data"] == nil {
		return text
	}
	fields["data"] = json.RawMessage(`{"not_recorded":"the event has it"}`)
	without, err := json.Marshal(fields)
	if err != nil {
		return nil
	}
	return without
}

// WithoutValue returns only when a value disappears, of the recorded body that writes it:
// values of a plugin's state may be secret.
func WithoutValue(text json.RawMessage) json.RawMessage {
	var fields struct {
		ExpiresIn string `json:"expires_in"`
	}
	if json.Unmarshal(text, &fields) != nil || fields.ExpiresIn == "" {
		return nil
	}
	kept, err := json.Marshal(fields)
	if err != nil {
		return nil
	}
	return kept
}

// Plugin returns the plugin that a body or an answer is about. Keys are matched exactly, as
// the decoder of the body does.
func Plugin(text json.RawMessage) string {
	var v map[string]any
	if json.Unmarshal(text, &v) != nil {
		return ""
	}
	if name, _ := v["plugin"].(string); name != "" {
		return name
	}
	name, _ := v["name"].(string)
	return name
}
