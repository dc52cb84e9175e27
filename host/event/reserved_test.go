package event_test

import (
	"strings"
	"testing"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

func TestCheckPublished(t *testing.T) {
	known := func(name string) bool { return name == "fraud-check" || name == "orders" }
	for _, tt := range []struct {
		key, typ, source string
		field            string // "" when it may be published
	}{
		{key: "order:o-1:v1", field: "metadata.idempotency_key"},
		{key: "order:o-1:v18446744073709551616", field: "metadata.idempotency_key"},
		{key: "order:A.b_c-9:v0", field: "metadata.idempotency_key"},
		{key: "order:" + strings.Repeat("x", 64) + ":v2", field: "metadata.idempotency_key"},
		{key: "order:" + strings.Repeat("x", 65) + ":v2"}, // no order has such an id
		{key: "order:o-1:paid"},
		{key: "order:o-1"},
		{key: "order:o-1:v"},
		{key: "order:o-1:v1x"},
		{key: "order:o-1:v1 "},
		{key: "order:o:1:v1"},
		{key: "order:x y:v1"}, // a CloudEvent's, of source order:x and id y:v1
		{key: "Order:o-1:v1"},
		{key: "my-order:o-1:v1"},
		{key: "schedule:", field: "metadata.idempotency_key"},
		{key: "schedule:daily/2026", field: "metadata.idempotency_key"},
		{key: "schedule"},
		{key: "schedule/x"},
		{key: "fraud-check/", field: "metadata.idempotency_key"},
		{key: "fraud-check/x", field: "metadata.idempotency_key"},
		{key: "fraud-check/x/0 y", field: "metadata.idempotency_key"},
		{key: "fraud-check"},
		{key: "fraud-check2/x"},
		{key: "Fraud-check/x"},
		{key: "/fraud-check/x"},
		{key: "//fraud-check/x A-1"},
		{key: "https://example.com/shop A-1"},
		{key: "shop/eu A-1"},
		{typ: "order_status_changed", source: "orders", field: "metadata.source"},
		{typ: "order_status_changed", source: "Orders", field: "metadata.source"},
		{typ: "order_status_changed", source: " orders ", field: "metadata.source"},
		{typ: "order_status_changed", source: "or\u200bders", field: "metadata.source"},
		{typ: "order_status_changed", source: "orders\u00a0", field: "metadata.source"},
		{typ: "order_status_changed", source: "ordersſ"},
		{typ: "order_status_changed", source: "shop"},
		{typ: "order_status_changed", source: ""},
		{typ: "order_placed", source: "orders"},
		{typ: "order_status_changed2", source: "orders"},
	} {
		if tt.typ == "" {
			tt.typ = "t"
		}
		ev, err := event.New(event.Draft{Type: tt.typ, IdempotencyKey: tt.key, Source: tt.source})
		if err != nil {
			t.Fatal(err)
		}
		err = ev.CheckPublished(known)
		if tt.field == "" {
			if err != nil {
				t.Errorf("key %q, type %s, source %q: %v", tt.key, tt.typ, tt.source, err)
			}
			continue
		}
		if !fault.Is(err, fault.Invalid) || !strings.HasPrefix(err.Error(), tt.field) {
			t.Errorf("key %q, type %s, source %q: %v, want an error about %s", tt.key, tt.typ, tt.source, err, tt.field)
		}
	}
}

// What the host gives itself is what a publisher may not give.
func TestOwnKeysAreReserved(t *testing.T) {
	for _, key := range []string{event.OrderKey("o-1", 1), event.OrderKey(strings.Repeat("Z", 64), 1<<62), event.ChildKey("p", "id", 63, ""), event.ChildKey("p", "id", 0, "k")} {
		ev, err := event.New(event.Draft{Type: "t", IdempotencyKey: key})
		if err != nil {
			t.Fatal(err)
		}
		if err := ev.CheckPublished(func(name string) bool { return name == "p" }); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", key, err)
		}
	}
}
