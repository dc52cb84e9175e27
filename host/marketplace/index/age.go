package index

import (
	"time"

	"github.com/berth-host/berth/host/marketplace/format"
)

// rememberAge is how long it is kept when a release has appeared: longer than any
// Config.MinimumReleaseAge is.
const rememberAge = 400 * 24 * time.Hour

// idOf names one release with one content.
func idOf(p format.Page, v format.PageVersion) string {
	return p.Publisher + "/" + p.Name + "@" + v.Version + " " + v.SHA256
}

// appeared says of the releases that a list has, and one before it had not, when
// they were first there. Of the first list nothing is known.
func appeared(old, next *snapshot) map[string]time.Time {
	if old == nil {
		return nil
	}
	had := map[string]bool{}
	for _, p := range old.pages {
		for _, v := range p.Versions {
			had[idOf(p, v)] = true
		}
	}
	out := map[string]time.Time{}
	for _, p := range next.pages {
		for _, v := range p.Versions {
			id := idOf(p, v)
			since, known := old.appeared[id]
			if !had[id] {
				since, known = next.fetched, true
			}
			if known && next.fetched.Sub(since) < rememberAge {
				out[id] = since
			}
		}
	}
	return out
}

// since is when a release came out: when it says so itself, or when it appeared if
// that was later. Whoever signs it may write any time into it.
func (s *snapshot) since(p format.Page, v format.PageVersion) time.Time {
	if t := s.appeared[idOf(p, v)]; t.After(v.Released) {
		return t
	}
	return v.Released
}

// revocation is why a release was revoked; "" when it was not.
func (s *snapshot) revocation(p format.Page, v format.PageVersion) string {
	if why, ok := s.revoked[v.SHA256]; ok {
		return why
	}
	return s.revoked[p.Publisher+"/"+p.Name+"@"+v.Version]
}
