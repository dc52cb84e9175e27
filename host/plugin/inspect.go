package plugin

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/plugin/internal/folder"
	"github.com/berth-host/berth/host/plugin/schema"
)

// finding is what one look into a file came to: one of the four groups.
type finding struct {
	changed bool // look again: it was not at rest

	refusal string // the file will not do, until it changes

	waiting string // not yet; refused after a time, unless retry is set
	retry   bool   // look again though nothing changed

	state    folder.State
	sha256   string
	manifest abi.Manifest   // with the name filled in
	schema   *schema.Schema // of the manifest's config_schema, or nil
	claims   bool           // the name is to be claimed
	claimErr error          // the name could not be claimed
}

// inspect reads a module's file and finds its name.
func (m *Manager) inspect(path string) finding {
	c, err := folder.Read(path, m.config.MaxSize, abi.MaxManifest)
	var refusal folder.Refusal
	switch {
	case errors.Is(err, folder.ErrChanged):
		return finding{changed: true}
	case errors.As(err, &refusal):
		return finding{state: c.State, refusal: string(refusal)}
	case err != nil:
		return finding{state: c.State, waiting: "the file cannot be read: " + err.Error(), retry: true}
	}
	f := judge(path, c)
	f.state = c.State
	if f.manifest.Name == "" {
		return f
	}
	if c.Writing {
		// A part of a module that ends between two sections looks like a module.
		// As exec(2) does, we take no file that somebody may be writing to.
		return finding{state: c.State, waiting: "a process has the file open for writing", retry: true}
	}
	f.claims = true
	return f
}

// claim gives what was found its place in the log. The caller holds no slot, so that
// the claims of all files that are there at a start go to the disk together.
func (m *Manager) claim(f *finding) {
	if !f.claims {
		return
	}
	f.claimErr = m.config.Runner.Claim(m.work, f.manifest.Name)
}

// judge tells whether the contents are all of a module, and finds its manifest.
func judge(path string, c folder.Content) finding {
	c.SidecarText = abi.TrimBOM(c.SidecarText)
	switch err := c.Whole(); {
	case err == nil:
	case err == abi.ErrSection, err == abi.ErrNotModule && beginsModule(c.Wasm()):
		return finding{waiting: fmt.Sprintf("the file is incomplete: its %d bytes end inside the module", c.Size())}
	default:
		return finding{refusal: err.Error()}
	}
	manifest, _, err := c.Artifact.Manifest()
	switch {
	case c.SidecarText != nil && !json.Valid(c.SidecarText):
		// As a half copied one is not. In the end it is refused with this text.
		_, err := abi.ParseManifest(c.SidecarText)
		return finding{waiting: fmt.Sprintf("%s: %v", folder.Sidecar(path), err)}
	case c.SidecarText != nil:
		if manifest, err = abi.ParseManifest(c.SidecarText); err != nil {
			return finding{refusal: fmt.Sprintf("%s: %v", folder.Sidecar(path), err)}
		}
	case err != nil:
		return finding{refusal: err.Error()}
	}
	if manifest.Name == "" {
		manifest.Name = nameOf(path)
		if err := abi.CheckName(manifest.Name); err != nil {
			return finding{refusal: fmt.Sprintf("the file gives no name: %v; rename it or add a manifest", err)}
		}
	}
	f := finding{sha256: c.SHA256(), manifest: manifest}
	if manifest.ConfigSchema != nil {
		if f.schema, err = schema.Compile(manifest.ConfigSchema); err != nil {
			return finding{refusal: fmt.Sprintf("its manifest's config_schema: %v", err)}
		}
	}
	return f
}

// beginsModule reports whether more bytes could make a module of these: they
// are a part of the header, or zeros where space was reserved beforehand.
func beginsModule(b []byte) bool {
	const header = "\x00asm\x01\x00\x00\x00"
	head := string(b[:min(len(b), len(header))])
	return len(b) < len(header) && strings.HasPrefix(header, head) || strings.Trim(head, "\x00") == ""
}

// nameOf derives a plugin's name from the name of its file. It need not be valid.
func nameOf(path string) string {
	name := strings.TrimSuffix(filepath.Base(path), ".wasm")
	return strings.ReplaceAll(strings.ToLower(name), "_", "-")
}
