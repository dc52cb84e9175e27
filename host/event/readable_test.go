package event_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// nested is data of this many levels.
func nested(open, inside, end string, levels int) string {
	return strings.Repeat(open, levels) + inside + strings.Repeat(end, levels)
}

// What New takes, Parse reads, and so does encoding/json around it.
func TestDataNestsNoDeeperThanReadersRead(t *testing.T) {
	for _, tt := range []struct {
		data string
		ok   bool
	}{
		{nested("[", "", "]", 64), true}, {nested("[", "", "]", 65), true}, {nested("[", "", "]", 256), true}, {nested("[", "", "]", 257), true},
		{nested("[", "", "]", 1000), true}, {nested("[", "", "]", 1001), false},
		{nested(`{"a":`, "1", "}", 1000), true}, {nested(`{"a":`, "1", "}", 1001), false},
		{nested("[ ", "", "]", 1000), true}, {nested("[ ", "", "]", 1001), false},
		{nested("[", "", "]", 10_000), false}, {nested("[", "", "]", 10_001), false}, {nested("[", "", "]", 100_000), false},
		{`"` + nested("[", "", "]", 2000) + `"`, true},
	} {
		ev, err := event.New(event.Draft{Type: "t", Data: json.RawMessage(tt.data)})
		if !tt.ok {
			if !fault.Is(err, fault.Invalid) || !strings.HasPrefix(err.Error(), "data") {
				t.Errorf("New of %.10s (%d bytes): %v, want it to be refused", tt.data, len(tt.data), err)
			}
			continue
		}
		if err != nil {
			t.Errorf("New of %.10s (%d bytes): %v", tt.data, len(tt.data), err)
			continue
		}
		sameEvent(t, ev)
		if !json.Valid([]byte(`{"items":[{"event":` + ev.Envelope() + `}]}`)) {
			t.Errorf("a list with %.10s (%d bytes) in it cannot be read", tt.data, len(tt.data))
		}
	}
}

// A text of the metadata that a decoder would change is refused: two keys would
// become one.
func TestHalfOfAPairIsNoText(t *testing.T) {
	for _, tt := range []struct{ body, field string }{
		{`{"event_type":"t","metadata":{"idempotency_key":"a\ud800"}}`, "metadata.idempotency_key"},
		{`{"event_type":"t","metadata":{"subject":"\udfffa"}}`, "metadata.subject"},
		{`{"event_type":"t","metadata":{"source":"\ude00\ud83d"}}`, "metadata.source"},
		{`{"event_type":"t","metadata":{"correlation_id":"\ud83d\n"}}`, "metadata.correlation_id"},
		{`{"event_type":"t\ud800"}`, "event_type"},
		{`{"event_type":"t","data":"\ud800","metadata":{"subject":"\ud83d\ude00"}}`, ""},
		{`{"event_type":"t","data":{"\ud800":["\udc00"]}}`, ""},
	} {
		d, err := event.ParseDraft([]byte(tt.body))
		if tt.field == "" {
			if err == nil {
				_, err = event.New(d)
			}
			if err != nil {
				t.Errorf("%s: %v", tt.body, err)
			}
			continue
		}
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), tt.field) {
			t.Errorf("%s: %v, want an error about %s", tt.body, err, tt.field)
		}
	}
}
