package host

import (
	"bytes"
	"context"
	"encoding/hex"
	"io"
	"net/url"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/install"
	"github.com/berth-host/berth/host/marketplace"
)

// sources are where plugins may be installed from.
type sources struct{ h *Host }

// Resolve implements install.Source.
func (s sources) Resolve(_ context.Context, r install.Request) (install.Release, error) {
	switch {
	case r.URL != "":
		return byURL(r)
	case r.Ref != "":
		return install.Release{}, fault.Field("ref", "this host installs from no registry")
	}
	return install.Release{}, fault.New(fault.NotFound, "the marketplace is disabled")
}

// byURL makes a release of contents that the operator names by digest: all else
// about them the module says.
func byURL(r install.Request) (install.Release, error) {
	sum, err := hex.DecodeString(r.SHA256)
	if err != nil || len(sum) != 32 {
		return install.Release{}, fault.Field("sha256", "must be the SHA-256 of the module: 64 hexadecimal digits")
	}
	return install.Release{Name: r.Name, SHA256: hex.EncodeToString(sum), Handle: r.URL, Source: "url " + bareURL(r.URL)}, nil
}

// bareURL leaves out of a URL what may be a secret.
func bareURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// Open implements install.Source. A module by URL is fetched and checked as a
// whole, whatever the offset.
func (s sources) Open(ctx context.Context, rel install.Release, offset int64) (io.ReadCloser, error) {
	rawURL, ok := rel.Handle.(string)
	if !ok {
		return nil, fault.New(fault.Internal, "%s is no source", rel.Source)
	}
	// Made for every fetch: whom it may talk to is in the configuration.
	fetcher, err := marketplace.New(marketplace.Config{AllowPrivateHosts: s.h.current.Load().Marketplace.AllowPrivateHosts})
	if err != nil {
		return nil, err
	}
	wasm, err := fetcher.Fetch(ctx, rawURL, rel.SHA256)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(wasm[min(offset, int64(len(wasm))):])), nil
}
