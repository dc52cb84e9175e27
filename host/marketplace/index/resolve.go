package index

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/marketplace"
	"github.com/berth-host/berth/host/marketplace/format"
)

// Release is one version that may be installed: everything that the marketplace and the
// publisher have signed about it agrees.
type Release struct {
	Publisher    string
	Name         string
	Version      string
	SHA256       string // of the module, hex, lower case
	Size         int64  // of the module, bytes
	ABI          string
	Capabilities []abi.Capability
	Released     time.Time // as it says, or when it appeared in the list if that was later
	Deprecated   string    // why it should not be used any more, or ""
	Yanked       bool      // resolved only if exactly this version was requested

	Key         string // the publisher's minisign public key, base64; "" if the release is unsigned
	Marketplace string // its name
	Root        string // the key that has signed the marketplace's root, base64; "" if unsigned
	Source      string // the marketplace's URL
	URLs        []string
}

// Reference is publisher/name@version.
func (r Release) Reference() string { return r.Publisher + "/" + r.Name + "@" + r.Version }

// Resolve returns the release to install: name is a plugin's, or publisher/name; the
// constraint is a version ("1.2.0"), a range ("^1.2"), or "" for the highest release. Of
// the matching versions it chooses the highest that is for this ABI, neither yanked nor
// revoked, and old enough; a version that is named exactly may be yanked.
//
// Errors are refusals that carry a format.Kind: fault.NotFound (NoSuchPlugin,
// NoVersion), fault.Conflict (Ambiguous: it names the publishers), fault.Invalid
// for an invalid name or constraint, fault.Denied for a failed check, such as Expired,
// Revoked, TooNew or a signature; or fault.Unavailable and fault.Timeout if the
// marketplace cannot be reached.
func (c *Client) Resolve(ctx context.Context, name, constraint string) (Release, error) {
	publisher, plugin, qualified := strings.Cut(name, "/")
	if !qualified {
		publisher, plugin = "", name
	}
	if !abi.ValidName(plugin) || qualified && !abi.ValidName(publisher) {
		return Release{}, &fault.Error{Code: fault.Invalid, Field: "name", Err: format.BadName,
			Reason: fmt.Sprintf("%.80q is neither a plugin's name nor publisher/name: each is 1 to 63 of a-z, 0-9 and -, not beginning "+
				"with -", name)}
	}
	fits, err := format.Matcher(constraint)
	if err != nil {
		return Release{}, &fault.Error{Code: fault.Invalid, Field: "version", Reason: strings.TrimPrefix(err.Error(), "version: "),
			Err: format.BadVersion}
	}
	s, problem, err := c.list(ctx, true)
	if err != nil {
		return Release{}, err
	}
	// A list that could not be confirmed is used until it expires, if the marketplace only
	// did not answer.
	if !usableOffline(problem) {
		return Release{}, problem
	}
	if s.expired(c.cfg.Now()) {
		return Release{}, c.wrap("", format.Refuse(format.Expired,
			"its list has expired on %s: nothing is installed by it until the marketplace signs a new one",
			s.root.Expires.Format(time.RFC3339)))
	}
	page, err := s.find(publisher, plugin)
	if err != nil {
		return Release{}, c.wrap("", err)
	}
	v, err := c.choose(s, page, constraint, fits)
	if err != nil {
		return Release{}, c.wrap("", err)
	}
	key, err := c.verifyRelease(ctx, s, page, v)
	if err != nil {
		return Release{}, err
	}
	return Release{
		Publisher: page.Publisher, Name: page.Name, Version: v.Version, SHA256: v.SHA256, Size: v.Size, ABI: v.ABI,
		Capabilities: v.Capabilities, Released: s.since(page, v), Deprecated: v.Deprecated, Yanked: v.Yanked,
		Key: key, Marketplace: s.root.Marketplace, Root: s.signer, Source: c.base, URLs: v.URLs,
	}, nil
}

// usableOffline reports whether a refresh failed because the marketplace did not answer
// or has no content. A response that is refused, such as one that is too large, in a
// wrong encoding or redirects elsewhere, may be an attack, and does not count.
func usableOffline(problem error) bool {
	if kind := format.Kind(""); errors.As(problem, &kind) {
		return false
	}
	if errors.Is(problem, marketplace.ErrAbsent) {
		return true
	}
	for err := problem; err != nil; err = errors.Unwrap(err) {
		if f, ok := err.(*fault.Error); ok && (f.Code == fault.Invalid || f.Code == fault.Exhausted) {
			return false
		}
	}
	return true
}

// find returns the page of a plugin, by its name alone if it has one publisher.
func (s *snapshot) find(publisher, name string) (format.Page, error) {
	var found []format.Page
	var others []string
	for _, p := range s.pages {
		if p.Name == name && (publisher == "" || p.Publisher == publisher) {
			found = append(found, p)
			others = append(others, p.Publisher+"/"+p.Name)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return format.Page{}, format.RefuseAs(fault.Conflict, format.Ambiguous, "several publishers have a plugin %s: name one of %s",
			name, strings.Join(others, ", "))
	case publisher != "":
		return format.Page{}, format.RefuseAs(fault.NotFound, format.NoSuchPlugin, "has no plugin %s/%s", publisher, name)
	}
	return format.Page{}, format.RefuseAs(fault.NotFound, format.NoSuchPlugin, "has no plugin %s", name)
}

// choose chooses the version. If none is acceptable, the error concerns the highest
// matching one.
func (c *Client) choose(s *snapshot, p format.Page, constraint string, fits func(string) bool) (format.PageVersion, error) {
	exact := abi.ValidVersion(constraint)
	var refused error
	candidate := func(prerelease bool) (format.PageVersion, bool) {
		for _, v := range p.Versions {
			if exact && v.Version != constraint || !exact && !fits(v.Version) && !(prerelease && format.Prerelease(v.Version)) {
				continue
			}
			err := c.may(s, p, v, exact)
			if err == nil {
				return v, true
			}
			if refused == nil {
				refused = err
			}
		}
		return format.PageVersion{}, false
	}
	if v, ok := candidate(false); ok {
		return v, nil
	}
	// A plugin with pre-releases only is found without a constraint.
	if constraint == "" && refused == nil {
		if v, ok := candidate(true); ok {
			return v, nil
		}
	}
	switch {
	case refused != nil:
		return format.PageVersion{}, refused
	case constraint == "":
		return format.PageVersion{}, format.RefuseAs(fault.NotFound, format.NoVersion, "%s/%s has no version", p.Publisher, p.Name)
	}
	return format.PageVersion{}, format.RefuseAs(fault.NotFound, format.NoVersion, "%s/%s has no version that fits %s", p.Publisher,
		p.Name, constraint)
}

// may says why a version must not be installed; nil if it may.
func (c *Client) may(s *snapshot, p format.Page, v format.PageVersion, exact bool) error {
	name := p.Publisher + "/" + p.Name + "@" + v.Version
	if why := s.revocation(p, v); why != "" {
		return format.Refuse(format.Revoked, "%s was revoked: %s", name, why)
	}
	since := s.since(p, v)
	switch age := c.cfg.Now().Sub(since); {
	case v.ABI != format.ABI:
		return format.RefuseAs(fault.NotFound, format.WrongABI, "%s is for the ABI %q; this host has %s", name, v.ABI, format.ABI)
	case v.Yanked && !exact:
		return format.RefuseAs(fault.NotFound, format.NoVersion, "%s was yanked: it is installed only by its exact version", name)
	case c.cfg.MinimumReleaseAge > 0 && age < c.cfg.MinimumReleaseAge:
		what := "was released"
		if since != v.Released {
			what = "says it is older, and first appeared"
		}
		return format.Refuse(format.TooNew, "%s %s on %s: marketplace.minimum_release_age keeps it back until %s", name, what,
			since.UTC().Format(time.RFC3339), since.Add(c.cfg.MinimumReleaseAge).UTC().Format(time.RFC3339))
	}
	return nil
}

// verifyRelease verifies the publisher's signature of a version. It returns the key, ""
// for an unsigned release that is allowed.
func (c *Client) verifyRelease(ctx context.Context, s *snapshot, p format.Page, v format.PageVersion) (signer string, err error) {
	session := c.cfg.Fetcher.Session()
	defer session.Close()
	path := format.ReleasePath(p.Publisher, p.Name, v.Version)
	text, err := c.listed(ctx, session, s, path, format.MaxRelease)
	if err != nil {
		return "", err
	}
	sig, err := c.listed(ctx, session, s, path+format.SigSuffix, format.MaxSignature)
	if kind := format.Kind(""); errors.As(err, &kind) && kind == format.Absent {
		sig, err = nil, nil
	}
	if err != nil {
		return "", err
	}
	if p.Key == "" && !c.cfg.AllowUnsigned {
		return "", c.wrap("", format.Refuse(format.NoKey, "%s: its publisher has no key", path))
	}
	if p.Key != "" && (sig != nil || !c.cfg.AllowUnsigned) {
		key, err := format.ParseKey(p.Key)
		if err == nil {
			_, err = format.Verify(path, text, sig, []format.Key{key})
		}
		if err != nil {
			return "", c.wrap("", err)
		}
		signer = p.Key
	}
	r, err := format.ParseRelease(text)
	if err == nil {
		err = r.Fits(p, v)
	}
	if err != nil {
		return "", c.wrap(path, err)
	}
	return signer, nil
}

// listed fetches a file and verifies it by the root.
func (c *Client) listed(ctx context.Context, session *marketplace.Session, s *snapshot, path string, limit int64) ([]byte, error) {
	file, ok := s.root.Files[path]
	if !ok {
		return nil, c.wrap("", format.Refuse(format.Absent, "%s: root.json does not list it", path))
	}
	if file.Size > limit {
		return nil, c.wrap("", format.Refuse(format.TooLarge, "%s: %d bytes are over the limit of %d", path, file.Size, limit))
	}
	text, err := session.Get(ctx, c.base+path, file.Size)
	switch {
	case errors.Is(err, marketplace.ErrAbsent):
		err = format.Refuse(format.Absent, "%s: is listed, and is not there", path)
	case fault.Is(err, fault.Exhausted):
		err = format.Refuse(format.WrongSize, "%s: is larger than the %d bytes that were signed", path, file.Size)
	case err == nil:
		err = file.Check(path, text)
	}
	if err != nil {
		return nil, c.wrap("", err)
	}
	return text, nil
}
