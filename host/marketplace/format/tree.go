package format

import (
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/spec"
)

// Names and bounds of the format. Sizes are in bytes.
const (
	Version        = "berth-marketplace-v1" // of the format: what root.json says
	ReleaseVersion = "berth-release-v1"     // what release.json says
	ABI            = "berth_v1"             // the only one there is

	RootPath  = "root.json"
	SigSuffix = ".minisig" // of the file that signs another

	MaxRoot      = 4 << 20
	MaxPage      = 1 << 20
	MaxRelease   = 128 << 10
	MaxSignature = 4 << 10
	MaxBlob      = 64 << 20
	MaxFiles     = 20_000 // a root may list
	MaxPages     = 5_000  // plugins of a marketplace
	MaxRevoked   = 10_000
	MaxVersions  = 500 // of one plugin
	MaxURLs      = 8   // of one version
	MaxPath      = 512
	MaxText      = 4 << 10 // a description, a reason
)

// PagePath returns the path of a plugin's page.
func PagePath(publisher, name string) string { return "p/" + publisher + "/" + name + ".json" }

// ReleasePath returns the path of a release's description; its signature is beside it.
func ReleasePath(publisher, name, version string) string {
	return "r/" + publisher + "/" + name + "/" + version + "/release.json"
}

// BlobPath returns the path of a module by its SHA-256 in hex.
func BlobPath(sha256 string) string { return "blobs/sha256/" + sha256 + ".wasm" }

// ParsePagePath is the inverse of PagePath; false for any other path.
func ParsePagePath(path string) (publisher, name string, ok bool) {
	path, isPage := strings.CutPrefix(path, "p/")
	path, isJSON := strings.CutSuffix(path, ".json")
	publisher, name, ok = strings.Cut(path, "/")
	return publisher, name, ok && isPage && isJSON && abi.ValidName(publisher) && abi.ValidName(name)
}

// ValidPath reports whether a path stays inside a tree and means the same to
// every web server and file system: elements of letters, digits and . _ + -
// that do not begin with a dot, joined by single slashes.
func ValidPath(path string) bool {
	if len(path) > MaxPath {
		return false
	}
	for element := range strings.SplitSeq(path, "/") {
		if element == "" || element[0] == '.' {
			return false
		}
		for i := 0; i < len(element); i++ {
			c := element[i]
			alphabetic := 'a' <= c|0x20 && c|0x20 <= 'z'
			if !alphabetic && (c < '0' || c > '9') && !strings.ContainsRune("._+-", rune(c)) {
				return false
			}
		}
	}
	return true
}

// checkDigest reports whether s is a SHA-256 in the format's form: 64 hexadecimal digits
// in lower case.
func checkDigest(s string) bool {
	if len(s) != 64 {
		return false
	}
	return strings.Trim(s, "0123456789abcdef") == ""
}

// CheckName refuses an invalid plugin's or publisher's name.
func CheckName(what, name string) error {
	if abi.ValidName(name) {
		return nil
	}
	return Refuse(BadName, "%s: %s is not a name: 1 to 63 of a-z, 0-9 and -, not beginning with -", what, quoted(name))
}

// CheckVersion refuses anything but a full semantic version.
func CheckVersion(what, version string) error {
	if abi.ValidVersion(version) {
		return nil
	}
	return Refuse(BadVersion, "%s: %s is not a semantic version such as 1.2.0", what, quoted(version))
}

// Compare orders two semantic versions by precedence (semver.org, 11): below zero if a
// precedes b. An invalid version precedes all valid ones.
func Compare(a, b string) int {
	switch x, y := abi.ValidVersion(a), abi.ValidVersion(b); {
	case x && y:
		return spec.CompareVersions(a, b)
	case x:
		return 1
	case y:
		return -1
	}
	return 0
}

// Prerelease reports whether a version is a pre-release.
func Prerelease(version string) bool {
	v, err := semver.StrictNewVersion(version)
	return err == nil && v.Prerelease() != ""
}

// Matcher returns the function that reports whether a version matches a constraint such
// as "^1.2", ">=1.0, <2" or "1.x". A pre-release matches only a constraint that names
// one. "" matches every release.
func Matcher(constraint string) (func(version string) bool, error) {
	if constraint == "" {
		constraint = "*"
	}
	if len(constraint) > 256 {
		return nil, Refuse(BadVersion, "version: a constraint of %d bytes; the limit is 256", len(constraint))
	}
	c, err := semver.NewConstraint(constraint)
	if err != nil {
		return nil, Refuse(BadVersion, "version: %s is neither a version such as 1.2.0 nor a constraint such as ^1.2", quoted(constraint))
	}
	return func(version string) bool {
		v, err := semver.StrictNewVersion(version)
		return err == nil && c.Check(v)
	}, nil
}
