package event

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/fault"
)

// Stored cursors are found by later versions only under these names.
func TestHandlerCursorsKeepTheirNames(t *testing.T) {
	got := HandlerCursors("fraud-check")
	if got != (CursorNames{"handler/fraud-check", "thinned-from/fraud-check", "thinned-to/fraud-check"}) {
		t.Errorf("got %+v", got)
	}
}

// A stored envelope that was cut anywhere is an error, by the scanner and the decoder.
func TestCutEnvelopesAreRefused(t *testing.T) {
	ev, err := New(Draft{Type: "a", Data: json.RawMessage(`{"a":[1,-2.5e3,"\u00e9\\",true,false,null,{}],"b":[]}`), Subject: `"`, CausationID: "c"})
	if err != nil {
		t.Fatal(err)
	}
	whole := ev.Envelope()
	for at := range len(whole) {
		if got, err := Parse(whole[:at]); !fault.Is(err, fault.Internal) {
			t.Fatalf("%d of %d bytes: got %+v, %v", at, len(whole), got, err)
		}
		if got, ok := scanEnvelope(whole[:at] + whole[min(at+1, len(whole)):]); ok && got.Data() == ev.Data() && got.Metadata() == ev.Metadata() && got.Type() == ev.Type() {
			t.Fatalf("without byte %d it is still the same event", at)
		}
	}
	for _, data := range []string{"", "[", "[1", "[1,", "{", `{"a"`, `{"a":`, `{"a":1,`, "-", "1.", "1e", `"`, `"\`, `"\u12`, "tru", "nul"} {
		if got, ok := scanEnvelope(`{"event_type":"a","data":` + data); ok {
			t.Errorf("%s: got %+v", data, got)
		}
	}
}

// The errors of short bodies describe those bodies.
func TestShortBodies(t *testing.T) {
	for body, want := range map[string]string{"": "body: the text is empty", " \n\t": "body: the text is empty", "x": "malformed", "{": "ends at byte 1", " [": "ends at byte 2", "1 2": "after the JSON value"} {
		var v struct {
			A string `json:"a"`
		}
		if err := DecodeStrict([]byte(body), &v); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", body, err, want)
		}
	}
}

// ParseDeadPosition accepts only cursors that the list returns.
func TestParseDeadPosition(t *testing.T) {
	for _, p := range []DeadPosition{{}, {Seq: 1, Handler: "a"}, {Seq: 1<<63 - 1, Handler: "fraud-check"}, {Seq: 7, Handler: "a.b"}} {
		if got, err := ParseDeadPosition(p.String()); err != nil || got != p {
			t.Errorf("%+v: got %+v, %v", p, got, err)
		}
	}
	for _, text := range []string{"1", "0.a", ".a", "-1.a", "+1.a", "01.a", "x.a", "9223372036854775808.a", " 1.a", "1 .a"} {
		if got, err := ParseDeadPosition(text); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: got %+v, %v", text, got, err)
		}
	}
}
