package api_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/wire"
)

// The query finds every idempotency key that the API accepts, also the words in the paths of
// the events API.
func TestEveryKeyFindsItsEvent(t *testing.T) {
	s := newServer(t, setup(t).cfg)
	keys := []string{"..", ".", "/", "a/../b", "%", "%2F", "%zz", " ", "a+b", "a&key=b", "a;b", "#", "?", "ключ", "\u2028", `"`, strings.Repeat("x", 256)}
	for _, r := range s.Routes() {
		if word, ok := strings.CutPrefix(r.Path, "/api/v1/events/"); ok {
			keys = append(keys, word)
		}
	}
	if len(keys) < 30 {
		t.Fatalf("there are only %d keys to try", len(keys))
	}
	for _, key := range keys {
		body, err := json.Marshal(map[string]any{"event_type": "t", "metadata": map[string]any{"idempotency_key": key}})
		if err != nil {
			t.Fatal(err)
		}
		w := call(s.Handler(), "POST", "/api/v1/events", string(body))
		var receipt wire.Receipt
		if err := json.Unmarshal(w.Body.Bytes(), &receipt); err != nil || w.Code != http.StatusAccepted {
			t.Fatalf("publish %q: %d %s", key, w.Code, w.Body)
		}
		w = call(s.Handler(), "GET", "/api/v1/events?"+url.Values{"key": {key}}.Encode(), "")
		var list wire.List[wire.Event]
		if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil || len(list.Items) != 1 || !strings.Contains(string(list.Items[0].Metadata), receipt.EventID) {
			t.Errorf("the key %q: %d %s, want %s", key, w.Code, w.Body, receipt.EventID)
		}
	}
	if w := call(s.Handler(), "GET", "/api/v1/events?key=none", ""); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"items":[]`) {
		t.Errorf("a key that no event has: %d %s", w.Code, w.Body)
	}
}
