package api

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/berth-host/berth/host/api/describe"
	"github.com/berth-host/berth/host/api/etag"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// createOrder is POST /api/v1/orders.
func (s *Server) createOrder(r *request) (any, error) {
	n := body[wire.NewOrder](r)
	if r.err != nil {
		return nil, r.err
	}
	ctx, end := s.sendingOrder(r.ctx())
	o, receipt, err := s.cfg.Orders.Create(ctx, n, publisherOf(r.caller.Token))
	end(receipt.EventID, err)
	answer := orderReply(o, &receipt)
	answer.status = http.StatusCreated
	answer.header["Location"] = ordersPath + "/" + url.PathEscape(o.ID)
	return answer, err
}

func (r *request) orderQuery() spec.OrderQuery {
	q := r.query("status", "customer_id", "limit", "cursor")
	return spec.OrderQuery{Status: q.Get("status"), Customer: q.Get("customer_id"), Cursor: q.Get("cursor"),
		Limit: r.limit(q, describe.MaxPage)}
}

// listOrders is GET /api/v1/orders?status&customer_id&limit&cursor.
func (s *Server) listOrders(ctx context.Context, q spec.OrderQuery) (wire.List[wire.Order], error) {
	page, err := s.cfg.Orders.List(ctx, q)
	page.Items = orEmpty(page.Items)
	return page, err
}

// showOrder is GET /api/v1/orders/:id.
func (s *Server) showOrder(r *request) (any, error) {
	id := r.param("id")
	if r.err != nil {
		return nil, r.err
	}
	o, err := s.cfg.Orders.Get(r.ctx(), id)
	if err != nil {
		return nil, err
	}
	answer := orderReply(o, nil)
	same, err := etag.Unchanged(r.Request(), answer.header["ETag"])
	if same {
		answer.status, answer.body = http.StatusNotModified, nil
	}
	return answer, err
}

// moveOrder is POST /api/v1/orders/:id/status.
func (s *Server) moveOrder(r *request) (any, error) {
	id, wanted := r.param("id"), r.ifMatch()
	move := body[struct {
		Status string `json:"status"`
	}](r)
	if r.err != nil {
		return nil, r.err
	}
	version, err := s.wantedVersion(r.ctx(), id, wanted)
	if err != nil {
		return nil, err
	}
	ctx, end := s.sendingOrder(r.ctx())
	o, receipt, err := s.cfg.Orders.SetStatus(ctx, id, move.Status, version, publisherOf(r.caller.Token))
	end(receipt.EventID, err)
	return orderReply(o, &receipt), err
}

// sendingOrder starts the span of publishing the event of an order.
func (s *Server) sendingOrder(ctx context.Context) (_ context.Context, end func(id string, err error)) {
	if s.cfg.Tracer == nil {
		return ctx, func(string, error) {}
	}
	return s.cfg.Tracer.Publish(ctx, string(event.OrderStatusChanged), 1, "")
}

// orderReply shows an order with its version as the entity tag.
func orderReply(o wire.Order, receipt *event.Receipt) reply {
	r := reply{body: o, header: map[string]string{"ETag": strconv.Quote(strconv.FormatInt(o.Version, 10))}}
	if receipt != nil {
		r.header[describe.EventIDHeader] = receipt.EventID
	}
	return r
}

// wantedVersion returns the version that an order must have for a change, 0 for any. If
// the header names several, it must name the present one; SetStatus compares again in its
// transaction.
func (s *Server) wantedVersion(ctx context.Context, id string, wanted etag.Tags) (int64, error) {
	if !wanted.Given || wanted.Any {
		return 0, nil
	}
	if version, ok := wanted.Version(); ok {
		return version, nil
	}
	o, err := s.cfg.Orders.Get(ctx, id)
	if err != nil {
		return 0, err
	}
	tag := strconv.FormatInt(o.Version, 10)
	if !wanted.Match(tag) {
		return 0, &fault.Error{Code: fault.Precondition, Field: "If-Match",
			Reason: fmt.Sprintf("none of the versions named is the order's: that is %q", tag)}
	}
	return o.Version, nil
}
