package berth

// Only this file imports encoding/json: a handler that does not call its functions is
// linked without the encoder and the decoder.

import (
	"encoding/json"
	"unicode/utf8"

	"github.com/berth-host/berth/abi/go/internal/wire"
)

// Decode reads the event's data into v, as json.Unmarshal does. For a few
// fields, Field is many times faster.
func (e *Event) Decode(v any) error {
	data, ok := e.FieldBytes("/data")
	if !ok {
		return Reject("the event has no data")
	}
	// Field returns a string without quotes, so read that from the envelope.
	if len(data) == 0 || data[0] != '{' && data[0] != '[' {
		var envelope struct {
			Data json.RawMessage `json:"data"`
		}
		if err := json.Unmarshal(e.Raw(), &envelope); err != nil {
			return err
		}
		data = envelope.Data
	}
	return json.Unmarshal(data, v)
}

// JSON is a result encoded by json.Marshal. If that fails, the event fails
// with its error, as if the handler had returned it.
func JSON(v any) Result {
	text, err := json.Marshal(v)
	return Result{json: string(text), err: err}
}

// Config reads the handler's configuration into v, as json.Unmarshal does.
// Call it before Run, and panic if the configuration cannot be read: the host then
// does not start the plugin.
func Config(v any) error {
	return json.Unmarshal([]byte(RawConfig()), v)
}

// Request is an HTTP request.
type Request struct {
	Method  string // such as GET
	URL     string
	Headers map[string]string
	Body    []byte
}

// Response is the response to a Request, of any status.
type Response struct {
	Status  int
	Headers map[string]string // names in lower case
	Body    []byte
}

// HTTP sends a request. It needs the capability http with the URL's host on
// its list (ErrDenied); it fails with ErrUnavailable or ErrTimeout when there
// is no response, and ErrTooLarge when it is over the host's limit.
func HTTP(r Request) (Response, error) {
	type body struct {
		Text   *string `json:"body,omitempty"`
		Base64 []byte  `json:"body_base64,omitempty"`
	}
	request := struct {
		Method  string            `json:"method"`
		URL     string            `json:"url"`
		Headers map[string]string `json:"headers,omitempty"`
		body
	}{Method: r.Method, URL: r.URL, Headers: r.Headers}
	if text := string(r.Body); utf8.ValidString(text) {
		if text != "" {
			request.Text = &text
		}
	} else {
		request.Base64 = r.Body
	}
	text, err := json.Marshal(request)
	if err != nil {
		return Response{}, err
	}
	buf := make([]byte, 4096)
	if buf, err = yielded("http", buf, wire.HTTP(string(text), buf)); err != nil {
		return Response{}, err
	}
	var response struct {
		Status  int               `json:"status"`
		Headers map[string]string `json:"headers"`
		body
	}
	if err := json.Unmarshal(buf, &response); err != nil {
		return Response{}, err
	}
	out := Response{Status: response.Status, Headers: response.Headers, Body: response.Base64}
	if response.Text != nil {
		out.Body = []byte(*response.Text)
	}
	return out, nil
}
