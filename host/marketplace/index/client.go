package index

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/marketplace"
	"github.com/berth-host/berth/host/marketplace/format"
)

// Config configures a Client.
type Config struct {
	URL           string               // of the tree: https, ending in / or in root.json. Required
	TrustedKeys   []string             // minisign public keys in base64 that may sign the root
	AllowUnsigned bool                 // accept unsigned roots and releases
	Fetcher       *marketplace.Fetcher // required
	State         string               // file that keeps the last list and the sequences seen. Required

	MinimumReleaseAge time.Duration // younger releases are not resolved. 0: any age
	RefreshEvery      time.Duration // age from which on a list is fetched again. 0: 5m
	RetryEvery        time.Duration // between a failed refresh and the next one for a list. 0: 30s
	RefreshTimeout    time.Duration // of one refresh. 0: 2m
	ListTimeout       time.Duration // of the wait for a refresh while there is an older list. 0: 3s

	// Refreshed is called after a list was accepted, new or the same. Close waits for it.
	// nil: no call.
	Refreshed func()
	Now       func() time.Time // nil: time.Now
}

// Client is the client of one marketplace. It is safe for concurrent use. Close it.
type Client struct {
	cfg  Config
	base string // the URL of the tree, ending in /
	keys []format.Key
	ctx  context.Context // the client's life
	end  context.CancelFunc
	live sync.WaitGroup // refreshes

	mu      sync.Mutex
	loaded  bool      // the state file was read
	state   state     // its contents
	current *snapshot // the list; nil before the first
	running *refresh  // under way, or nil
	failed  time.Time // when the last refresh failed; zero after a success
	problem error     // why it failed
}

// New returns a client, without reading a file or using the network. fault.Invalid: the
// configuration is wrong.
func New(cfg Config) (*Client, error) {
	base, err := treeURL(cfg.URL)
	if err != nil {
		return nil, err
	}
	c := &Client{base: base}
	for _, text := range cfg.TrustedKeys {
		k, err := format.ParseKey(text)
		if err != nil {
			return nil, fault.Field("marketplace.trusted_keys", "%v", err)
		}
		c.keys = append(c.keys, k)
	}
	if cfg.Fetcher == nil || cfg.State == "" {
		return nil, fault.New(fault.Internal, "index: Config.Fetcher and Config.State are required")
	}
	for value, fallback := range map[*time.Duration]time.Duration{
		&cfg.RefreshEvery: 5 * time.Minute, &cfg.RetryEvery: 30 * time.Second, &cfg.RefreshTimeout: 2 * time.Minute,
		&cfg.ListTimeout: 3 * time.Second,
	} {
		if *value <= 0 {
			*value = fallback
		}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Refreshed == nil {
		cfg.Refreshed = func() {}
	}
	c.cfg = cfg
	c.ctx, c.end = context.WithCancel(context.Background())
	return c, nil
}

// Close cancels a refresh under way and waits for it.
func (c *Client) Close() {
	c.end()
	c.live.Wait()
}

// Refresh fetches the list, whatever its age. The error says why the present list, if
// there is one, could not be confirmed. On success Config.Refreshed has been called.
func (c *Client) Refresh(ctx context.Context) error {
	_, problem, err := c.list(ctx, true)
	if err != nil {
		return err
	}
	return problem
}

// Fetched returns when the list was last confirmed, without the network; zero if there is
// no list.
func (c *Client) Fetched() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.load() != nil || c.current == nil {
		return time.Time{}
	}
	return c.current.fetched
}

// treeURL returns the URL of a tree, to which paths are appended.
func treeURL(raw string) (string, error) {
	const field = "marketplace.index_url"
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		return "", fault.Field(field, "is required: the marketplace's URL")
	case err != nil || u.Host == "":
		return "", fault.Field(field, "is not a URL")
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return "", fault.Field(field, "must have no query and no fragment: the marketplace's files are found by appending their paths")
	}
	if strings.HasSuffix(u.Path, ".json") {
		u.Path, u.RawPath = u.Path[:strings.LastIndexByte(u.Path, '/')+1], ""
	}
	if !strings.HasSuffix(u.Path, "/") {
		u.Path, u.RawPath = u.Path+"/", ""
	}
	return u.String(), nil
}

// Revoked returns the revocations of the last verified root, without the network:
// fault.NotFound if there never was one. A revocation of a release contains the digest of
// its module if the list has it.
func (c *Client) Revoked(context.Context) ([]format.Revocation, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.load(); err != nil {
		return nil, err
	}
	if c.current == nil {
		return nil, fault.New(fault.NotFound, "no list of the marketplace was ever fetched")
	}
	out := append([]format.Revocation(nil), c.current.root.Revoked...)
	for i, r := range out {
		if r.Release == "" {
			continue
		}
		publisher, name, version, err := format.ParseReference(r.Release)
		if err != nil {
			continue // impossible: ParseRoot checks it
		}
		if page, ok := c.current.page(publisher, name); ok {
			if v, ok := page.Version(version); ok {
				out[i].SHA256 = v.SHA256
			}
		}
	}
	return out, nil
}

// wrap adds the marketplace to an error. A wrong response of a server is not the caller's
// mistake: it becomes fault.Unavailable, without a field.
func (c *Client) wrap(what string, err error) error {
	code := fault.CodeOf(err)
	var kind format.Kind
	switch {
	case errors.As(err, &kind): // a refusal keeps its code
	case code == fault.Invalid || code == fault.Exhausted:
		code = fault.Unavailable
	}
	var f *fault.Error
	text := err.Error()
	if errors.As(err, &f) {
		text = f.Reason
	}
	if what != "" {
		text = what + ": " + text
	}
	return &fault.Error{Code: code, Reason: "the marketplace " + c.base + ": " + text, Err: err}
}
