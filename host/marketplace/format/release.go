package format

import (
	"reflect"
	"time"

	"github.com/berth-host/berth/abi"
)

// Release is release.json: a version as its publisher signs it.
type Release struct {
	Format       string           `json:"format"`
	Publisher    string           `json:"publisher"`
	Name         string           `json:"name"`
	Version      string           `json:"version"`
	SHA256       string           `json:"sha256"` // of the module, hex, lower case
	Size         int64            `json:"size"`   // of the module, bytes
	ABI          string           `json:"abi"`
	Capabilities []abi.Capability `json:"capabilities"`
	Released     time.Time        `json:"released"`
}

// ParseRelease parses a release. The caller verifies the signature.
func ParseRelease(text []byte) (Release, error) {
	const what = "release.json"
	m, err := parse(what, text, MaxRelease)
	if err != nil {
		return Release{}, err
	}
	f := read(what, m)
	if v := f.need("format", 64); v != ReleaseVersion && *f.err == nil {
		return Release{}, Refuse(UnknownFormat, "%s: format: %s is not %s", what, quoted(v), ReleaseVersion)
	}
	r := Release{
		Format:       ReleaseVersion,
		Publisher:    f.need("publisher", 64),
		Name:         f.need("name", 64),
		Version:      f.need("version", 128),
		SHA256:       f.digest("sha256"),
		Size:         f.number("size", 8, MaxBlob),
		ABI:          f.need("abi", 64),
		Capabilities: readCapabilities(f),
		Released:     f.time("released"),
	}
	f.note(CheckName(what+": publisher", r.Publisher))
	f.note(CheckName(what+": name", r.Name))
	f.note(CheckVersion(what+": version", r.Version))
	if *f.err != nil {
		return Release{}, *f.err
	}
	return r, nil
}

// Fits refuses a page's entry that differs from the release.
func (r Release) Fits(p Page, v PageVersion) error {
	for _, c := range []struct {
		what         string
		signed, page any
	}{
		{"publisher", r.Publisher, p.Publisher},
		{"name", r.Name, p.Name},
		{"version", r.Version, v.Version},
		{"sha256", r.SHA256, v.SHA256},
		{"size", r.Size, v.Size},
		{"abi", r.ABI, v.ABI},
		{"released", r.Released.UTC(), v.Released.UTC()},
		{"capabilities", list(r.Capabilities), list(v.Capabilities)},
	} {
		if !reflect.DeepEqual(c.signed, c.page) {
			return Refuse(Mismatch, "%s: its %s is not what %s says: %v, not %v",
				ReleasePath(p.Publisher, p.Name, v.Version), c.what, PagePath(p.Publisher, p.Name), c.signed, c.page)
		}
	}
	return nil
}

// list makes no list and an empty one equal.
func list(c []abi.Capability) []abi.Capability { return append([]abi.Capability{}, c...) }

// Reference returns publisher/name@version.
func (r Release) Reference() string { return r.Publisher + "/" + r.Name + "@" + r.Version }

// Encode encodes the release.
func (r Release) Encode() ([]byte, error) {
	r.Format = ReleaseVersion
	r.Capabilities = list(r.Capabilities)
	return encode(r)
}
