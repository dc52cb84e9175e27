package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/berth-host/berth/abi/go/berthtest"
)

// order is an event's data: an order of 2 × 1250 + 499 cents.
func order(from, to string) string {
	previous := "null"
	if from != "" {
		previous = `"` + from + `"`
	}
	return `{"id":"o-1","order_id":"o-1","customer_id":"c-1","currency":"EUR","items":[
		{"sku":"mug","quantity":2,"unit_price_cents":1250},{"sku":"tea","quantity":1,"unit_price_cents":499}],
		"total_cents":2999,"status":"` + to + `","previous_status":` + previous + `,"version":2}`
}

func TestMoves(t *testing.T) {
	statuses := []string{"", "pending", "confirmed", "processing", "shipped", "delivered", "cancelled", "refunded"}
	legal := map[string]string{
		"":           " pending ",
		"pending":    " confirmed cancelled ",
		"confirmed":  " processing cancelled ",
		"processing": " shipped cancelled ",
		"shipped":    " delivered ",
		"delivered":  " refunded ",
		"cancelled":  " refunded ",
	}
	for _, from := range statuses {
		for _, to := range statuses[1:] {
			out := berthtest.Deliver(t, audit, berthtest.Event("order_status_changed", order(from, to)))
			var got struct{ Audit string }
			out.Decode(t, &got)
			want := "flagged"
			if strings.Contains(legal[from], " "+to+" ") {
				want = "ok"
			}
			if got.Audit != want {
				t.Errorf("from %q to %q: got %s, want %s", from, to, got.Audit, want)
			}
			if flagged := len(out.Logs) > 0; flagged != (want == "flagged") {
				t.Errorf("from %q to %q: logs %v", from, to, out.Logs)
			}
		}
	}
}

func TestAudit(t *testing.T) {
	tests := []struct {
		name, data string
		status     berthtest.Status
		want       string // result, or reason
	}{
		{"created", order("", "pending"), berthtest.OK,
			`{"audit":"ok","order_id":"o-1","from":null,"to":"pending","total_cents":2999}`},
		{"moved", order("pending", "confirmed"), berthtest.OK,
			`{"audit":"ok","order_id":"o-1","from":"pending","to":"confirmed","total_cents":2999}`},
		{"wrong total", strings.Replace(order("", "pending"), "2999", "3000", 1), berthtest.OK,
			`{"audit":"flagged","order_id":"o-1","from":null,"to":"pending","total_cents":3000,"findings":["total_cents is 3000, its items add up to 2999"]}`},
		{"two findings", strings.Replace(order("shipped", "pending"), "2999", "3000", 1), berthtest.OK,
			`{"audit":"flagged","order_id":"o-1","from":"shipped","to":"pending","total_cents":3000,"findings":["an order must not go from shipped to pending","total_cents is 3000, its items add up to 2999"]}`},
		{"half a mug", strings.Replace(order("", "pending"), `"quantity":2`, `"quantity":0.5`, 1), berthtest.OK,
			`{"audit":"flagged","order_id":"o-1","from":null,"to":"pending","total_cents":2999,"findings":["item 0: quantity is not a whole number above zero"]}`},
		{"negative price", strings.Replace(order("", "pending"), "499", "-499", 1), berthtest.OK,
			`{"audit":"flagged","order_id":"o-1","from":null,"to":"pending","total_cents":2999,"findings":["item 1: unit_price_cents is not a whole number"]}`},
		{"overflow", strings.Replace(order("", "pending"), "499", "9223372036854775807", 1), berthtest.OK,
			`{"audit":"flagged","order_id":"o-1","from":null,"to":"pending","total_cents":2999,"findings":["item 1: the amount is too large to be true"]}`},
		{"not an order", `{"user":"u-1"}`, berthtest.Rejected, "the event has no /data/order_id: it is not about an order"},
		{"no status", `{"order_id":"o-1"}`, berthtest.Rejected, "the order has no status"},
		{"no total", `{"order_id":"o-1","status":"pending"}`, berthtest.Rejected, "the order's total_cents is not a whole number"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out := berthtest.Deliver(t, audit, berthtest.Event("order_status_changed", tt.data))
			if got := out.Result + out.Reason; out.Status != tt.status || got != tt.want {
				t.Errorf("got  %s %s\nwant %s %s", out.Status, got, tt.status, tt.want)
			}
			if out.Result != "" && !json.Valid([]byte(out.Result)) {
				t.Error("the result is not JSON")
			}
		})
	}
}
