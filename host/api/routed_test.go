package api_test

import (
	"strings"
	"testing"
)

// A receipt says whether a route takes the event; that of a refused event does not.
func TestReceiptSaysWhetherAnEventIsRouted(t *testing.T) {
	h := newServer(t, setup(t).cfg).Handler()
	for _, tt := range []struct {
		body    string
		headers []string
		want    string
	}{
		{`{"event_type":"t"}`, nil, `"duplicate":false,"routed":true}`},
		{`{"event_type":"lost","metadata":{"idempotency_key":"k"}}`, nil, `"duplicate":false,"routed":false}`},
		{`{"event_type":"lost","metadata":{"idempotency_key":"k"}}`, nil, `"duplicate":true,"routed":false}`},
		{`{"specversion":"1.0","type":"lost","source":"s","id":"1"}`, []string{structured}, `"routed":false}`},
		{`[{"event_type":"t"},{"event_type":"lost"},{"event_type":"t","metadata":{"idempotency_key":"k"}}]`, nil,
			`"routed":true},{`},
	} {
		w := call(h, "POST", "/api/v1/events", tt.body, tt.headers...)
		if !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%s: %d %s, want %s", tt.body, w.Code, w.Body, tt.want)
		}
		if strings.Count(w.Body.String(), `"routed"`) != min(2, strings.Count(tt.body, "type\":")) {
			t.Errorf("%s: %s: a refused event is neither routed nor not", tt.body, w.Body)
		}
	}
}
