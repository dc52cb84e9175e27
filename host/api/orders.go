package api

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

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
	n, err := decodeBody[wire.NewOrder](c)
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
	return orderReply(o, nil), nil
}

// moveOrder is POST /api/v1/orders/:id/status.
func (s *Server) moveOrder(c echo.Context) (reply, error) {
	id, err := param(c, "id")
	if err != nil {
		return reply{}, err
	}
	ifMatch, err := ifMatch(c.Request().Header.Values("If-Match"))
	if err != nil {
		return reply{}, err
	}
	move, err := decodeBody[struct {
		Status string `json:"status"`
	}](c)
	if err != nil {
		return reply{}, err
	}
	o, receipt, err := s.cfg.Orders.SetStatus(c.Request().Context(), id, move.Status, ifMatch)
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

// ifMatch reads the version a caller has seen: an order's entity tag ("3", with
// its quotes or without), or 0 for any version (no header, or *). RFC 9110,
// section 13.1.1; weak tags never match, and there is one tag at a time.
func ifMatch(header []string) (int64, error) {
	if len(header) == 0 || len(header) == 1 && header[0] == "*" {
		return 0, nil
	}
	text := header[0]
	if inner, quoted := strings.CutPrefix(text, `"`); quoted {
		text, quoted = strings.CutSuffix(inner, `"`)
		if !quoted {
			text = ""
		}
	}
	version, err := strconv.ParseInt(text, 10, 64)
	if len(header) > 1 || err != nil || version < 1 {
		return 0, fault.Field("If-Match", `must be one version of the order, as its ETag gives it, such as "3"`)
	}
	return version, nil
}
