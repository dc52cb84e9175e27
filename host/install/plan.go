package install

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// ApprovalError says that an installation needs the operator's approval of its plan. Its
// code is fault.Conflict.
type ApprovalError struct {
	plan          wire.Plan
	signerChanged bool   // the signer differs from that of the former version
	otherKey      string // that signs what is here of the same publisher; "" for none
	other         bool   // something was approved, but not this
}

// Error implements error.
func (e *ApprovalError) Error() string {
	var asks []string
	for _, c := range e.plan.Capabilities {
		if c.New {
			asks = append(asks, c.Name)
		}
	}
	var why []string
	if e.other {
		why = append(why, "another plan was approved")
	}
	if e.signerChanged {
		why = append(why, "its signer differs from that of the former version")
	}
	if e.otherKey != "" {
		why = append(why, "another key, "+e.otherKey+", has signed the plugins of the publisher "+e.plan.Publisher+" on this host")
	}
	if len(asks) > 0 {
		why = append(why, "it requests "+strings.Join(asks, ", ")+", which is not granted")
	}
	return fmt.Sprintf("%s %s: %s; approve the plan %s to go on", e.plan.Action, e.plan.Name, strings.Join(why, ", and "), e.plan.Digest)
}

// Unwrap returns the code.
func (e *ApprovalError) Unwrap() error { return fault.New(fault.Conflict, "approval is required") }

// Plan returns the plan to be approved.
func (e *ApprovalError) Plan() wire.Plan { return e.plan }

// module is a release's module and what it says of itself.
type module struct {
	spec.Artifact
	name     string
	manifest abi.Manifest
}

// examine compares a module with what its source says.
func examine(rel Release, a spec.Artifact, want string) (module, error) {
	name, manifest, err := nameOf(a, want)
	if err != nil {
		return module{}, err
	}
	m := module{Artifact: a, name: name, manifest: manifest}
	differs := func(what, said, is string) error {
		return fault.New(fault.Invalid, "the release says its %s is %s, and the module itself %s: it is not what it claims to be", what,
			said, is)
	}
	switch {
	case rel.Version != "" && m.manifest.Version != "" && rel.Version != m.manifest.Version:
		return module{}, differs("version", rel.Version, m.manifest.Version)
	case rel.Capabilities != nil && !sameCapabilities(rel.Capabilities, m.manifest.Capabilities):
		return module{}, differs("list of capabilities", capabilityNames(rel.Capabilities), capabilityNames(m.manifest.Capabilities))
	}
	return m, nil
}

// sameCapabilities compares requested capabilities without their order and reasons.
func sameCapabilities(a, b []abi.Capability) bool {
	within := func(a, b []abi.Capability) bool {
		for _, c := range a {
			if !approvedBefore(c, spec.GrantsOf(b)) {
				return false
			}
		}
		return true
	}
	return within(a, b) && within(b, a)
}

func capabilityNames(list []abi.Capability) string {
	var texts []string
	for _, c := range list {
		text := c.Name
		if of := spec.TargetsOf(c).List(); len(of) > 0 {
			text += " (" + strings.Join(of, ", ") + ")"
		}
		texts = append(texts, text)
	}
	if texts == nil {
		return "none"
	}
	return strings.Join(texts, ", ")
}

// checkRelease checks a release before its module is downloaded.
func (i *Installer) checkRelease(r Request, rel Release, former *Version) error {
	switch {
	case !validDigest(rel.SHA256):
		return fault.New(fault.Internal, "the source's SHA-256 %q is not one", rel.SHA256)
	case rel.Name != "" && abi.CheckName(rel.Name) != nil:
		return checkName(rel.Name)
	case rel.Version != "" && !abi.ValidVersion(rel.Version):
		return fault.New(fault.Invalid, "the release's version %q is not a semantic version", rel.Version)
	case rel.ABI != "" && rel.ABI != abi.ModuleName:
		return fault.New(fault.Invalid, "%s is made for the ABI %s, and this host has %s", rel.Source, rel.ABI, abi.ModuleName)
	}
	if why := i.cfg.Revoked(rel.SHA256); why != "" {
		return fault.New(fault.Conflict, "%s: %s", rel.Source, why)
	}
	if age := i.cfg.MinimumAge(); age > 0 && !r.exact() {
		old := rel.Released.Add(age)
		if rel.Released.IsZero() {
			return fault.New(fault.Conflict,
				"%s does not say when it was released, and marketplace.minimum_release_age is %v; to take it nevertheless, name it by its "+
					"digest", rel.Source, age)
		}
		if now := i.cfg.Now(); now.Before(old) {
			return fault.New(fault.Conflict,
				"%s %s was released at %s; with marketplace.minimum_release_age %v it may be installed from %s on",
				rel.Name, rel.Version, rel.Released.UTC().Format(time.RFC3339), age, old.UTC().Format(time.RFC3339))
		}
	}
	if former == nil {
		return nil
	}
	now := Owner{rel.Publisher, rel.SignedBy}
	if former.Owner != (Owner{}) && former.Owner != now {
		return fault.New(fault.Conflict,
			"the signer has changed: %s is from %s, the installed %s from %s; if you trust the new one, uninstall the plugin and install "+
				"it again",
			rel.Source, now, former.label(), former.Owner)
	}
	return checkVersion(r, rel.Version, rel.SHA256, *former)
}

// checkVersion refuses a version below the former one; "" is an unknown version.
func checkVersion(r Request, version, sha256 string, former Version) error {
	if former.Version == "" || version == "" {
		return nil
	}
	switch c := spec.CompareVersions(version, former.Version); {
	case c < 0:
		return fault.New(fault.Conflict, "%s is older than the installed %s: roll back to go to a former version", version, former.Version)
	case c == 0 && sha256 != former.SHA256 && !r.exact():
		return fault.New(fault.Conflict,
			"%s was released again with other contents, perhaps by an attacker; to take it nevertheless, name it by its digest", version)
	}
	return nil
}

// approve returns the capabilities that the operator approves with given, the digest of a
// plan, or an ApprovalError with the plan to approve. A digest approves that plan only,
// even if no approval is needed now.
func (i *Installer) approve(rel Release, m module, former *Version, lock Lock, given string) ([]abi.Capability, error) {
	lacking := i.cfg.Settings.Lacking(m.name, m.manifest.Capabilities)
	p := wire.Plan{Action: "install", Name: m.name, Version: versionOf(rel, m), Publisher: rel.Publisher, SignedBy: rel.SignedBy,
		Source: rel.Source,
		SHA256: rel.SHA256, Size: rel.Size, Description: m.manifest.Description, License: m.manifest.License,
		Capabilities: []wire.PlannedCapability{}}
	signerChanged := false
	if former != nil {
		p.Action, p.From = "upgrade", former.label()
		signerChanged = former.Owner != Owner{rel.Publisher, rel.SignedBy}
	}
	var fresh []abi.Capability
	for _, c := range m.manifest.Capabilities {
		lacks := slices.ContainsFunc(lacking, func(l abi.Capability) bool { return l.Name == c.Name })
		// A grant that was approved before and is missing now was removed by the operator, and
		// stays removed.
		isNew := lacks && (former == nil || !approvedBefore(c, former.Capabilities))
		if isNew {
			fresh = append(fresh, c)
		}
		p.Capabilities = append(p.Capabilities, wire.PlannedCapability{Grant: spec.GrantOf(c), Reason: c.Reason, Required: c.Required,
			Granted: !lacks, New: isNew})
	}
	otherKey := lock.otherKey(Owner{rel.Publisher, rel.SignedBy})
	if signerChanged {
		otherKey = "" // implied by signerChanged
	}
	if len(fresh) == 0 && !signerChanged && otherKey == "" && given == "" {
		return nil, nil
	}
	plain, err := json.Marshal(p)
	if err != nil {
		return nil, fault.New(fault.Internal, "write the plan: %w", err)
	}
	sum := sha256.Sum256(plain)
	p.Digest = hex.EncodeToString(sum[:])
	if given != p.Digest {
		return nil, &ApprovalError{plan: p, signerChanged: signerChanged, otherKey: otherKey, other: given != ""}
	}
	return fresh, nil
}

func versionOf(rel Release, m module) string {
	if rel.Version != "" {
		return rel.Version
	}
	return m.manifest.Version
}
