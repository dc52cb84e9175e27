package orders

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// Order is an order as it is stored, shown and published.
type Order = wire.Order

// The bounds of a page of orders.
const (
	DefaultPage = 50
	MaxPage     = 500
)

// Repository stores orders with their events. Each write stores the row and
// the event, both durably, or neither.
type Repository interface {
	// Insert stores a new order. fault.Conflict: its id exists.
	Insert(ctx context.Context, o Order, ev *event.Event) (event.Receipt, error)
	// Update stores the status, version and updated_at of next if the stored
	// order still has the version and status of was; otherwise the error is
	// ErrStale. The order must exist.
	Update(ctx context.Context, was, next Order, ev *event.Event) (event.Receipt, error)
	// Get returns fault.NotFound for an order that does not exist. It sees
	// every write that has returned.
	Get(ctx context.Context, id string) (Order, error)
	// List returns one page. The query's limit is 1 to MaxPage.
	// fault.Invalid: the cursor is not one of its own.
	List(ctx context.Context, q spec.OrderQuery) (wire.List[Order], error)
}

// ErrStale means that an order changed after it was read. Service never returns it.
var ErrStale = errors.New("the order changed after it was read")

// Config holds what a Service needs.
type Config struct {
	Repository Repository       // required
	Now        func() time.Time // nil is time.Now
	Logger     *slog.Logger     // nil discards
}

// Service creates and moves orders. It is safe for concurrent use.
type Service struct {
	repo Repository
	now  func() time.Time
	log  *slog.Logger
}

// New returns a Service.
func New(cfg Config) *Service {
	s := &Service{repo: cfg.Repository, now: cfg.Now, log: cfg.Logger}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s
}

// Create stores a new order as Pending, version 1, and publishes it as the caller's. An order
// without an id is given a UUIDv7. Errors: fault.Invalid with the field that is
// wrong, fault.Conflict when the id exists, and the errors of the repository.
func (s *Service) Create(ctx context.Context, n wire.NewOrder, by spec.Publisher) (Order, event.Receipt, error) {
	cents, err := total(n)
	if err != nil {
		return Order{}, event.Receipt{}, err
	}
	if n.ID == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return Order{}, event.Receipt{}, fault.New(fault.Unavailable, "make an order id: %w", err)
		}
		n.ID = id.String()
	}
	now := s.stamp()
	o := Order{
		ID:         n.ID,
		CustomerID: n.CustomerID,
		Currency:   n.Currency,
		Items:      append([]wire.OrderItem(nil), n.Items...),
		TotalCents: cents,
		Status:     Pending,
		Version:    1,
		CreatedAt:  now,
		UpdatedAt:  now,
	}
	ev, err := statusChanged(ctx, o, nil, by)
	if err != nil {
		return Order{}, event.Receipt{}, err
	}
	receipt, err := s.repo.Insert(ctx, o, ev)
	if err != nil {
		return Order{}, event.Receipt{}, fmt.Errorf("create order %s: %w", o.ID, err)
	}
	s.log.Debug("order created", "order", o.ID, "event_id", receipt.EventID)
	return o, receipt, nil
}

// SetStatus moves an order and publishes the change. ifMatch is the version
// the caller has seen, or 0 for any; by is the caller. Errors: fault.Invalid for a status that
// does not exist, fault.NotFound, fault.Precondition when the version is
// another one, fault.Conflict when the move is not allowed (see Moves), and
// the errors of the repository.
func (s *Service) SetStatus(ctx context.Context, id, status string, ifMatch int64, by spec.Publisher) (Order, event.Receipt, error) {
	if err := checkStatus("status", status); err != nil {
		return Order{}, event.Receipt{}, err
	}
	for {
		was, err := s.repo.Get(ctx, id)
		if err != nil {
			return Order{}, event.Receipt{}, err
		}
		if ifMatch != 0 && ifMatch != was.Version {
			return Order{}, event.Receipt{}, &fault.Error{Code: fault.Precondition, Field: "If-Match",
				Reason: fmt.Sprintf("order %s is at version %d (%s), not %d", id, was.Version, was.Status, ifMatch)}
		}
		if err := checkMove(was, status); err != nil {
			return Order{}, event.Receipt{}, err
		}
		next := was
		next.Status = status
		next.Version++
		next.UpdatedAt = s.stamp()
		ev, err := statusChanged(ctx, next, &was.Status, by)
		if err != nil {
			return Order{}, event.Receipt{}, err
		}
		receipt, err := s.repo.Update(ctx, was, next, ev)
		if errors.Is(err, ErrStale) {
			// Another caller moved it in between. Moves never lead back, so this repeats
			// at most once for each remaining status of the order.
			continue
		}
		if err != nil {
			return Order{}, event.Receipt{}, fmt.Errorf("move order %s to %s: %w", id, status, err)
		}
		s.log.Debug("order moved", "order", id, "from", was.Status, "to", status, "event_id", receipt.EventID)
		return next, receipt, nil
	}
}

// Get returns an order. fault.NotFound: there is none.
func (s *Service) Get(ctx context.Context, id string) (Order, error) {
	return s.repo.Get(ctx, id)
}

// List returns one page of orders, newest first. Errors are fault.Invalid with
// the field that is wrong, and the errors of the repository.
func (s *Service) List(ctx context.Context, q spec.OrderQuery) (wire.List[Order], error) {
	if q.Status != "" {
		if err := checkStatus("status", q.Status); err != nil {
			return wire.List[Order]{}, err
		}
	}
	if q.Limit == 0 {
		q.Limit = DefaultPage
	}
	if q.Limit < 1 || q.Limit > MaxPage {
		return wire.List[Order]{}, fault.Field("limit", "is %d; it must be 1 to %d", q.Limit, MaxPage)
	}
	return s.repo.List(ctx, q)
}

// stamp returns the time as a repository returns it: UTC, nanoseconds, no monotonic
// part.
func (s *Service) stamp() time.Time { return s.now().UTC().Round(0) }

// statusChanged makes the event of an order that has just changed its status. previous
// is nil when it was created; by is who has changed it.
func statusChanged(ctx context.Context, o Order, previous *string, by spec.Publisher) (*event.Event, error) {
	data, err := json.Marshal(struct {
		Order
		OrderID        string  `json:"order_id"`
		PreviousStatus *string `json:"previous_status"`
	}{o, o.ID, previous})
	if err != nil {
		return nil, fault.New(fault.Internal, "encode order %s: %w", o.ID, err)
	}
	ev, err := event.New(event.Draft{
		Type:           string(event.OrderStatusChanged),
		Data:           data,
		IdempotencyKey: event.OrderKey(o.ID, o.Version),
		Source:         event.SourceOrders,
		Subject:        o.ID,
		Time:           o.UpdatedAt,
		TraceParent:    event.TraceParentOf(ctx),
	})
	if err != nil {
		return nil, err
	}
	by.Source = event.SourceOrders
	return ev.WithOrigin(event.Origin{Publisher: by}), nil
}

func notFound(id string) error {
	return &fault.Error{Code: fault.NotFound, Field: "id", Reason: "there is no order " + fault.Quote(id)}
}

func exists(id string) error {
	return &fault.Error{Code: fault.Conflict, Field: "id", Reason: "order " + fault.Quote(id) + " exists already"}
}
