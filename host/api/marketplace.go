package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// Marketplace lists what can be installed from elsewhere.
type Marketplace interface {
	// Listings answers a page of the list. fault.NotFound: the marketplace is
	// disabled. fault.Unavailable, fault.Timeout, fault.Denied: it cannot be had, or
	// not be trusted, and there is no older list.
	Listings(ctx context.Context, q MarketplaceQuery) (wire.Marketplace, error)
}

// MarketplaceQuery selects plugins of a marketplace.
type MarketplaceQuery struct {
	Text      string // words that name, publisher or description hold; "" for all
	Publisher string // "" for all
	Cursor    string // "" for the first page
	Limit     int
}

// The sizes of a page of listings.
const (
	listingsPage = 50
	listingsMost = 200
)

// listMarketplace is GET /api/v1/plugins/marketplace?q&publisher&limit&cursor.
func (s *Server) listMarketplace(c echo.Context) (reply, error) {
	if s.cfg.Marketplace == nil {
		return s.marketplace(c)
	}
	q, err := query(c, "q", "publisher", "limit", "cursor")
	if err != nil {
		return reply{}, err
	}
	limit, err := limitOf(q, listingsPage, listingsMost)
	if err != nil {
		return reply{}, err
	}
	page, err := s.cfg.Marketplace.Listings(c.Request().Context(), MarketplaceQuery{
		Text: q.Get("q"), Publisher: q.Get("publisher"), Cursor: q.Get("cursor"), Limit: limit,
	})
	if err != nil {
		return reply{}, upstream(err)
	}
	if page.Items == nil {
		page.Items = []wire.Listing{}
	}
	return reply{body: page}, nil
}

// upstream says of an error of somebody else's server that it is that: 502. Its
// code stays.
func upstream(err error) error {
	var known *refusal
	if errors.As(err, &known) {
		return err
	}
	switch fault.CodeOf(err) {
	case fault.Unavailable, fault.Timeout, fault.Denied:
		return &refusal{status: http.StatusBadGateway, error: err}
	}
	return err
}
