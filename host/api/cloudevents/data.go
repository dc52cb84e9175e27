package cloudevents

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"mime"
	"strings"
	"unicode/utf8"

	"github.com/berth-host/berth/host/fault"
)

// Data converts content of a media type to an event's data, which is JSON:
//
//   - JSON (*/json and *+json) is unchanged;
//   - text in UTF-8 (text/*, application/xml and *+xml) is a string;
//   - other content is {"datacontenttype": TYPE, "data_base64": BASE64}, without the
//     first when there is no type.
func Data(kind string, content []byte) (json.RawMessage, error) {
	switch {
	case kind != "" && isJSON(kind):
		if !json.Valid(content) {
			return nil, fault.Field(memberData, "is not valid JSON, which it must be for the media type")
		}
		return content, nil
	case isText(kind) && utf8.Valid(content):
		return encode(string(content))
	}
	return encode(struct {
		ContentType string `json:"datacontenttype,omitempty"`
		Content     string `json:"data_base64"`
	}{kind, base64.StdEncoding.EncodeToString(content)})
}

func encode(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fault.New(fault.Internal, "encode the data of a CloudEvent: %w", err)
	}
	return bytes.TrimSpace(b.Bytes()), nil
}

// isJSON reports whether a media type is JSON, which is the default.
func isJSON(kind string) bool {
	if kind == "" {
		return true
	}
	media, _, err := mime.ParseMediaType(kind)
	return err == nil && (strings.HasSuffix(media, "/json") || strings.HasSuffix(media, "+json"))
}

// isText reports whether a media type is text in UTF-8.
func isText(kind string) bool {
	media, params, err := mime.ParseMediaType(kind)
	if err != nil || !strings.HasPrefix(media, "text/") && media != "application/xml" && !strings.HasSuffix(media, "+xml") {
		return false
	}
	switch strings.ToLower(params["charset"]) {
	case "", "utf-8", "utf8", "us-ascii":
		return true
	}
	return false
}
