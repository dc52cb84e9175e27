package api_test

import (
	"strings"
	"testing"
)

// A single event has its deliveries, [] when no handler takes it; events of a list have none.
func TestEventWithoutHandlersHasNoDeliveries(t *testing.T) {
	h := newServer(t, setup(t).cfg).Handler()
	if w := call(h, "POST", "/api/v1/events", `{"event_type":"nobody","metadata":{"idempotency_key":"n"}}`); w.Code != 202 {
		t.Fatalf("got %d: %s", w.Code, w.Body)
	}
	if w := call(h, "GET", "/api/v1/events/n", ""); !strings.Contains(w.Body.String(), `"deliveries":[]`) {
		t.Errorf("one event is %s", w.Body)
	}
	if w := call(h, "GET", "/api/v1/events", ""); strings.Contains(w.Body.String(), "deliveries") {
		t.Errorf("the list is %s", w.Body)
	}
}
