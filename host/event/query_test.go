package event

import "testing"

// TestQuerySelects gives each condition of a query alone and with others: an empty one
// selects all.
func TestQuerySelects(t *testing.T) {
	ev, err := New(Draft{Type: "order.paid", Subject: "o-1", IdempotencyKey: "k"})
	if err != nil {
		t.Fatal(err)
	}
	rec := Record{Seq: 7, Event: ev}
	for _, tt := range []struct {
		query Query
		want  bool
	}{
		{Query{}, true},
		{Query{Type: "order.paid"}, true},
		{Query{Type: "order"}, false},
		{Query{Subject: "o-1"}, true},
		{Query{Subject: "o"}, false},
		{Query{Key: "k"}, true},
		{Query{Key: "K"}, false},
		{Query{Before: 8}, true},
		{Query{Before: 7}, false},
		{Query{Before: 6}, false},
		{Query{Type: "order.paid", Subject: "o-1", Key: "k", Before: 8}, true},
		{Query{Type: "order", Subject: "o-1", Key: "k", Before: 8}, false},
		{Query{Type: "order.paid", Subject: "o", Key: "k", Before: 8}, false},
		{Query{Type: "order.paid", Subject: "o-1", Key: "K", Before: 8}, false},
	} {
		if got := tt.query.Selects(rec); got != tt.want {
			t.Errorf("%+v: got %v", tt.query, got)
		}
	}
}
