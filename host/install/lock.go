package install

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/spec"
)

// keepFormer is the number of former versions kept for rollbacks.
const keepFormer = 3

// lockFormat is the version of the lock's format.
const lockFormat = 1

// Lock is the contents of plugins.lock.yaml.
type Lock struct {
	Format  int              `json:"format"`
	Plugins map[string]Entry `json:"plugins"`
	// Kept are uninstalled plugins whose stored data is kept.
	Kept map[string]Owner `json:"kept,omitempty"`
}

// Entry is an installed plugin: the current version, and the former ones.
type Entry struct {
	Version
	Former []Version `json:"former,omitempty"` // the latest first, at most three
}

// Version is one version of a plugin.
type Version struct {
	Version string `json:"version,omitempty"`
	SHA256  string `json:"sha256"`
	Size    int64  `json:"size"` // bytes
	Owner
	Source       string       `json:"source"`
	Capabilities []spec.Grant `json:"capabilities,omitempty"` // approved at the installation
	Manifest     string       `json:"manifest,omitempty"`     // as it is in the module
	InstalledAt  time.Time    `json:"installed_at"`

	// RolledBack marks a former version that a rollback has left: another rollback returns
	// to it only if it is named.
	RolledBack bool `json:"rolled_back,omitempty"`
}

// Owner is the publisher and signer of a plugin.
type Owner struct {
	Publisher string `json:"publisher,omitempty"`
	SignedBy  string `json:"signed_by,omitempty"` // a key's id
}

func (l Lock) check() error {
	if l.Format != lockFormat {
		return fmt.Errorf("format: %d is not one this host knows (%d)", l.Format, lockFormat)
	}
	for _, name := range slices.Sorted(maps.Keys(l.Plugins)) {
		e := l.Plugins[name]
		if !abi.ValidName(name) {
			return fmt.Errorf("plugins.%q: is not a plugin's name", name)
		}
		if len(e.Former) > keepFormer {
			return fmt.Errorf("plugins.%s.former: there are %d, and at most %d are kept", name, len(e.Former), keepFormer)
		}
		for _, v := range append([]Version{e.Version}, e.Former...) {
			if !validDigest(v.SHA256) {
				return fmt.Errorf("plugins.%s: sha256: %q is not 64 hexadecimal digits in lower case", name, v.SHA256)
			}
			if v.Version != "" && !abi.ValidVersion(v.Version) {
				return fmt.Errorf("plugins.%s: version: %q is not a semantic version", name, v.Version)
			}
		}
	}
	for name := range l.Kept {
		if !abi.ValidName(name) {
			return fmt.Errorf("kept.%q: is not a plugin's name", name)
		}
	}
	return nil
}

// validDigest reports whether s is a SHA-256 in lower-case hex, which is safe in a path.
func validDigest(s string) bool {
	raw, err := hex.DecodeString(s)
	return err == nil && len(raw) == 32 && hex.EncodeToString(raw) == s
}

// clone returns a copy with maps of its own.
func (l Lock) clone() Lock {
	c := Lock{Format: lockFormat, Plugins: maps.Clone(l.Plugins), Kept: maps.Clone(l.Kept)}
	if c.Plugins == nil {
		c.Plugins = map[string]Entry{}
	}
	if c.Kept == nil {
		c.Kept = map[string]Owner{}
	}
	return c
}

// with returns the lock with v as the plugin's current version and the present one as the
// first former version. Versions with a digest in left are marked as rolled back.
func (l Lock) with(name string, v Version, left []string) Lock {
	next := l.clone()
	v.RolledBack = false
	e := Entry{Version: v}
	if was, ok := l.Plugins[name]; ok {
		for _, f := range append([]Version{was.Version}, was.Former...) {
			f.RolledBack = f.RolledBack || slices.Contains(left, f.SHA256)
			if f.SHA256 != v.SHA256 && len(e.Former) < keepFormer {
				e.Former = append(e.Former, f)
			}
		}
	}
	next.Plugins[name] = e
	delete(next.Kept, name)
	return next
}

// without returns the lock without the plugin; kept records its owner.
func (l Lock) without(name string, kept bool) Lock {
	next := l.clone()
	delete(next.Kept, name)
	if e, ok := next.Plugins[name]; ok && kept {
		next.Kept[name] = e.Owner
	}
	delete(next.Plugins, name)
	return next
}

// refers reports whether a version has this digest.
func (l Lock) refers(digest string) bool {
	for _, e := range l.Plugins {
		if e.SHA256 == digest || slices.ContainsFunc(e.Former, func(v Version) bool { return v.SHA256 == digest }) {
			return true
		}
	}
	return false
}

// otherKey returns the key that has signed an installed or kept plugin of the owner's
// publisher, if it is not the owner's key.
func (l Lock) otherKey(o Owner) string {
	owners := slices.Collect(maps.Values(l.Kept))
	for _, e := range l.Plugins {
		owners = append(owners, e.Owner)
	}
	for _, is := range owners {
		if o.Publisher != "" && is.Publisher == o.Publisher && is.SignedBy != "" && is.SignedBy != o.SignedBy {
			return is.SignedBy
		}
	}
	return ""
}

// label names a version for people.
func (v Version) label() string {
	if v.Version != "" {
		return v.Version
	}
	return "the version with sha256 " + v.SHA256[:12]
}

// String describes the owner.
func (o Owner) String() string {
	switch {
	case o == Owner{}:
		return "an unknown publisher, unsigned"
	case o.SignedBy == "":
		return "publisher " + o.Publisher + ", unsigned"
	case o.Publisher == "":
		return "the key " + o.SignedBy
	}
	return "publisher " + o.Publisher + " with the key " + o.SignedBy
}

// approvedBefore reports whether the capability with all its targets was approved before,
// literally.
func approvedBefore(asked abi.Capability, before []spec.Grant) bool {
	in := func(list, of []string) bool {
		return !slices.ContainsFunc(list, func(s string) bool { return !slices.Contains(of, s) })
	}
	return slices.ContainsFunc(before, func(c spec.Grant) bool {
		return c.Name == asked.Name && in(asked.Hosts, c.Hosts) && in(asked.EventTypes, c.EventTypes) && in(asked.Names, c.Names)
	})
}
