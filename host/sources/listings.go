package sources

import (
	"context"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/install"
	"github.com/berth-host/berth/host/marketplace/format"
	"github.com/berth-host/berth/host/marketplace/index"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// Listings implements ports.Marketplace.
func (s *Sources) Listings(ctx context.Context, q spec.ListingQuery) (wire.Marketplace, error) {
	client, err := s.marketplace()
	if err != nil {
		return wire.Marketplace{}, err
	}
	page, err := client.Listings(ctx, q)
	if err != nil {
		return wire.Marketplace{}, upstream(err)
	}
	out := wire.Marketplace{
		Items: []wire.Listing{}, Stale: page.Stale, Reason: page.Problem, FetchedAt: page.Fetched, Expires: page.Expires,
		Expired: page.Expired, Unsigned: page.Unsigned, Marketplace: page.Marketplace,
	}
	if page.Next != "" {
		out.Next = &page.Next
	}
	installed, err := s.Installed()
	if err != nil {
		return wire.Marketplace{}, err
	}
	for _, l := range page.Items {
		out.Items = append(out.Items, listing(l, installed))
	}
	return out, nil
}

// listing returns a plugin of the list with the installed version of the same
// publisher, if any.
func listing(l index.Listing, installed map[string]install.Entry) wire.Listing {
	out := wire.Listing{
		Publisher: l.Publisher, Name: l.Name, Version: l.Latest.Version, Description: l.Description, License: l.License, Homepage: l.Homepage,
		Key: l.Key, Size: l.Latest.Size, SHA256: l.Latest.SHA256, ABI: l.Latest.ABI, Capabilities: capabilities(l.Latest.Capabilities),
		Deprecated: l.Latest.Deprecated, Yanked: l.Latest.Yanked, Versions: []wire.ListingVersion{},
	}
	if l.Latest.Version != "" {
		out.Released = &l.Latest.Released
	}
	for _, v := range l.Versions {
		out.Versions = append(out.Versions, wire.ListingVersion{
			Version: v.Version, ABI: v.ABI, SHA256: v.SHA256, Size: v.Size, Capabilities: capabilities(v.Capabilities),
			Released: v.Released, Deprecated: v.Deprecated, Yanked: v.Yanked, Revoked: v.Revoked,
		})
	}
	if here, ok := installed[l.Name]; ok && here.Publisher == l.Publisher {
		out.Installed = &here.Version.Version
		if out.Version != "" && format.Compare(out.Version, here.Version.Version) > 0 {
			out.UpdateAvailable = &out.Version
		}
	}
	return out
}

func capabilities(list []abi.Capability) []wire.ListingCapability {
	out := []wire.ListingCapability{}
	for _, c := range list {
		out = append(out, wire.ListingCapability{Name: c.Name, Reason: c.Reason, Required: c.Required, Targets: spec.TargetsOf(c)})
	}
	return out
}
