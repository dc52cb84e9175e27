package extism

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// maxRequest bounds a request and its body together, in bytes, as the host's own client
// bounds its requests: reading and encoding them takes several times as much of the host's
// memory, also for a guest that may send none.
const maxRequest = 1 << 20

// response is what the functions yield of the latest response; zero after a request that
// had none.
type response struct {
	status  int
	headers json.RawMessage // an object; nil for none
}

// httpRequest sends a request and yields the body of the response: (request, body) -> block.
// The request is {"url", "method"?, "headers"?}. After a failure it yields 0, the status is
// 0, and the reason is logged.
func httpRequest(k *Kernel, s []uint64) {
	k.response = response{}
	request, body := k.block("http_request", s[0]), k.block("http_request", s[1])
	content, err := k.exchange(request, body)
	if err != nil {
		k.cause = "http_request: " + err.Error()
		k.host.Log(Error, []byte(k.cause))
		s[0] = 0
		return
	}
	s[0] = k.yield(string(content))
}

// exchange sends a request and returns the body of the response.
func (k *Kernel) exchange(text, body []byte) ([]byte, error) {
	if size := len(text) + len(body); size > maxRequest {
		return nil, fmt.Errorf("the request has %d bytes with its body; the limit is %d", size, maxRequest)
	}
	k.host.Charge(4 * (len(text) + len(body))) // it is read and encoded
	var in struct {
		URL     string            `json:"url"`
		Method  string            `json:"method"`
		Headers map[string]string `json:"headers"`
		Header  map[string]string `json:"header"` // of early PDKs
	}
	if err := json.Unmarshal(text, &in); err != nil {
		return nil, errors.New("the request is not a JSON object with url, method and headers")
	}
	if in.Method == "" {
		in.Method = "GET"
	}
	if in.Headers == nil {
		in.Headers = in.Header
	}
	out := struct {
		Method  string            `json:"method"`
		URL     string            `json:"url"`
		Headers map[string]string `json:"headers,omitempty"`
		Body    string            `json:"body,omitempty"`
		Base64  []byte            `json:"body_base64,omitempty"`
	}{Method: in.Method, URL: in.URL, Headers: in.Headers}
	if utf8.Valid(body) {
		out.Body = string(body)
	} else {
		out.Base64 = body
	}
	request, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("encode the request: %w", err)
	}
	answer, err := k.host.Send(request)
	if err != nil {
		return nil, err
	}
	k.host.Charge(4 * len(answer))
	return k.receive(answer)
}

// receive reads a response in the JSON form of ABI v1, and returns its body.
func (k *Kernel) receive(answer string) ([]byte, error) {
	var in struct {
		Status  int             `json:"status"`
		Headers json.RawMessage `json:"headers"`
		Body    *string         `json:"body"`
		Base64  string          `json:"body_base64"`
	}
	if err := json.Unmarshal([]byte(answer), &in); err != nil {
		return nil, fmt.Errorf("read the response: %w", err)
	}
	body := []byte(nil)
	if in.Body != nil {
		body = []byte(*in.Body)
	} else {
		var err error
		if body, err = base64.StdEncoding.DecodeString(in.Base64); err != nil {
			return nil, fmt.Errorf("read the response: %w", err)
		}
	}
	k.response = response{in.Status, in.Headers}
	return body, nil
}

// httpHeaders yields the headers of the latest response as JSON, or 0: () -> block. Names
// are in lower case.
func httpHeaders(k *Kernel, s []uint64) { s[0] = k.yield(string(k.response.headers)) }
