package index

import (
	"context"
	"strings"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/marketplace/format"
	"github.com/berth-host/berth/host/spec"
)

// The sizes of a Page.
const (
	defaultLimit = 50
	maxLimit     = 200
	maxQuery     = 256 // bytes
)

// Page is a part of the list, sorted by name, then by publisher.
type Page struct {
	Items       []Listing
	Next        string // "" at the end
	Marketplace string // its name
	Sequence    int64
	Unsigned    bool      // the root has no signature
	Stale       bool      // it could not be confirmed since Fetched
	Problem     string    // why not, or ""
	Fetched     time.Time // when it was last confirmed
	Expires     time.Time
	Expired     bool // nothing is installed by it
}

// Listing is one plugin with its versions.
type Listing struct {
	Publisher   string
	Name        string
	Description string
	License     string
	Homepage    string
	Key         string    // the publisher's, in base64; "" if its releases are unsigned
	Latest      Version   // its Version is "" if none can be installed
	Versions    []Version // all, in falling order
}

// Version is one version of a plugin.
type Version struct {
	Version      string
	SHA256       string
	Size         int64 // bytes
	ABI          string
	Capabilities []abi.Capability
	Released     time.Time
	Deprecated   string // why it should not be used, or ""
	Yanked       bool
	Revoked      string // why it is revoked, or ""
}

// Listings returns the marketplace's plugins, from a list that is at most
// Config.RefreshEvery old if it can be fetched soon (with Refresh: fetched now, as
// for an installation), otherwise from the kept list. Errors: fault.Invalid for the
// query; that of the refresh if there is no list.
func (c *Client) Listings(ctx context.Context, q spec.ListingQuery) (Page, error) {
	if len(q.Text) > maxQuery {
		return Page{}, fault.Field("q", "is %d bytes long: the limit is %d", len(q.Text), maxQuery)
	}
	if q.Limit < 0 || q.Limit > maxLimit {
		return Page{}, fault.Field("limit", "must be from 1 to %d", maxLimit)
	}
	after, err := parseCursor(q.Cursor)
	if err != nil {
		return Page{}, err
	}
	s, problem, err := c.list(ctx, q.Refresh)
	if err != nil {
		return Page{}, err
	}
	now := c.cfg.Now()
	p := Page{
		Items: []Listing{}, Marketplace: s.root.Marketplace, Sequence: s.root.Sequence, Unsigned: s.signer == "",
		Fetched: s.fetched, Expires: s.root.Expires, Expired: s.expired(now), Stale: !within(now, s.fetched, c.cfg.RefreshEvery),
	}
	p.Stale = p.Stale || q.Refresh && problem != nil
	if p.Stale && problem != nil {
		p.Problem = problem.Error()
	}
	limit := q.Limit
	if limit == 0 {
		limit = defaultLimit
	}
	words := strings.Fields(strings.ToLower(q.Text))
	for _, page := range s.pages {
		if !matches(page, words, q.Publisher) || q.Cursor != "" && comparePositions(positionOf(page), after) <= 0 {
			continue
		}
		if len(p.Items) == limit {
			last := p.Items[limit-1]
			p.Next = last.Name + "/" + last.Publisher
			break
		}
		p.Items = append(p.Items, c.listing(s, page))
	}
	return p, nil
}

// list returns the list in use. If it is too old, or fresh is set, it is fetched first;
// problem says why that failed. Without any list that is the error.
func (c *Client) list(ctx context.Context, fresh bool) (s *snapshot, problem, err error) {
	c.mu.Lock()
	if err := c.load(); err != nil {
		c.mu.Unlock()
		return nil, nil, err
	}
	now := c.cfg.Now()
	tooSoon := !c.failed.IsZero() && within(now, c.failed, c.cfg.RetryEvery) && !fresh
	young := !fresh && c.current != nil && within(now, c.current.fetched, c.cfg.RefreshEvery)
	if young || tooSoon {
		defer c.mu.Unlock()
		if c.current == nil {
			return nil, nil, c.problem
		}
		return c.current, c.problem, nil
	}
	r, have := c.start(), c.current != nil
	c.mu.Unlock()
	var expired <-chan time.Time
	if have && !fresh {
		t := time.NewTimer(c.cfg.ListTimeout)
		defer t.Stop()
		expired = t.C
	}
	select {
	case <-r.done:
		problem = r.err
	case <-expired:
		problem = fault.New(fault.Unavailable, "the marketplace has not answered yet")
	case <-ctx.Done():
		if !have {
			return nil, nil, fault.New(fault.Timeout, "the marketplace has not answered in time: %w", ctx.Err())
		}
		problem = ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current == nil {
		return nil, nil, problem
	}
	return c.current, problem, nil
}

// within reports whether a time is at most window ago. A time in the future is not: the
// clock was wrong then, and its age is unknown.
func within(now, then time.Time, window time.Duration) bool {
	age := now.Sub(then)
	return age >= 0 && age <= window
}

// listing returns a plugin's listing. Its Latest is the version that Resolve returns
// without a constraint.
func (c *Client) listing(s *snapshot, p format.Page) Listing {
	l := Listing{Publisher: p.Publisher, Name: p.Name, Description: p.Description, License: p.License, Homepage: p.Homepage, Key: p.Key}
	best := -1
	for i, v := range p.Versions {
		out := Version{
			Version: v.Version, SHA256: v.SHA256, Size: v.Size, ABI: v.ABI, Capabilities: v.Capabilities,
			Released: v.Released, Deprecated: v.Deprecated, Yanked: v.Yanked,
		}
		out.Revoked = s.revocation(p, v)
		l.Versions = append(l.Versions, out)
		if c.may(s, p, v, false) == nil && (best < 0 || format.Prerelease(p.Versions[best].Version) && !format.Prerelease(v.Version)) {
			best = i
		}
	}
	if best >= 0 {
		l.Latest = l.Versions[best]
	}
	return l
}

// matches reports whether a page contains every word.
func matches(p format.Page, words []string, publisher string) bool {
	if publisher != "" && p.Publisher != publisher {
		return false
	}
	text := strings.ToLower(p.Name + "\n" + p.Publisher + "/" + p.Name + "\n" + p.Description)
	for _, w := range words {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

// position is a plugin's position in the list.
type position struct{ name, publisher string }

func positionOf(p format.Page) position { return position{p.Name, p.Publisher} }

func comparePositions(a, b position) int {
	if c := strings.Compare(a.name, b.name); c != 0 {
		return c
	}
	return strings.Compare(a.publisher, b.publisher)
}

func parseCursor(s string) (position, error) {
	if s == "" {
		return position{}, nil
	}
	name, publisher, _ := strings.Cut(s, "/")
	if !abi.ValidName(name) || !abi.ValidName(publisher) {
		return position{}, fault.Field("cursor", "is not one that a list has given")
	}
	return position{name, publisher}, nil
}
