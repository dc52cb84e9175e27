package host

import (
	"context"
	"path/filepath"
	"reflect"
	"sync"
	"sync/atomic"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/api"
	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/install"
	"github.com/berth-host/berth/host/marketplace"
	"github.com/berth-host/berth/host/marketplace/format"
	"github.com/berth-host/berth/host/marketplace/index"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// marketFile keeps the marketplace's last list in the data directory, and how new
// a list it has seen.
const marketFile = "marketplace.json"

// market is the marketplace of the current configuration. Its client is made when
// it is first asked for something, and anew when the configuration of it has
// changed; nothing of it runs before. It is safe for concurrent use.
type market struct {
	h *Host

	// revoked is why the last list has revoked modules, by their SHA-256: of the
	// list, and of what is installed.
	revoked atomic.Pointer[map[string]string]
	changed chan struct{} // holds one: the configuration has changed

	mu     sync.Mutex
	made   config.Marketplace // what the client was made of
	client *index.Client      // nil: none yet
	closed bool
}

// startMarket makes the market, which does nothing yet.
func (h *Host) startMarket() {
	m := &market{h: h, changed: make(chan struct{}, 1)}
	h.market = m
	h.undo("the marketplace", func(context.Context) error {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.closed = true
		m.drop()
		return nil
	})
}

// drop ends the client there is. The caller holds m.mu.
func (m *market) drop() {
	if m.client != nil {
		m.client.Close()
	}
	m.client = nil
}

// index returns the client of the current configuration: fault.NotFound when the
// marketplace is disabled, fault.Unavailable when it is configured wrongly, which is
// no fault of who asks.
func (m *market) index() (*index.Client, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	cfg := m.h.current.Load().Marketplace // under m.mu: who comes last has the latest
	switch {
	case m.closed:
		return nil, fault.New(fault.Unavailable, "the host is shutting down")
	case !cfg.Enabled:
		m.drop()
		return nil, fault.New(fault.NotFound, "the marketplace is disabled")
	case m.client != nil && reflect.DeepEqual(cfg, m.made):
		return m.client, nil
	}
	m.drop()
	fetcher, err := m.h.fetcher(cfg)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "the marketplace is configured wrongly: %w", err)
	}
	var client *index.Client
	client, err = index.New(index.Config{
		URL:               cfg.IndexURL,
		TrustedKeys:       cfg.TrustedKeys,
		AllowUnsigned:     cfg.AllowUnsigned,
		Fetcher:           fetcher,
		State:             filepath.Join(m.h.dataDir(), marketFile),
		MinimumReleaseAge: cfg.MinimumReleaseAge,
		Refreshed:         func() { m.judge(client) }, // not under m.mu: to close the client waits for it
	})
	if err != nil {
		return nil, fault.New(fault.Unavailable, "the marketplace is configured wrongly: %w", err)
	}
	m.client, m.made = client, cfg
	m.judge(client)
	return client, nil
}

// fetcher is what may talk to whom a configuration lets it.
func (h *Host) fetcher(cfg config.Marketplace) (*marketplace.Fetcher, error) {
	out := h.fetchConfig
	out.AllowPrivateHosts = cfg.AllowPrivateHosts
	out.Secret = h.secrets().Read
	for _, c := range cfg.Credentials {
		out.Credentials = append(out.Credentials, marketplace.Credential{Host: c.Host, Secret: c.Secret, Type: marketplace.CredentialType(c.Type)})
	}
	return marketplace.New(out)
}

// Listings implements api.Marketplace.
func (m *market) Listings(ctx context.Context, q api.MarketplaceQuery) (wire.Marketplace, error) {
	client, err := m.index()
	if err != nil {
		return wire.Marketplace{}, err
	}
	page, err := client.Listings(ctx, index.Query{Text: q.Text, Publisher: q.Publisher, Cursor: q.Cursor, Limit: q.Limit, Fresh: q.Refresh})
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
	installed, err := m.h.install.Installed()
	if err != nil {
		return wire.Marketplace{}, err
	}
	for _, l := range page.Items {
		out.Items = append(out.Items, listing(l, installed))
	}
	return out, nil
}

// listing shows a plugin of the list beside what is installed here: that is the
// same one only if the publisher is the same.
func listing(l index.Listing, installed map[string]install.Entry) wire.Listing {
	out := wire.Listing{
		Publisher: l.Publisher, Name: l.Name, Version: l.Latest.Version, Description: l.Description, License: l.License, Homepage: l.Homepage,
		Key: l.Key, Size: l.Latest.Size, SHA256: l.Latest.SHA256, ABI: l.Latest.ABI, Capabilities: asked(l.Latest.Capabilities),
		Deprecated: l.Latest.Deprecated, Yanked: l.Latest.Yanked, Versions: []wire.ListingVersion{},
	}
	if l.Latest.Version != "" {
		out.Released = &l.Latest.Released
	}
	for _, v := range l.Versions {
		out.Versions = append(out.Versions, wire.ListingVersion{
			Version: v.Version, ABI: v.ABI, SHA256: v.SHA256, Size: v.Size, Capabilities: asked(v.Capabilities),
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

func asked(list []abi.Capability) []wire.ListingCapability {
	out := []wire.ListingCapability{}
	for _, c := range list {
		out = append(out, wire.ListingCapability{Name: c.Name, Reason: c.Reason, Required: c.Required, Targets: spec.TargetsOf(c)})
	}
	return out
}
