package api

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// EventIDHeader names the event that a change of an order published.
const EventIDHeader = "Berth-Event-Id"

const (
	ordersPage = 50
	ordersMost = 500
)

// createOrder is POST /api/v1/orders.
func (s *Server) createOrder(c echo.Context) (reply, error) {
	n, err := decodeBody[wire.NewOrder](s, c)
	if err != nil {
		return reply{}, err
	}
	o, receipt, err := s.cfg.Orders.Create(c.Request().Context(), n)
	if err != nil {
		return reply{}, err
	}
	r := orderReply(o, &receipt)
	r.status = http.StatusCreated
	r.header["Location"] = "/api/v1/orders/" + url.PathEscape(o.ID)
	return r, nil
}

// listOrders is GET /api/v1/orders?status&customer_id&limit&cursor.
func (s *Server) listOrders(c echo.Context) (reply, error) {
	q, err := query(c, "status", "customer_id", "limit", "cursor")
	if err != nil {
		return reply{}, err
	}
	limit, err := limitOf(q, ordersPage, ordersMost)
	if err != nil {
		return reply{}, err
	}
	page, err := s.cfg.Orders.List(c.Request().Context(), OrderQuery{
		Status: q.Get("status"), Customer: q.Get("customer_id"), Cursor: q.Get("cursor"), Limit: limit,
	})
	if err != nil {
		return reply{}, err
	}
	if page.Items == nil {
		page.Items = []wire.Order{}
	}
	return reply{body: page}, nil
}

// showOrder is GET /api/v1/orders/:id.
func (s *Server) showOrder(c echo.Context) (reply, error) {
	id, err := param(c, "id")
	if err != nil {
		return reply{}, err
	}
	o, err := s.cfg.Orders.Get(c.Request().Context(), id)
	if err != nil {
		return reply{}, err
	}
	r := orderReply(o, nil)
	seen, err := unchanged(c, r.header["ETag"])
	if seen {
		r.status, r.body = http.StatusNotModified, nil
	}
	return r, err
}

// moveOrder is POST /api/v1/orders/:id/status.
func (s *Server) moveOrder(c echo.Context) (reply, error) {
	id, err := param(c, "id")
	if err != nil {
		return reply{}, err
	}
	wanted, err := ifMatch(c)
	if err != nil {
		return reply{}, err
	}
	move, err := decodeBody[struct {
		Status string `json:"status"`
	}](s, c)
	if err != nil {
		return reply{}, err
	}
	version, err := s.wantedVersion(c.Request().Context(), id, wanted)
	if err != nil {
		return reply{}, err
	}
	o, receipt, err := s.cfg.Orders.SetStatus(c.Request().Context(), id, move.Status, version)
	if err != nil {
		return reply{}, err
	}
	return orderReply(o, &receipt), nil
}

// orderReply shows an order with its version as the entity tag.
func orderReply(o wire.Order, receipt *event.Receipt) reply {
	r := reply{body: o, header: map[string]string{"ETag": strconv.Quote(strconv.FormatInt(o.Version, 10))}}
	if receipt != nil {
		r.header[EventIDHeader] = receipt.EventID
	}
	return r
}

// wantedVersion is the version that an order must have for a change, 0 for any.
// Of several the one it has counts; SetStatus looks again in its transaction.
func (s *Server) wantedVersion(ctx context.Context, id string, wanted entityTags) (int64, error) {
	if !wanted.given || wanted.any {
		return 0, nil
	}
	if version, ok := wanted.single(); ok {
		return version, nil
	}
	o, err := s.cfg.Orders.Get(ctx, id)
	if err != nil {
		return 0, err
	}
	tag := strconv.FormatInt(o.Version, 10)
	if !wanted.match(tag) {
		return 0, &fault.Error{Code: fault.Precondition, Field: "If-Match",
			Reason: fmt.Sprintf("none of the versions named is the order's: that is %q", tag)}
	}
	return o.Version, nil
}
