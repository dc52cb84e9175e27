package archive

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/berth-host/berth/host/fault"
)

// Format is the version of the format. Read refuses others.
const Format = 1

// Limits of an archive.
const (
	MaxManifest = 16 << 20 // bytes
	MaxFiles    = 50_000
	MaxName     = 100 // bytes of a file's name, as in the header of tar
)

// Names of the entries before the files.
const (
	manifestName = "manifest.json"
	digestName   = "manifest.sha256"
)

// Manifest describes a backup. Times are UTC, in whole seconds.
type Manifest struct {
	Format    int       `json:"format"`
	Berth     string    `json:"berth"` // version of the program that made it
	CreatedAt time.Time `json:"created_at"`
	Store     Store     `json:"store"`
	Files     []File    `json:"files"`
	// Watched are the watched directories whose plugin files are in the archive.
	Watched []Watched `json:"watched,omitempty"`
	// Excluded are the names in the data directory that are not in the archive.
	Excluded []string `json:"excluded,omitempty"`
}

// Store is the position of the store in the archive.
type Store struct {
	ID     string `json:"id"`     // of the store that was copied
	Seq    uint64 `json:"seq"`    // the highest one of its log
	Writes uint64 `json:"writes"` // that it has committed
	Schema int    `json:"schema"`
}

// File is one file of the archive.
type File struct {
	Name   string `json:"name"`   // a relative path with slashes
	Size   int64  `json:"size"`   // bytes
	SHA256 string `json:"sha256"` // hex, lower case
}

// Watched is a watched directory.
type Watched struct {
	Path  string `json:"path"`  // in the host's configuration
	Files string `json:"files"` // the directory of its files in the archive
}

// size returns the size of the archive, for a manifest whose encoding has this size.
func (m Manifest) size(encoded int64) int64 {
	n := entrySize(encoded) + entrySize(int64(len(digestLine(nil)))) + endSize
	for _, f := range m.Files {
		n += entrySize(f.Size)
	}
	return n
}

// encode checks a manifest and returns its JSON.
func (m Manifest) encode() ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return nil, fault.New(fault.Internal, "encode the manifest: %w", err)
	}
	if len(text) >= MaxManifest {
		return nil, fault.New(fault.Exhausted, "the manifest has %d bytes, over the limit of %d", len(text), MaxManifest)
	}
	return append(text, '\n'), nil
}

// decode is the inverse of encode.
func decode(text []byte) (m Manifest, err error) {
	var version struct {
		Format int    `json:"format"`
		Berth  string `json:"berth"`
	}
	if err := json.Unmarshal(text, &version); err != nil {
		return m, damaged("its manifest is not valid: %v", err)
	}
	if version.Format > Format {
		return m, fault.New(fault.Invalid, "the backup has the format %d of Berth %s, and this program knows %d: use that version",
			version.Format, fault.Quote(version.Berth), Format)
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, damaged("its manifest is not valid: %v", err)
	}
	return m, m.check()
}

// check holds the rules for manifests, in particular that no name leaves a directory.
func (m Manifest) check() error {
	switch year := m.CreatedAt.Year(); {
	case m.Format != Format:
		return damaged("its format is %d, not %d", m.Format, Format)
	case year < 1970 || year > 2200 || m.CreatedAt.Nanosecond() != 0:
		return damaged("created_at is not a time in whole seconds")
	case len(m.Files) > MaxFiles:
		return damaged("it has %d files, over the limit of %d", len(m.Files), MaxFiles)
	}
	names := map[string]bool{manifestName: true, digestName: true}
	parents := make(map[string]bool)
	var total int64
	for _, f := range m.Files {
		if err := CheckName(f.Name); err != nil {
			return err
		}
		// Some file systems ignore case.
		name := strings.ToLower(f.Name)
		if names[name] {
			return damaged("the name %s occurs twice", fault.Quote(f.Name))
		}
		names[name] = true
		for parent := name; strings.Contains(parent, "/"); {
			parent = parent[:strings.LastIndexByte(parent, '/')]
			parents[parent] = true
		}
		if f.Size < 0 || f.Size > maxSize-total {
			return damaged("the size of %s is not valid", fault.Quote(f.Name))
		}
		total += f.Size
		if raw, err := hex.DecodeString(f.SHA256); err != nil || len(raw) != sha256.Size || hex.EncodeToString(raw) != f.SHA256 {
			return damaged("the digest of %s is not valid", fault.Quote(f.Name))
		}
	}
	for parent := range parents {
		if names[parent] {
			return damaged("%s is a file and a directory", fault.Quote(parent))
		}
	}
	return nil
}

// checkName refuses names that are not plain relative paths.
func CheckName(name string) error {
	plain := fs.ValidPath(name) && name != "." && len(name) <= MaxName &&
		!strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`\:*?"<>|`, r) })
	if !plain {
		return damaged("%s is not the name of a file in it", fault.Quote(name))
	}
	return nil
}

// digestLine returns the content of manifest.sha256.
func digestLine(manifest []byte) []byte {
	return fmt.Appendf(nil, "%x  %s\n", sha256.Sum256(manifest), manifestName)
}

// damaged is an error about an archive that is not as Write has written it.
func damaged(format string, args ...any) error {
	return fault.New(fault.Invalid, "the backup is damaged or not a backup of Berth: "+format, args...)
}
