package wire

import (
	"time"

	"github.com/berth-host/berth/host/spec"
)

// Marketplace is a page of a marketplace's list: GET /api/v1/plugins/marketplace.
type Marketplace struct {
	Items       []Listing `json:"items"`
	Next        *string   `json:"next" jsonschema:"nullable"`
	Stale       bool      `json:"stale"`              // it could not be confirmed since FetchedAt
	Reason      string    `json:"reason,omitempty"`   // why it is stale
	FetchedAt   time.Time `json:"fetched_at"`         // when the marketplace last confirmed it
	Expires     time.Time `json:"expires"`            // from then on the host installs nothing from it
	Expired     bool      `json:"expired"`            // Expires has passed
	Unsigned    bool      `json:"unsigned,omitempty"` // it has no signature
	Marketplace string    `json:"marketplace"`        // its name
}

// Listing is a plugin of a marketplace, with the version that it offers; the fields about a
// version are empty when it offers none.
type Listing struct {
	Publisher       string              `json:"publisher"`
	Name            string              `json:"name"`
	Version         string              `json:"version"`
	Description     string              `json:"description"`
	License         string              `json:"license"`
	Homepage        string              `json:"homepage"`
	Key             string              `json:"key"` // the publisher's minisign public key, or ""
	Size            int64               `json:"size"`
	SHA256          string              `json:"sha256"`
	ABI             string              `json:"abi"`
	Capabilities    []ListingCapability `json:"capabilities"`
	Released        *time.Time          `json:"released" jsonschema:"nullable"`
	Deprecated      string              `json:"deprecated"` // why it should not be used any more, or ""
	Yanked          bool                `json:"yanked"`
	Versions        []ListingVersion    `json:"versions"`                               // all, highest first
	Installed       *string             `json:"installed" jsonschema:"nullable"`        // the installed version of the plugin of this name
	UpdateAvailable *string             `json:"update_available" jsonschema:"nullable"` // Version, when it is higher than Installed
}

// ListingCapability is what a version asks for.
type ListingCapability struct {
	Name     string `json:"name"`
	Reason   string `json:"reason"`
	Required bool   `json:"required"`
	spec.Targets
}

// ListingVersion is one version of a plugin.
type ListingVersion struct {
	Version      string              `json:"version"`
	ABI          string              `json:"abi"`
	SHA256       string              `json:"sha256"`
	Size         int64               `json:"size"` // bytes
	Capabilities []ListingCapability `json:"capabilities"`
	Released     time.Time           `json:"released"`
	Deprecated   string              `json:"deprecated"`
	Yanked       bool                `json:"yanked"`  // only for who asks for exactly this version
	Revoked      string              `json:"revoked"` // why the marketplace has taken it back, or ""
}
