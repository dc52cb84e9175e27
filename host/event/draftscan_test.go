package event

import (
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// sameDraft compares the scanner with the decoder.
func sameDraft(t *testing.T, body []byte) (taken bool) {
	t.Helper()
	if !utf8.Valid(body) {
		return false
	}
	got, taken := scanDraft(body)
	want, err := decodeDraft(body)
	if taken && (err != nil || !reflect.DeepEqual(got, want)) {
		t.Fatalf("%q is scanned as %+v, decoded as %+v, %v", body, got, want, err)
	}
	return taken
}

var scannedDrafts = []struct {
	body  string
	taken bool
}{
	{`{"event_type":"a"}`, true},
	{` { "event_type" : "order_status_changed" , "data" : { "a" : [ 1 , null ] } } ` + "\n", true},
	{`{"data":null,"event_type":"a"}`, true},
	{`{"event_type":"a","metadata":{}}`, true},
	{`{"event_type":"é","data":"\u00e9","metadata":{"idempotency_key":"k","source":"s","subject":"ü","correlation_id":"c","causation_id":"d","traceparent":"t"}}`, true},
	{`{"event_type":"a","metadata":{"time":"2026-01-02T15:04:05Z"}}`, false},
	{`{"event_type":"a","metadata":{"subject":null}}`, false},
	{`{"event_type":"a","metadata":{"subject":"a","subject":"b"}}`, false},
	{`{"event_type":"a","metadata":{"event_id":"x"}}`, false},
	{`{"event_type":"a","metadata":{"hops":1}}`, false},
	{`{"event_type":"a","metadata":null}`, false},
	{`{"event_type":"a","event_type":"b"}`, false},
	{`{"event_type":"a","data":1,"data":2}`, false},
	{`{"event_type":"\u0061"}`, false},
	{`{"Event_type":"a"}`, false},
	{`{"event_type":"a",}`, false},
	{`{"event_type":"a"} {}`, false},
	{`{"event_type":"a"`, false},
	{`{"event_type":1}`, false},
	{`{"event_type":null}`, false},
	{`{"event_type":"a","data":01}`, false},
	{`{"event_type":"a","data":}`, false},
	{`{"event_type":"a","other":1}`, false},
	{`{"data":1}`, false},
	{`{}`, false},
	{`[]`, false},
	{`null`, false},
	{``, false},
	{`{"event_type":"a","data":` + strings.Repeat("[", 300) + strings.Repeat("]", 300) + `}`, false},
}

func TestScanDraft(t *testing.T) {
	for _, c := range scannedDrafts {
		if got := sameDraft(t, []byte(c.body)); got != c.taken {
			t.Errorf("%s: taken %v, want %v", c.body, got, c.taken)
		}
	}
}

// One byte of a draft is changed, removed or repeated: if the scanner accepts the
// result, the decoder reads the same.
func TestScanDraftOfChangedBytes(t *testing.T) {
	const others = "\"\\{}[]:;=,. \t\n\x00+-019aAenu_/\x7f"
	for _, c := range scannedDrafts {
		if len(c.body) > 200 {
			continue
		}
		for at := range len(c.body) {
			sameDraft(t, []byte(c.body[:at]+c.body[at+1:]))
			sameDraft(t, []byte(c.body[:at]+c.body[at:at+1]+c.body[at:]))
			for i := range len(others) {
				sameDraft(t, []byte(c.body[:at]+others[i:i+1]+c.body[at+1:]))
				sameDraft(t, []byte(c.body[:at]+others[i:i+1]+c.body[at:]))
			}
		}
	}
	for _, body := range []string{`{"event_type"="a"}`, `{"event_type":"a","metadata"={}}`, `{"event_type":"a","metadata":{"subject"="x"}}`, `{"event_type":"a";"data":1}`} {
		if d, err := ParseDraft([]byte(body)); err == nil {
			t.Errorf("%s is taken as %+v", body, d)
		}
	}
}

// TestScannedDataIsCopied: a body's memory may be reused.
func TestScannedDataIsCopied(t *testing.T) {
	body := []byte(`{"event_type":"a","data":{"b":1}}`)
	d, ok := scanDraft(body)
	clear(body)
	if !ok || string(d.Data) != `{"b":1}` || d.Type != "a" {
		t.Fatalf("got %+v, %v", d, ok)
	}
}

func FuzzScanDraft(f *testing.F) {
	for _, c := range scannedDrafts {
		f.Add([]byte(c.body))
	}
	f.Fuzz(func(t *testing.T, body []byte) { sameDraft(t, body) })
}
