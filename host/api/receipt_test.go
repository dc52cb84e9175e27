package api

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/wire"
)

// TestReceiptEncoding compares the encoding of receipts with encoding/json's.
func TestReceiptEncoding(t *testing.T) {
	check := func(t rapid.TB, r wire.Receipt) {
		var want bytes.Buffer
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(r); err != nil {
			t.Fatal(err)
		}
		got, err := encode(r)
		if err != nil || !bytes.Equal(got, want.Bytes()) {
			t.Errorf("got %s, %v, want %s", got, err, &want)
		}
	}
	for _, key := range []string{"", "order:1:v2", "<&>", `"`, `\`, "\x7f", "\x00", "\u2028", "é", "\xff"} {
		check(t, wire.Receipt{EventID: "0190", IdempotencyKey: key})
		check(t, wire.Receipt{EventID: key, IdempotencyKey: key, Duplicate: true, Routed: new(bool)})
	}
	check(t, wire.Receipt{EventID: "e", IdempotencyKey: "k", DueAt: new(time.Unix(1, 5).UTC())})
	check(t, wire.Receipt{EventID: "e", IdempotencyKey: "k", Duplicate: true, Cancelled: true})
	if b, ok := appendReceipt(nil, wire.Receipt{EventID: "e", IdempotencyKey: "order:1:v2"}); !ok {
		t.Errorf("got %q, %v: a plain receipt needs no encoder", b, ok)
	}
	rapid.Check(t, func(t *rapid.T) {
		check(t, wire.Receipt{EventID: rapid.String().Draw(t, "id"), IdempotencyKey: rapid.String().Draw(t, "key"), Duplicate: rapid.Bool().Draw(t, "duplicate"),
			Routed: rapid.Ptr(rapid.Bool(), true).Draw(t, "routed")})
	})
}
