package berth

// This file is the only one that imports encoding/json. A handler that calls
// nothing in it does not carry the encoder and the decoder.

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
	// Field takes the quotes off a string, so that is read from the envelope.
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
// Call it before Run: a configuration that cannot be read is a reason to panic,
// which stops the plugin from being started.
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

// Response is the answer to a Request, whatever its status.
type Response struct {
	Status  int
	Headers map[string]string // names in lower case
	Body    []byte
}

// HTTP sends a request. It needs the capability http with the URL's host on
// its list (ErrDenied); it fails with ErrUnavailable or ErrTimeout when there
// is no answer, and ErrTooLarge when the answer is over the host's limit.
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
