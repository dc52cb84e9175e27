package index

import (
	"time"

	"github.com/berth-host/berth/host/marketplace/format"
)

// rememberAge is how long the first appearance of a release is kept: longer than any
// Config.MinimumReleaseAge.
const rememberAge = 400 * 24 * time.Hour

// idOf identifies a release with its content.
func idOf(p format.Page, v format.PageVersion) string {
	return p.Publisher + "/" + p.Name + "@" + v.Version + " " + v.SHA256
}

// appeared returns when the releases of a list that a former list lacked appeared. For
// the first list it returns nothing.
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

// since returns the time of a release: its own date, or its first appearance if that was
// later. A signer can write any date.
func (s *snapshot) since(p format.Page, v format.PageVersion) time.Time {
	if t := s.appeared[idOf(p, v)]; t.After(v.Released) {
		return t
	}
	return v.Released
}

// revocation returns why a release is revoked; "" if it is not.
func (s *snapshot) revocation(p format.Page, v format.PageVersion) string {
	if why, ok := s.revoked[v.SHA256]; ok {
		return why
	}
	return s.revoked[p.Publisher+"/"+p.Name+"@"+v.Version]
}
