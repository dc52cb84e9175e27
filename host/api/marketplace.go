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

// Foreign is in the error of a server that was asked for a plugin or for a list of
// them, or of what it has answered. What it could not do, or what cannot be trusted
// of it, is answered 502.
type Foreign interface {
	error
	Foreign()
}

// badGateway reports whether an error is another server's.
func badGateway(err error) bool {
	var f Foreign
	if !errors.As(err, &f) {
		return false
	}
	switch fault.CodeOf(err) {
	case fault.Unavailable, fault.Timeout, fault.Denied:
		return true
	}
	return false
}
