package sources

import (
	"log/slog"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/install"
	"github.com/berth-host/berth/host/marketplace"
	"github.com/berth-host/berth/host/marketplace/index"
)

// Config configures Sources. Fetch and NewTimer are optional.
type Config struct {
	// Settings returns the configuration in force.
	Settings func() config.Marketplace
	// Installed returns the installed plugins by name.
	Installed func() (map[string]install.Entry, error)
	// Secret reads a secret of the operator, for the credentials of servers.
	Secret func(name string) (string, error)
	// State is the path of the file with the marketplace's last list.
	State string
	// Fetch is the base of every fetcher's configuration: its roots, resolver and
	// timeouts.
	Fetch marketplace.Config
	// NewTimer replaces time.NewTimer between refreshes.
	NewTimer func(time.Duration) (fired <-chan time.Time, stop func() bool)
	Logger   *slog.Logger
}

// Sources resolves and downloads releases. It creates the marketplace's client on
// first use, and again after the marketplace's configuration has changed. It is safe
// for concurrent use.
type Sources struct {
	Config
	revoked      atomic.Pointer[map[string]string] // reasons by SHA-256, of the last list; nil without a list
	reconfigured chan struct{}                     // holds one
	failures     atomic.Uint64                     // of refreshes in the background

	mu     sync.Mutex
	made   config.Marketplace // the configuration of client
	client *index.Client      // nil: none yet
	closed bool
}

// New returns the sources of a host. It starts nothing and makes no request.
func New(cfg Config) *Sources {
	if cfg.NewTimer == nil {
		cfg.NewTimer = func(d time.Duration) (<-chan time.Time, func() bool) {
			t := time.NewTimer(d)
			return t.C, t.Stop
		}
	}
	return &Sources{Config: cfg, reconfigured: make(chan struct{}, 1)}
}

// Close ends the marketplace's client and its fetches.
func (s *Sources) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.closeClient()
}

// closeClient requires s.mu.
func (s *Sources) closeClient() {
	if s.client != nil {
		s.client.Close()
	}
	s.client = nil
}

// marketplace returns the client for the configuration in force. fault.NotFound: the
// marketplace is disabled. fault.Unavailable: its configuration is wrong.
func (s *Sources) marketplace() (*index.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cfg := s.Settings() // under s.mu, so that a later call has the later settings
	switch {
	case s.closed:
		return nil, fault.New(fault.Unavailable, "the host is shutting down")
	case !cfg.Enabled:
		s.closeClient()
		return nil, fault.New(fault.NotFound, "the marketplace is disabled")
	case s.client != nil && reflect.DeepEqual(cfg, s.made):
		return s.client, nil
	}
	s.closeClient()
	client, err := s.newClient(cfg)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "the configuration of the marketplace is wrong: %w", err)
	}
	s.client, s.made = client, cfg
	s.loadRevoked(client)
	return client, nil
}

func (s *Sources) newClient(cfg config.Marketplace) (client *index.Client, err error) {
	fetcher, err := s.fetcher(cfg)
	if err != nil {
		return nil, err
	}
	client, err = index.New(index.Config{
		URL:               cfg.IndexURL,
		TrustedKeys:       cfg.TrustedKeys,
		AllowUnsigned:     cfg.AllowUnsigned,
		Fetcher:           fetcher,
		State:             s.State,
		MinimumReleaseAge: cfg.MinimumReleaseAge,
		Refreshed:         func() { s.loadRevoked(client) }, // without s.mu: Close of the client waits for it
	})
	return client, err
}

// fetcher returns a fetcher that may connect to the hosts of a configuration.
func (s *Sources) fetcher(cfg config.Marketplace) (*marketplace.Fetcher, error) {
	out := s.Fetch
	out.AllowPrivateHosts = cfg.AllowPrivateHosts
	out.Secret = s.Secret
	for _, c := range cfg.Credentials {
		out.Credentials = append(out.Credentials, marketplace.Credential{Host: c.Host, Secret: c.Secret,
			Type: marketplace.CredentialType(c.Type)})
	}
	return marketplace.New(out)
}
