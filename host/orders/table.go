package orders

import (
	"context"
	"fmt"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// Rows is a table of orders in the same database as the event log. Each write is durable with
// its event when it returns nil and true; with false, or an error that is not of unknown
// result, neither is stored.
type Rows interface {
	// InsertOrder stores an order; false: its id exists.
	InsertOrder(ctx context.Context, o Order, ev *event.Event) (r event.Receipt, stored bool, err error)
	// UpdateOrder stores the status, version and updated_at of next if the stored order with
	// that id has this version and status; false: it has not.
	UpdateOrder(ctx context.Context, version int64, status string, next Order, ev *event.Event) (r event.Receipt, stored bool, err error)
	// FindOrder returns the order with this id, and whether there is one.
	FindOrder(ctx context.Context, id string) (o Order, found bool, err error)
	// ListOrders returns the orders that q selects and whose position is below before, the
	// highest first and at most limit, with their positions, which are above 0 and grow in the
	// order of creation.
	ListOrders(ctx context.Context, q spec.OrderQuery, before int64, limit int) (list []Order, positions []int64, err error)
}

// Table keeps orders in Rows. It is safe for concurrent use.
type Table struct{ rows Rows }

// NewTable returns a repository over these rows.
func NewTable(rows Rows) *Table { return &Table{rows} }

// Insert implements Repository.
func (t *Table) Insert(ctx context.Context, o Order, ev *event.Event) (event.Receipt, error) {
	r, stored, err := t.rows.InsertOrder(ctx, o, ev)
	return receiptOf(r, stored, err, exists(o.ID))
}

// Update implements Repository.
func (t *Table) Update(ctx context.Context, was, next Order, ev *event.Event) (event.Receipt, error) {
	next.ID = was.ID
	r, stored, err := t.rows.UpdateOrder(ctx, was.Version, was.Status, next, ev)
	return receiptOf(r, stored, err, ErrStale)
}

func receiptOf(r event.Receipt, stored bool, err, none error) (event.Receipt, error) {
	switch {
	case err != nil:
		return event.Receipt{}, err
	case !stored:
		return event.Receipt{}, none
	}
	return r, nil
}

// Get implements Repository.
func (t *Table) Get(ctx context.Context, id string) (Order, error) {
	o, found, err := t.rows.FindOrder(ctx, id)
	switch {
	case err != nil:
		return Order{}, fmt.Errorf("read order %s: %w", fault.Quote(id), err)
	case !found:
		return Order{}, notFound(id)
	}
	return o, nil
}

// List implements Repository. The cursor is the position of the last order of the page.
func (t *Table) List(ctx context.Context, q spec.OrderQuery) (wire.List[Order], error) {
	page := wire.List[Order]{Items: []Order{}}
	before := int64(1<<63 - 1)
	if q.Cursor != "" {
		position, err := parseCursor(q.Cursor)
		if err != nil {
			return page, err
		}
		before = position
	}
	list, positions, err := t.rows.ListOrders(ctx, q, before, q.Limit+1)
	if err != nil {
		return page, fmt.Errorf("list orders: %w", err)
	}
	if len(list) > q.Limit {
		list = list[:q.Limit]
		page.Next = cursor(positions[q.Limit-1])
	}
	page.Items = append(page.Items, list...)
	return page, nil
}
