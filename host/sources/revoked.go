package sources

import (
	"context"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/install"
	"github.com/berth-host/berth/host/marketplace/format"
	"github.com/berth-host/berth/host/marketplace/index"
	"github.com/berth-host/berth/host/wire"
)

// Load creates the client of an enabled marketplace, or closes that of a disabled
// one, and logs which installed plugins the stored list has revoked. It makes no
// request.
func (s *Sources) Load() {
	if _, err := s.marketplace(); err != nil && !fault.Is(err, fault.NotFound) {
		s.Logger.Error("marketplace is unusable", "error", err)
	}
}

// loadRevoked stores the revocations of the client's last list, and logs the
// installed plugins among them.
func (s *Sources) loadRevoked(client *index.Client) {
	list, err := client.Revoked(context.Background())
	if fault.Is(err, fault.NotFound) { // no list yet
		s.revoked.Store(nil)
		return
	}
	if err != nil {
		s.Logger.Error("revocations of the marketplace are unknown", "error", err)
		return
	}
	installed, err := s.Installed()
	if err != nil {
		s.Logger.Error("revocations of installed plugins are unknown", "error", err)
	}
	revoked := reasons(list, installed)
	before := s.revoked.Swap(&revoked)
	for name, e := range installed {
		reason, ok := revoked[e.SHA256]
		if !ok || before != nil && (*before)[e.SHA256] == reason { // logged before
			continue
		}
		s.Logger.Error("THE MARKETPLACE HAS REVOKED AN INSTALLED PLUGIN, WHICH KEEPS RUNNING: disable, upgrade or uninstall it",
			"plugin", name, "version", e.Version.Version, "sha256", e.SHA256, "reason", reason)
	}
}

// reasons returns the reasons of revocations by SHA-256: of the digests on the list,
// and of the installed versions whose release is on it.
func reasons(list []format.Revocation, installed map[string]install.Entry) map[string]string {
	revoked := map[string]string{}
	for _, r := range list {
		if r.SHA256 != "" {
			revoked[r.SHA256] = r.Reason
		}
		for name, e := range installed {
			for _, v := range append([]install.Version{e.Version}, e.Former...) {
				if r.Release != "" && r.Release == v.Publisher+"/"+name+"@"+v.Version {
					revoked[v.SHA256] = r.Reason
				}
			}
		}
	}
	return revoked
}

// Revocation returns why the last list of the marketplace has revoked a module; ""
// when it has not.
func (s *Sources) Revocation(sha256 string) string {
	revoked := s.revoked.Load()
	if revoked == nil || !s.Settings().Enabled {
		return ""
	}
	reason, ok := (*revoked)[sha256]
	if !ok {
		return ""
	}
	return "the marketplace has revoked it: " + reason
}

// WithRevocation returns a plugin with the reason of its revocation, if any, before
// its own.
func (s *Sources) WithRevocation(p wire.Plugin) wire.Plugin {
	why := s.Revocation(p.SHA256)
	switch {
	case why == "":
	case p.Reason == "":
		p.Reason = why
	default:
		p.Reason = why + "; " + p.Reason
	}
	return p
}
