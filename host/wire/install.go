package wire

import "github.com/berth-host/berth/host/spec"

// Uninstalled says that a plugin whose file was removed here is still on other hosts of the cluster.
type Uninstalled struct {
	RemainsOn []string `json:"remains_on"` // their names
}

// Install is the body of POST /api/v1/plugins/install, one of three: a name, and a
// version, a constraint such as "^1.2" or "" for the latest, of the marketplace; a
// URL with the SHA-256 (64 hex digits) of the module, and a name if the
// module has none; or a reference into a registry, oci://...
type Install struct {
	Name    string `json:"name,omitempty"`
	Version string `json:"version,omitempty"`
	URL     string `json:"url,omitempty"`
	SHA256  string `json:"sha256,omitempty"`
	Ref     string `json:"ref,omitempty"`
	// Approve is the digest of the plan that was answered with 409 approval_required.
	Approve string `json:"approve,omitempty"`
}

// Upgrade is the body of POST /api/v1/events/plugins/{name}/upgrade. It may be empty for a
// plugin of the marketplace.
type Upgrade struct {
	Version string `json:"version,omitempty"`
	URL     string `json:"url,omitempty"`
	SHA256  string `json:"sha256,omitempty"`
	Ref     string `json:"ref,omitempty"`
	Approve string `json:"approve,omitempty"`
}

// Rollback is the body of POST /api/v1/events/plugins/{name}/rollback: a former version, or
// its SHA-256; "" is the previous one.
type Rollback struct {
	Version string `json:"version,omitempty"`
}

// Plan describes an installation, for the operator to approve. Its digest covers all other
// fields.
type Plan struct {
	Digest       string              `json:"digest"` // SHA-256, hex
	Action       string              `json:"action"` // install or upgrade
	Name         string              `json:"name"`
	Version      string              `json:"version"`
	From         string              `json:"from,omitempty"` // the version that is replaced
	Publisher    string              `json:"publisher,omitempty"`
	SignedBy     string              `json:"signed_by"` // a key's id, "" when unsigned
	Source       string              `json:"source"`
	SHA256       string              `json:"sha256"`
	Size         int64               `json:"size"` // bytes
	Description  string              `json:"description,omitempty"`
	License      string              `json:"license,omitempty"`
	Capabilities []PlannedCapability `json:"capabilities"`
}

// PlannedCapability is a capability that a plugin requests. New: it was not approved before;
// approving the plan grants it.
type PlannedCapability struct {
	spec.Grant
	Reason   string `json:"reason"`
	Required bool   `json:"required"`
	Granted  bool   `json:"granted"`
	New      bool   `json:"new"`
}

// Progress is one event of the stream that an installation can answer.
type Progress struct {
	Step  string `json:"step"`  // resolve, download, vet, store, probe, commit or start
	Done  int64  `json:"done"`  // bytes, of a download
	Total int64  `json:"total"` // bytes, 0 when unknown
}

// Stored is a version of an installed plugin in the host's store, with the result of
// hashing it.
type Stored struct {
	Plugin   string `json:"plugin"`
	Version  string `json:"version"`
	SHA256   string `json:"sha256"` // as the lock has it
	Source   string `json:"source"`
	SignedBy string `json:"signed_by"`
	Current  bool   `json:"current"` // false: kept to roll back to
	OK       bool   `json:"ok"`
	Problem  string `json:"problem"` // "" when OK
}
