package spec

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"

	"github.com/berth-host/berth/abi"
)

// Artifact is a module's bytes with their digest and the manifest inside them. It is
// made by NewArtifact or a Collector, which hash the bytes and look for the manifest
// once, so that a digest always belongs to its bytes. The zero value is no module. It
// is immutable and safe for concurrent use.
type Artifact struct {
	wasm     []byte
	sha256   string
	section  []byte
	manifest abi.Manifest
	inside   bool
	whole    error // of abi.FindSection
	parsed   error // of abi.ParseManifest
}

// NewArtifact returns the artifact of a module. It keeps wasm, which must not change.
func NewArtifact(wasm []byte) Artifact { return newArtifact(wasm, sha256.Sum256(wasm)) }

func newArtifact(wasm []byte, sum [sha256.Size]byte) Artifact {
	a := Artifact{wasm: wasm, sha256: hex.EncodeToString(sum[:])}
	if a.section, a.inside, a.whole = abi.FindSection(wasm, abi.ManifestSection); a.whole == nil && a.inside {
		if a.manifest, a.parsed = abi.ParseManifest(a.section); a.parsed != nil {
			a.parsed = fmt.Errorf("section %s: %w", abi.ManifestSection, a.parsed)
		}
	}
	return a
}

// Wasm returns the module's bytes. The caller does not change them.
func (a Artifact) Wasm() []byte { return a.wasm }

// Size returns the number of bytes.
func (a Artifact) Size() int { return len(a.wasm) }

// SHA256 returns the digest of the bytes in lower-case hex.
func (a Artifact) SHA256() string { return a.sha256 }

// Whole returns the error of abi.FindSection: nil if the bytes can be a whole module.
func (a Artifact) Whole() error { return a.whole }

// Section returns the text of the manifest inside the module; nil if there is none.
func (a Artifact) Section() []byte { return a.section }

// Manifest returns the manifest inside the module; inside is false, and the manifest
// zero, if there is none. The error is that of Whole, or names the section.
func (a Artifact) Manifest() (m abi.Manifest, inside bool, err error) {
	if a.whole != nil {
		return abi.Manifest{}, false, a.whole
	}
	return a.manifest, a.inside, a.parsed
}

// Collector hashes a module's bytes as they are written to it. It is for one
// goroutine. Create it with NewCollector.
type Collector struct {
	buf  bytes.Buffer
	hash hash.Hash
}

// NewCollector returns a Collector without bytes.
func NewCollector() *Collector { return &Collector{hash: sha256.New()} }

// Write implements io.Writer.
func (c *Collector) Write(p []byte) (int, error) {
	c.hash.Write(p)
	return c.buf.Write(p)
}

// Len returns the number of bytes written.
func (c *Collector) Len() int { return c.buf.Len() }

// SHA256 returns the digest of the bytes written so far in lower-case hex.
func (c *Collector) SHA256() string { return hex.EncodeToString(c.hash.Sum(nil)) }

// Reset drops the bytes.
func (c *Collector) Reset() {
	c.buf.Reset()
	c.hash.Reset()
}

// Artifact returns the artifact of the bytes written. The Collector is not used after it.
func (c *Collector) Artifact() Artifact {
	return newArtifact(c.buf.Bytes(), [sha256.Size]byte(c.hash.Sum(nil)))
}
