package install

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// Request says what to install.
type Request struct {
	Name      string // of the plugin; with URL or Ref "" for the one of its manifest
	Version   string // a version or a constraint of the marketplace; "" for the latest
	URL       string // of the module, with SHA256
	SHA256    string // hex
	Ref       string // oci://...
	Publisher string // at an upgrade, whose plugin it must be; "" for any
	// Agreed is shown, at an upgrade, the plugin as it is when nothing else can be
	// installed, upgraded or rolled back any more, and refuses by its error. nil: it is
	// upgraded whatever it is.
	Precondition func(wire.Plugin) error
}

// direct reports whether the operator has said where it is.
func (r Request) direct() bool { return r.URL != "" || r.Ref != "" }

// exact reports whether the operator has named the very contents. A tag does not: it
// is moved by whoever may write to the registry.
func (r Request) exact() bool { return r.URL != "" || strings.Contains(r.Ref, "@") }

// Release is a version of a plugin as its source vouches for it.
type Release struct {
	Name         string // "" when only the module says
	Version      string // likewise
	Publisher    string
	SHA256       string // of the module, hex
	Size         int64  // of the module in bytes; 0 when that is not known
	ABI          string // "" when that is not known
	Capabilities []abi.Capability
	SignedBy     string    // the id of the key whose signature was checked; "" when unsigned
	Source       string    // for the lock: "marketplace https://...", "url https://..." or "oci://...@sha256:..."
	Released     time.Time // zero when that is not known
	Handle       any       // the Source's own, for Open; recorded nowhere
	Description  string
	License      string
}

// Source knows releases and where their modules are. Signatures, withdrawals and
// constraints are its business. It is called by one transaction at a time.
type Source interface {
	// Resolve finds the release that is asked for, or says why there is none.
	Resolve(ctx context.Context, r Request) (Release, error)
	// Open reads the release's module from an offset on. An error of it, or of the
	// reading, whose code is fault.Unavailable, fault.Timeout or none is passing:
	// Open is called again from where the reading has ended.
	Open(ctx context.Context, r Release, offset int64) (io.ReadCloser, error)
}

// Vetter vets modules without running them, and keeps no reference to their bytes.
type Vetter interface {
	Vet(ctx context.Context, module spec.Artifact) error
}

// Plugins runs plugins.
type Plugins interface {
	// Free answers nil when the name is nobody's, or an installed plugin's.
	Free(ctx context.Context, name string) error
	// Prepare loads the module and starts its first instance, without an event, as if
	// approved were granted besides what the settings grant. The candidate of an error
	// is nil.
	Prepare(ctx context.Context, name string, module spec.Artifact, approved []abi.Capability) (Candidate, error)
	// Pin runs this module in place of the former one of the name, which goes on
	// if this one does not start.
	Pin(ctx context.Context, p spec.Pin) (wire.Plugin, error)
	// Unpin ends the plugin. fault.NotFound when it is not pinned.
	Unpin(ctx context.Context, name string) error
	// Uninstall drains the plugin, calls commit unless it is nil, and forgets the
	// plugin and every file of its name. After an error it goes on as before.
	Uninstall(ctx context.Context, name string, commit func() error) error
	// Plugin shows a plugin; fault.NotFound.
	Plugin(name string) (wire.Plugin, error)
}

// Candidate is a version that is started and gets no events yet.
type Candidate interface {
	// Promote makes it the plugin of its name, in place of the former version, which goes
	// on if this one fails. path is that of the stored module.
	Promote(ctx context.Context, path string) (wire.Plugin, error)
	// Discard ends it, unless it was promoted.
	Discard()
}

// Settings is the configuration file as far as installing concerns it.
type Settings interface {
	// Lacking returns what of asked the file does not grant the handler.
	Lacking(name string, asked []abi.Capability) []abi.Capability
	// Snapshot is what Restore needs to take back an Admit that is about to come.
	Snapshot(name string, grants []abi.Capability) (json.RawMessage, error)
	// Admit grants the handler these as well. Nothing is written for none.
	Admit(name string, grants []abi.Capability) error
	// Restore takes back what Admit did since the snapshot, if it did, and nothing
	// that somebody else has written.
	Restore(name string, snapshot json.RawMessage) error
	// Remove removes the handler's section.
	Remove(name string) error
	// Routes are the routes that name the handler.
	Routes(name string) []string
}

// State is what the host keeps for a handler.
type State interface {
	// Forget drops the handler's place in the log and its outcomes.
	Forget(ctx context.Context, name string) error
	// Purge drops what the plugin has stored.
	Purge(ctx context.Context, name string) error
}

// Codec writes and reads the lock file. It refuses what it did not write.
type Codec interface {
	Marshal(v any) ([]byte, error)
	Unmarshal(text []byte, v any) error
}
