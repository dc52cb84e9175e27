package orders

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// Publisher appends events to the log, with a Receipt for each event.
type Publisher interface {
	PublishEvents(ctx context.Context, events []*event.Event) ([]event.Receipt, error)
}

// Memory keeps orders in memory, for tests and throw-away hosts. It is safe for
// concurrent use, and writes one order at a time.
type Memory struct {
	publisher Publisher

	mu   sync.Mutex
	list []Order        // by time of creation
	at   map[string]int // id to position in list
}

// NewMemory returns an empty repository that publishes there.
func NewMemory(p Publisher) *Memory {
	return &Memory{publisher: p, at: make(map[string]int)}
}

// Insert implements Repository.
func (m *Memory) Insert(ctx context.Context, o Order, ev *event.Event) (event.Receipt, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, found := m.at[o.ID]; found {
		return event.Receipt{}, exists(o.ID)
	}
	receipt, err := m.publish(ctx, ev)
	if err != nil {
		return event.Receipt{}, err
	}
	m.at[o.ID] = len(m.list)
	m.list = append(m.list, clone(o))
	return receipt, nil
}

// Update implements Repository.
func (m *Memory) Update(ctx context.Context, was, next Order, ev *event.Event) (event.Receipt, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i, found := m.at[was.ID]
	if !found || m.list[i].Version != was.Version || m.list[i].Status != was.Status {
		return event.Receipt{}, ErrStale
	}
	receipt, err := m.publish(ctx, ev)
	if err != nil {
		return event.Receipt{}, err
	}
	o := &m.list[i]
	o.Status, o.Version, o.UpdatedAt = next.Status, next.Version, next.UpdatedAt
	return receipt, nil
}

// publish is the write's commit: the order is stored after it, which cannot fail.
func (m *Memory) publish(ctx context.Context, ev *event.Event) (event.Receipt, error) {
	receipts, err := m.publisher.PublishEvents(ctx, []*event.Event{ev})
	return only(receipts, err)
}

// Get implements Repository.
func (m *Memory) Get(_ context.Context, id string) (Order, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i, found := m.at[id]
	if !found {
		return Order{}, notFound(id)
	}
	return clone(m.list[i]), nil
}

// List implements Repository. The cursor is the position of the last order of the
// page.
func (m *Memory) List(_ context.Context, q spec.OrderQuery) (wire.List[Order], error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	page := wire.List[Order]{Items: []Order{}}
	end := len(m.list)
	if q.Cursor != "" {
		position, err := parseCursor(q.Cursor)
		if err != nil {
			return page, err
		}
		end = int(min(position, int64(end)))
	}
	last := 0
	for i := end - 1; i >= 0; i-- {
		o := m.list[i]
		if q.Status != "" && o.Status != q.Status || q.Customer != "" && o.CustomerID != q.Customer {
			continue
		}
		if len(page.Items) == q.Limit {
			page.Next = cursor(int64(last))
			break
		}
		page.Items = append(page.Items, clone(o))
		last = i
	}
	return page, nil
}

func clone(o Order) Order {
	o.Items = append([]wire.OrderItem(nil), o.Items...)
	return o
}

// only returns the receipt of a write of one event, or its error.
func only(receipts []event.Receipt, err error) (event.Receipt, error) {
	if err != nil {
		return event.Receipt{}, err
	}
	if len(receipts) != 1 {
		return event.Receipt{}, fmt.Errorf("the log answered %d receipts for one event", len(receipts))
	}
	return receipts[0], receipts[0].Err
}

func cursor(position int64) *string {
	text := strconv.FormatInt(position, 10)
	return &text
}

func parseCursor(text string) (int64, error) {
	position, err := strconv.ParseInt(text, 10, 64)
	if err != nil || position < 0 {
		return 0, fault.Field("cursor", "%s is not a cursor of this list; pass next of the page before", fault.Quote(text))
	}
	return position, nil
}
