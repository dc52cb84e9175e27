package ordertest

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/orders"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// Break is how the next write fails.
type Break int

const (
	// Unstored is a write that fails and stores nothing.
	Unstored Break = iota
	// Unanswered is a write that is stored and nevertheless returns an error.
	Unanswered
)

// Harness is a fresh, empty repository with a view of the log beside it.
type Harness struct {
	Repository orders.Repository
	// Events returns the stored events, oldest first.
	Events func(t testing.TB) []*event.Event
	// Fail makes the next write fail so, with an error of the returned code. The suite
	// calls restore when that write has failed. Nil leaves the fault pairs out, for a
	// repository whose faults are tested elsewhere.
	Fail func(t testing.TB, how Break) (code fault.Code, restore func())
}

// Run checks that a repository keeps the guarantees of orders.Repository, through a
// Service over it.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	for _, tt := range []struct {
		name string
		run  func(*testing.T, Harness)
	}{
		{"a life", life},
		{"refusals change nothing", refusals},
		{"a taken id", takenID},
		{"a stale update", stale},
		{"pages", pages},
		{"concurrent moves have one winner", oneWinner},
		{"concurrent different moves all follow the machine", racing},
		{"concurrent creations of one id", oneCreator},
		{"a key that is taken in the log undoes the row", keyConflict},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, open(t)) })
	}
	if open(t).Fail != nil {
		t.Run("failed and not stored", func(t *testing.T) { unstored(t, open(t)) })
		t.Run("failed but stored", func(t *testing.T) { unanswered(t, open(t)) })
	}
}

// Sample is an order that is accepted.
func Sample(id string) wire.NewOrder {
	return wire.NewOrder{ID: id, CustomerID: "cust-1", Currency: "EUR", Items: []wire.OrderItem{
		{SKU: "tea", Quantity: 2, UnitPriceCents: 450}, {SKU: "cup <b>", Quantity: 1, UnitPriceCents: 1299},
	}}
}

// By is who makes the changes.
func By() spec.Publisher { return spec.Publisher{Token: "t1", Name: "shop"} }

func service(h Harness) *orders.Service {
	now := time.Date(2026, 5, 4, 10, 0, 0, 123456789, time.FixedZone("CEST", 7200))
	var mu sync.Mutex
	return orders.New(orders.Config{Repository: h.Repository, Now: func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(time.Second)
		return now
	}})
}

func life(t *testing.T, h Harness) {
	s := service(h)
	o, receipt, err := s.Create(t.Context(), Sample("A-1"), By())
	must(t, err)
	if o.Status != orders.Pending || o.Version != 1 || o.TotalCents != 2199 || o.CreatedAt.Location() != time.UTC {
		t.Fatalf("created %+v", o)
	}
	checkStored(t, h, o)
	receipts := []event.Receipt{receipt}
	path := []string{orders.Confirmed, orders.Processing, orders.Shipped, orders.Delivered, orders.Refunded}
	for i, status := range path {
		next, receipt, err := s.SetStatus(t.Context(), "A-1", status, int64(i+1), By())
		must(t, err)
		if next.Status != status || next.Version != int64(i+2) || !next.UpdatedAt.After(o.UpdatedAt) || !next.CreatedAt.Equal(o.CreatedAt) {
			t.Fatalf("moved to %+v after %+v", next, o)
		}
		checkStored(t, h, next)
		receipts = append(receipts, receipt)
		o = next
	}
	events := h.Events(t)
	if len(events) != len(receipts) {
		t.Fatalf("got %d events, want %d", len(events), len(receipts))
	}
	previous := any(nil)
	for i, ev := range events {
		meta := ev.Metadata()
		if got := ev.Origin(); got != (event.Origin{Publisher: spec.Publisher{Token: "t1", Name: "shop", Source: "orders"}}) {
			t.Errorf("event %d is published by %+v", i, got)
		}
		if ev.Type() != event.OrderStatusChanged || meta.Subject != "A-1" || meta.Source != "orders" ||
			meta.IdempotencyKey != fmt.Sprintf("order:A-1:v%d", i+1) || meta.EventID != receipts[i].EventID {
			t.Errorf("event %d: %s, receipt %+v", i, ev.Envelope(), receipts[i])
		}
		var data map[string]any
		must(t, json.Unmarshal([]byte(ev.Data()), &data))
		status := orders.Pending
		if i > 0 {
			status = path[i-1]
		}
		for key, want := range map[string]any{
			"id": "A-1", "order_id": "A-1", "status": status, "previous_status": previous,
			"version": float64(i + 1), "total_cents": float64(2199), "customer_id": "cust-1", "currency": "EUR",
		} {
			if got, found := data[key]; !found || !reflect.DeepEqual(got, want) {
				t.Errorf("event %d: %s is %v, want %v", i, key, got, want)
			}
		}
		previous = status
	}
}

func refusals(t *testing.T, h Harness) {
	s := service(h)
	o, _, err := s.Create(t.Context(), Sample("A-1"), By())
	must(t, err)
	for _, tt := range []struct {
		name, id, status string
		ifMatch          int64
		code             fault.Code
	}{
		{"illegal move", "A-1", orders.Shipped, 0, fault.Conflict},
		{"the status it has", "A-1", orders.Pending, 0, fault.Conflict},
		{"unknown status", "A-1", "lost", 0, fault.Invalid},
		{"no status", "A-1", "", 0, fault.Invalid},
		{"unknown order", "A-2", orders.Confirmed, 0, fault.NotFound},
		{"another version", "A-1", orders.Confirmed, 2, fault.Precondition},
		{"another version before an illegal move", "A-1", orders.Shipped, 2, fault.Precondition},
	} {
		if _, _, err := s.SetStatus(t.Context(), tt.id, tt.status, tt.ifMatch, By()); fault.CodeOf(err) != tt.code {
			t.Errorf("%s: got %v (%s), want %s", tt.name, err, fault.CodeOf(err), tt.code)
		}
	}
	if _, err := s.Get(t.Context(), "A-2"); !fault.Is(err, fault.NotFound) {
		t.Errorf("get: got %v, want not_found", err)
	}
	checkStored(t, h, o)
	checkEvents(t, h, 1)
}

func takenID(t *testing.T, h Harness) {
	s := service(h)
	o, _, err := s.Create(t.Context(), Sample("A-1"), By())
	must(t, err)
	other := Sample("A-1")
	other.CustomerID = "somebody else"
	if _, _, err := s.Create(t.Context(), other, By()); !fault.Is(err, fault.Conflict) {
		t.Errorf("got %v, want a conflict", err)
	}
	checkStored(t, h, o)
	checkEvents(t, h, 1)
}

func stale(t *testing.T, h Harness) {
	s := service(h)
	o, _, err := s.Create(t.Context(), Sample("A-1"), By())
	must(t, err)
	for _, was := range []struct {
		name    string
		version int64
		status  string
	}{{"version", 2, orders.Pending}, {"status", 1, orders.Confirmed}} {
		before, next := o, o
		before.Version, before.Status = was.version, was.status
		next.Status, next.Version = orders.Cancelled, 9
		ev, err := event.New(event.Draft{Type: "order_status_changed"})
		must(t, err)
		if _, err := h.Repository.Update(t.Context(), before, next, ev); !errors.Is(err, orders.ErrStale) {
			t.Errorf("another %s: got %v, want ErrStale", was.name, err)
		}
	}
	checkStored(t, h, o)
	checkEvents(t, h, 1)
}

func pages(t *testing.T, h Harness) {
	s := service(h)
	for i := range 7 {
		n := Sample(fmt.Sprintf("A-%d", i))
		n.CustomerID = fmt.Sprintf("cust-%d", i%2)
		_, _, err := s.Create(t.Context(), n, By())
		must(t, err)
	}
	for _, id := range []string{"A-1", "A-2", "A-5"} {
		_, _, err := s.SetStatus(t.Context(), id, orders.Confirmed, 0, By())
		must(t, err)
	}
	for _, tt := range []struct {
		name  string
		query spec.OrderQuery
		want  []string
	}{
		{"all", spec.OrderQuery{}, []string{"A-6", "A-5", "A-4", "A-3", "A-2", "A-1", "A-0"}},
		{"status", spec.OrderQuery{Status: orders.Confirmed}, []string{"A-5", "A-2", "A-1"}},
		{"customer", spec.OrderQuery{Customer: "cust-0"}, []string{"A-6", "A-4", "A-2", "A-0"}},
		{"both", spec.OrderQuery{Customer: "cust-1", Status: orders.Confirmed}, []string{"A-5", "A-1"}},
		{"none", spec.OrderQuery{Customer: "nobody"}, nil},
	} {
		for limit := 1; limit <= 8; limit++ {
			q := tt.query
			q.Limit = limit
			var got []string
			for {
				page, err := s.List(t.Context(), q)
				must(t, err)
				if page.Items == nil || len(page.Items) > limit {
					t.Fatalf("%s, limit %d: a page of %d items (nil: %v)", tt.name, limit, len(page.Items), page.Items == nil)
				}
				for _, o := range page.Items {
					got = append(got, o.ID)
				}
				if page.Next == nil {
					break
				}
				q.Cursor = *page.Next
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%s, limit %d: got %v, want %v", tt.name, limit, got, tt.want)
			}
		}
	}
	for _, q := range []spec.OrderQuery{{Cursor: "x"}, {Cursor: "-1"}, {Limit: -1}, {Limit: orders.MaxPage + 1}, {Status: "lost"}} {
		if _, err := s.List(t.Context(), q); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: got %v, want invalid", q, err)
		}
	}
}

// each runs fn n times at once and returns the errors.
func each(n int, fn func(i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = fn(i)
		})
	}
	close(start)
	wg.Wait()
	return errs
}

func won(t *testing.T, errs []error, loser fault.Code) (winners int) {
	t.Helper()
	for _, err := range errs {
		if err == nil {
			winners++
		} else if !fault.Is(err, loser) {
			t.Errorf("a loser got %v, want %s", err, loser)
		}
	}
	return winners
}

func oneWinner(t *testing.T, h Harness) {
	s := service(h)
	_, _, err := s.Create(t.Context(), Sample("A-1"), By())
	must(t, err)
	for i, status := range []string{orders.Confirmed, orders.Processing, orders.Shipped} {
		loser, ifMatch := fault.Conflict, int64(0)
		if i == 1 {
			loser, ifMatch = fault.Precondition, 2
		}
		errs := each(16, func(int) error {
			_, _, err := s.SetStatus(t.Context(), "A-1", status, ifMatch, By())
			return err
		})
		if n := won(t, errs, loser); n != 1 {
			t.Errorf("%s: %d winners, want 1", status, n)
		}
	}
	o, err := s.Get(t.Context(), "A-1")
	must(t, err)
	if o.Version != 4 || o.Status != orders.Shipped {
		t.Errorf("got %+v", o)
	}
	checkEvents(t, h, 4)
}

func racing(t *testing.T, h Harness) {
	s := service(h)
	_, _, err := s.Create(t.Context(), Sample("A-1"), By())
	must(t, err)
	all := orders.Statuses()
	wins := won(t, each(28, func(i int) error {
		_, _, err := s.SetStatus(t.Context(), "A-1", all[i%len(all)], 0, By())
		return err
	}), fault.Conflict)
	o, err := s.Get(t.Context(), "A-1")
	must(t, err)
	if o.Version != int64(wins)+1 {
		t.Errorf("version %d after %d moves", o.Version, wins)
	}
	checkEvents(t, h, wins+1)
}

func oneCreator(t *testing.T, h Harness) {
	s := service(h)
	errs := each(16, func(int) error {
		_, _, err := s.Create(t.Context(), Sample("A-1"), By())
		return err
	})
	if n := won(t, errs, fault.Conflict); n != 1 {
		t.Errorf("%d winners, want 1", n)
	}
	checkEvents(t, h, 1)
}

func keyConflict(t *testing.T, h Harness) {
	s := service(h)
	// The event of B-1 version 1 takes the key that A-1 version 2 would need.
	thief, err := event.New(event.Draft{Type: "other", IdempotencyKey: "order:A-1:v2"})
	must(t, err)
	b := orders.Order{ID: "B-1", CustomerID: "c", Currency: "EUR", Status: orders.Pending, Version: 1,
		Items: Sample("").Items, CreatedAt: time.Unix(0, 1).UTC(), UpdatedAt: time.Unix(0, 1).UTC()}
	_, err = h.Repository.Insert(t.Context(), b, thief)
	must(t, err)
	a, _, err := s.Create(t.Context(), Sample("A-1"), By())
	must(t, err)
	if _, _, err := s.SetStatus(t.Context(), "A-1", orders.Confirmed, 0, By()); !fault.Is(err, fault.Conflict) {
		t.Errorf("got %v, want a conflict", err)
	}
	checkStored(t, h, a)
	checkEvents(t, h, 2)
}

// fail calls a write that fails.
func fail(t *testing.T, h Harness, how Break, write func() error) {
	t.Helper()
	code, restore := h.Fail(t, how)
	err := write()
	restore()
	if !fault.Is(err, code) {
		t.Fatalf("got %v, want %s", err, code)
	}
}

// creation and confirmation return writes of the order A-1.
func creation(t *testing.T, s *orders.Service) func() error {
	return func() error {
		_, _, err := s.Create(t.Context(), Sample("A-1"), By())
		return err
	}
}

func confirmation(t *testing.T, s *orders.Service) func() error {
	return func() error {
		_, _, err := s.SetStatus(t.Context(), "A-1", orders.Confirmed, 0, By())
		return err
	}
}

func unstored(t *testing.T, h Harness) {
	s := service(h)
	create, confirm := creation(t, s), confirmation(t, s)
	fail(t, h, Unstored, create)
	if _, err := s.Get(t.Context(), "A-1"); !fault.Is(err, fault.NotFound) {
		t.Errorf("get: got %v, want not_found", err)
	}
	checkEvents(t, h, 0)
	must(t, create())

	o, err := s.Get(t.Context(), "A-1")
	must(t, err)
	fail(t, h, Unstored, confirm)
	checkStored(t, h, o)
	checkEvents(t, h, 1)
	must(t, confirm())
	checkEvents(t, h, 2)
}

func unanswered(t *testing.T, h Harness) {
	s := service(h)
	create := creation(t, s)
	fail(t, h, Unanswered, create)
	o, err := s.Get(t.Context(), "A-1")
	must(t, err)
	checkEvents(t, h, 1)
	if err := create(); !fault.Is(err, fault.Conflict) {
		t.Errorf("create again: got %v, want a conflict", err)
	}
	fail(t, h, Unanswered, confirmation(t, s))
	next, err := s.Get(t.Context(), "A-1")
	must(t, err)
	if next.Version != o.Version+1 || next.Status != orders.Confirmed {
		t.Errorf("got %+v", next)
	}
	checkEvents(t, h, 2)
}

func checkStored(t *testing.T, h Harness, want orders.Order) {
	t.Helper()
	got, err := h.Repository.Get(t.Context(), want.ID)
	must(t, err)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("stored %+v, want %+v", got, want)
	}
}

func checkEvents(t *testing.T, h Harness, want int) {
	t.Helper()
	if got := len(h.Events(t)); got != want {
		t.Errorf("the log has %d events, want %d", got, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
