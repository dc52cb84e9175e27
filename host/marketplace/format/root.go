package format

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/berth-host/berth/abi"
)

// Root is root.json: the signed list of a marketplace's files.
type Root struct {
	Format      string          `json:"format"`
	Marketplace string          `json:"marketplace"` // its name; see abi.ValidName
	Sequence    int64           `json:"sequence"`    // from 1, higher with every change
	Expires     time.Time       `json:"expires"`     // from then on nothing is installed by it
	Files       map[string]File `json:"files"`       // by path: the pages, the releases and their signatures
	Revoked     []Revocation    `json:"revoked,omitempty"`
}

// File is an entry of a signed list.
type File struct {
	SHA256 string `json:"sha256"` // hex, lower case
	Size   int64  `json:"size"`   // bytes
}

// Revocation revokes one module by its digest, or one release. Exactly one of SHA256 and
// Release is set.
type Revocation struct {
	SHA256  string `json:"sha256,omitempty"`
	Release string `json:"release,omitempty"` // publisher/name@version
	Reason  string `json:"reason"`
}

// FileOf returns the entry of a file with this content.
func FileOf(content []byte) File {
	sum := sha256.Sum256(content)
	return File{SHA256: hex.EncodeToString(sum[:]), Size: int64(len(content))}
}

// Check refuses content that differs from the entry.
func (f File) Check(path string, content []byte) error {
	switch got := FileOf(content); {
	case got.Size != f.Size:
		return Refuse(WrongSize, "%s: has %d bytes; %d were signed", path, got.Size, f.Size)
	case got.SHA256 != f.SHA256:
		return Refuse(WrongDigest, "%s: has the SHA-256 %s; %s was signed", path, got.SHA256, f.SHA256)
	}
	return nil
}

// ParseRoot parses a root. The caller has verified the signature.
func ParseRoot(text []byte) (Root, error) {
	const what = RootPath
	m, err := parse(what, text, MaxRoot)
	if err != nil {
		return Root{}, err
	}
	f := read(what, m)
	if v := f.need("format", 64); v != Version && *f.err == nil {
		return Root{}, Refuse(UnknownFormat, "%s: format: %s is not %s: this berth cannot read it", what, quoted(v), Version)
	}
	r := Root{
		Format:      Version,
		Marketplace: f.need("marketplace", 64),
		Sequence:    f.number("sequence", 1, 1<<53),
		Expires:     f.time("expires"),
		Files:       map[string]File{},
	}
	f.note(CheckName(what+": marketplace", r.Marketplace))
	files, ok := f.m["files"].(map[string]any)
	if !ok {
		f.fail(Malformed, "files", "is required: an object")
	}
	if len(files) > MaxFiles {
		f.fail(TooLarge, "files", "%d files are over the limit of %d", len(files), MaxFiles)
		files = nil
	}
	for path, v := range files {
		if !ValidPath(path) {
			f.fail(BadPath, "files", "%s is not a path inside the tree", quoted(path))
			break
		}
		m, ok := v.(map[string]any)
		if !ok {
			f.fail(Malformed, "files."+path, "must be an object")
			break
		}
		entry := fields{what + ": files." + path, m, f.err}
		r.Files[path] = File{SHA256: entry.digest("sha256"), Size: entry.number("size", 0, MaxBlob)}
	}
	for i, v := range f.list("revoked", MaxRevoked) {
		entry, ok := f.inner("revoked", i, v)
		if !ok {
			break
		}
		r.Revoked = append(r.Revoked, readRevocation(entry))
	}
	if *f.err != nil {
		return Root{}, *f.err
	}
	return r, nil
}

func readRevocation(f fields) Revocation {
	r := Revocation{Release: f.text("release", 300), Reason: f.need("reason", MaxText)}
	if _, ok := f.m["sha256"]; ok {
		r.SHA256 = f.digest("sha256")
	}
	if (r.SHA256 == "") == (r.Release == "") {
		f.fail(Malformed, "sha256", "either this or release is required")
	}
	if r.Release != "" {
		if _, _, _, err := ParseReference(r.Release); err != nil {
			f.note(err)
		}
	}
	return r
}

// ParseReference splits publisher/name@version.
func ParseReference(s string) (publisher, name, version string, err error) {
	path, version, _ := strings.Cut(s, "@")
	publisher, name, _ = strings.Cut(path, "/")
	if !abi.ValidName(publisher) || !abi.ValidName(name) {
		return "", "", "", Refuse(BadName, "%s is not of the form publisher/name@version", quoted(s))
	}
	if err := CheckVersion(quoted(s), version); err != nil {
		return "", "", "", err
	}
	return publisher, name, version, nil
}

// Encode encodes the root.
func (r Root) Encode() ([]byte, error) {
	r.Format = Version
	if r.Files == nil {
		r.Files = map[string]File{}
	}
	return encode(r)
}
