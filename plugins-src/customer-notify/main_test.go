package main

import (
	"strings"
	"testing"

	"github.com/berth-host/berth/abi/go/berthtest"
)

func deliver(t *testing.T, config, data string) berthtest.Outcome {
	t.Helper()
	h := &berthtest.Host{Config: config}
	var n *notifier
	h.Do(func() {
		var err error
		if n, err = newNotifier(); err != nil {
			t.Fatal(err)
		}
	})
	return h.Deliver(t, n.handle, berthtest.Event("order_status_changed", data))
}

func order(status string) string {
	return `{"id":"o-1","order_id":"o-1","customer_id":"c-7","currency":"EUR","items":[],"total_cents":120005,
		"status":"` + status + `","previous_status":null,"version":1}`
}

func TestMessage(t *testing.T) {
	tests := []struct {
		config, status string
		want           message
	}{
		{`{}`, "confirmed", message{"email", "c-7", "Your order o-1 is confirmed",
			"Hello,\n\nwe have received your order o-1 over 1200.05 EUR and will pack it soon.\n\nThank you for shopping at our shop."}},
		{`{"language":"de","shop_name":"Teehaus \"Zur Kanne\""}`, "refunded", message{"email", "c-7", "Ihre Bestellung o-1 ist erstattet",
			"Guten Tag,\n\nwir haben Ihnen 1200,05 EUR für Ihre Bestellung o-1 zurückgezahlt.\n\nVielen Dank für Ihren Einkauf bei Teehaus \"Zur Kanne\"."}},
	}
	for _, tt := range tests {
		t.Run(tt.status, func(t *testing.T) {
			var got message
			deliver(t, tt.config, order(tt.status)).Decode(t, &got)
			if got != tt.want {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestStatusWithoutMessageIsSkipped(t *testing.T) {
	for _, status := range []string{"pending", "processing", "lost"} {
		out := deliver(t, "", order(status))
		if want := `{"skipped":true,"reason":"status ` + status + ` needs no message"}`; out.Result != want {
			t.Errorf("%s: got %s %s, want %s", status, out.Status, out.Result, want)
		}
	}
}

func TestRejects(t *testing.T) {
	for _, data := range []string{`{"status":"shipped"}`, `{"order_id":"o-1","status":"shipped"}`, `{"order_id":"o-1","customer_id":"c-7"}`, `"shipped"`, `{"order_id":7}`} {
		if out := deliver(t, "", data); out.Status != berthtest.Rejected {
			t.Errorf("%s: got %s %s", data, out.Status, out.Result)
		}
	}
}

// TestLanguages proves that every language has the same messages and leaves no
// placeholder unfilled.
func TestLanguages(t *testing.T) {
	english := languages()["en"]
	for name, l := range languages() {
		if len(l.messages) != len(english.messages) {
			t.Errorf("%s has %d messages, English %d", name, len(l.messages), len(english.messages))
		}
		for status := range english.messages {
			var got message
			deliver(t, `{"language":"`+name+`"}`, order(status)).Decode(t, &got)
			if text := got.Subject + got.Body; text == "" || strings.ContainsAny(text, "{}") {
				t.Errorf("%s, %s: %q", name, status, text)
			}
		}
	}
}

func TestUnknownLanguage(t *testing.T) {
	for _, config := range []string{`{"language":"tlh"}`, `{"language":1}`} {
		h := &berthtest.Host{Config: config}
		h.Do(func() {
			if _, err := newNotifier(); err == nil {
				t.Errorf("%s: no error", config)
			}
		})
	}
}
