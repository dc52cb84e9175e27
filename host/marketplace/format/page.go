package format

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/berth-host/berth/abi"
)

// Page is p/<publisher>/<name>.json: one plugin with its versions, under the root's
// signature.
type Page struct {
	Publisher   string `json:"publisher"`
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	License     string `json:"license,omitempty"`  // an SPDX expression by custom
	Homepage    string `json:"homepage,omitempty"` // for people; never fetched
	// Key is the publisher's minisign public key in base64, the same on all of its
	// pages. Empty: its releases are not signed.
	Key      string        `json:"key,omitempty"`
	Versions []PageVersion `json:"versions"` // in falling order of precedence
}

// PageVersion is one version of a plugin.
type PageVersion struct {
	Version      string           `json:"version"`
	ABI          string           `json:"abi"`
	SHA256       string           `json:"sha256"` // of the module, hex, lower case
	Size         int64            `json:"size"`   // of the module, bytes
	Capabilities []abi.Capability `json:"capabilities"`
	URLs         []string         `json:"urls"`                 // paths in the tree, in the order to try them
	Yanked       bool             `json:"yanked,omitempty"`     // only installed by its exact version
	Deprecated   string           `json:"deprecated,omitempty"` // why it should not be used any more
	Released     time.Time        `json:"released"`
}

// ParsePage parses the page of a plugin. The caller has verified its digest.
func ParsePage(publisher, name string, text []byte) (Page, error) {
	what := PagePath(publisher, name)
	m, err := parse(what, text, MaxPage)
	if err != nil {
		return Page{}, err
	}
	f := read(what, m)
	p := Page{
		Publisher:   f.need("publisher", 64),
		Name:        f.need("name", 64),
		Description: f.text("description", MaxText),
		License:     f.text("license", 256),
		Homepage:    f.text("homepage", 1024),
		Key:         f.text("key", 64),
	}
	if *f.err == nil && (p.Publisher != publisher || p.Name != name) {
		return Page{}, Refuse(Mismatch, "%s: is of %s", what, quoted(p.Publisher+"/"+p.Name))
	}
	if p.Key != "" {
		if _, err := ParseKey(p.Key); err != nil {
			f.note(Refuse(BadKey, "%s: key: %v", what, err))
		}
	}
	f.note(about(what, abi.Manifest{Description: p.Description, License: p.License, Homepage: p.Homepage}))
	if _, ok := m["versions"]; !ok {
		f.fail(Malformed, "versions", "is required: an array")
	}
	for i, v := range f.list("versions", MaxVersions) {
		entry, ok := f.inner("versions", i, v)
		if !ok {
			break
		}
		p.Versions = append(p.Versions, readPageVersion(entry))
	}
	if *f.err != nil {
		return Page{}, *f.err
	}
	p.sort()
	for i := range len(p.Versions) - 1 {
		if a, b := p.Versions[i].Version, p.Versions[i+1].Version; Compare(a, b) == 0 {
			return Page{}, Refuse(Malformed, "%s: versions: %s and %s have the same precedence", what, a, b)
		}
	}
	return p, nil
}

func (p Page) sort() {
	slices.SortStableFunc(p.Versions, func(a, b PageVersion) int { return Compare(b.Version, a.Version) })
}

// about checks the texts that a page copies from a manifest, by the manifest's rules.
func about(what string, m abi.Manifest) error {
	if err := m.Validate(); err != nil {
		return Refuse(Malformed, "%s: %v", what, err)
	}
	return nil
}

func readPageVersion(f fields) PageVersion {
	v := PageVersion{
		Version:      f.need("version", 128),
		ABI:          f.need("abi", 64),
		SHA256:       f.digest("sha256"),
		Size:         f.number("size", 8, MaxBlob),
		Capabilities: readCapabilities(f),
		Yanked:       f.flag("yanked"),
		Deprecated:   f.text("deprecated", MaxText),
		Released:     f.time("released"),
	}
	f.note(CheckVersion(f.what+": version", v.Version))
	list := f.list("urls", MaxURLs)
	if len(list) == 0 {
		f.fail(Malformed, "urls", "is required: an array of at least one path")
	}
	for i, u := range list {
		path, ok := u.(string)
		if !ok || !ValidPath(path) {
			f.fail(BadPath, fmt.Sprintf("urls[%d]", i), "%s is not a path inside the tree", quoted(fmt.Sprint(u)))
		}
		v.URLs = append(v.URLs, path)
	}
	return v
}

// readCapabilities reads capabilities exactly as a manifest's are read: an unknown key is
// an error.
func readCapabilities(f fields) []abi.Capability {
	list, ok := f.m["capabilities"].([]any)
	if !ok {
		f.fail(Malformed, "capabilities", "is required: an array")
		return nil
	}
	text, err := json.Marshal(map[string]any{"capabilities": list})
	var m abi.Manifest
	if err == nil {
		m, err = abi.ParseManifest(text)
	}
	if err != nil {
		f.fail(Malformed, "capabilities", "%v", err)
	}
	return m.Capabilities
}

// Version returns the page's entry of exactly this version.
func (p Page) Version(version string) (PageVersion, bool) {
	i := slices.IndexFunc(p.Versions, func(v PageVersion) bool { return v.Version == version })
	if i < 0 {
		return PageVersion{}, false
	}
	return p.Versions[i], true
}

// Encode encodes the page.
func (p Page) Encode() ([]byte, error) {
	p.Versions = append([]PageVersion{}, p.Versions...)
	for i, v := range p.Versions {
		p.Versions[i].Capabilities = append([]abi.Capability{}, v.Capabilities...)
	}
	p.sort()
	return encode(p)
}
