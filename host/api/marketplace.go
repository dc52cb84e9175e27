package api

import (
	"context"
	"errors"
	"strconv"

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
	Refresh   bool // fetch the list first, whatever its age
}

// The sizes of a page of listings.
const (
	listingsPage = 50
	listingsMost = 200
)

// listMarketplace is GET /api/v1/plugins/marketplace?q&publisher&limit&cursor&refresh.
func (s *Server) listMarketplace(c echo.Context) (reply, error) {
	if s.cfg.Marketplace == nil {
		return reply{}, fault.New(fault.NotFound, "the marketplace is disabled")
	}
	q, err := query(c, "q", "publisher", "limit", "cursor", "refresh")
	if err != nil {
		return reply{}, err
	}
	limit, err := limitOf(q, listingsPage, listingsMost)
	if err != nil {
		return reply{}, err
	}
	refresh := false
	if text := q.Get("refresh"); text != "" {
		if refresh, err = strconv.ParseBool(text); err != nil {
			return reply{}, fault.Field("refresh", "must be true or false")
		}
	}
	page, err := s.cfg.Marketplace.Listings(c.Request().Context(), MarketplaceQuery{
		Text: q.Get("q"), Publisher: q.Get("publisher"), Cursor: q.Get("cursor"), Limit: limit, Refresh: refresh,
	})
	if err != nil {
		return reply{}, err
	}
	if page.Items == nil {
		page.Items = []wire.Listing{}
	}
	return reply{body: page}, nil
}

// UpstreamError is an error of a server that plugins are installed from, or about its
// answer. Failures of the server are answered 502.
type UpstreamError interface {
	error
	Upstream()
}

// badGateway reports whether an error is a failure of an upstream server.
func badGateway(err error) bool {
	var e UpstreamError
	if !errors.As(err, &e) {
		return false
	}
	switch fault.CodeOf(err) {
	case fault.Unavailable, fault.Timeout, fault.Denied:
		return true
	}
	return false
}
