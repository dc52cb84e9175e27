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

// Config says which marketplace a Client is of.
type Config struct {
	URL           string               // of the tree: https, ending in / or in root.json. Required
	TrustedKeys   []string             // minisign public keys in base64 that may sign the root
	AllowUnsigned bool                 // take roots and releases that nobody has signed
	Fetcher       *marketplace.Fetcher // whom it may talk to. Required
	State         string               // file that keeps the last list and the sequences seen. Required

	MinimumReleaseAge time.Duration // younger releases are not resolved. 0: any age
	RefreshEvery      time.Duration // a list is fetched again when it is older. 0: 5m
	RetryEvery        time.Duration // a refresh that failed is tried again for lists after this. 0: 30s
	RefreshTimeout    time.Duration // of one refresh. 0: 2m
	ListTimeout       time.Duration // of Listings with a refresh while it has an older list. 0: 3s

	// Refreshed is called after a newer list, or the same one again, was accepted.
	// Close waits for it. nil: nobody wants to know.
	Refreshed func()
	Now       func() time.Time // nil: time.Now
}

// Client is the client of one marketplace. It is safe for concurrent use. Close
// it.
type Client struct {
	cfg  Config
	base string // the URL of the tree, ending in /
	keys []format.Key
	ctx  context.Context // the client's life
	end  context.CancelFunc
	live sync.WaitGroup // refreshes

	mu      sync.Mutex
	loaded  bool      // the state file was read
	state   state     // what is in it
	current *snapshot // the list; nil while there is none
	running *refresh  // under way, or nil
	failed  time.Time // when the last refresh failed; zero when it did not
	problem error     // why it failed
}

// New returns a client. It reads no file and talks to nobody yet. fault.Invalid:
// the configuration is wrong.
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
		&cfg.RefreshEvery: 5 * time.Minute, &cfg.RetryEvery: 30 * time.Second, &cfg.RefreshTimeout: 2 * time.Minute, &cfg.ListTimeout: 3 * time.Second,
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

// Close ends a refresh that is under way and waits for it.
func (c *Client) Close() {
	c.end()
	c.live.Wait()
}

// Refresh fetches the list, whatever its age. The error says why the one there is, if
// there is one, could not be confirmed. Config.Refreshed was called when it is nil.
func (c *Client) Refresh(ctx context.Context) error {
	_, problem, err := c.list(ctx, true)
	if err != nil {
		return err
	}
	return problem
}

// Fetched is when the list was last found to be the marketplace's, without the
// network; zero when there is none.
func (c *Client) Fetched() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.load() != nil || c.current == nil {
		return time.Time{}
	}
	return c.current.fetched
}

// treeURL is the URL of a tree: what its paths are appended to.
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

// Revoked returns what the last verified root has revoked, without the network:
// fault.NotFound when there never was one. A revocation of a release comes with
// the digest of its module where the list has it.
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
			continue // ParseRoot has refused such
		}
		if page, ok := c.current.page(publisher, name); ok {
			if v, ok := page.Version(version); ok {
				out[i].SHA256 = v.SHA256
			}
		}
	}
	return out, nil
}

// wrap names the marketplace in an error. What a server answers wrongly is no
// fault of who asks: it becomes fault.Unavailable, with no field.
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
