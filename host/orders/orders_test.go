package orders_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/orders"
	"github.com/berth-host/berth/host/orders/ordertest"
	"github.com/berth-host/berth/host/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemory(t *testing.T) { ordertest.Run(t, openMemory) }

func TestSQL(t *testing.T) { ordertest.Run(t, openSQL) }

// In memory the log's append is the commit: an append that fails leaves the order
// as it was. An append that was stored and nevertheless returns an error has no order; a
// log in memory does not fail so.
func TestMemoryAppendFails(t *testing.T) {
	log := &fakeLog{}
	s := orders.New(orders.Config{Repository: orders.NewMemory(log)})
	full := fault.New(fault.Exhausted, "full")
	log.broken = breaker{true, ordertest.Unstored, full}
	if _, _, err := s.Create(t.Context(), ordertest.Sample("A-1"), ordertest.By()); !errors.Is(err, full) {
		t.Fatalf("got %v", err)
	}
	if _, err := s.Get(t.Context(), "A-1"); !fault.Is(err, fault.NotFound) {
		t.Errorf("got %v, want not_found", err)
	}
}

func TestCreateRefuses(t *testing.T) {
	long := strings.Repeat("x", 129)
	for _, tt := range []struct {
		field  string
		change func(*wire.NewOrder)
	}{
		{"id", func(n *wire.NewOrder) { n.ID = "-a" }},
		{"id", func(n *wire.NewOrder) { n.ID = "a/b" }},
		{"id", func(n *wire.NewOrder) { n.ID = "a\n" }},
		{"id", func(n *wire.NewOrder) { n.ID = strings.Repeat("a", 65) }},
		{"customer_id", func(n *wire.NewOrder) { n.CustomerID = "" }},
		{"customer_id", func(n *wire.NewOrder) { n.CustomerID = long }},
		{"customer_id", func(n *wire.NewOrder) { n.CustomerID = "a\x00" }},
		{"customer_id", func(n *wire.NewOrder) { n.CustomerID = "a\u0085" }},
		{"customer_id", func(n *wire.NewOrder) { n.CustomerID = "\xff" }},
		{"currency", func(n *wire.NewOrder) { n.Currency = "" }},
		{"currency", func(n *wire.NewOrder) { n.Currency = "eur" }},
		{"currency", func(n *wire.NewOrder) { n.Currency = "EURO" }},
		{"items", func(n *wire.NewOrder) { n.Items = nil }},
		{"items", func(n *wire.NewOrder) { n.Items = slices.Repeat(n.Items, 251) }},
		{"items[1].sku", func(n *wire.NewOrder) { n.Items[1].SKU = "" }},
		{"items[0].sku", func(n *wire.NewOrder) { n.Items[0].SKU = long }},
		{"items[0].quantity", func(n *wire.NewOrder) { n.Items[0].Quantity = 0 }},
		{"items[0].quantity", func(n *wire.NewOrder) { n.Items[0].Quantity = -1 }},
		{"items[1].quantity", func(n *wire.NewOrder) { n.Items[1].Quantity = 1_000_001 }},
		{"items[0].unit_price_cents", func(n *wire.NewOrder) { n.Items[0].UnitPriceCents = -1 }},
		{"items[0].unit_price_cents", func(n *wire.NewOrder) { n.Items[0].UnitPriceCents = math.MaxInt64 }},
		{"items", func(n *wire.NewOrder) {
			n.Items = slices.Repeat([]wire.OrderItem{{SKU: "gold", Quantity: 1e6, UnitPriceCents: 1e11}}, 500)
		}},
	} {
		h := openMemory(t)
		s := orders.New(orders.Config{Repository: h.Repository})
		n := ordertest.Sample("A-1")
		tt.change(&n)
		_, _, err := s.Create(t.Context(), n, ordertest.By())
		var f *fault.Error
		if !errors.As(err, &f) || f.Code != fault.Invalid || f.Field != tt.field {
			t.Errorf("%s: got %v", tt.field, err)
		}
		if got := h.Events(t); len(got) != 0 {
			t.Errorf("%s: %d events were stored", tt.field, len(got))
		}
	}
}

func TestCreateAcceptsTheLimits(t *testing.T) {
	s := orders.New(orders.Config{Repository: openMemory(t).Repository})
	for _, n := range []wire.NewOrder{
		{CustomerID: strings.Repeat("é", 64), Currency: "JPY", Items: []wire.OrderItem{{SKU: "a", Quantity: 1e6}}},
		{ID: strings.Repeat("a", 64), CustomerID: "c", Currency: "JPY", Items: []wire.OrderItem{{SKU: "a", Quantity: 1, UnitPriceCents: 1e11}}},
		{CustomerID: "c", Currency: "JPY", Items: slices.Repeat([]wire.OrderItem{{SKU: strings.Repeat("<", 128), Quantity: 1}}, 500)},
	} {
		o, _, err := s.Create(t.Context(), n, ordertest.By())
		if err != nil {
			t.Errorf("%+v: %v", n.ID, err)
		} else if o.ID == "" {
			t.Error("no id was given")
		}
	}
}

func TestErrorsForPeople(t *testing.T) {
	s := orders.New(orders.Config{Repository: openMemory(t).Repository})
	if _, _, err := s.Create(t.Context(), ordertest.Sample("A-1"), ordertest.By()); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		id, status string
		ifMatch    int64
		want       string
	}{
		{"A-1", "shipped", 0, "status: order A-1 cannot move from pending to shipped; from there it can move to confirmed or cancelled"},
		{"A-1", "pending", 0, "status: order A-1 is pending already; from there it can move to confirmed or cancelled"},
		{"A-1", "lost", 0, `status: "lost" is not a status; one of pending, confirmed, processing, shipped, delivered, cancelled, refunded`},
		{"A-9", "shipped", 0, `id: there is no order "A-9"`},
		{"A-1", "confirmed", 4, "If-Match: order A-1 is at version 1 (pending), not 4"},
	} {
		_, _, err := s.SetStatus(t.Context(), tt.id, tt.status, tt.ifMatch, ordertest.By())
		if err == nil || err.Error() != tt.want {
			t.Errorf("got  %v\nwant %s", err, tt.want)
		}
	}
}

// Moves never lead back: SetStatus relies on it to end.
func TestMovesHaveNoCycle(t *testing.T) {
	index := func(status string) int {
		i := slices.Index(orders.Statuses(), status)
		if i < 0 {
			t.Fatalf("%q is not a status", status)
		}
		return i
	}
	for _, from := range orders.Statuses() {
		for _, to := range orders.Moves(from) {
			if index(to) <= index(from) {
				t.Errorf("%s leads back to %s", from, to)
			}
		}
	}
	if got := orders.Moves("lost"); got != nil {
		t.Errorf("got %v", got)
	}
}

// Any sequence of calls leaves the service as the model says: the map of legal
// moves written down a second time, from the design.
func TestAgainstModel(t *testing.T) {
	legal := map[string][]string{
		"pending":    {"confirmed", "cancelled"},
		"confirmed":  {"processing", "cancelled"},
		"processing": {"shipped", "cancelled"},
		"shipped":    {"delivered"},
		"delivered":  {"refunded"},
		"cancelled":  {"refunded"},
	}
	for name, open := range map[string]func(*testing.T) ordertest.Harness{"memory": openMemory, "sql": openSQL} {
		t.Run(name, func(t *testing.T) {
			outer := t
			rapid.Check(t, func(t *rapid.T) {
				h := open(outer)
				s := orders.New(orders.Config{Repository: h.Repository})
				ctx := context.Background()
				model := map[string]orders.Order{}
				wrote := 0
				ids := rapid.Map(rapid.IntRange(0, 3), func(i int) string { return fmt.Sprintf("A-%d", i) })
				t.Repeat(map[string]func(*rapid.T){
					"create": func(t *rapid.T) {
						id := ids.Draw(t, "id")
						o, _, err := s.Create(ctx, ordertest.Sample(id), ordertest.By())
						if _, taken := model[id]; taken {
							if !fault.Is(err, fault.Conflict) {
								t.Fatalf("got %v, want a conflict", err)
							}
							return
						}
						if err != nil {
							t.Fatal(err)
						}
						model[id], wrote = o, wrote+1
					},
					"move": func(t *rapid.T) {
						id := ids.Draw(t, "id")
						to := rapid.SampledFrom(append(orders.Statuses(), "lost")).Draw(t, "to")
						ifMatch := int64(rapid.IntRange(0, 3).Draw(t, "if match"))
						was, found := model[id]
						var want fault.Code
						switch {
						case to == "lost":
							want = fault.Invalid
						case !found:
							want = fault.NotFound
						case ifMatch != 0 && ifMatch != was.Version:
							want = fault.Precondition
						case !slices.Contains(legal[was.Status], to):
							want = fault.Conflict
						}
						got, receipt, err := s.SetStatus(ctx, id, to, ifMatch, ordertest.By())
						if fault.CodeOf(err) != want {
							t.Fatalf("got %v, want %q", err, want)
						}
						if want != "" {
							return
						}
						if got.Status != to || got.Version != was.Version+1 || receipt.IdempotencyKey != fmt.Sprintf("order:%s:v%d", id, got.Version) {
							t.Fatalf("got %+v, %+v", got, receipt)
						}
						model[id], wrote = got, wrote+1
					},
				})
				for id, want := range model {
					if got, err := s.Get(ctx, id); err != nil || !reflect.DeepEqual(got, want) {
						t.Fatalf("got %+v, %v; want %+v", got, err, want)
					}
				}
				if got := len(h.Events(outer)); got != wrote {
					t.Fatalf("%d events for %d writes", got, wrote)
				}
			})
		})
	}
}
