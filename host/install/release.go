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
	Publisher string // required of an upgrade; "" for any
	// Precondition, unless nil, gets the plugin to be upgraded as it is at the start of the
	// transaction, and refuses the upgrade by its error.
	Precondition func(wire.Plugin) error
}

// direct reports whether the request names a source other than the marketplace.
func (r Request) direct() bool { return r.URL != "" || r.Ref != "" }

// exact reports whether the request names a digest. A tag is none: it can be moved.
func (r Request) exact() bool { return r.URL != "" || strings.Contains(r.Ref, "@") }

// Release is a version of a plugin as its source describes it.
type Release struct {
	Name         string // "" if only the module names it
	Version      string // likewise
	Publisher    string
	SHA256       string // of the module, hex
	Size         int64  // of the module in bytes; 0 if unknown
	ABI          string // "" if unknown
	Capabilities []abi.Capability
	SignedBy     string    // the id of the verified key; "" if unsigned
	Source       string    // for the lock: "marketplace https://...", "url https://..." or "oci://...@sha256:..."
	Released     time.Time // zero if unknown
	Handle       any       // for Source.Open; not recorded
	Description  string
	License      string
}

// Source finds releases and their modules. It verifies signatures, revocations and
// constraints. One transaction at a time calls it.
type Source interface {
	// Resolve returns the requested release, or why there is none.
	Resolve(ctx context.Context, r Request) (Release, error)
	// Open reads the release's module from an offset on. An error of it, or of the reading,
	// with the code fault.Unavailable, fault.Timeout or none is temporary: Open is called
	// again with the offset that was reached.
	Open(ctx context.Context, r Release, offset int64) (io.ReadCloser, error)
}

// Vetter vets modules without running them, and keeps no reference to their bytes.
type Vetter interface {
	Vet(ctx context.Context, module spec.Artifact) error
}

// Plugins runs plugins.
type Plugins interface {
	// Free returns nil if the name is unused, or an installed plugin's.
	Free(ctx context.Context, name string) error
	// Prepare loads the module and starts its first instance, without an event, as if
	// approved were granted besides what the settings grant. The candidate of an error
	// is nil.
	Prepare(ctx context.Context, name string, module spec.Artifact, approved []abi.Capability) (Candidate, error)
	// Pin runs this module in place of the former one of the name, which goes on if this
	// one does not start.
	Pin(ctx context.Context, p spec.Pin) (wire.Plugin, error)
	// Unpin stops the plugin. fault.NotFound if it is not pinned.
	Unpin(ctx context.Context, name string) error
	// Uninstall drains the plugin, calls commit unless it is nil, and removes the plugin
	// and every file of its name. After an error it runs as before.
	Uninstall(ctx context.Context, name string, commit func() error) error
	// Plugin returns a plugin, or fault.NotFound.
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

// Settings is the part of the configuration file that installations read and write.
type Settings interface {
	// Lacking returns the capabilities of asked that the file does not grant the handler.
	Lacking(name string, asked []abi.Capability) []abi.Capability
	// Snapshot returns the input of Restore for an Admit that follows.
	Snapshot(name string, grants []abi.Capability) (json.RawMessage, error)
	// Admit adds these grants to the handler's. It writes nothing for none.
	Admit(name string, grants []abi.Capability) error
	// Restore undoes an Admit since the snapshot, and no other change.
	Restore(name string, snapshot json.RawMessage) error
	// Remove removes the handler's section.
	Remove(name string) error
	// Routes returns the routes that name the handler.
	Routes(name string) []string
}

// State is the host's state of a handler.
type State interface {
	// Forget deletes the handler's cursor and outcomes.
	Forget(ctx context.Context, name string) error
	// Purge deletes the plugin's stored data.
	Purge(ctx context.Context, name string) error
	// Elsewhere returns the names of the other live hosts that have the plugin: its state is theirs too.
	Elsewhere(ctx context.Context, name string) (hosts []string, err error)
	// Has reports what Forget and Purge have left: cursor and outcomes, and stored data.
	Has(ctx context.Context, name string) (forgettable, purgeable bool, err error)
}

// Codec writes and reads the lock file, and refuses unknown contents.
type Codec interface {
	Marshal(v any) ([]byte, error)
	Unmarshal(text []byte, v any) error
}
