package host

import (
	"context"
	"os"
	"path/filepath"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/install"
	"github.com/berth-host/berth/host/marketplace/index"
	"github.com/berth-host/berth/host/secret"
	"github.com/berth-host/berth/host/wire"
)

// A module that the marketplace has revoked is neither installed nor rolled back
// to. One that is installed goes on, loudly: who may sign the list could otherwise
// stop what runs here, and its events would wait until they are dropped. The
// operator decides.

// startRevoked says which installed plugins the last list has revoked. It asks
// nobody.
func (h *Host) startRevoked() {
	if !h.current.Load().Marketplace.Enabled {
		return
	}
	if _, err := h.market.index(); err != nil { // which judges
		h.logger.Error("the marketplace cannot be used", "error", err)
	}
}

// judge takes over what the client's last list has revoked, and tells of what is
// installed of it.
func (m *market) judge(client *index.Client) {
	list, err := client.Revoked(context.Background())
	if fault.Is(err, fault.NotFound) { // there never was a list
		m.revoked.Store(nil)
		return
	}
	if err != nil {
		m.h.logger.Error("nobody knows which plugins the marketplace has revoked", "error", err)
		return
	}
	installed, err := m.h.install.Installed()
	if err != nil {
		m.h.logger.Error("nobody knows which installed plugins the marketplace has revoked", "error", err)
	}
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
	before := m.revoked.Swap(&revoked)
	for name, e := range installed {
		reason, ok := revoked[e.SHA256]
		if before != nil && (*before)[e.SHA256] == reason {
			continue // said already
		}
		if ok {
			m.h.logger.Error("THE MARKETPLACE HAS REVOKED AN INSTALLED PLUGIN, WHICH GOES ON: disable, upgrade or uninstall it",
				"plugin", name, "version", e.Version.Version, "sha256", e.SHA256, "reason", reason)
		}
	}
}

// revocation is why the module with a digest was revoked; "" when it was not, as
// far as the last list of the marketplace in use says.
func (h *Host) revocation(sha256 string) string {
	revoked := h.market.revoked.Load()
	if revoked == nil || !h.current.Load().Marketplace.Enabled {
		return ""
	}
	reason, ok := (*revoked)[sha256]
	if !ok {
		return ""
	}
	return "the marketplace has revoked it: " + reason
}

// warned gives a plugin that was revoked the reason why it should not run.
func (h *Host) warned(p wire.Plugin) wire.Plugin {
	why := h.revocation(p.SHA256)
	switch {
	case why == "":
	case p.Reason == "":
		p.Reason = why
	default:
		p.Reason = why + "; " + p.Reason
	}
	return p
}

// secrets are the operator's.
func (h *Host) secrets() secret.Source {
	return secret.Source{Directory: secret.Directory(filepath.Join(h.dataDir(), "secrets")), Env: os.LookupEnv}
}
