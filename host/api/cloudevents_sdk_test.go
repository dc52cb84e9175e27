package api_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/wire"
)

// What the JavaScript SDK sends, recorded by testdata/cloudevents-sdk/record.mjs,
// is taken, and an event is the same in both modes.
func TestCloudEventsSDK(t *testing.T) {
	text, err := os.ReadFile("testdata/cloudevents-sdk/requests.json")
	if err != nil {
		t.Fatal(err)
	}
	var recorded struct {
		Requests []struct {
			Name    string            `json:"name"`
			Headers map[string]string `json:"headers"`
			Body    []byte            `json:"body_base64"`
		} `json:"requests"`
	}
	if err := json.Unmarshal(text, &recorded); err != nil || len(recorded.Requests) < 30 {
		t.Fatalf("%d requests, %v", len(recorded.Requests), err)
	}
	want := map[string]string{ // a part of the envelope
		"an object":                `"data":{"n":1,"s":"é€😀","deep":[{"a":null}]}`,
		"no data":                  `"data":null`,
		"null":                     `"data":null`,
		"a number":                 `"data":1.5`,
		"false":                    `"data":false`,
		"a list":                   `"data":[1,"2"]`,
		"a JSON string":            `"data":"text"`,
		"text":                     `"data":"a\nb <c>"`,
		"XML":                      `"data":"<a>é</a>"`,
		"bytes":                    `"data":{"datacontenttype":"application/octet-stream","data_base64":"AAH/"}`,
		"base64":                   `"data":{"datacontenttype":"image/png","data_base64":"AAH/"}`,
		"a JSON type of one's own": `"data":{"a":1}`,
		"all attributes":           `"source":"/shop","subject":"a-subject","time":"2026-05-01T10:00:00Z","correlation_id":"c","causation_id":"d","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"`,
		"a subject with spaces":    `"subject":"a b"`,
		"a subject with a plus":    `"subject":"a+b/c?d=e&f"`,
		"a URI as the source":      `"source":"https://example.com/a%20b?c=d#e"`,
		"a URN as the source":      `"idempotency_key":"urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66 A-1"`,
	}
	logs := map[string]*parts{}
	for _, r := range recorded.Requests {
		name, mode, _ := strings.Cut(r.Name, ", ")
		p, second := logs[name]
		if !second {
			p = &parts{}
			logs[name] = p
		}
		headers := []string{"Content-Type: -"}
		for key, value := range r.Headers {
			headers = append(headers, key+": "+value)
		}
		w := call(newServer(t, config(p)).Handler(), "POST", "/api/v1/events", string(r.Body), headers...)
		if name == "a JSON string" && mode == "binary" {
			// The SDK sends text that is not JSON as application/json.
			if w.Code != 400 || problemIn(t, w).Field != "data" {
				t.Errorf("%s: %d %s", r.Name, w.Code, w.Body)
			}
			delete(logs, name)
			continue
		}
		var receipt wire.Receipt
		if err := json.Unmarshal(w.Body.Bytes(), &receipt); err != nil || w.Code != 202 || receipt.Duplicate != second {
			t.Errorf("%s: %d %s, want duplicate: %v", r.Name, w.Code, w.Body, second)
			continue
		}
		if got := p.log[0].Event.Envelope(); len(p.log) != 1 || want[name] == "" || !strings.Contains(got, want[name]) {
			t.Errorf("%s: %s, want %s", r.Name, got, want[name])
		}
	}
	if len(logs) != len(want) {
		t.Errorf("%d of %d events came", len(logs), len(want))
	}
}
